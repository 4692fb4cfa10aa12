"""What a visitor hears of hosts while their sessions live: where they are now, and that he may visit no more.

    control stream ─┬─ news ────▶ the path, lists and pages; the memory, which is asked before the next dial
                    ├─ revoked ─▶ the session ends with it, and pages say so
                    └─ punch ───▶ PunchedPaths, for a session by a relay

They are the host's words, as those of its hello: read within the same limits, dialled after the same checks.
Source: docs/PROTOCOL.md, sections 7.4 and 10.5.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from hardline import log
from hardline.errors import AccessRefused, HardlineError
from hardline.identity import KeyHash
from hardline.routes import Endpoint, PathKind, Via, parse_wan_hosts
from hardline.session.controlstream import ControlStream
from hardline.session.messages import write
from hardline.session.news import NEWS, REVOKED, News, check_revoked
from hardline.session.stream import Stream
from hardline.showable import clean_title
from hardline.tasks import TaskSet
from hardline.tunnel.link import Link, Path
from hardline.tunnel.punched import PunchedPaths

REMEMBERED_AFTER = 0.1  # seconds: the first answer comes now, and would wait for the disk's thread
PAUSE = 1.0  # seconds between two things that are remembered of one host, however much it says
MOST_TAKEN_BACK = 1024  # hosts of which that is known
TAKEN_BACK = "its owner has taken back your right to visit"
_PUNCH, _OFF = "punch", "off"  # docs/PROTOCOL.md 10.1


class Memory(Protocol):
    """Where what hosts say of themselves is kept (peers.remembered)."""

    async def learned(
        self, target: KeyHash, wan_hosts: object, title: object, relayed: tuple[Via, ...] | None = None
    ) -> None: ...


class NewsReader:
    """That of a visitor.  `punched` takes part in tries to get through routers, None for nobody; `changed` is called
    when more is known of a host than before."""

    def __init__(self, memory: Memory, punched: PunchedPaths | None, changed: Callable[[], None]) -> None:
        self._memory, self._punched, self._changed = memory, punched, changed
        self._tasks = TaskSet("visitor")
        self._to_learn: dict[KeyHash, News] = {}
        self._learning: set[KeyHash] = set()
        self._taken_back: OrderedDict[KeyHash, None] = OrderedDict()

    def controlled(self, link: Link, path: Path, stream: Stream) -> None:
        """The host of `path` has opened its control stream."""
        control = ControlStream(lambda: stream)
        control.hear(NEWS, lambda value: self._heard(link, path, News.parse(value)))
        control.hear(REVOKED, lambda value: self._revoked(path, value))
        if self._punched is not None and path.route.candidate.kind is PathKind.RELAYED:
            self._punched.controlled(link, path, control)
        else:
            control.hear(_PUNCH, lambda value: _declined(control, value))
        control.begin()

    def learn(self, host: KeyHash, news: News) -> None:
        """Remember it, what is said last in any case."""
        earlier = self._to_learn.get(host)
        self._to_learn[host] = news if earlier is None else news.behind(earlier)
        if host not in self._learning:
            self._learning.add(host)
            self._tasks.start(self._learn(host), f"learn.{host.short}")

    def let_in(self, host: KeyHash) -> None:
        """It lets us visit, whatever it said before."""
        self._taken_back.pop(host, None)

    def has_taken_back(self, host: KeyHash) -> bool:
        """Whether the right to visit was there, and its owner has taken it back since this node runs."""
        return host in self._taken_back

    async def aclose(self) -> None:
        """What was heard last is remembered, too."""
        await self._tasks.aclose()
        for host in tuple(self._to_learn):
            await self._keep(host)

    def _heard(self, link: Link, path: Path, news: News) -> None:
        also: list[Endpoint | Via] = [*parse_wan_hosts(news.wan_hosts or ""), *(news.via or ())]
        path.heard(None if news.title is None else clean_title(news.title), also)
        self._changed()
        # Of several hosts the memory has what one of them says.
        if path.remembered or not any(one.remembered and one.session.lives for one in link.paths):
            path.remembered = True
            self.learn(path.label.key_hash, news)

    def _revoked(self, path: Path, value: object) -> None:
        check_revoked(value)
        host = path.label.key_hash
        self._taken_back[host] = None
        self._taken_back.move_to_end(host)
        if len(self._taken_back) > MOST_TAKEN_BACK:
            self._taken_back.popitem(last=False)
        log.event("access.taken_back", service=host.short)
        raise AccessRefused(TAKEN_BACK)

    async def _learn(self, host: KeyHash) -> None:
        try:
            await asyncio.sleep(REMEMBERED_AFTER)
            while host in self._to_learn:
                await self._keep(host)
                await asyncio.sleep(PAUSE)
        finally:
            self._learning.discard(host)

    async def _keep(self, host: KeyHash) -> None:
        news = self._to_learn.pop(host)
        await self._memory.learned(host, news.wan_hosts, news.title, news.via)
        self._changed()


def _declined(control: ControlStream, value: object) -> None:
    """Nobody punches here: the host need not wait for an answer."""
    number = value.get("id") if isinstance(value, dict) else None
    if type(number) is int:
        with contextlib.suppress(HardlineError):
            control.say(write("stop", {"id": number, "why": _OFF}))
