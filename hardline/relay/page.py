"""What a browser reads that asks a relay by its own address, without I/O."""

from __future__ import annotations

import html

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>A hardline relay</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}</style>
</head><body><h1>A relay of hardline</h1>
<p>This computer joins connections of computers that cannot reach each other. What they say is encrypted from end
to end: nobody can read it here, and whose it is is not known.</p>
{contact}</body></html>
"""


def page(contact: str) -> bytes:
    """The whole answer."""
    who = f"<p>Who runs it: {html.escape(contact)}</p>\n" if contact else ""
    body = _PAGE.format(contact=who).encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
