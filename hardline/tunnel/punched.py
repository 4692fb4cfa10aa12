"""Paths that a host and this visitor punch through their routers, while a session goes by a relay.

    session by a relay ─ control stream ─▶ a try: connected? ─▶ TLS, hello ─▶ a path that nobody stands between
            ▲                                  │ no
            └── another connection by it ◀─────┘ when the next round begins

The try itself is somebody else's (punch/): here it is whether there is to be one, and what comes of it.
Source: docs/PROTOCOL.md, section 10.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

from hardline import log
from hardline.errors import ConnectionLost, HardlineError
from hardline.identity import KeyHash, Label
from hardline.routes import Attempt, Candidate, Endpoint, FoundBy, Handle, PathKind, Trust
from hardline.session.stream import Stream
from hardline.transport.tcp import TcpStream
from hardline.tunnel.attempts import Route
from hardline.tunnel.dialer import Dialer
from hardline.tunnel.link import Link, Path
from hardline.tunnel.rounds import Rounds
from hardline.tunnel.upgrade import HELLO_WITHIN, Upgrades

FOUND_BY = "punching"
HOST_BEGINS_WITHIN = 15.0  # seconds; one that does not, does not punch
_REMEMBERED = 256
LOOKS = 60.0  # seconds, at most, until it is looked again whether a session is used, and there


class Punches(Protocol):
    """Takes part in tries (punch.visiting)."""

    def __call__(
        self,
        stream: Stream,
        local: Endpoint,
        wanted: Callable[[frozenset[str]], bool],
        take: Callable[[TcpStream, str], Awaitable[bool]],
        over: Callable[[str], None],
    ) -> None:
        """The host has opened the control stream of a session whose connection to the relay begins at `local`.

        `wanted`, `take` and `over` are as in punch.visiting.Wish.
        """
        ...


class PunchedPaths:
    """Those of one visitor.  `begin` makes a path of a route."""

    def __init__(
        self, punches: Punches, dialer: Dialer, upgrades: Upgrades, begin: Callable[[Route, Label], Awaitable[Path]]
    ) -> None:
        self._punches, self._dialer, self._upgrades, self._begin = punches, dialer, upgrades, begin
        self._trying: dict[Link, Rounds] = {}
        self._seen: OrderedDict[KeyHash, frozenset[str]] = OrderedDict()  # at which addresses, in the last try

    def next_try(self, link: Link) -> float | None:
        """When the next round begins, by the loop; None where none will."""
        rounds = self._trying.get(link)
        return rounds.at if rounds is not None else None

    def controlled(self, link: Link, path: Path, stream: Stream) -> None:
        """The host of `path`, which goes by a relay, has opened its control stream."""

        def wanted(seen: frozenset[str]) -> bool:
            now = asyncio.get_running_loop().time()
            self._are_seen(link.label.key_hash, seen)
            return link.goes_by_relay() and self._upgrades.rests_until(link.label.key_hash) <= now

        def over(why: str) -> None:
            path.punching = why
            path.punched.settle()

        self._punches(stream, path.route.local, wanted, lambda tcp, name: self._take(link, tcp, name), over)

    def _are_seen(self, key_hash: KeyHash, seen: frozenset[str]) -> None:
        """A router that has another address than in the last try is another one: what was bad may be good now."""
        before = self._seen.pop(key_hash, seen)
        self._seen[key_hash] = seen
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        if before != seen:
            self._upgrades.forgive(key_hash)

    async def keep_trying(self, link: Link) -> None:
        """As long as `link` goes by a relay, and the host punches.  One of these for a link is enough."""
        if link in self._trying:
            return
        loop = asyncio.get_running_loop()
        rounds = self._trying[link] = Rounds(loop.time())
        try:
            while (path := link.best()) is not None and path.route.candidate.kind is PathKind.RELAYED:
                if not await path.punched.within(HOST_BEGINS_WITHIN) or not link.goes_by_relay():
                    return
                rounds.lost(loop.time())
                await self._until_due(link, rounds)
                if link.goes_by_relay():
                    await self._come_again(link, path)
        finally:
            del self._trying[link]

    async def _until_due(self, link: Link, rounds: Rounds) -> None:
        loop = asyncio.get_running_loop()
        while link.goes_by_relay():
            wait = max(rounds.at, self._upgrades.rests_until(link.label.key_hash)) - loop.time()
            if wait <= 0 and link.is_used(loop.time()):
                return
            if await self._upgrades.network_changes(within=min(wait, LOOKS) if wait > 0 else LOOKS):
                rounds.network_changed(loop.time())

    async def _come_again(self, link: Link, path: Path) -> None:
        """By the same relay from another port, since the last pair of ports is spent."""
        label = link.label
        route = await self._dialer.reach(label.key_hash, path.route.candidate, HOST_BEGINS_WITHIN)
        if route is None:
            return
        try:
            new = await self._begun(route, label)
        except HardlineError as failure:
            log.debug("punch.not_again", service=label.key_hash.short, reason=failure.message)
            return
        await new.hello.within(HELLO_WITHIN)
        if not new.session.greeted:
            await new.session.aclose(ConnectionLost("its host said no hello"))
        elif new.instance == path.instance:  # else it is another host's, which is one more to have
            path.session.go_away()

    async def _take(self, link: Link, tcp: TcpStream, name: str) -> bool:
        """Whether what connected leads to the host, and is good."""
        label = link.label
        candidate = Candidate(tcp.peer, PathKind.PUNCHED, FoundBy(FOUND_BY, Trust.SIGNED), Handle(name))
        made = await self._dialer.over(label.key_hash, candidate, tcp)
        if isinstance(made, Attempt):
            log.debug("punch.failed", service=label.key_hash.short, endpoint=candidate.endpoint, reason=made.failure)
            return False
        return await self._upgrades.is_good(link, await self._begun(made, label))

    async def _begun(self, route: Route, label: Label) -> Path:
        try:
            return await self._begin(route, label)
        except BaseException:
            route.tls.abort()
            raise
