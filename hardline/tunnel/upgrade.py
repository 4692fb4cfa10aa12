"""A better path than by a relay or through routers, looked for as long as one goes so; and the way back when that did
not last.

    relayed ─ 1 s ─▶ search everywhere ─ 5, 15, 60, 60 … s ─▶ search nearby and by memory ─▶ a direct session
    punched ── 5, 10, 15 … min ──────────────────────────────────▶ search nearby and by memory ─▶ a direct session
    a direct session that said hello, and is not much slower ─▶ the relayed one takes no new streams, and ends

Streams that are open stay where they are.  A host that two direct sessions to have broken within a minute of their
beginning, within ten minutes, rests: it is better by the relay than now here, now there.
Source: docs/PROTOCOL.md, section 9.7.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from hardline import log
from hardline.errors import ConnectionLost, HardlineError
from hardline.identity import KeyHash, Label
from hardline.routes import PathKind
from hardline.tunnel.attempts import Route
from hardline.tunnel.dialer import Dialer
from hardline.tunnel.link import Link, Path

PAUSES = (1.0, 5.0, 15.0, 60.0)  # seconds before each search, the last one again and again
HELLO_WITHIN = 5.0  # seconds
SLOWER, AND = 2.0, 0.03  # times the relay's round trip, and seconds, that a direct one may have
SOON, LATELY = 60.0, 600.0  # a session that ends so soon is no good one; two of them so lately
RESTS, RESTS_AT_MOST = 600.0, 7200.0  # seconds, doubled each time
PUNCHED_PAUSE = 300.0  # seconds between searches while a path is punched: it is as good as any, but for whose it is
FORGIVES_AFTER = 3600.0  # seconds
_NOT_THE_BEST = (PathKind.PUNCHED, PathKind.RELAYED)
_REMEMBERED = 256


class _Trouble:
    """How the direct sessions to a host ended."""

    def __init__(self) -> None:
        self.lost: list[float] = []
        self.rest, self.until = RESTS, 0.0
        self.forgiven = -FORGIVES_AFTER


class Upgrades:
    """Those of one visitor.

    `everywhere` finds hosts as a visit does, `nearby` without asking the world; `begin` makes a path of a route.
    """

    def __init__(self, everywhere: Dialer, nearby: Dialer, begin: Callable[[Route, Label], Awaitable[Path]]) -> None:
        self._everywhere, self._nearby, self._begin = everywhere, nearby, begin
        self._troubles: OrderedDict[KeyHash, _Trouble] = OrderedDict()
        self._looking: dict[Link, float] = {}  # and when it looks next, by the loop
        self._again = asyncio.Event()

    def next_look(self, link: Link) -> float | None:
        """When a better path is looked for next, by the loop; None where nobody looks."""
        return self._looking.get(link)

    def rests_until(self, key_hash: KeyHash) -> float:
        """Until when no better path is looked for, since the last ones broke soon; by the loop."""
        trouble = self._troubles.get(key_hash)
        return trouble.until if trouble is not None else 0.0

    def forgive(self, key_hash: KeyHash) -> None:
        """How paths to it ended says nothing of those to come, as far as others say: that is believed once an hour."""
        now, trouble = asyncio.get_running_loop().time(), self._troubles.get(key_hash)
        if trouble is not None and now >= trouble.forgiven + FORGIVES_AFTER:
            trouble.lost.clear()
            trouble.until, trouble.forgiven = 0.0, now

    async def network_changes(self, *, within: float) -> bool:
        """Wait for that, so many seconds at most; whether it did."""
        try:
            async with asyncio.timeout(within):
                await self._again.wait()
        except TimeoutError:
            return False
        return True

    def network_changed(self) -> None:
        """What did not work may work now."""
        self._troubles.clear()
        again, self._again = self._again, asyncio.Event()
        again.set()

    async def improve(self, link: Link) -> None:
        """Look for a better path as long as `link` goes by a relay, or by a path that was punched.

        One of these for a link is enough.
        """
        if link in self._looking:
            return
        loop, number = asyncio.get_running_loop(), 0
        self._looking[link] = loop.time()
        try:
            while (best := link.best()) is not None and best.route.candidate.kind in _NOT_THE_BEST:
                kind = best.route.candidate.kind
                pause = PAUSES[min(number, len(PAUSES) - 1)] if kind is PathKind.RELAYED else PUNCHED_PAUSE
                pause = max(pause, self.rests_until(link.label.key_hash) - loop.time())
                self._looking[link] = loop.time() + pause
                if await self.network_changes(within=pause):
                    number = 0
                if best.slowest and _trip(best) > 2 * best.slowest:
                    best.session.go_away()  # it was quick while it was looked at
                elif (now := link.best()) is not None and link.is_used(loop.time()):
                    await self._look(link, self._nearby if number else self._everywhere, now.route.candidate.kind)
                    number += 1
        finally:
            del self._looking[link]

    async def _look(self, link: Link, dialer: Dialer, kind: PathKind) -> None:
        """Look for something better than that kind."""
        label = link.label
        try:
            async with aclosing(dialer.routes(label.key_hash, better_than=kind)) as routes:
                async for route in routes:
                    if route.protocol != "hardline/2":
                        route.tls.abort()
                        continue
                    try:
                        path = await self._begin(route, label)
                    except BaseException:
                        route.tls.abort()
                        raise
                    if await self.is_good(link, path):
                        return
        except HardlineError as failure:
            log.debug("upgrade.failed", service=label.key_hash.short, reason=failure.message)

    async def is_good(self, link: Link, path: Path) -> bool:
        """Whether the direct `path` does what the relayed one did; then that one takes no new streams."""
        session, loop = path.session, asyncio.get_running_loop()
        await path.hello.within(HELLO_WITHIN)
        kind = path.route.candidate.kind
        worse = [one for one in link.paths if one.route.candidate.kind > max(kind, PathKind.DIRECT)]
        if not session.greeted:
            await session.aclose(ConnectionLost("no better path: its host said no hello"))
            return False
        path.slowest = SLOWER * min(map(_trip, worse)) + AND if worse else 0.0
        if worse and _trip(path) > path.slowest:
            await session.aclose(ConnectionLost("no better path: it is much slower"))
            return False
        began, key_hash = loop.time(), link.label.key_hash
        session.closed.add_done_callback(lambda _: self._ended(key_hash, path, began))
        log.event("path.better", service=key_hash.short, via=path.route.candidate.via)
        for one in worse:
            if one.instance == path.instance:  # another host's is kept for when this one is lost
                one.session.go_away()
        return True

    def _ended(self, key_hash: KeyHash, path: Path, began: float) -> None:
        """A direct path is gone: one that broke soon is a reason to wait."""
        now = asyncio.get_running_loop().time()
        if now - began > SOON or path.session.draining or path.session.left:
            return
        trouble = self._troubles.setdefault(key_hash, _Trouble())
        self._troubles.move_to_end(key_hash)
        while len(self._troubles) > _REMEMBERED:
            self._troubles.popitem(last=False)
        trouble.lost = [at for at in trouble.lost if now - at < LATELY] + [now]
        if len(trouble.lost) >= 2:
            trouble.until, trouble.rest = now + trouble.rest, min(2 * trouble.rest, RESTS_AT_MOST)
            trouble.lost.clear()


def _trip(path: Path) -> float:
    """Seconds to the host and back, as far as is known."""
    steps = path.route.steps
    # A relay's own connection takes less, and what was punched has none that could be measured.
    kind = path.route.candidate.kind
    first = steps.hello if kind in (PathKind.RELAYED, PathKind.PUNCHED) else steps.tcp
    return path.session.round_trip or first or 0.0
