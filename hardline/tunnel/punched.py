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
from hardline.session.controlstream import ControlStream
from hardline.transport.tcp import TcpStream
from hardline.tunnel.attempts import Route
from hardline.tunnel.dialer import Dialer
from hardline.tunnel.link import Link, Path
from hardline.tunnel.rounds import Rounds
from hardline.tunnel.upgrade import HELLO_WITHIN, Upgrades

FOUND_BY = "punching"
HOST_BEGINS_WITHIN = 15.0  # seconds; one that does not, does not punch
WAITS_FOR_A_PLACE = 75.0  # seconds more, where other tries of this visitor are under way
_REMEMBERED = 256
LOOKS = 60.0  # seconds, at most, until it is looked again whether a session is used, and there


class Punches(Protocol):
    """Takes part in tries (punch.visiting)."""

    def __call__(
        self,
        control: ControlStream,
        host: KeyHash,
        local: Endpoint,
        wanted: Callable[[frozenset[str]], bool],
        take: Callable[[TcpStream, str], Awaitable[bool]],
        over: Callable[[str, bool], None],
    ) -> None:
        """The `host` has opened the `control` stream of a session whose connection to the relay begins at `local`.

        `wanted`, `take` and `over` are as in punch.visiting.Wish.
        """
        ...


class PunchedPaths:
    """Those of one visitor.  `begin` makes a path of a route."""

    def __init__(
        self, punches: Punches, dialer: Dialer, upgrades: Upgrades, begin: Callable[[Route, Label], Awaitable[Path]]
    ) -> None:
        self._punches, self._dialer, self._upgrades, self._begin = punches, dialer, upgrades, begin
        self._trying: dict[Link, float | None] = {}  # and when the next try begins, None while one is under way
        self._rounds: OrderedDict[KeyHash, Rounds] = OrderedDict()
        self._seen: OrderedDict[KeyHash, frozenset[str]] = OrderedDict()  # at which addresses, in the last try

    def next_try(self, link: Link) -> float | None:
        """When the next try begins, by the loop; None where none will, and while one is under way."""
        return self._trying.get(link)

    def tries(self, link: Link) -> bool:
        """`keep_trying` runs for it."""
        return link in self._trying

    def controlled(self, link: Link, path: Path, control: ControlStream) -> None:
        """The host of `path`, which goes by a relay, has opened its `control` stream."""

        def wanted(seen: frozenset[str]) -> bool:
            now, key_hash = asyncio.get_running_loop().time(), link.label.key_hash
            self._are_seen(key_hash, seen)
            rests = self._upgrades.rests_until(key_hash) > now
            return link.goes_by_relay() and not rests and self._rounds_with(key_hash).takes(now)

        def over(why: str, tried: bool) -> None:
            if not path.punched.done():
                path.punching, path.was_tried = why, tried
            path.punched.settle()

        def take(tcp: TcpStream, name: str) -> Awaitable[bool]:
            return self._take(link, path, tcp, name)

        self._punches(control, link.label.key_hash, path.route.local, wanted, take, over)

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
        loop, rounds = asyncio.get_running_loop(), self._rounds_with(link.label.key_hash)
        self._trying[link] = None
        try:
            while (path := link.best()) is not None and path.route.candidate.kind is PathKind.RELAYED:
                if not await path.punched.within(HOST_BEGINS_WITHIN) and not path.punching:
                    path.punching = "punching: the host has not begun it"
                if not await path.punched.within(WAITS_FOR_A_PLACE) or not link.goes_by_relay():
                    return
                if path.was_tried:
                    rounds.lost(loop.time())
                else:
                    rounds.busy(loop.time())
                await self._until_due(link, rounds)
                self._trying[link] = None
                if link.goes_by_relay():
                    await self._come_again(link, path)
        finally:
            del self._trying[link]

    async def _until_due(self, link: Link, rounds: Rounds) -> None:
        loop = asyncio.get_running_loop()
        while link.goes_by_relay():
            due = self._trying[link] = max(rounds.at, self._upgrades.rests_until(link.label.key_hash))
            wait = due - loop.time()
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

    async def _take(self, link: Link, relayed: Path, tcp: TcpStream, name: str) -> bool:
        """Whether what connected leads to the host, and is good."""
        label = link.label
        if tcp.peer.host == relayed.session.tls.peer.host:
            tcp.abort()  # the relay poses as the host's router: it would stay between, and nobody would know
            return False
        candidate = Candidate(tcp.peer, PathKind.PUNCHED, FoundBy(FOUND_BY, Trust.SIGNED), Handle(name))
        made = await self._dialer.over(label.key_hash, candidate, tcp)
        if isinstance(made, Attempt):
            log.debug("punch.failed", service=label.key_hash.short, endpoint=candidate.endpoint, reason=made.failure)
            return False
        if not await self._upgrades.is_good(link, await self._begun(made, label)):
            return False
        self._rounds_with(label.key_hash).won()
        return True

    def _rounds_with(self, key_hash: KeyHash) -> Rounds:
        """Those with one host, whichever session they are for."""
        rounds = self._rounds.setdefault(key_hash, Rounds())
        self._rounds.move_to_end(key_hash)
        while len(self._rounds) > _REMEMBERED:
            self._rounds.popitem(last=False)
        return rounds

    async def _begun(self, route: Route, label: Label) -> Path:
        try:
            return await self._begin(route, label)
        except BaseException:
            route.tls.abort()
            raise
