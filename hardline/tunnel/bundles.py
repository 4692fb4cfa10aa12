"""Several sessions to one host where the way is long: opened one by one while downloads share one, closed when idle.

Source: docs/PROTOCOL.md, section 7.7.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from hardline import log
from hardline.errors import ConnectionLost, HardlineError
from hardline.identity import KeyHash, Label
from hardline.routes import PathKind
from hardline.tunnel.attempts import Route
from hardline.tunnel.bundle import LONG, Bundle, Look, Step, period
from hardline.tunnel.dialer import Dialer
from hardline.tunnel.link import Link, Path

DIAL, HELLO = 5.0, 5.0  # seconds that each may take
MUCH = 65_536  # bytes of a stream from one look to the next
_KEPT = 256

Host = tuple[KeyHash, str]  # and its instance


class Bundles:
    """Those of one visitor, each of as many sessions as the limits of its link allow.

    `begin` makes a path of a route; `has_room` says whether one more session would take nobody's place.
    """

    def __init__(
        self,
        dialer: Dialer,
        begin: Callable[[Route, Label], Awaitable[Path]],
        has_room: Callable[[], bool],
    ) -> None:
        self._dialer, self._begin, self._has_room = dialer, begin, has_room
        self._bundles: OrderedDict[Host, Bundle] = OrderedDict()
        self._watched: set[tuple[Link, str]] = set()

    def wants(self, link: Link, path: Path) -> bool:
        """A further stream takes `path`, or its host said hello: whether `watch` is to look after it from now on."""
        if link.limits.bundle < 2 or not path.session.open_streams or _trip(path) < LONG:
            return False
        if path.route.candidate.kind is PathKind.PUNCHED:
            return False  # the routers let in that one connection
        return path.hello.done() and (link, path.instance) not in self._watched

    def network_changed(self) -> None:
        """Another way may have more room."""
        self._bundles.clear()

    async def watch(self, link: Link, instance: str) -> None:
        """Look after the host of `link` with this `instance` as long as a session of it has several streams."""
        if (link, instance) in self._watched:
            return
        self._watched.add((link, instance))
        bundle = self._bundle((link.label.key_hash, instance), link.limits.bundle)
        loop, before = asyncio.get_running_loop(), dict[Path, dict[int, int]]()
        try:
            while paths := _paths(link, instance):
                if all(path.session.open_streams < 2 for path in paths):
                    return
                now = {path: path.session.moved() for path in paths}
                busy = tuple(_moving(before.get(path, {}), now[path]) for path in paths)
                moved = tuple(path.session.sent + path.session.received for path in paths)
                trip, before = min(map(_trip, paths)), now
                match bundle.look(Look(loop.time(), moved, busy), trip):
                    case Step.OPEN:
                        await self._open(link, paths[0], bundle)
                    case Step.SHED:
                        log.event("bundle.no_use", service=link.label.key_hash.short, sessions=len(paths) - 1)
                        paths[-1].session.go_away()
                await asyncio.sleep(period(trip))
        finally:
            bundle.idle()
            self._watched.discard((link, instance))

    def _bundle(self, host: Host, most: int) -> Bundle:
        bundle = self._bundles.setdefault(host, Bundle(most))
        self._bundles.move_to_end(host)
        while len(self._bundles) > _KEPT:
            self._bundles.popitem(last=False)
        return bundle

    async def _open(self, link: Link, like: Path, bundle: Bundle) -> None:
        """One more session by the way that `like` took."""
        label, loop = link.label, asyncio.get_running_loop()
        route = await self._dialer.reach(label.key_hash, like.route.candidate, DIAL) if self._has_room() else None
        if route is None:
            bundle.failed(loop.time())
            return
        try:
            path = await self._begin(route, label)
        except BaseException as failure:
            route.tls.abort()
            bundle.failed(loop.time())
            if isinstance(failure, HardlineError):
                return
            raise
        path.spare = True
        await path.hello.within(HELLO)
        path.news.set()  # it is kept less long than was thought before
        if not path.session.greeted:
            await path.session.aclose(ConnectionLost("the host said no hello to one more session"))
        elif path.instance == like.instance:
            log.event("bundle.session", service=label.key_hash.short, sessions=len(_paths(link, like.instance)))
            return
        else:
            path.session.go_away()
        bundle.failed(loop.time())


def _paths(link: Link, instance: str) -> list[Path]:
    """The sessions to one host by its best kind of path, the newest last."""
    paths = [path for path in link.paths if path.instance == instance and path.session.greeted]
    paths = [path for path in paths if path.session.lives and not path.session.draining]
    best = min((path.route.candidate.kind for path in paths), default=None)
    return [path for path in paths if path.route.candidate.kind is best]


def _moving(before: dict[int, int], now: dict[int, int]) -> int:
    """How many streams move: small requests on a connection that is kept are none."""
    return sum(moved - before.get(number, moved) >= MUCH for number, moved in now.items())


def _trip(path: Path) -> float:
    """Seconds to the host and back.  A busy machine answers late, its kernel does not: where the host's own is at the
    other end, that counts, too."""
    trip = path.session.round_trip or path.route.steps.hello or 0.0
    if trip < LONG or path.route.candidate.kind is PathKind.RELAYED:
        return trip
    shortest = path.session.tls.shortest_trip
    return trip if shortest is None else min(trip, shortest)
