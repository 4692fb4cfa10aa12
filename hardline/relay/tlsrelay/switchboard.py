"""Which pair of ports of tx_tlsrelay is whose, and which clients wait there, without I/O.

    lease(server) ──▶ a pair: a public port and a reverse port       leave(server) ──▶ it is the last to be leased again
    come(client, pair) ──▶ [first, second, …] ──▶ dialled(pair): the first

Clients and the server's dials have no names: the first dial is for the first client.  So one that has left keeps its
place until it is dialled for, or the next dial would be for somebody else than the server thinks.
Source: docs/PROTOCOL.md, section 9.9.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)
C = TypeVar("C", bound=Hashable)


class Switchboard(Generic[S, C]):
    """That of `pairs` pairs, which are numbers from 0 on."""

    def __init__(self, pairs: int) -> None:
        self._free = deque(range(pairs))
        self._server_at: dict[int, S] = {}
        self._pair_of: dict[S, int] = {}
        self._waiting: dict[int, dict[C, None]] = {pair: {} for pair in range(pairs)}  # in order of arrival
        self.waits = 0  # how many do, at all of them

    @property
    def leased(self) -> int:
        """How many pairs are somebody's."""
        return len(self._pair_of)

    def server_at(self, pair: int) -> S | None:
        """Whose it is now."""
        return self._server_at.get(pair)

    def lease(self, server: S) -> int | None:
        """The pair that is its from now on; None where all are somebody's."""
        if not self._free:
            return None
        pair = self._pair_of[server] = self._free.popleft()
        self._server_at[pair] = server
        return pair

    def leave(self, server: S) -> tuple[int, list[C]]:
        """It has gone; returns which pair was its, and who waited there in vain."""
        pair = self._pair_of.pop(server)
        del self._server_at[pair]
        self._free.append(pair)
        waited = list(self._waiting[pair])
        self._waiting[pair].clear()
        self.waits -= len(waited)
        return pair, waited

    def waiting(self, pair: int) -> list[C]:
        """Who does, the first to come first."""
        return list(self._waiting[pair])

    def come(self, client: C, pair: int) -> None:
        """One more waits at a pair that is somebody's."""
        self._waiting[pair][client] = None
        self.waits += 1

    def dialled(self, pair: int) -> C | None:
        """For whom its server has dialled; None where nobody waits."""
        client = next(iter(self._waiting[pair]), None)
        if client is not None:
            self.give_up(client, pair)
        return client

    def give_up(self, client: C, pair: int) -> None:
        """It waits no more."""
        del self._waiting[pair][client]
        self.waits -= 1
