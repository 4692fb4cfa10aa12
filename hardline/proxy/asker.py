"""Who asks, as far as a browser tells; without I/O.

    Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest, Sec-Purpose ──▶ is_part_of_elsewhere

A page of the internet can name any address in its images, scripts and frames, a hundred at a time.  What nobody
chose to open must not make this node search, dial or tell a stranger that it is here.  Clients that are no browsers
say nothing of this, and are believed to know what they ask for.
Source: Fetch Metadata Request Headers, sections 2 and 3; Nestable Prefetch, "Sec-Purpose".
"""

from __future__ import annotations

from hardline.errors import HardlineError

_TOLD = (b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"sec-purpose")


class Uninvited(HardlineError):
    """A part of another site's page, for which nobody is looked for (403)."""


def is_part_of_elsewhere(head: bytes) -> bool:
    """Whether `head`, a whole request head, asks for a part of another site's page, or for one that is only guessed."""
    told = {name: value for name, value in map(_field, head.split(b"\r\n")[1:]) if name in _TOLD}
    if told.get(b"sec-fetch-site") != b"cross-site":
        return False
    opened = told.get(b"sec-fetch-mode") == b"navigate" and told.get(b"sec-fetch-dest") == b"document"
    return not opened or told.get(b"sec-purpose", b"").startswith(b"prefetch")


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip(b" \t").lower()
