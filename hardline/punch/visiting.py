"""A visitor's half: it answers a host that begins a try, and says TLS on whatever connects.

    control stream ─▶ punch, punch, go ─▶ Ports, and who calls here ──▶ take: TLS, and the session that comes of it

Source: docs/PROTOCOL.md, section 10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from hardline import log
from hardline.addresses import Address, Way
from hardline.errors import HardlineError, PeerError
from hardline.outcome import Outcome
from hardline.punch.hosting import MOST_TOLD_6
from hardline.punch.messages import Go, Punch, Stop, Why
from hardline.punch.plan import Ours, targets
from hardline.punch.ports import WINDOW, Ports
from hardline.punch.talk import Talk
from hardline.routes import Endpoint
from hardline.session.stream import Stream
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream

GO_WITHIN = 5.0  # seconds
MOST_AT_ONCE = 2  # tries of this visitor


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to come of the tries of one session, whose connection to the relay begins at `local`.

    `wanted` says whether there is to be one now, and gets the addresses at which both sides are seen; `take` makes a
    session with what connected, by the name that is said there, and says whether it is a better path; `over` is called
    after each try, with why nothing came of it, or "".
    """

    local: Endpoint
    wanted: Callable[[frozenset[str]], bool]
    take: Callable[[TcpStream, str], Awaitable[bool]]
    over: Callable[[str], None]


class VisitorPunches:
    """All of a visitor's.

    `addresses_6` are the public IPv6 addresses of this machine, `open_at` where the world can connect to it, `way_to`
    how it would send to an address; `expect` has those who connect there and say a name brought to a callback, for so
    many seconds.
    """

    def __init__(
        self,
        addresses_6: Callable[[], Sequence[str]],
        open_at: Callable[[], Sequence[Endpoint]],
        way_to: Callable[[Address], Way],
        expect: Callable[[str, Callable[[TcpStream], None], float], None],
    ) -> None:
        self._addresses_6, self._open_at, self._way_to, self._expect = addresses_6, open_at, way_to, expect
        self._tasks = TaskSet("punches")
        self._under_way = 0

    def begin(self, stream: Stream, wish: Wish) -> None:
        """The host has opened a control stream."""
        self._tasks.start(self._converse(Talk(stream), wish), "visitor")

    async def aclose(self) -> None:
        """End everything."""
        await self._tasks.aclose()

    async def _converse(self, talk: Talk, wish: Wish) -> None:
        try:
            while True:
                match await talk.next():
                    case Punch() as theirs if theirs.name:
                        wish.over(await self._answer(talk, theirs, wish))
                    case Stop():
                        pass
                    case _:
                        raise PeerError("something else than a try")
        except (OSError, HardlineError, TimeoutError) as failure:
            reason = str(failure) or "no answer"
            log.debug("punch.ended", reason=reason)
            wish.over(f"punching: {reason}")
        finally:
            talk.close()

    async def _answer(self, talk: Talk, theirs: Punch, wish: Wish) -> str:
        """Take part in a try, and say why nothing came of it, "" if something did."""
        seen = frozenset(one.host for one in (*theirs.at, *((theirs.you,) if theirs.you else ())))
        if not wish.wanted(seen) or self._under_way >= MOST_AT_ONCE:
            await talk.say(Stop(theirs.number, Why.OFF))
            return "punching: not now"
        self._under_way += 1
        try:
            return await self._try(talk, theirs, wish)
        finally:
            self._under_way -= 1

    async def _try(self, talk: Talk, theirs: Punch, wish: Wish) -> str:
        sixes, enough, tasks = self._addresses_6()[:MOST_TOLD_6], Outcome(), TaskSet("punches")
        ports = Ports.open(wish.local, also_6=bool(sixes))

        def opened(tcp: TcpStream) -> None:
            if enough.done():
                tcp.abort()
            else:
                tasks.start(_take(tcp, theirs.name, wish, enough), "take")

        try:
            you = (theirs.you,) if theirs.you is not None else ()
            own = (Endpoint(one, ports.port(6)) for one in sixes if ":" not in wish.local.host)
            lan = (wish.local,) if theirs.lan else ()
            open_at = tuple(one for one in self._open_at() if theirs.you is not None and one.host == theirs.you.host)
            if open_at:
                self._expect(theirs.name, opened, GO_WITHIN + WINDOW)
            await talk.say(Punch(theirs.number, (*own, *you), lan, open_at[:2]))
            async with asyncio.timeout(GO_WITHIN):
                await _go(talk, theirs.number)
            whom = targets(theirs, Ours(theirs.you, ports.families), self._way_to)
            await ports.punch(whom, opened, enough)
            if not enough.done() and tasks:
                await asyncio.sleep(WINDOW / 2)  # one connected late
        finally:
            ports.close()
            await tasks.aclose()
        return "" if enough.done() else f"punching: {len(whom)} addresses tried, and nothing came through"


async def _take(tcp: TcpStream, name: str, wish: Wish, enough: Outcome) -> None:
    try:
        if await wish.take(tcp, name):
            enough.settle()
    except BaseException:
        tcp.abort()
        raise


async def _go(talk: Talk, number: int) -> None:
    match await talk.next():
        case Go(said) if said == number:
            return
        case _:
            raise PeerError("something else than the beginning of a try")
