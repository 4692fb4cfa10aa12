"""One attempt: from a candidate to a verified connection, or to the reason why not.

    candidate ─▶ resolve ─▶ TCP ─▶ TLS ─▶ certificate

Source: docs/PROTOCOL.md, sections 2.2 to 2.4 and 7.2.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from hardline import log
from hardline.addresses import Address, Kind, Way, kind_of, leads_to, refused
from hardline.errors import HardlineError, PeerError
from hardline.identity import KeyHash, WrongCertificate, utc_day
from hardline.routes import (
    HTTPS,
    LOWEST_TOLD,
    Attempt,
    Candidate,
    Code,
    Endpoint,
    Handle,
    PathKind,
    Plain,
    Steps,
    Trust,
)
from hardline.transport import tcp
from hardline.transport.contexts import visitor_context
from hardline.transport.resolver import Resolver
from hardline.transport.socketoptions import SocketOptions
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream

SMALL_SEGMENT = 1200  # bytes of payload: with headers and options no more than every IPv6 path carries (1280)
FELL_SILENT = (
    "the connection opened, but the answer to the first flight never came: "
    "packets of full size may be lost on the way (MTU)"
)
# What a relay means by its alerts, as OpenSSL calls them (docs/PROTOCOL.md 9.5).
_RELAY_SAYS = {
    "unrecognized name": "the host is not registered at this relay",
    "internal error": "the host is registered at this relay, which cannot reach it now",
}
IN_CLEAR = "the host speaks hardline/2, and this wants the key hash in clear"
_SMALL_KEPT = 256
_MOST_PROVEN = 1024  # hosts that are known to have spoken hardline/2
# Seconds after the end of the whole dial, which says more of those that it breaks off: on a loop that counts in
# milliseconds both would come at once.
_LATER = 1.0


@dataclass(frozen=True, slots=True)
class Route:
    """A verified connection: over which candidate, speaking which protocol, after how many seconds of the dial, and how
    long the steps of its own attempt took.

    `local` is where it begins on this machine; `passed_over` says, for people, why it is no better path.
    """

    tls: TlsStream
    candidate: Candidate
    protocol: str
    took: float
    steps: Steps
    local: Endpoint
    passed_over: tuple[str, ...] = ()


class Attempts:
    """Makes them.

    `clock` is seconds since 1970; `is_ours` tells this node's own listeners, which only it itself names, `way_to` how
    this computer would send to an address; `resolver` looks names up.  `options` are those of the sockets to a host;
    `protocol_of` says what it spoke when it was visited last, "" where that is not known.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        timeout: float,
        is_ours: Callable[[Endpoint], bool],
        resolver: Resolver | None,
        way_to: Callable[[Address], Way],
        options: Callable[[KeyHash], SocketOptions],
        protocol_of: Callable[[KeyHash], Awaitable[str]],
    ) -> None:
        self._clock, self._timeout = clock, timeout
        self._context, self._context_for_originals = visitor_context(), visitor_context(originals=True)
        self._is_ours = is_ours
        self._resolver, self._way_to = resolver, way_to
        self._options, self._protocol_of = options, protocol_of
        self._proven: OrderedDict[KeyHash, None] = OrderedDict()  # what is remembered comes later, and not of all
        self._running: dict[tuple[KeyHash, Candidate], _Steps] = {}
        self._small: dict[Endpoint, None] = {}  # to which packets of full size may be lost

    def refusal(self, candidate: Candidate) -> str | None:
        """Why `candidate` is never dialled, or None (docs/PROTOCOL.md 7.2)."""
        if not candidate.found_by.seen and self._is_ours(candidate.endpoint.leads_to):
            return "this node itself"
        return refusal(candidate, self._way_to)

    async def is_in_clear(self, target: KeyHash, candidate: Candidate) -> bool:
        """Whether the key hash would be said in clear to a host that needs no such thing (docs/PROTOCOL.md 2.4)."""
        if not isinstance(candidate.server_name, Plain):
            return False
        return target in self._proven or await self._protocol_of(target) == "hardline/2"

    async def make(self, target: KeyHash, candidate: Candidate, delay: float) -> Attempt | Route:
        """Try `candidate`, after `delay` seconds.  Safe to cancel: the socket goes with the task."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(delay)
        steps = self._running[target, candidate] = _Steps(loop.time())
        opening = _Opening(lambda: self._greeting(target, candidate))
        try:
            async with asyncio.timeout(self._timeout + _LATER):
                if await self.is_in_clear(target, candidate):  # that may be known since it was found
                    raise PeerError(IN_CLEAR)
                stream = await self._open(target, candidate, steps, opening)
                local = stream.local
                tls, protocol = await self._secure(target, opening.made(), stream)
                steps.done("tls")
        except (OSError, HardlineError, TimeoutError) as failure:
            return Attempt(candidate, loop.time() - began, _reason(failure, candidate.kind), steps.taken)
        finally:
            opening.close()
            self._running.pop((target, candidate), None)
        return Route(tls, candidate, protocol, loop.time() - began, steps.taken, local)

    async def over(self, target: KeyHash, candidate: Candidate, stream: TcpStream) -> Attempt | Route:
        """Try what is connected already, and belongs to the attempt from now on.  Safe to cancel, as `make`."""
        loop = asyncio.get_running_loop()
        steps = _Steps(began := loop.time())
        try:
            async with asyncio.timeout(self._timeout):
                local = stream.local
                tls, protocol = await self._secure(target, self._greeting(target, candidate), stream)
                steps.done("tls")
        except (OSError, HardlineError, TimeoutError) as failure:
            return Attempt(candidate, loop.time() - began, _reason(failure, candidate.kind), steps.taken)
        return Route(tls, candidate, protocol, loop.time() - began, steps.taken, local)

    def broken_off(self, target: KeyHash, candidate: Candidate, took: float) -> Attempt:
        """What becomes of one that runs, and for which there is no more time, after `took` seconds."""
        steps = self._running.get((target, candidate))
        reason = self._silence(target, candidate, took, steps)
        return Attempt(candidate, took, reason, steps.taken if steps else Steps())

    def _greeting(self, target: KeyHash, candidate: Candidate) -> TlsStream:
        """What says the first word once it is connected."""
        match candidate.server_name:
            case Plain():
                context, server_name = self._context_for_originals, str(target)
            case Code(day):
                day = utc_day(self._clock()) if day is None else day
                context, server_name = self._context, str(target.rolling(day))
            case Handle(name):
                context, server_name = self._context, name
        return TlsStream.visiting(context, server_name, target)

    async def _secure(self, target: KeyHash, greeting: TlsStream, stream: TcpStream) -> tuple[TlsStream, str]:
        tls = await greeting.secured(stream)
        if tls.key_hash is not None:
            self._proven[target] = None
            self._proven.move_to_end(target)
            if len(self._proven) > _MOST_PROVEN:
                self._proven.popitem(last=False)
            return tls, "hardline/2"
        if tls.peer_key_hash != target:
            tls.abort()
            raise WrongCertificate(target, tls.peer_key_hash)
        return tls, "hardline/1"

    async def _open(self, target: KeyHash, candidate: Candidate, steps: _Steps, opening: _Opening) -> TcpStream:
        """Connect.  What a name resolves to is looked at like an address that a stranger named."""
        endpoint, resolver = candidate.endpoint, self._resolver or Resolver.of_strangers()
        found = await resolver.addresses(endpoint, str(target))
        steps.done("resolve")
        if endpoint.address is None and candidate.found_by.trust is Trust.WORKED:
            candidate = replace(candidate, kind=PathKind.DIRECT)
        allowed, why = list[Endpoint](), ""
        for address in found:
            no = self.refusal(replace(candidate, endpoint=address))
            if no is None:
                allowed.append(address)
            why = why or no or ""
        if not allowed and why:
            raise PeerError(f"the name leads to {why}" if endpoint.address is None else f"it is {why}")
        steps.small = endpoint in self._small
        # Others may use the port: what comes of a relayed connection begins there, too (docs/PROTOCOL.md 10.2).
        relayed = candidate.kind is PathKind.RELAYED
        segment, options = SMALL_SEGMENT if steps.small else 0, self._options(target)
        manner = tcp.Manner(segment=segment, shares=relayed, options=options)
        opening.make_soon()
        stream = await tcp.connect_any(allowed, manner)
        steps.done("tcp")
        steps.transport = stream.transport
        return stream

    def _silence(self, target: KeyHash, candidate: Candidate, took: float, steps: _Steps | None) -> str:
        """Why an attempt has no answer.  One that fell silent once it was connected is made in small packets next time,
        and in ordinary ones again when that was of no use."""
        if steps is None or steps.transport is None or tcp.has_received(steps.transport):
            return f"no answer within {took:.1f} s"
        if steps.small:
            self._small.pop(candidate.endpoint, None)
        elif candidate.endpoint not in self._small:
            log.event("dial.silent", service=target.short, endpoint=candidate.endpoint, reason=FELL_SILENT)
            self._small[candidate.endpoint] = None
            while len(self._small) > _SMALL_KEPT:
                del self._small[next(iter(self._small))]
        return FELL_SILENT


class _Opening:
    """What says the first word of an attempt, made while TCP connects: that takes a round trip, and this some time."""

    def __init__(self, make: Callable[[], TlsStream]) -> None:
        self._make = make
        self._made: TlsStream | None = None
        self._soon: asyncio.Handle | None = None

    def make_soon(self) -> None:
        """Once whoever calls this has nothing to do but wait."""
        self._soon = asyncio.get_running_loop().call_soon(self.made)

    def made(self) -> TlsStream:
        if self._made is None:
            self._made = self._make()
        return self._made

    def close(self) -> None:
        if self._soon is not None:
            self._soon.cancel()


class _Steps:
    """An attempt under way."""

    def __init__(self, now: float) -> None:
        self.taken = Steps()
        self.transport: asyncio.Transport | None = None
        self.small = False
        self._since = now

    def done(self, step: str) -> None:
        now = asyncio.get_running_loop().time()
        self.taken = replace(self.taken, **{step: now - self._since})
        self._since = now


def next_time(candidate: Candidate, protocol: str) -> Candidate:
    """The same way as it is taken again: who speaks hardline/2 is not asked by its plain name any more."""
    is_plain = isinstance(candidate.server_name, Plain)
    return replace(candidate, server_name=Code()) if is_plain and protocol == "hardline/2" else candidate


def refusal(candidate: Candidate, way_to: Callable[[Address], Way]) -> str | None:
    """Why an endpoint is never dialled, or None (docs/PROTOCOL.md 7.2)."""
    endpoint = candidate.endpoint
    if candidate.found_by.told and endpoint.port < LOWEST_TOLD and endpoint.port != HTTPS:
        return f"a port below {LOWEST_TOLD}, of which only {HTTPS} is dialled where others name it"
    address = endpoint.address
    if address is None:
        trusted = candidate.near or candidate.found_by.trust is Trust.OWNER
        return "a loopback name" if endpoint.host.rstrip(".").endswith("localhost") and not trusted else None
    if candidate.near or candidate.found_by.trust is Trust.OWNER:
        return "no address of one machine" if kind_of(leads_to(address)) in (Kind.NONE, Kind.MULTICAST) else None
    return refused(address, way_to(address))


def _reason(failure: BaseException, kind: PathKind) -> str:
    if kind is PathKind.RELAYED and isinstance(failure, PeerError):
        said = (words for alert, words in _RELAY_SAYS.items() if failure.message.endswith(alert))
        return next(said, failure.message)
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
