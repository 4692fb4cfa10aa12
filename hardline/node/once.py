"""A service that is shared for as long as somebody holds it: a command, by its connection to the daemon."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

from hardline.node.changes import Changes
from hardline.node.offering import Offering
from hardline.node.sharing import Sharing
from hardline.node.snapshot import Shared


class SharedOnce:
    """What was shared, until it is closed."""

    def __init__(self, shared: Shared, word: str, offering: Offering, changes: Changes) -> None:
        self.shared = shared
        self._word, self._offering, self._changes = word, offering, changes

    async def ended(self) -> AsyncIterator[str]:
        """Say once that it has ended before, by whatever."""
        async for _ in self._changes.watch():
            known = self._offering.known.get(self.shared.name)
            if known is None or known.settings.access.once != self._word or known in self._offering.over:
                yield f"{self.shared.name} is not shared any more"
                return

    async def aclose(self) -> None:
        """Serve nobody from now on."""
        self._offering.release(self._word)


async def share_once(
    sharing: Sharing,
    offering: Offering,
    changes: Changes,
    target: str,
    title: str = "",
    name: str = "",
    *,
    listed: bool = True,
    invited: bool = False,
    until: float | None = None,
    hidden: bool = False,
    uploads: str = "",
    host: str = "",
) -> SharedOnce:
    """As Sharing.share."""
    word = secrets.token_hex(8)
    offering.hold(word)
    try:
        shared = await sharing.share(
            *(target, title, name),
            listed=listed,
            invited=invited,
            until=until,
            hidden=hidden,
            uploads=uploads,
            host=host,
            once=word,
        )
    except BaseException:
        offering.release(word)
        raise
    return SharedOnce(shared, word, offering, changes)
