"""When a host asks a relay to dial it, and at which port; without I/O.

    nothing known ──▶ ask ──┬─ it was dialled: not needed ──▶ ask again 15 min later ─┐
                            └─ it was not: needed ──▶ ask again 10 min later ─────────┴─ or soon after a change

Source: docs/PROTOCOL.md, section 9.4.
"""

from __future__ import annotations

from collections.abc import Sequence

from hardline.routes import Endpoint

AGAIN_NEEDED, AGAIN_NOT_NEEDED = 600.0, 900.0  # seconds
SETTLES = 3.0  # seconds from a change to the next asking: changes come in groups
AT_LEAST = 61.0  # seconds between two askings: a relay dials nobody more often than once a minute


class Askings:
    """One host's at one relay.  `now` is seconds on any monotonic clock; `needed` is None until something is known."""

    def __init__(self) -> None:
        self.needed: bool | None = None
        self._asked: float | None = None
        self._changed: float | None = None  # since it was asked

    def change(self, now: float) -> None:
        """This host is in another network, or the world sees it elsewhere."""
        self._changed = now

    def ask(self, now: float) -> None:
        """It is asked now; `needed` is set once that is known."""
        self._asked, self._changed = now, None

    @property
    def due(self) -> float:
        """When it is asked again."""
        if self._asked is None:
            return 0.0
        if self._changed is not None:
            return max(self._changed + SETTLES, self._asked + AT_LEAST)
        return self._asked + (AGAIN_NOT_NEEDED if self.needed is False else AGAIN_NEEDED)

    @property
    def connects(self) -> float:
        """When a connection to the relay is wanted: to be registered there, or to ask."""
        if self.needed is not False:
            return 0.0
        return self.due if self._changed is None else self._changed + SETTLES


def port_to_ask(told: Sequence[Endpoint], saw: str, own: int) -> int:
    """Where the world reaches this host by IPv4, as far as is known: what it tells of the address that the relay `saw`,
    else of any other one or of a name, else its `own` port.
    """
    by_ipv4 = [at for at in told if at.address is None or at.address.version == 4]
    return next((at.port for at in sorted(by_ipv4, key=lambda at: at.host != saw)), own)
