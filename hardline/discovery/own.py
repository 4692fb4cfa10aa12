"""This node's own services: a visit to one's own URL takes the same way as everybody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence

from hardline.identity import KeyHash
from hardline.routes import Candidate, Endpoint, FoundBy, PathKind, Trust


class OwnServices:
    """A Finder over the key hashes that this node serves, at the endpoints that it listens on."""

    name = "this node"
    kind: PathKind | None = None

    def __init__(
        self, services: Callable[[], Collection[KeyHash]], listening: Callable[[], Sequence[Endpoint]]
    ) -> None:
        self._services = services
        self._listening = listening

    def is_at_hand(self, target: KeyHash) -> bool:
        """As merged.Recalling."""
        return target in self._services()

    async def find(self, target: KeyHash) -> AsyncIterator[Candidate]:
        """As Finder.find."""
        if target in self._services():
            for endpoint in self._listening():
                yield Candidate(_reachable(endpoint), PathKind.LAN, FoundBy(self.name, Trust.HEARD))


def _reachable(endpoint: Endpoint) -> Endpoint:
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    return Endpoint(loopback.get(endpoint.host, endpoint.host), endpoint.port)
