"""Many finders as one: candidates in order of arrival; nothing found → all the reasons.

    own ─┐
    lan ─┼─▶ one queue ─▶ candidates()
    …   ─┘
A finder that fails or dawdles never hides the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, runtime_checkable

from hardline import log
from hardline.errors import HardlineError
from hardline.identity import KeyHash
from hardline.routes import Candidate, Finder, PathKind
from hardline.tasks import TaskSet

MAX_QUEUED = 256
_BEHIND = 0.005  # seconds: what is known is being connected to by then, and a search of the LAN is no later for it


@runtime_checkable
class Recalling(Protocol):
    """A finder that asks nobody, and may know its answer at once."""

    def is_at_hand(self, target: KeyHash) -> bool:
        """Whether it does."""
        ...


class MergedFinder:
    """All the finders of a node."""

    def __init__(self, finders: Sequence[Finder]) -> None:
        self._finders = tuple(finders)

    @property
    def each(self) -> tuple[Finder, ...]:
        """Every one of them."""
        return self._finders

    def search(self, target: KeyHash) -> MergedSearch:
        """Prepare one search; nothing starts before its candidates are asked for."""
        return MergedSearch(self._finders, target)


class MergedSearch:
    """One search; `reasons` tells, finder by finder, how it went so far."""

    def __init__(self, finders: Sequence[Finder], target: KeyHash) -> None:
        self._finders = finders
        self._target = target
        self.reasons: list[str] = []
        self._found: set[str] = set()

    def silent(self, better_than: PathKind) -> list[str]:
        """The finders of better paths that have found nothing so far."""
        wanted = (one.name for one in self._finders if one.kind is not None and one.kind < better_than)
        return [name for name in wanted if name not in self._found]

    async def candidates(self) -> AsyncGenerator[Candidate, None]:
        """Yield candidates as any finder yields them, each once; closing this stops every finder."""
        arrived: asyncio.Queue[Candidate | None] = asyncio.Queue(MAX_QUEUED)
        tasks = TaskSet(f"find.{self._target.short}")
        self.reasons.clear()
        self._found.clear()
        recalling = [one for one in self._finders if isinstance(one, Recalling)]
        known = any(one.is_at_hand(self._target) for one in recalling)
        for finder in self._finders:
            after = _BEHIND if known and finder not in recalling else 0.0
            tasks.start(self._run(finder, arrived, after), finder.name)
        running, seen = len(self._finders), set[object]()
        try:
            while running:
                candidate = await arrived.get()
                if candidate is None:
                    running -= 1
                    continue
                key = candidate.endpoint, candidate.server_name, candidate.kind, candidate.found_by.trust
                if key not in seen:
                    seen.add(key)
                    yield candidate
        finally:
            await tasks.aclose()

    async def _run(self, finder: Finder, arrived: asyncio.Queue[Candidate | None], after: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(after)
        began, found = loop.time(), 0
        try:
            candidates = finder.find(self._target)
            try:
                async for candidate in candidates:
                    found += 1
                    self._found.add(finder.name)
                    await arrived.put(candidate)
            finally:
                if isinstance(candidates, AsyncGenerator):
                    await candidates.aclose()
        except HardlineError as failure:
            self.reasons.append(f"{finder.name}: {failure.message}")
        except Exception as failure:
            log.warning("finder.failed", finder=finder.name, reason=repr(failure))
            self.reasons.append(f"{finder.name}: failed ({type(failure).__name__})")
        else:
            took = loop.time() - began
            what = f"{found} found" if found else "nothing found"
            self.reasons.append(
                f"{finder.name}: {what} within {took:.1f} s" if took > 0.05 else f"{finder.name}: {what}"
            )
        await arrived.put(None)
