"""From a Host header to a label, without I/O.

    KEYHASH.localhost:7009, a.b.freetext-KEYHASH.LOCALHOST ─▶ Label
    nas.localhost ─▶ Named: perhaps a name that the user gave; nothing is searched for one
    localhost, 127.0.0.1, [::1] ─▶ this node's own page, at the door's own port
    anything else ─▶ Misdirected: a page of the internet whose name was pointed at this computer (DNS rebinding)
                     must not reach anything here

Source: RFC 9110, sections 7.2 and 15.5.20 (421); RFC 6761, section 6.3 (localhost).
"""

from __future__ import annotations

import functools
import re

from hardline.errors import BadKeyHash, BadLabel, HardlineError
from hardline.identity import Label

MAX_HOST = 512

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[^\s:@/\\?#\[\]]+)(:(?P<port>[0-9]{0,5}))?\Z")
_HTTP_PORT = 80  # what an address without a port means
_OWN = ("localhost", "127.0.0.1", "[::1]")


class Misdirected(HardlineError):
    """A host that is not ours to answer for (421)."""


class Named(Misdirected):
    """`name`.localhost, which may be a name that the user gave, or the first digits of an address."""

    def __init__(self, name: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.name = name


def check_own_port(host: str, door: int) -> None:
    """Raise Misdirected where `host`, which names this node itself, names another port than the `door`'s.

    Behind another port of this computer is another program.  Whoever takes the door for his proxy must not see this
    node's page in its place.
    """
    match = _HOST.match(host)
    port = int(match["port"] or _HTTP_PORT) if match else 0
    if port != door:
        raise Misdirected(
            f"{host[:80]!r} is not this port's own address",
            f"this node's own page is http://localhost:{door}/; leave addresses of this computer out of the proxy",
        )


@functools.lru_cache(256)  # browsers name the same few again and again
def route_host(host: str) -> Label | None:
    """The label that `host` names, or None for this node itself.  Raises Misdirected saying why not."""
    match = _HOST.match(host) if len(host) <= MAX_HOST and host.isascii() and host.isprintable() else None
    name = match["name"].lower().removesuffix(".") if match else ""
    if match is None or "" in name.split(".") or int(match["port"] or 0) > 65_535:
        raise Misdirected(
            f"{host[:80]!r} is no host name", "use http://KEYHASH.localhost:7009/ or http://localhost:7009/"
        )
    if name in _OWN:
        return None
    rest, dot, last = name.rpartition(".")
    if last != "localhost" or not dot:
        raise Misdirected(
            f"{name[:80]!r} is not a name of this computer",
            "addresses here end in .localhost; if another site sent you, it may be trying to reach into your computer",
        )
    text = rest.rpartition(".")[2]
    try:
        return Label.parse(text)
    except (BadKeyHash, BadLabel) as wrong:
        raise Named(
            text,
            f"{text[:80]!r} names no service: {wrong.message}",
            "copy the whole address again: a key hash has 40 hex digits, perhaps with a word and a dash before it",
        ) from None
