"""Who asks, as far as a browser tells; without I/O.

    Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest, Sec-Purpose ──▶ is_part_of_elsewhere
    none of them, but Origin (WebSockets) or CONNECT of a browser ──▶ the same

A page of the internet can name any address in its images, scripts and frames, a hundred at a time.  What nobody
chose to open must not make this node search, dial or tell a stranger that it is here.  Clients that are no browsers
say nothing of this, and are believed to know what they ask for.  So are other proxies, which name themselves in fields
that no page can set for a WebSocket.
Source: Fetch Metadata Request Headers, sections 2 and 3; Nestable Prefetch, "Sec-Purpose"; RFC 6455, section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping

from hardline.errors import HardlineError

_TOLD = (b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"sec-purpose", b"origin", b"host", b"user-agent")
_OF_PROXIES = (b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip")
_BROWSER = b"mozilla/"


class Uninvited(HardlineError):
    """A part of another site's page, for which nobody is looked for (403)."""


def is_part_of_elsewhere(head: bytes) -> bool:
    """Whether `head`, a whole request head, asks for a part of another site's page, or for one that is only guessed."""
    first, told = _told(head)
    if b"sec-fetch-site" not in told:
        return _is_by_browser_for_elsewhere(first, told)
    if told[b"sec-fetch-site"] != b"cross-site":
        return False
    return not _is_opened(told)


def is_opened(head: bytes) -> bool:
    """Whether a whole page is asked for, by a click wherever it was, or by a program: no part of any page."""
    first, told = _told(head)
    if b"sec-fetch-site" not in told:
        return b"origin" not in told and not _is_by_browser_for_elsewhere(first, told)
    return _is_opened(told)


def is_opened_here(head: bytes) -> bool:
    """Whether a person typed the address, clicked on it in a page of the same site, or asks with a program."""
    return is_opened(head) and _told(head)[1].get(b"sec-fetch-site", b"none") in (b"none", b"same-origin")


def _told(head: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    first, *lines = head.split(b"\r\n")
    return first, {name: value for name, value in map(_field, lines) if name in _TOLD or name in _OF_PROXIES}


def _is_opened(told: Mapping[bytes, bytes]) -> bool:
    opened = told.get(b"sec-fetch-mode") == b"navigate" and told.get(b"sec-fetch-dest") == b"document"
    return opened and not told.get(b"sec-purpose", b"").startswith(b"prefetch")


def _is_by_browser_for_elsewhere(first: bytes, told: Mapping[bytes, bytes]) -> bool:
    if any(name in told for name in _OF_PROXIES):
        return False
    if first.startswith(b"CONNECT "):
        return told.get(b"user-agent", b"").startswith(_BROWSER)  # for a WebSocket, or for what is no http
    origin = told.get(b"origin")
    return origin is not None and origin.rpartition(b"//")[2] != told.get(b"host")


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip(b" \t").lower()
