"""A look around the LAN, by all that hear it: how long somebody who wants a list waits for answers.

Who answers does so within milliseconds, but that nobody more will is known only in the end.  So a list that is wanted
soon is there when all have answered who were there at the last whole look: then only those are missing who came since
without a word, and who comes announces himself.  Where one of them is silent it is waited for, as at the first look.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from hardline.discovery.offers import Offer
from hardline.identity import Label

WHOLE = 0.3  # seconds after which a look has heard all who answer
SOONEST = 0.04  # seconds that every look waits, whoever is known
_STEP = 0.01


class Browses(Protocol):
    """A way to ask the LAN what it offers."""

    @property
    def offers(self) -> Sequence[Offer]:
        """What was heard lately."""
        ...

    async def browse(self, wait: float, enough: Callable[[], bool] = ...) -> Sequence[Offer]:
        """Ask, wait as `waited` does, and return what was heard lately."""
        ...


def never() -> bool:
    """Nothing is enough."""
    return False


async def waited(seconds: float, enough: Callable[[], bool]) -> None:
    """Wait so long; no longer than SOONEST once there is `enough`."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    await asyncio.sleep(min(seconds, SOONEST))
    for _ in range(math.ceil((seconds - SOONEST) / _STEP)):
        if enough():
            return
        await asyncio.sleep(min(ends - loop.time(), _STEP))


class Looking:
    """Looks by all who are `near`, together, and who was there."""

    def __init__(self, near: Callable[[], Sequence[Browses]]) -> None:
        self._near = near
        self._there: frozenset[Label] | None = None  # at the last whole look

    async def look(self, wait: float, *, soon: bool = False) -> list[Sequence[Offer]]:
        """What each of them heard lately, after waiting `wait` seconds for answers; `soon`: less, as above."""
        near, awaited = self._near(), self._there if soon else None

        def all_answered() -> bool:
            return awaited is not None and awaited <= _labels(one.offers for one in near)

        heard = await asyncio.gather(*(one.browse(wait, all_answered) for one in near))
        if wait >= WHOLE:
            self._there = _labels(heard)
        return heard


def _labels(heard: Iterable[Iterable[Offer]]) -> frozenset[Label]:
    return frozenset(offer.label for offers in heard for offer in offers)
