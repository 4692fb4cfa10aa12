"""The pairs of a relay: what is carried for which name, and how much has passed.  Source: docs/PROTOCOL.md, 9.4."""

from __future__ import annotations

import socket
from collections.abc import Collection

from hardline.relay.pair import Pair
from hardline.relay.rates import Rates
from hardline.relay.visits import Visits
from hardline.transport.tcp import keep_alive


class Pairs:
    """Those of one relay; its length is how many there are.  Each is one of the `visits`, which end with it."""

    def __init__(self, visits: Visits, rates: Rates) -> None:
        self._visits, self._rates = visits, rates
        self._of_name: dict[str, dict[Pair, None]] = {}  # in order of arrival
        self._passed = 0  # by those that have ended

    def __len__(self) -> int:
        return sum(map(len, self._of_name.values()))

    @property
    def passed(self) -> int:
        """Bytes, of all that there ever were."""
        return self._passed + sum(pair.passed for pairs in self._of_name.values() for pair in pairs)

    def of(self, name: str) -> Collection[Pair]:
        """Those of a name, the oldest first."""
        return self._of_name.get(name, ())

    def carry(
        self, name: str, source: str, sockets: tuple[socket.socket, socket.socket], first: tuple[bytes, bytes]
    ) -> None:
        """From now on, between a visitor's socket and his host's, of which `first` was read before."""

        def ended(pair: Pair) -> None:
            self._passed += pair.passed
            self._visits.ended(name, source)
            pairs = self._of_name[name]
            del pairs[pair]
            if not pairs:
                del self._of_name[name]

        for one in sockets:
            keep_alive(one)
        pair = Pair(*sockets, source, self._rates, ended, first)
        self._of_name.setdefault(name, {})[pair] = None
        pair.start()

    def cut(self, name: str) -> None:
        """End those of a name."""
        for pair in tuple(self.of(name)):
            pair.close(reset=True)

    def close(self) -> None:
        """End all."""
        for name in tuple(self._of_name):
            self.cut(name)
