"""A connection from outside, whoever brought it: the listener, and whatever else reaches a host.

listener ─┐
…        ─┴─▶ Arrival ─▶ Host.arrived ─▶ admission ─▶ Guest
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from hardline.identity import KeyHash
from hardline.outcome import Outcome
from hardline.routes import Endpoint
from hardline.transport.tcp import TcpStream


class By(enum.Enum):
    """Who brought it."""

    LISTENER = "listener"  # it came to our own port: what its visitor says of how it reached us can be believed
    RELAY = "relay"
    PUNCH = "punch"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A TCP connection; `source` is whom it counts for, which is not the other end of the socket where somebody stands
    between: that is `between`, and the source is its word, as is `saw`, where it sees our end.  With `only`, it is
    served as that service or not at all, and `name` is what its visitor calls that; `once` is settled when one who said
    it was let in, and then nobody else is.  Until it is known who it is, it counts `for_whom`, where that is not the
    source.
    """

    tcp: TcpStream
    source: Endpoint
    by: By = By.LISTENER
    only: KeyHash | None = None
    name: str = ""
    between: str = ""
    saw: Endpoint | None = None
    once: Outcome | None = None
    for_whom: str = ""
