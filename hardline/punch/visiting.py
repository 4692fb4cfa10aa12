"""A visitor's half: it answers a host that begins a try, and says TLS on whatever connects.

    control stream ─▶ punch, punch, go ─▶ Ports, and who calls here ──▶ take: TLS, and the session that comes of it

Source: docs/PROTOCOL.md, section 10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from hardline import log
from hardline.addresses import Address, Way
from hardline.errors import HardlineError, PeerError
from hardline.outcome import Outcome
from hardline.punch.limits import OF_A_HOST, Tries
from hardline.punch.messages import Again, Go, Punch, Stop, Why
from hardline.punch.plan import Ours, targets
from hardline.punch.ports import WINDOW, Ports
from hardline.punch.talk import Talk
from hardline.routes import Endpoint
from hardline.session.controlstream import ControlStream
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream

GO_WITHIN = 5.0  # seconds
AGAIN_AFTER = 10.0  # seconds until another try is asked for, where there was no place for this one
AT_LEAST = 9.0  # seconds between two tries in one session
LATE = 1.0  # seconds after a window in which what connected at its end may still prove itself
MOST_AT_ONCE = 2  # tries of this visitor
MOST_WAITS = 6  # times that another one is asked for


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to come of the tries of one session with a `host`, whose connection to the relay begins at `local`.

    `wanted` says whether there is to be one now, and gets the addresses at which both sides are seen; `take` makes a
    session with what connected, by the name that is said there, and says whether it is a better path; `over` is called
    after each try, with why nothing came of it, or "", and whether it was tried at all.
    """

    host: str
    local: Endpoint
    wanted: Callable[[frozenset[str]], bool]
    take: Callable[[TcpStream, str], Awaitable[bool]]
    over: Callable[[str, bool], None]


@dataclass(frozen=True, slots=True)
class Here:
    """What is known of this machine: its public IPv6 addresses, where the world can connect to it, and the addresses
    that others than the host itself have seen it at; `way_to` is how it would send to an address."""

    addresses_6: Callable[[], Sequence[str]]
    open_at: Callable[[], Sequence[Endpoint]]
    seen_at: Callable[[], Collection[str]]
    way_to: Callable[[Address], Way]


class Expects(Protocol):
    """Brings those who call here to who waits for them."""

    def __call__(self, name: str, take: Callable[[TcpStream], None], seconds: float) -> None:
        """`take` gets the first who calls and says `name`, for so many seconds."""
        ...


class VisitorPunches:
    """All of a visitor's.  `expect` and `forget` are for those who call here, by the name that they say."""

    def __init__(self, here: Here, expect: Expects, forget: Callable[[str], None]) -> None:
        self._here, self._expect, self._forget = here, expect, forget
        self._tasks = TaskSet("punches")
        self._tries = Tries(OF_A_HOST)
        self._under_way: set[_Place] = set()

    def begin(self, control: ControlStream, wish: Wish) -> None:
        """The host has opened a `control` stream, which nobody has read from yet."""
        self._tasks.start(self._converse(Talk(control), wish), "visitor")

    async def aclose(self) -> None:
        """End everything."""
        await self._tasks.aclose()

    async def _converse(self, talk: Talk, wish: Wish) -> None:
        loop, last, waits = asyncio.get_running_loop(), -AT_LEAST, 0
        try:
            while True:
                match await talk.next():
                    case Punch() as theirs if theirs.name:
                        now = loop.time()
                        if not wish.wanted(_seen(theirs)) or now - last < AT_LEAST:
                            await talk.say(Stop(theirs.number, Why.OFF))
                            wish.over("punching: not again so soon", False)
                        elif (place := self._place(wish.host)) is None:
                            await talk.say(Stop(theirs.number, Why.OFF))
                            waits += 1
                            if waits > MOST_WAITS:
                                wish.over("punching: too much of it is under way", False)
                                continue
                            await asyncio.sleep(AGAIN_AFTER)
                            await talk.say(Again())
                        else:
                            last = now
                            talk.when_over(place.leave)
                            try:
                                wish.over(await self._try(talk, theirs, wish, place), True)
                            finally:
                                place.leave()
                    case Stop(_, why):
                        if why is Why.OFF:
                            wish.over("punching: the host has no room for it now", False)
                    case _:
                        raise PeerError("something else than a try")
        except (OSError, HardlineError, TimeoutError) as failure:
            reason = str(failure) or "no answer"
            log.debug("punch.ended", reason=reason)
            if isinstance(failure, PeerError):
                talk.close()
            wish.over(f"punching: {reason}", True)
        finally:
            talk.leave()

    def _place(self, host: str) -> _Place | None:
        """One for a try with `host`; None where there is none now."""
        if len(self._under_way) >= MOST_AT_ONCE or any(one.host == host for one in self._under_way):
            return None
        if not self._tries.may_begin(host, asyncio.get_running_loop().time()):
            return None
        return _Place(host, self._under_way)

    async def _try(self, talk: Talk, theirs: Punch, wish: Wish, place: _Place) -> str:
        """Take part in it, and say why nothing came of it, "" if something did."""
        here, loop = self._here, asyncio.get_running_loop()
        enough, tasks, over = Outcome(), TaskSet("punches"), Outcome()
        enough.then(lambda _: place.leave())
        ports = Ports.open(wish.local, next(iter(here.addresses_6()), ""))

        def opened(tcp: TcpStream) -> None:
            if enough.done() or over.done():
                tcp.abort()
            else:
                tasks.start(_take(tcp, theirs.name, wish, enough), "take")

        try:
            you = (theirs.you,) if theirs.you is not None else ()
            own = tuple(one for one in ports.six if one != wish.local)
            # Not by what the host says alone: it would have us look for whoever it likes in our network.
            beside = any(one.host in here.seen_at() for one in theirs.at)
            lan = (wish.local,) if theirs.lan and beside else ()
            open_at = tuple(one for one in here.open_at() if theirs.you is not None and one.host == theirs.you.host)
            if open_at:
                self._expect(theirs.name, opened, GO_WITHIN + WINDOW)
            await talk.say(Punch(theirs.number, (*own, *you), lan, open_at[:2]))
            async with asyncio.timeout(GO_WITHIN):
                await _go(talk, theirs.number)
            whom = targets(theirs, Ours(ports.families, beside), here.way_to)
            await ports.punch(self._tries.allowed(whom, loop.time()), opened, enough)
            if not enough.done():
                await asyncio.sleep(LATE)  # whatever has connected: the host must not see by the time whether any has
        finally:
            over.settle()
            self._forget(theirs.name)
            ports.close()
            await tasks.aclose()
        if enough.done():
            return ""
        return f"punching: nothing came through from {' or '.join(one.host for one in whom) or 'anywhere'}"


class _Place:
    """One of those that tries of a visitor have, until it is left."""

    def __init__(self, host: str, places: set[_Place]) -> None:
        self.host, self._places = host, places
        places.add(self)

    def leave(self) -> None:
        """Another one may have it.  Idempotent."""
        self._places.discard(self)


def _seen(theirs: Punch) -> frozenset[str]:
    """At which addresses both sides are."""
    return frozenset(one.host for one in (*theirs.at, *((theirs.you,) if theirs.you else ())))


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
