"""A host's half: it begins a try with a visitor who came by a relay, and connects at the same moment as he does.

    a session by a relay ─▶ punch, punch, go ─▶ Ports ──▶ deliver: a visitor whom nobody stands between

Source: docs/PROTOCOL.md, section 10.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from hardline import log
from hardline.addresses import Address, Way
from hardline.errors import HardlineError, PeerError
from hardline.identity import KeyHash
from hardline.outcome import Outcome
from hardline.punch.limits import OF_A_SOURCE, Tries
from hardline.punch.messages import Again, Go, Punch, Stop, Why
from hardline.punch.plan import Ours, reversals, targets
from hardline.punch.ports import Ports
from hardline.punch.talk import Talk
from hardline.routes import Endpoint
from hardline.session.controlstream import ControlStream
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream

FIRST_AFTER = 0.02  # seconds: the visitor's first answer leaves before
ANSWER_WITHIN = 5.0  # seconds
AGAIN_AFTER = 10.0  # seconds between tries in one session
MOST_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Half:
    """Our half of a relayed connection: where it begins here, where the relay sees it, and where it sees the other;
    and `whose` visitor it is, as he is counted."""

    local: Endpoint
    seen: Endpoint
    other: Endpoint
    whose: str


@dataclass(frozen=True, slots=True)
class Punched:
    """A connection with a visitor of `service`, who says `name`; `taken` is settled once he was let in.

    Until then it counts for whoever's try it is: the address may be anybody's.
    """

    tcp: TcpStream
    service: KeyHash
    name: str
    taken: Outcome
    whose: str


class HostPunches:
    """All of a host's.

    `addresses_6` are the public IPv6 addresses of this machine, `way_to` how it would send to an address; `deliver`
    gets what connected; `call` connects to a visitor and says a name there.
    """

    def __init__(
        self,
        addresses_6: Callable[[], Sequence[str]],
        way_to: Callable[[Address], Way],
        deliver: Callable[[Punched], None],
        call: Callable[[Endpoint, str], Awaitable[TcpStream]],
    ) -> None:
        self._addresses_6, self._way_to = addresses_6, way_to
        self._deliver, self._call = deliver, call
        self._tasks = TaskSet("punches")
        self._tries = Tries(OF_A_SOURCE)
        self._under_way = 0

    def begin(self, control: ControlStream, service: KeyHash, half: Half) -> None:
        """A session goes by a relay, and its visitor takes a `control` stream."""
        self._tasks.start(self._converse(Talk(control), service, half), f"host.{service.short}")

    async def aclose(self) -> None:
        """End everything."""
        await self._tasks.aclose()

    async def _converse(self, talk: Talk, service: KeyHash, half: Half) -> None:
        number, loop = 0, asyncio.get_running_loop()
        try:
            await asyncio.sleep(FIRST_AFTER)
            while True:
                number, began = number + 1, loop.time()
                if self._under_way >= MOST_AT_ONCE or not self._tries.may_begin(half.whose, began):
                    await talk.say(Stop(number, Why.OFF))
                else:
                    self._under_way += 1
                    try:
                        await self._try(talk, number, service, half)
                    finally:
                        self._under_way -= 1
                while not isinstance(await talk.next(), Again):
                    pass
                await asyncio.sleep(max(0.0, began + AGAIN_AFTER - loop.time()))
        except (OSError, HardlineError, TimeoutError) as failure:
            log.debug("punch.ended", service=service.short, endpoint=half.other, reason=str(failure) or "no answer")
            if isinstance(failure, PeerError):
                talk.close()
        finally:
            talk.leave()

    async def _try(self, talk: Talk, number: int, service: KeyHash, half: Half) -> None:
        loop, name, beside = asyncio.get_running_loop(), secrets.token_hex(20), half.other.host == half.seen.host
        ports = Ports.open(half.local, next(iter(self._addresses_6()), ""))
        try:
            at = (*(one for one in ports.six if one != half.local), half.seen)
            lan = (half.local,) if beside else ()
            asked = loop.time()
            await talk.say(Punch(number, at, lan, name=name, you=half.other))
            async with asyncio.timeout(ANSWER_WITHIN):
                theirs = await _answer(talk, number)
            if theirs is None:
                return
            took = loop.time() - asked
            await talk.say(Go(number))
            taken = Outcome()

            def opened(tcp: TcpStream) -> None:
                self._deliver(Punched(tcp, service, name, taken, half.whose))

            calls = TaskSet("punches")
            try:
                now = loop.time()
                for endpoint in self._tries.allowed(reversals(theirs, half.other, self._way_to), now):
                    calls.start(self._reverse(endpoint, name, opened), f"call.{endpoint}", expects=Exception)
                await asyncio.sleep(took / 2)
                whom = targets(theirs, Ours(ports.families, beside), self._way_to)
                await ports.punch(self._tries.allowed(whom, now), opened, taken)
            finally:
                await calls.aclose()
        finally:
            ports.close()
        log.debug("punch.tried", service=service.short, endpoint=half.other, connected=taken.done())
        await talk.say(Stop(number, Why.DONE if taken.done() else Why.TIMEOUT))

    async def _reverse(self, endpoint: Endpoint, name: str, opened: Callable[[TcpStream], None]) -> None:
        try:
            opened(await self._call(endpoint, name))
        except (OSError, HardlineError, TimeoutError) as failure:
            log.debug("punch.not_reversed", endpoint=endpoint, reason=str(failure) or "no answer")


async def _answer(talk: Talk, number: int) -> Punch | None:
    """The visitor's; None where he does not want to.  Raises PeerError, ConnectionLost."""
    while True:
        match await talk.next():
            case Punch() as theirs if theirs.number == number:
                return theirs
            case Stop() as stop if stop.number == number:
                return None
            case Again():
                pass
            case _:
                raise PeerError("something else than the answer to a try")
