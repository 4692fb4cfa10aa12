"""Ports that the router opens for us: UPnP, NAT-PMP and PCP.  mappings.Mappings is what the daemon uses."""
