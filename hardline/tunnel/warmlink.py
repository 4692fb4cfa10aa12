"""A link that is there before anybody visits ([Peer:NAME]): dialled from the start on, and again whenever it is lost.

    run() ─▶ attempt ─┬─ a session, and its host's hello ─▶ up ─ lost ─▶ down, and the next attempt
                      └─ none ─▶ down; the next attempt `interval` seconds after this one began

An attempt is a dial as for any visit, which may wait long for somebody who finds the host.  Ways that are known already
are knocked at meanwhile, every `interval` seconds, with names looked up anew: a path that is back is found by the next
knock, however long the kernel would still wait with its own.  The first that leads there wins, so that it is one flow.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Awaitable, Callable, Sequence

from hardline import log
from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.identity import Label
from hardline.outcome import Outcome
from hardline.routes import Candidate, PathKind
from hardline.tasks import TaskSet, keep_running
from hardline.tunnel.attempts import Route
from hardline.tunnel.dialer import Dialer
from hardline.tunnel.down import LinkDown, reason
from hardline.tunnel.link import Link, Path

KNOCK_LASTS = 10.0  # seconds
MOST_KNOCKS = 8  # at a time


class State(enum.Enum):
    """What a link is now."""

    UP = "up"
    DOWN = "down"
    ASLEEP = "asleep"  # not used for a while, as keepwarm wants it; the next visit wakes it


class WarmLink:
    """Keeps `link`.  `begin` makes a path of a route; `changed` is called whenever the state is another.

    `first` is settled when the first attempt has ended; `since` is when the state began, by the loop, and `why` why it
    is down, or was last ("" for never).
    """

    def __init__(
        self,
        link: Link,
        dialer: Dialer,
        begin: Callable[[Route, Label], Awaitable[Path]],
        known: Sequence[Candidate],
        interval: float,
        hello_timeout: float,
        changed: Callable[[], None],
    ) -> None:
        self.link = link
        self._dialer, self._begin = dialer, begin
        self._known, self._last = tuple(known), list[Candidate]()
        self._interval, self._hello_timeout, self._changed = interval, hello_timeout, changed
        self._tasks = TaskSet(f"link.{link.label.key_hash.short}")
        self._again = asyncio.Event()
        self.state, self.why = State.DOWN, ""
        self.since = asyncio.get_running_loop().time()
        self.attempts = 0
        self.first = Outcome()
        link.is_kept = True
        link.down = LinkDown(link.label.key_hash, ConnectionLost("it was not reached yet"))

    @property
    def path(self) -> Path | None:
        """What new streams take; None where there is none, or it is full."""
        return self.link.best()

    def start(self) -> None:
        """Dial from now on."""
        self._tasks.start(keep_running(self._run, "link"), "keep")

    async def aclose(self) -> None:
        """Dial no more; what is there stays."""
        await self._tasks.aclose()
        self.first.settle()

    def network_changed(self) -> None:
        """What did not work may work now."""
        self._again.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self._again.clear()
            try:
                path = await self._come_up()
            except HardlineError as failure:
                self._is(State.DOWN, failure)
                self.first.settle()
            else:
                self.first.settle()
                await self._until_lost(path)
            if self.state is not State.UP:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(began + self._interval):
                        await self._again.wait()

    async def _come_up(self) -> Path:
        """Have a session whose host has said hello.  Raises the HardlineError that says why there is none."""
        self.attempts += 1
        route = await self._route()
        if route.protocol != "hardline/2":
            route.tls.abort()
            raise PeerError("its host speaks hardline/1, which keeps no session")
        try:
            path = await self._begin(route, self.link.label)
        except BaseException:
            route.tls.abort()
            raise
        with contextlib.suppress(ConnectionLost):
            async with asyncio.timeout(self._hello_timeout + 1.0):  # who says none is ended before
                await path.hello
        if not path.session.greeted:
            failure = path.session.failure
            raise failure if isinstance(failure, HardlineError) else ConnectionLost("its host said no hello")
        self._is(State.UP)
        return path

    async def _until_lost(self, path: Path) -> None:
        """Wait until nothing new can be opened, neither by `path` nor by one that took its place."""
        news = self.link.news
        while True:
            while now := self._living():
                path = now
                news.clear()
                await news.wait()
            session, candidate = path.session, path.route.candidate
            if candidate.kind is not PathKind.PUNCHED:  # both ends have to open that
                self._last = [candidate]
            failure = session.failure if not session.lives else ConnectionLost("its host has gone away")
            if self.link.limits.keepwarm is None or not session.left:
                lost = failure if isinstance(failure, HardlineError) else ConnectionLost("its host has ended it")
                self._is(State.DOWN, lost)
                return
            self._is(State.ASLEEP)
            while not self._living():
                news.clear()
                await news.wait()
            self._is(State.UP)

    def _living(self) -> Path | None:
        """What takes new streams, or will when others have ended."""
        lives = (one for one in self.link.paths if one.session.lives and not one.session.draining)
        return next(lives, None)

    def _is(self, state: State, cause: HardlineError | None = None) -> None:
        why, name = reason(cause) if cause is not None else self.why, self.link.label.key_hash.short
        self.link.down = LinkDown(self.link.label.key_hash, cause) if cause is not None else None
        if state is self.state and why == self.why:
            return
        if state is not self.state:
            self.since = asyncio.get_running_loop().time()
        self.state, self.why = state, why
        log.event(f"link.{state.value}", service=name, reason=why if cause is not None else None)
        self._changed()

    # One attempt.

    async def _route(self) -> Route:
        """The first verified connection.  Raises NoRoute when the dial ends without one."""
        ended: asyncio.Queue[Route | HardlineError] = asyncio.Queue()
        news: Route | HardlineError | None = None
        tasks = TaskSet(f"link.{self.link.label.key_hash.short}")
        try:
            tasks.start(self._dial(ended), "dial")
            tasks.start(self._knock(ended, tasks), "knock")
            news = await ended.get()
            await tasks.aclose()
        except BaseException:
            if isinstance(news, Route):
                news.tls.abort()
            raise
        finally:
            await tasks.aclose()
            while not ended.empty():
                if isinstance(late := ended.get_nowait(), Route):
                    late.tls.abort()
        if isinstance(news, HardlineError):
            raise news
        return news

    async def _dial(self, ended: asyncio.Queue[Route | HardlineError]) -> None:
        try:
            ended.put_nowait(await self._dialer.dial(self.link.label.key_hash))
        except HardlineError as failure:
            ended.put_nowait(failure)

    async def _knock(self, ended: asyncio.Queue[Route | HardlineError], tasks: TaskSet) -> None:
        """Once more and once more, beside the dial, which has tried these ways first."""
        knocks: list[asyncio.Task[None]] = []
        while True:
            await asyncio.sleep(self._interval)
            for candidate in dict.fromkeys((*self._known, *self._last)):
                knocks = [one for one in knocks if not one.done()]
                if len(knocks) >= MOST_KNOCKS:
                    knocks.pop(0).cancel()
                knocks.append(tasks.start(self._try(candidate, ended), "try"))

    async def _try(self, candidate: Candidate, ended: asyncio.Queue[Route | HardlineError]) -> None:
        route = await self._dialer.reach(self.link.label.key_hash, candidate, KNOCK_LASTS)
        if route is not None:
            ended.put_nowait(route)
