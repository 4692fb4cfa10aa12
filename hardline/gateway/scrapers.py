"""Programs that come with a key: whose it is, whether it holds, and to what it leads.

    X-ApiKey: KEY ──▶ none ─▶ 401    unknown, too late, too early, … ─▶ 403, and why in the log    else its Key

A key that is removed, or that expires, ends what is still on its way by it, within seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from hardline import log
from hardline.errors import HardlineError
from hardline.gateway.clients import is_in
from hardline.gateway.keyfile import KeyFile
from hardline.gateway.keys import MAX_TEXT, Key, sentence
from hardline.settings.gateway import NamedSection
from hardline.tasks import TaskSet

_LOOK_AGAIN = 2.0  # seconds


class BadKey(HardlineError):
    """Nobody is served by this; `status` is 401 or 403."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Scrapers:
    """Judges the keys of `file`; `clock` is seconds since 1970."""

    def __init__(self, file: KeyFile, clock: Callable[[], float]) -> None:
        self._file, self._clock = file, clock
        self._using: dict[asyncio.Task[object], Key] = {}
        self._following = False
        self._tasks = TaskSet("gateway")

    async def key(self, said: Sequence[str], client: str) -> Key:
        """The key of who says `said`, the lines of X-ApiKey.  Raises BadKey."""
        keys = await self._file.keys()
        if not keys.all:
            raise BadKey(403, "This gateway serves no scrapers.")
        if len(said) != 1 or not said[0]:
            raise BadKey(401, "It takes one X-ApiKey.")
        key = keys.find(said[0]) if len(said[0]) <= MAX_TEXT else None
        if key is None:
            log.warning("gateway.key_refused", reason="unknown", client=client)
            raise BadKey(403, "This X-ApiKey is none of this gateway's.")
        if refused := key.refused(self._clock()):
            log.warning("gateway.key_refused", reason=refused, key=key.name, client=client)
            raise BadKey(403, f"This X-ApiKey does not hold: {sentence(refused)}.")
        return key

    async def count(self) -> int:
        """How many hold now."""
        now = self._clock()
        return sum(not key.refused(now) for key in (await self._file.keys()).all)

    @contextlib.contextmanager
    def held(self, key: Key) -> Iterator[None]:
        """While the task that calls is served by `key`: it is cancelled once that holds no longer."""
        task = asyncio.current_task()
        assert task is not None, "a client has one"
        self._using[task] = key
        if not self._following:
            self._following = True
            self._tasks.start(self._follow(), "keys")
        try:
            yield
        finally:
            self._using.pop(task, None)

    async def aclose(self) -> None:
        """Follow the keys no more."""
        await self._tasks.aclose()

    async def _follow(self) -> None:
        while self._using:
            await asyncio.sleep(_LOOK_AGAIN)
            keys, now = (await self._file.keys()).all, self._clock()
            for task, key in list(self._using.items()):
                if key not in keys or key.refused(now):
                    log.warning("gateway.key_ended", key=key.name)
                    del self._using[task]
                    task.cancel()
        self._following = False


def leads_to(key: Key, named: Mapping[str, NamedSection], client: str) -> list[str]:
    """The names of the services that `client` reaches with `key`, of those that there are."""
    return [
        name
        for name, section in sorted(named.items())
        if is_for(key, name, section) and not (section.addresses and not is_in(client, section.addresses))
    ]


def is_for(key: Key, name: str, section: NamedSection) -> bool:
    """Whether it leads to this service: one that only its users may use has to be named with the key."""
    return name in key.services or (not key.services and section.listed and not section.users)
