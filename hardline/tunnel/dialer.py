"""From a key hash to one verified connection.

    finders ──Candidate──▶ Race ──▶ attempt: TCP, TLS, certificate ──▶ the first that is verified wins

An attempt wins only after its certificate matched, never at TCP connect: otherwise a stranger on the LAN who answers
fastest would win every time.  Source: docs/PROTOCOL.md, sections 2.2 to 2.4 and 7.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from hardline import log
from hardline.addresses import Address, Kind, Way, kind_of, leads_to, refused
from hardline.errors import HardlineError, PeerError
from hardline.identity import KeyHash, WrongCertificate, utc_day
from hardline.routes import HTTPS, LOWEST_TOLD, Attempt, Candidate, Code, Endpoint, NoRoute, PathKind, Plain, Trust
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.contexts import visitor_context
from hardline.transport.resolver import Resolver
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from hardline.transport.ways import way_to
from hardline.tunnel.race import Race

LEFT_ALONE = 4.0  # seconds
PUT_OFF = 1.0  # seconds: a few staggers
SMALL_SEGMENT = 1200  # bytes of payload: with headers and options no more than every IPv6 path carries (1280)
FELL_SILENT = (
    "the connection opened, but the answer to the first flight never came: "
    "packets of full size may be lost on the way (MTU)"
)
_SMALL_KEPT = 256


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


@dataclass(frozen=True, slots=True)
class Route:
    """A verified connection: over which candidate, speaking which protocol, after how many seconds.

    `passed_over` says, for people, why it is no better path.
    """

    tls: TlsStream
    candidate: Candidate
    protocol: str
    took: float
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class _Searched:
    pass


@dataclass(frozen=True, slots=True)
class _Lost:
    attempt: Attempt


class Dialer:
    """Finds and races.

    `search` starts all finders for a key hash; `clock` is seconds since 1970; `is_ours` tells this node's own
    listeners, which only it itself names, `way_to` how this computer would send to an address (docs/PROTOCOL.md 7.2);
    `resolver` looks names up; `protocol_of` says what a host was heard to speak when it was visited, "" for one that
    never was.
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
    ) -> None:
        self._search = search
        self._clock = clock
        self._stagger, self._timeout = stagger, timeout
        self._context, self._context_for_originals = visitor_context(), visitor_context(originals=True)
        self._is_ours = is_ours
        self._protocol_of = protocol_of
        self._resolver, self._way_to = resolver, way_to
        self._opened: dict[tuple[KeyHash, Candidate], tuple[asyncio.Transport, bool]] = {}
        self._small: dict[Endpoint, None] = {}  # to which packets of full size may be lost

    async def dial(self, target: KeyHash, known: Candidate | None = None, put_off: Collection[Endpoint] = ()) -> Route:
        """Open a verified connection to whoever owns `target`.

        `known`, a path that worked a moment ago, is tried first; finders are asked only when it fails or takes
        longer than `stagger` seconds.  Those of `put_off` are connected to PUT_OFF seconds after their turn, so that
        any other that is there wins.  The whole takes at most `timeout` seconds, and LEFT_ALONE when nothing is left
        but attempts that nobody answers, after others were told no: what said no may say yes by now, and is asked
        again by the next dial.  Losing attempts are closed before this returns; the caller owns the connection.

        Raises NoRoute when the finders finished and every candidate failed, or when time is up.
        Safe to cancel at any point: no socket, task or finder outlives the call.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        happened: asyncio.Queue[_Found | _Searched | _Lost | Route] = asyncio.Queue()
        race, failed = Race(self._stagger), list[Attempt]()
        search = self._search(target)
        tasks = TaskSet(f"dial.{target.short}")
        began, searching = loop.time(), True
        if known is not None:
            race.found(known)
        wait = self._stagger if known else 0.0
        finding = tasks.start(self._find(target, search, happened, wait), "find")
        try:
            while True:
                while candidate := race.start(loop.time()):
                    delay = PUT_OFF if candidate.endpoint in put_off else 0.0
                    tasks.start(self._attempt(target, candidate, happened, delay), f"attempt.{candidate.endpoint}")
                if race.idle and not searching:
                    raise NoRoute(target, failed, search.reasons)
                if failed and not searching and race.wake_at is None:
                    deadline = min(deadline, loop.time() + LEFT_ALONE)
                try:
                    async with asyncio.timeout_at(min(race.wake_at or deadline, deadline)):
                        news = await happened.get()
                except TimeoutError:
                    if loop.time() >= deadline:
                        took = loop.time() - began
                        failed += [Attempt(left, took, self._silence(target, left, took)) for left in race.running]
                        raise NoRoute(target, failed, search.reasons) from None
                    continue
                match news:
                    case _Found(candidate):
                        race.found(candidate)
                    case _Searched():
                        searching = False
                    case _Lost(attempt):
                        race.ended(attempt.candidate)
                        failed.append(attempt)
                        log.debug(
                            "dial.failed",
                            service=target.short,
                            via=attempt.candidate.via,
                            found_by=attempt.candidate.found_by.name,
                            endpoint=attempt.candidate.endpoint,
                            took_s=attempt.took,
                            reason=attempt.failure,
                        )
                        if loop.time() < began + wait:  # the known path is gone: look for others now
                            finding.cancel()
                            wait = 0.0
                            finding = tasks.start(self._find(target, search, happened, wait), "find")
                    case Route() as route:
                        won = race.best_known(route.candidate)
                        log.event(
                            "dial.won",
                            service=target.short,
                            via=won.via,
                            found_by=won.found_by.name,
                            endpoint=won.endpoint,
                            protocol=route.protocol,
                            took_s=loop.time() - began,
                            attempts=len(failed) + len(race.running),
                        )
                        why = _passed_over(won.kind, search, failed, race.running)
                        return replace(route, candidate=won, took=loop.time() - began, passed_over=why)
        finally:
            await tasks.aclose()
            while not happened.empty():
                late = happened.get_nowait()
                if isinstance(late, Route):
                    late.tls.abort()

    async def _find(
        self,
        target: KeyHash,
        search: Search,
        happened: asyncio.Queue[_Found | _Searched | _Lost | Route],
        wait: float,
    ) -> None:
        await asyncio.sleep(wait)
        protocol = await self._protocol_of(target)
        candidates = search.candidates()
        try:
            async for candidate in candidates:
                why = self._refusal(candidate)
                if isinstance(candidate.server_name, Plain) and protocol == "hardline/2":
                    why = "the host speaks hardline/2, and this wants the key hash in clear"
                if why is None:
                    happened.put_nowait(_Found(candidate))
                else:
                    log.debug("dial.ignored", endpoint=candidate.endpoint, found_by=candidate.found_by.name, reason=why)
        finally:
            if isinstance(candidates, AsyncGenerator):
                await candidates.aclose()
        happened.put_nowait(_Searched())

    def _refusal(self, candidate: Candidate) -> str | None:
        if not candidate.found_by.seen and self._is_ours(candidate.endpoint.leads_to):
            return "this node itself"
        return refusal(candidate, self._way_to)

    async def _attempt(
        self,
        target: KeyHash,
        candidate: Candidate,
        happened: asyncio.Queue[_Found | _Searched | _Lost | Route],
        delay: float,
    ) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(delay)
        try:
            async with asyncio.timeout(self._timeout):
                tls, protocol = await self._connect(target, candidate)
        except (OSError, HardlineError, TimeoutError) as failure:
            attempt = Attempt(candidate, loop.time() - began, _reason(failure))
            happened.put_nowait(_Lost(attempt))
        else:
            happened.put_nowait(Route(tls, candidate, protocol, loop.time() - began))

    async def _connect(self, target: KeyHash, candidate: Candidate) -> tuple[TlsStream, str]:
        match candidate.server_name:
            case Plain():
                context, server_name = self._context_for_originals, str(target)
            case Code(day):
                day = utc_day(self._clock()) if day is None else day
                context, server_name = self._context, str(target.rolling(day))
        stream = await self._open(target, candidate)
        tls = await TlsStream.over(stream, context, server_name, target=target)
        if tls.key_hash is not None:
            return tls, "hardline/2"
        if tls.peer_key_hash != target:
            tls.abort()
            raise WrongCertificate(target, tls.peer_key_hash)
        return tls, "hardline/1"

    async def _open(self, target: KeyHash, candidate: Candidate) -> TcpStream:
        """Connect.  What a name resolves to is looked at like an address that a stranger named."""
        whole, resolver = candidate, self._resolver or Resolver.of_strangers()
        found = await resolver.addresses(candidate.endpoint, str(target))
        if candidate.endpoint.address is None and candidate.found_by.trust is Trust.WORKED:
            candidate = replace(candidate, kind=PathKind.DIRECT)
        allowed, why = list[Endpoint](), ""
        for endpoint in found:
            no = self._refusal(replace(candidate, endpoint=endpoint))
            if no is None:
                allowed.append(endpoint)
            why = why or no or ""
        if not allowed and why:
            raise PeerError(f"the name leads to {why}" if candidate.endpoint.address is None else f"it is {why}")
        small = candidate.endpoint in self._small
        stream = await tcp.connect_any(allowed, segment=SMALL_SEGMENT if small else 0)
        key = (target, whole)
        self._opened[key] = (stream.transport, small)
        me = asyncio.current_task()
        assert me is not None, "an attempt is a task"
        me.add_done_callback(lambda _: self._opened.pop(key, None))
        return stream

    def _silence(self, target: KeyHash, candidate: Candidate, took: float) -> str:
        """Why an attempt has no answer.  One that fell silent once it was connected is made in small packets next time,
        and in ordinary ones again when that was of no use."""
        transport, small = self._opened.get((target, candidate), (None, False))
        if transport is None or tcp.has_received(transport):
            return f"no answer within {took:.1f} s"
        if small:
            self._small.pop(candidate.endpoint, None)
        elif candidate.endpoint not in self._small:
            log.event("dial.silent", service=target.short, endpoint=candidate.endpoint, reason=FELL_SILENT)
            self._small[candidate.endpoint] = None
            while len(self._small) > _SMALL_KEPT:
                del self._small[next(iter(self._small))]
        return FELL_SILENT


def refusal(candidate: Candidate, way_to: Callable[[Address], Way]) -> str | None:
    """Why an endpoint is never dialled, or None (docs/PROTOCOL.md 7.2)."""
    endpoint = candidate.endpoint
    if candidate.found_by.told and endpoint.port < LOWEST_TOLD and endpoint.port != HTTPS:
        return f"a port below {LOWEST_TOLD}, of which only {HTTPS} is dialled where others name it"
    address = endpoint.address
    if address is None:
        return "a loopback name" if endpoint.host.rstrip(".").endswith("localhost") and not candidate.near else None
    if candidate.near:
        return "no address of one machine" if kind_of(leads_to(address)) in (Kind.NONE, Kind.MULTICAST) else None
    return refused(address, way_to(address))


def _passed_over(
    won: PathKind, search: Search, failed: Sequence[Attempt], running: Sequence[Candidate]
) -> tuple[str, ...]:
    """Why no better kind of path was taken, in words for people."""
    tried = [(attempt.candidate, attempt.failure) for attempt in failed]
    tried += [(candidate, "no answer yet") for candidate in running]
    return (
        *(f"{name}: nothing found" for name in search.silent(won)),
        *(f"{one.found_by.name}: {one.endpoint}: {why}" for one, why in tried if one.kind < won),
    )


def _reason(failure: BaseException) -> str:
    if isinstance(failure, TimeoutError):
        return "no answer"
    if isinstance(failure, WrongCertificate):
        return f"wrong certificate: {failure.message}"
    if isinstance(failure, HardlineError):
        return failure.message
    if isinstance(failure, socket.gaierror):
        return "the host name is not known"
    if isinstance(failure, OSError) and failure.errno:
        return os.strerror(failure.errno).lower()  # asyncio's own text names the address once more
    return str(failure) or type(failure).__name__
