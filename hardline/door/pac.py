"""The file that sends a program's requests for *.localhost, and nothing else, to this door.  Without I/O.

For systems where *.localhost does not resolve: docs/BROWSERS.md.  The format is Netscape's proxy auto-config of 1996.
"""

from __future__ import annotations

PATH = "/proxy.pac"
TYPE = "application/x-ns-proxy-autoconfig"


def script(door: str) -> str:
    """What /proxy.pac answers, for a door at `door`: an IP address (IPv6 in brackets) and a port."""
    return (
        "function FindProxyForURL(url, host) {\n"
        f'  if (dnsDomainIs(host.toLowerCase(), ".localhost")) return "PROXY {door}";\n'
        '  return "DIRECT";\n'
        "}\n"
    )
