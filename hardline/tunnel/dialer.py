"""From a key hash to verified connections.

    finders ──Candidate──▶ Race ──▶ attempt: TCP, TLS, certificate ──▶ the first that is verified wins

An attempt wins only after its certificate matched, never at TCP connect: otherwise a stranger on the LAN who answers
fastest would win every time.  Source: docs/PROTOCOL.md, section 7.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from hardline import log
from hardline.addresses import Address, Way
from hardline.identity import KeyHash
from hardline.routes import Attempt, Candidate, Endpoint, NoRoute, PathKind
from hardline.tasks import TaskSet
from hardline.transport.resolver import Resolver
from hardline.transport.socketoptions import AS_THE_KERNEL_HAS_IT, SocketOptions
from hardline.transport.tcp import TcpStream
from hardline.transport.ways import way_to
from hardline.tunnel.attempts import IN_CLEAR, Attempts, Route, next_time
from hardline.tunnel.dialevents import DialEvent, Failed, Found, Started, Won
from hardline.tunnel.race import Race

LEFT_ALONE = 4.0  # seconds
PUT_OFF = 1.0  # seconds: a few staggers
MOST_FOUND = 64  # candidates that are told at once


async def _unknown(target: KeyHash) -> str:
    return ""


class Search(Protocol):
    """One search of all finders."""

    @property
    def reasons(self) -> Sequence[str]:
        """What each finder says of how it went."""
        ...

    def silent(self, better_than: PathKind) -> Sequence[str]:
        """The finders of better paths that have found nothing so far."""
        ...

    def candidates(self) -> AsyncIterator[Candidate]:
        """Yield candidates in order of arrival; closing it stops the finders."""
        ...


def log_dial(target: KeyHash, event: DialEvent) -> None:
    """A listener that writes the log."""
    match event:
        case Found(candidate, refused) if refused:
            where, by = candidate.endpoint, candidate.found_by.name
            log.debug("dial.ignored", endpoint=where, found_by=by, reason=refused)
        case Failed(attempt):
            log.debug(
                "dial.failed",
                service=target.short,
                via=attempt.candidate.via,
                found_by=attempt.candidate.found_by.name,
                endpoint=attempt.candidate.endpoint,
                took_s=attempt.took,
                reason=attempt.failure,
            )
        case Won(candidate):
            log.event(
                "dial.won",
                service=target.short,
                via=candidate.via,
                found_by=candidate.found_by.name,
                endpoint=candidate.endpoint,
                protocol=event.protocol,
                took_s=event.took,
                attempts=event.attempts,
            )


class Dialer:
    """Finds and races.

    `search` starts all finders for a key hash; `clock` is seconds since 1970; `is_ours` tells this node's own
    listeners, which only it itself names, `way_to` how this computer would send to an address (docs/PROTOCOL.md 7.2);
    `resolver` looks names up; `protocol_of` says what a host was heard to speak when it was visited, "" for one that
    never was.  `options` are those of the sockets to a host.  `listener` is told of everything that happens.
    """

    def __init__(
        self,
        search: Callable[[KeyHash], Search],
        *,
        clock: Callable[[], float],
        stagger: float = 0.25,
        timeout: float = 10.0,
        is_ours: Callable[[Endpoint], bool] = lambda endpoint: False,
        protocol_of: Callable[[KeyHash], Awaitable[str]] = _unknown,
        resolver: Resolver | None = None,
        way_to: Callable[[Address], Way] = way_to,
        options: Callable[[KeyHash], SocketOptions] = lambda target: AS_THE_KERNEL_HAS_IT,
        listener: Callable[[KeyHash, DialEvent], None] = log_dial,
    ) -> None:
        self._search = search
        self._stagger, self._timeout = stagger, timeout
        self._attempts = Attempts(
            clock=clock,
            timeout=timeout,
            is_ours=is_ours,
            resolver=resolver,
            way_to=way_to,
            options=options,
            protocol_of=protocol_of,
        )
        self._listener = listener

    async def dial(self, target: KeyHash, known: Candidate | None = None, put_off: Collection[Endpoint] = ()) -> Route:
        """The first of `routes`; losing attempts are closed before this returns."""
        first: Route | None = None
        try:
            async with aclosing(self.routes(target, known, put_off)) as routes:
                first = await anext(routes)
        except BaseException:
            if first is not None:
                first.tls.abort()
            raise
        return first

    async def routes(
        self,
        target: KeyHash,
        known: Candidate | None = None,
        put_off: Collection[Endpoint] = (),
        better_than: PathKind | None = None,
    ) -> AsyncGenerator[Route, None]:
        """Yield verified connections to whoever owns `target`, each by a better kind of path than the one before; the
        caller owns them.  Who is content closes the iterator.

        `known`, a path that worked a moment ago, is tried first; finders are asked only when it fails or takes
        longer than `stagger` seconds.  Those of `put_off` are connected to PUT_OFF seconds after their turn, so that
        any other that is there wins.  The whole takes at most `timeout` seconds, and LEFT_ALONE when nothing is left
        but attempts that nobody answers, after others were told no: what said no may say yes by now, and is asked
        again by the next dial.

        Raises NoRoute when nothing was yielded: the finders finished and every candidate failed, or time is up.  With
        `better_than`, only better kinds of path are tried, and none is no failure.
        Safe to cancel at any point: no socket, task or finder outlives the iterator.
        """
        dial = _Dial(self._attempts, target, self._stagger, self._timeout, better_than)
        search = self._search(target)
        loop = asyncio.get_running_loop()
        if known is not None:
            dial.race.found(known)
        wait = self._stagger if known else 0.0
        finding = dial.tasks.start(self._find(target, search, dial, wait), "find")
        content = better_than is not None
        try:
            while (news := await self._next(dial, search, put_off)) is not None:
                if isinstance(news, Attempt):
                    if loop.time() < dial.began + wait:  # the known path is gone: look for others now
                        finding.cancel()
                        wait = 0.0
                        finding = dial.tasks.start(self._find(target, search, dial, wait), "find")
                    continue
                content = True
                yield news
            if not content:
                raise NoRoute(target, dial.failed, search.reasons)
        finally:
            await dial.aclose()

    async def over(self, target: KeyHash, candidate: Candidate, stream: TcpStream) -> Attempt | Route:
        """Verify what is connected already, and is the attempt's from now on.  Safe to cancel."""
        return await self._attempts.over(target, candidate, stream)

    async def candidates(self, target: KeyHash, within: float) -> list[Candidate]:
        """All that is found within so many seconds and may be dialled, in order of arrival."""
        found: list[Candidate] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within), aclosing(_generator(self._search(target).candidates())) as candidates:
                async for candidate in candidates:
                    if len(found) < MOST_FOUND and self._attempts.refusal(candidate) is None:
                        found.append(candidate)
        return found

    async def reach(self, target: KeyHash, candidate: Candidate, within: float) -> Route | None:
        """A verified connection over `candidate` that speaks hardline/2; None where there is none after so many
        seconds.  Safe to cancel."""
        try:
            async with asyncio.timeout(within):
                ended = await self._attempts.make(target, candidate, 0.0)
        except TimeoutError:
            return None
        if isinstance(ended, Attempt):
            self._listener(target, Failed(ended))
            return None
        if ended.protocol != "hardline/2":
            ended.tls.abort()
            return None
        return replace(ended, candidate=next_time(candidate, ended.protocol))

    async def _next(self, dial: _Dial, search: Search, put_off: Collection[Endpoint]) -> Attempt | Route | None:
        """Start what may start, and wait for the next attempt to end; None when there will be no more."""
        loop, race = asyncio.get_running_loop(), dial.race
        while True:
            while candidate := race.start(loop.time()):
                self._listener(dial.target, Started(candidate))
                dial.start(candidate, PUT_OFF if candidate.endpoint in put_off else 0.0)
            if race.idle and not dial.searching:
                return None
            if dial.failed and not dial.searching and race.wake_at is None:
                dial.deadline = min(dial.deadline, loop.time() + LEFT_ALONE)
            try:
                async with asyncio.timeout_at(min(race.wake_at or dial.deadline, dial.deadline)):
                    news = await dial.happened.get()
            except TimeoutError:
                if loop.time() < dial.deadline:
                    continue
                took = loop.time() - dial.began
                dial.failed += [self._attempts.broken_off(dial.target, left, took) for left in race.running]
                return None
            match news:
                case Candidate():
                    race.found(news)
                case None:
                    dial.searching = False
                case Attempt() | Route() if news.candidate not in race.running:
                    dial.discard(news)  # it was broken off, and had come to its end already
                case Attempt():
                    race.ended(news.candidate)
                    dial.failed.append(news)
                    self._listener(dial.target, Failed(news))
                    return news
                case Route():
                    return self._won(dial, search, news)

    def _won(self, dial: _Dial, search: Search, route: Route) -> Route:
        race, took = dial.race, asyncio.get_running_loop().time() - dial.began
        candidate, under_way = race.best_known(route.candidate), race.running
        attempts = len(dial.failed) + len(under_way)
        self._listener(dial.target, Won(candidate, route.protocol, took, route.steps, attempts))
        why = _passed_over(candidate.kind, search, dial.failed, under_way)
        for given_up in race.won(route.candidate):
            dial.give_up(given_up)
        return replace(route, candidate=next_time(candidate, route.protocol), took=took, passed_over=why)

    async def _find(self, target: KeyHash, search: Search, dial: _Dial, wait: float) -> None:
        await asyncio.sleep(wait)
        async with aclosing(_generator(search.candidates())) as candidates:
            async for candidate in candidates:
                why = self._attempts.refusal(candidate)
                if await self._attempts.is_in_clear(target, candidate):
                    why = IN_CLEAR
                self._listener(target, Found(candidate, why or ""))
                if why is None:
                    dial.happened.put_nowait(candidate)
        dial.happened.put_nowait(None)


