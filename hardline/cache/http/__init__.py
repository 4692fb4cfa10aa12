"""What every answer of a site needs of HTTP."""
