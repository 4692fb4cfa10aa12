"""How often tries may begin, and how often one address may be connected to in all of them, without I/O.

Whom a try connects to is the other side's word: whoever it names must not be knocked at again and again because
somebody visits, or is visited, all the time.  Source: docs/PROTOCOL.md, section 10.4.
"""

from __future__ import annotations

from collections.abc import Iterable

from hardline.allowance import Allowance
from hardline.routes import Endpoint

_HOUR = 3600.0
OF_A_HOST = 26, 26 / _HOUR  # tries that a visitor has with one: more than the eight rounds of an hour have
OF_A_SOURCE = 20, 0.2  # tries that a host has with those of one source, who may be a whole office
OF_ALL = 30, 0.5  # tries of this node with all of them
AT_ONE = 60, 60 / _HOUR  # the same for one address, which may be a carrier's and many people's


class Tries:
    """Those of one node, as host or as visitor: so many `of_one`, at once and in a second.

    `now` is seconds on any monotonic clock.
    """

    def __init__(self, of_one: tuple[float, float]) -> None:
        self._with, self._all, self._at = Allowance(*of_one), Allowance(*OF_ALL), Allowance(*AT_ONE)

    def may_begin(self, peer: str, now: float) -> bool:
        """One more with `peer`."""
        return self._with.take(peer, now) and self._all.take("", now)

    def allowed(self, targets: Iterable[Endpoint], now: float) -> tuple[Endpoint, ...]:
        """Those that may be connected to once more."""
        return tuple(one for one in targets if self._at.take(one.host, now))
