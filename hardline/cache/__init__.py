"""Services without a server: files, cached sites, small dynamic pages."""
