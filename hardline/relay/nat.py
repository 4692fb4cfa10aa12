"""What kind of router is before a node, by where relays see its connections come from, without I/O.

A router that keeps one outer port for an inner one, whatever it sends to (RFC 4787: endpoint-independent mapping), can
be punched through; one that gives each target another can be only where the other side lets everybody in.
"""

from __future__ import annotations

import enum
from collections.abc import Collection

from hardline.routes import Endpoint


class Nat(enum.StrEnum):
    """The value is how people read it."""

    NONE = "none: relays see this computer's own address"
    SAME = "one port for all targets: worth punching"
    EACH = "another port for every target: punching works only with routers that let everybody in"
    KEPT = "keeps the port, for one target at least: worth punching, as far as is known"
    UNKNOWN = "not known: a second relay, or another port of this one, would show it"


def judge(local: Endpoint, seen: Endpoint, elsewhere: Collection[Endpoint]) -> Nat:
    """`local` is where connections begin here, `seen` where one relay sees it, `elsewhere` where others do."""
    if any(other != seen for other in elsewhere):
        return Nat.EACH
    if seen == local:
        return Nat.NONE
    if elsewhere:
        return Nat.SAME
    return Nat.KEPT if seen.port == local.port else Nat.UNKNOWN
