"""Sessions with several hosts of one certificate, found beside the first one that is in use.

    a host's hello ─ 1 s ─▶ search ─▶ who may be another ─▶ dial, hello ─┬─ another instance: one more path
                                                                         └─ the same: it takes no streams, and ends

Source: docs/PROTOCOL.md, section 7.6.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from hardline import log
from hardline.errors import ConnectionLost, HardlineError
from hardline.identity import KeyHash, Label
from hardline.routes import Candidate, PathKind
from hardline.tunnel.attempts import Route
from hardline.tunnel.dialer import Dialer
from hardline.tunnel.link import Link, Path
from hardline.tunnel.pool import MAX_INSTANCES, Held, Pool, is_shared

MAX_DIALS = 6  # of one look
SEARCH, DIAL, HELLO = 3.0, 3.0, 5.0  # seconds that each may take
_KEPT = 1024


class Pools:
    """Those of one visitor.

    `everywhere` finds hosts as a visit does, `nearby` without asking the world; `begin` makes a path of a route;
    `has_room` says whether one more session would take nobody's place.
    """

    def __init__(
        self,
        everywhere: Dialer,
        nearby: Dialer,
        begin: Callable[[Route, Label], Awaitable[Path]],
        has_room: Callable[[], bool],
    ) -> None:
        self._everywhere, self._nearby, self._begin, self._has_room = everywhere, nearby, begin, has_room
        self._pools: OrderedDict[KeyHash, Pool] = OrderedDict()
        self._looking: dict[Link, asyncio.Event] = {}  # set when it is to begin anew

    def greeted(self, link: Link, path: Path) -> bool:
        """A host of `link` said hello by `path`.  True where `look_after` does not run for the link yet."""
        self._pool(link).seen(path.instance, asyncio.get_running_loop().time())
        self._pool(link).answered(path.route.candidate, path.instance)
        path.session.closed.add_done_callback(lambda _: self._lost(link, path))
        return link not in self._looking

    def network_changed(self) -> None:
        """Others may be found here."""
        self._pools.clear()
        for anew in self._looking.values():
            anew.set()

    async def look_after(self, link: Link) -> None:
        """Look for other hosts as long as `link` leads to one.  One of these for a link is enough."""
        if link in self._looking:
            return
        loop, looks = asyncio.get_running_loop(), 0
        anew = self._looking[link] = asyncio.Event()
        try:
            while live := _live(link):
                near = min(path.route.candidate.kind for path in live) is PathKind.LAN
                try:
                    async with asyncio.timeout(self._pool(link).pause(loop.time(), looks, near=near)):
                        await anew.wait()
                    anew.clear()
                    looks = 0
                except TimeoutError:
                    if link.is_used(loop.time()):
                        await self._look(link, self._nearby if near else self._everywhere)
                    looks += 1
        finally:
            del self._looking[link]

    def _pool(self, link: Link) -> Pool:
        key_hash = link.label.key_hash
        pool = self._pools.setdefault(key_hash, Pool())
        self._pools.move_to_end(key_hash)
        while len(self._pools) > _KEPT:
            self._pools.popitem(last=False)
        return pool

    def _lost(self, link: Link, path: Path) -> None:
        if (anew := self._looking.get(link)) is not None and not (path.session.draining and _live(link)):
            anew.set()  # somebody is missed, or nobody is left to look after

    async def _look(self, link: Link, dialer: Dialer) -> None:
        loop, pool = asyncio.get_running_loop(), self._pool(link)
        for path in _live(link):
            pool.seen(path.instance, loop.time())
        if self._is_full(link):
            return
        found, dials = await dialer.candidates(link.label.key_hash, SEARCH), 0
        for candidate in pool.worth_a_dial(found, _held(link), loop.time()):
            another = True
            while another and dials < MAX_DIALS and _live(link) and not self._is_full(link):
                dials += 1
                another = await self._ask(link, dialer, candidate) and is_shared(candidate)
        pool.looked(loop.time())

    def _is_full(self, link: Link) -> bool:
        return len({path.instance for path in _live(link)}) >= MAX_INSTANCES or not self._has_room()

    async def _ask(self, link: Link, dialer: Dialer, candidate: Candidate) -> bool:
        """Whether another host is there; its session is one more of the link's paths."""
        label = link.label
        route = await dialer.reach(label.key_hash, candidate, DIAL)
        if route is None:
            return False
        try:
            path = await self._begin(route, label)
        except BaseException as failure:
            route.tls.abort()
            if isinstance(failure, HardlineError):
                return False
            raise
        await path.hello.within(HELLO)
        if not path.session.greeted:
            self._pool(link).refused(candidate, asyncio.get_running_loop().time())
            await path.session.aclose(ConnectionLost("another host said no hello"))
            return False
        others = [one for one in _live(link) if one is not path]
        same = [one.route.candidate.kind for one in others if one.instance == path.instance]
        if not others or (same and min(same) <= candidate.kind):
            path.session.go_away()
            return False
        hosts = len({one.instance for one in _live(link)})
        log.event(
            "pool.host", service=label.key_hash.short, via=candidate.via, endpoint=candidate.endpoint, hosts=hosts
        )
        return True


def _live(link: Link) -> list[Path]:
    """The paths of hosts that are known, and take new streams."""
    return [path for path in link.paths if path.session.greeted and not path.session.draining and path.session.lives]


def _held(link: Link) -> list[Held]:
    return [Held(path.route.candidate, path.instance, path.own) for path in _live(link)]
