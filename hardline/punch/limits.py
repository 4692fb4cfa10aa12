"""How often tries may begin, and how often one address may be connected to in all of them, without I/O.

Whom a try connects to is the other side's word: whoever it names must not be knocked at again and again because
somebody visits, or is visited, all the time.  Source: docs/PROTOCOL.md, section 10.4.
"""

from __future__ import annotations

from collections.abc import Iterable

from hardline.allowance import Allowance
from hardline.routes import Endpoint

_HOUR = 3600.0
OF_ONE = 26, 26 / _HOUR  # tries with one peer: more than the eight rounds of an hour have
OF_ALL = 30, 0.5  # tries of this node with all of them
AT_ONE = 60, 60 / _HOUR  # the same for one address, which may be a carrier's and many people's


class Tries:
    """Those of one node, as host or as visitor.  `now` is seconds on any monotonic clock."""

    def __init__(self) -> None:
        self._with, self._all, self._at = Allowance(*OF_ONE), Allowance(*OF_ALL), Allowance(*AT_ONE)

    def may_begin(self, peer: str, now: float) -> bool:
        """One more with `peer`."""
        return self._with.take(peer, now) and self._all.take("", now)

    def allowed(self, targets: Iterable[Endpoint], now: float) -> tuple[Endpoint, ...]:
        """Those that may be connected to once more."""
        return tuple(one for one in targets if self._at.take(one.host, now))
