"""Where the owner of this node says that hosts are ([Peer:NAME] address)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from hardline.identity import KeyHash
from hardline.routes import Candidate, Endpoint, FoundBy, PathKind, Trust


class Given:
    """A Finder over what is set; names stay names, to be looked up by each attempt."""

    name = "settings"
    kind: PathKind | None = PathKind.DIRECT

    def __init__(self, addresses: Mapping[KeyHash, Sequence[Endpoint]]) -> None:
        self._addresses = addresses

    def candidates(self, target: KeyHash) -> list[Candidate]:
        """All that is set for `target`."""
        by = FoundBy(self.name, Trust.OWNER)
        return [Candidate(endpoint, PathKind.DIRECT, by) for endpoint in self._addresses.get(target, ())]

    def is_at_hand(self, target: KeyHash) -> bool:
        """As merged.Recalling."""
        return target in self._addresses

    async def find(self, target: KeyHash) -> AsyncIterator[Candidate]:
        """As Finder.find."""
        for candidate in self.candidates(target):
            yield candidate
