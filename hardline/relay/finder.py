"""A visitor's own relays, asked for what nothing else finds: a host may be registered there by its own name.

Who runs a relay that is `named` may know what is visited by it, so it is asked without being told of a host first.
Source: docs/PROTOCOL.md, sections 7.1 and 9.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from hardline.identity import KeyHash
from hardline.routes import Candidate, FoundBy, PathKind, RelayAddress, Trust

OTHERS_FIRST = 1.0  # seconds that everybody else has to find something better


class RelayFinder:
    """A Finder."""

    name = "relay"
    kind: PathKind | None = PathKind.RELAYED

    def __init__(self, relays: Sequence[RelayAddress]) -> None:
        self._relays = [one for one in relays if one.named]

    async def find(self, target: KeyHash) -> AsyncIterator[Candidate]:
        """As Finder.find."""
        if self._relays:
            await asyncio.sleep(OTHERS_FIRST)
        for relay in self._relays:
            yield Candidate(relay.endpoint, PathKind.RELAYED, FoundBy(self.name, Trust.WORKED))