class _Dial:
    """One dial under way: the race, its attempts, and what happened in the order it did.

    A candidate was found; None: no more will be; an attempt ended.
    """

    def __init__(
        self, attempts: Attempts, target: KeyHash, stagger: float, timeout: float, better_than: PathKind | None
    ) -> None:
        self.target = target
        self.race = Race(stagger, better_than)
        self.failed: list[Attempt] = []
        self.happened: asyncio.Queue[Candidate | Attempt | Route | None] = asyncio.Queue()
        self.tasks = TaskSet(f"dial.{target.short}")
        self.searching = True
        self.began = asyncio.get_running_loop().time()
        self.deadline = self.began + timeout
        self._attempts = attempts
        self._running: dict[Candidate, asyncio.Task[None]] = {}

    def start(self, candidate: Candidate, delay: float) -> None:
        work = self.tasks.start(self._attempt(candidate, delay), f"attempt.{candidate.endpoint}")
        self._running[candidate] = work

    def give_up(self, candidate: Candidate) -> None:
        self._running[candidate].cancel()

    def discard(self, late: Candidate | Attempt | Route | None) -> None:
        if isinstance(late, Route):
            late.tls.abort()

    async def aclose(self) -> None:
        await self.tasks.aclose()
        while not self.happened.empty():
            self.discard(self.happened.get_nowait())

    async def _attempt(self, candidate: Candidate, delay: float) -> None:
        self.happened.put_nowait(await self._attempts.make(self.target, candidate, delay))


async def _generator(candidates: AsyncIterator[Candidate]) -> AsyncGenerator[Candidate, None]:
    """An iterator that can be closed, of one that may be."""
    try:
        async for candidate in candidates:
            yield candidate
    finally:
        if isinstance(candidates, AsyncGenerator):
            await candidates.aclose()


def _passed_over(
    won: PathKind, search: Search, failed: Sequence[Attempt], under_way: Sequence[Candidate]
) -> tuple[str, ...]:
    """Why no better kind of path was taken, in words for people."""
    tried = [(attempt.candidate, attempt.failure) for attempt in failed]
    tried += [(candidate, "no answer yet") for candidate in under_way]
    return (
        *(f"{name}: nothing found" for name in search.silent(won)),
        *(f"{one.found_by.name}: {one.endpoint}: {why}" for one, why in tried if one.kind < won),
    )
