"""A host's control connection to one relay, kept as long as the host wants to be reached there.

    connect ─▶ TLS (PSK of the relay's own name) ─▶ hello ─▶ welcome ─▶ register … ─▶ pings
                                      invite ─▶ another connection: HARDLINE-JOIN ─▶ a visitor's TCP stream

Whatever breaks is tried again, after 0.2 s, then ever later up to 8.  What a relay says is a stranger's word: for which
service a visitor comes follows from the registration alone.  Source: docs/PROTOCOL.md, sections 9.2 to 9.4.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hardline import log
from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.identity import KeyHash, utc_day
from hardline.proof import Prover
from hardline.relay.dial import RelayDialer
from hardline.relay.greeting import Heard, greet
from hardline.relay.handles import handle_of
from hardline.relay.lines import Line, Verb, encode_line, read_line
from hardline.relay.messages import (
    Bye,
    Drain,
    Hello,
    Invite,
    Kind,
    Leave,
    Message,
    Ping,
    Pong,
    Refused,
    Register,
    Registered,
    Tokens,
    Unregister,
    Welcome,
    Why,
    encode,
    parse_go,
)
from hardline.relay.opening import CONTROL
from hardline.relay.proofs import NODE, prove_registration
from hardline.routes import Endpoint, RelayAddress
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.contexts import visitor_context
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream

if TYPE_CHECKING:
    from hardline.relay.needed import Need

CONNECT_WITHIN = 5.0  # seconds from the first packet to the relay's welcome
PING_AFTER, PONG_WITHIN = 20.0, 3.0  # seconds of silence, ± 10 %; and for the answer
JOIN_WITHIN = 10.0  # seconds that an invite is good for
MAX_PARKED = 4  # joins that are ready, whatever a relay wants
MAX_UNREAD = 1024  # lines for a relay that does not read
PARKED_IDLE = 20  # seconds after which the kernel keeps one alive: routers forget after 30
MAX_JOINS = 64  # under way at once
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 8.0  # seconds, ± 20 %
TEST_AGAIN, TEST_AGAIN_AT_MOST = 2.0, 60.0  # seconds after a visit of our own that failed
REPLACED_FOR = 300.0  # seconds: two that replace each other for ever would serve nobody
LASTS = 60.0  # seconds after which a connection counts as one that worked
RETRY_AT_LEAST, RETRY_AT_MOST = 5.0, 3600.0  # seconds, whatever a relay that refuses says


@dataclass(frozen=True, slots=True)
class Joined:
    """A visitor's connection that a relay brought: whence it says that he comes, for which service, and which handle he
    says, empty where he says what he would say anywhere; `saw` is where the relay sees our end, None if it did not."""

    tcp: TcpStream
    source: Endpoint
    service: KeyHash
    name: str
    relay: Endpoint
    saw: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A name to be found by: who proves it, for which service; a NAMED one is the service's own."""

    service: KeyHash
    prover: Prover
    kind: Kind = Kind.HANDLE
    instance: str = ""
    legacy: bool = False


@dataclass(slots=True)
class _Registration:
    wanted: Wanted
    name: str
    registered: bool = False
    tested: bool = False

    @property
    def service(self) -> KeyHash:
        return self.wanted.service

    def is_still(self, wanted: Wanted | None) -> bool:
        """Whether it is what is wanted under its name now."""
        mine = self.wanted
        return wanted is not None and (mine.kind, mine.instance, mine.legacy) == (
            wanted.kind,
            wanted.instance,
            wanted.legacy,
        )

    @property
    def joined_as(self) -> str:
        """What its visitors say there; empty for what they say anywhere."""
        return "" if self.wanted.kind is Kind.NAMED else self.name


class RelayClient:
    """One relay.  `run` until cancelled.

    `me` is who this node is; `wanted` are the names to be found by there, of each service the newest first; `joined`
    gets the visitors; `changed` is called when those that were tested are others than before, `drains` when the relay
    is going to stop; `dialer` makes connections to it; without `need` it is always needed.
    """

    def __init__(
        self,
        relay: RelayAddress,
        me: Callable[[], Prover],
        wanted: Callable[[], Sequence[Wanted]],
        joined: Callable[[Joined], None],
        changed: Callable[[], None],
        *,
        clock: Callable[[], float],
        dialer: RelayDialer | None = None,
        drains: Callable[[Endpoint], None] = lambda relay: None,
        greets: Callable[[], None] = lambda: None,
        need: Need | None = None,
    ) -> None:
        self.relay, self.need = relay, need
        self._drains, self._greets = drains, greets
        self._dialer = dialer or RelayDialer(relay.endpoint)
        self.endpoints: tuple[Endpoint, ...] = (relay.endpoint,)  # that visitors are told
        self._me, self._wanted, self._joined, self._changed = me, wanted, joined, changed
        self._clock = clock
        self._context, self._as_visitor = visitor_context(protocol=CONTROL.encode()), visitor_context()
        self._tasks, self._connected = TaskSet("relay"), TaskSet("relay")  # the second for a connection's time
        self._joins = 0
        self._parked = set[str]()
        self._retry: asyncio.TimerHandle | None = None
        self._unread = 0  # lines that the relay did not read yet, at least
        self._registrations: dict[int, _Registration] = {}
        self._next = 1
        self._tls: TlsStream | None = None
        self._again = asyncio.Event()  # do not wait for the next attempt
        self._said_who = self._greeted = False
        self.state = "connecting"  # or idle, registered, refused, draining, not needed
        self.problem = ""
        self.since = self._clock()
        self.saw = ""
        self.local: Endpoint | None = None  # where the connection begins here; None for none, or a proxy's
        self.contact = ""

    def name_of(self, service: KeyHash) -> str:
        """The newest handle by which visitors find a service there now; empty for none."""
        return next((one.joined_as for one in self._found(service) if one.joined_as), "")

    def is_named(self, service: KeyHash) -> bool:
        """Whether they find it there by its own name."""
        return any(not one.joined_as for one in self._found(service))

    def _found(self, service: KeyHash) -> list[_Registration]:
        if self.state != "registered":
            return []
        return [one for one in self._registrations.values() if one.tested and one.service == service]

    @property
    def seen(self) -> Endpoint | None:
        """Where the relay sees this node now, by its own word."""
        return _address(self.saw) if self._greeted else None

    @property
    def registered(self) -> int:
        """How many names are."""
        return sum(one.registered for one in self._registrations.values())

    @property
    def tested(self) -> int:
        """By how many of them this host has been visited by itself."""
        return sum(one.tested for one in self._registrations.values())

    def services_changed(self) -> None:
        """Others are wanted than before, or under other names."""
        self._again.set()
        if self._greeted and self._tls is not None:
            with contextlib.suppress(ConnectionLost):  # who reads there hears of it, too
                self._register(self._tls)

    async def run(self) -> None:
        """Be registered there, until cancelled."""
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
        try:
            while True:
                while not self._wanted():
                    self._becomes("idle")
                    await self._again.wait()
                    self._again.clear()
                if self.need is not None:
                    await self.need.connects()
                began, wait = loop.time(), 0.0
                try:
                    await self._once()
                    problem = "the relay ended the connection"
                except TimeoutError:
                    problem = "no answer"
                except (OSError, HardlineError) as failure:
                    problem = str(failure).lower() if isinstance(failure, HardlineError) else _in_words(failure)
                    wait = failure.wait if isinstance(failure, _Later) else 0.0
                if self.need is not None and self.need.is_over:
                    self._is_left("" if self.need.rests else problem)
                else:
                    self._is_lost(problem, refused=bool(wait))
                if loop.time() - began >= LASTS:
                    pause = FIRST_PAUSE
                self._again.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(wait, pause * random.uniform(0.8, 1.2))):
                        await self._again.wait()
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            if self._retry is not None:
                self._retry.cancel()
            await self._tasks.aclose()

    def network_changed(self) -> None:
        """This machine is in another network: the connection may be worth nothing now."""
        self._again.set()
        if self.need is not None:
            self.need.network_changed()
        if self._tls is not None:
            self._tls.abort()

    def _is_left(self, problem: str) -> None:
        """The relay is not needed, so nothing is lost with the connection; a `problem` is why it cannot be asked."""
        had = self.registered or self.state != _NOT_NEEDED
        self._forget()
        self._becomes(_NOT_NEEDED, problem)
        if had:
            self._changed()

    def _forget(self) -> None:
        self._dialer.forget()
        self._registrations.clear()
        self._greeted = self._said_who = False

    def _is_lost(self, problem: str, *, refused: bool) -> None:
        had = self.registered
        self._forget()
        if problem != self.problem or had:
            log.event("relay.lost", relay=self.relay.endpoint, reason=problem)
        self._becomes("refused" if refused else "connecting", problem)
        if had:
            self._changed()

    def _becomes(self, state: str, problem: str = "") -> None:
        if (state, problem) != (self.state, self.problem):
            self.state, self.problem, self.since = state, problem, self._clock()

    async def _once(self) -> None:
        """One connection, to its end."""
        tls: TlsStream | None = None
        try:
            async with asyncio.timeout(CONNECT_WITHIN) as limit:
                stream = await self._dialer.connect()
                local = stream.local if self._dialer.through is None else None
                self._tls, lines, welcome = await greet(stream, self.relay.key_hash, self._clock())
                tls = self._tls
                tls.keep_alive()
                self.local = local
                self._heard(tls, welcome)
                limit.reschedule(None)
            if self.need is not None:
                asking = self.need.run(
                    lambda message: self._say(tls, message),
                    register=lambda: self._is_needed(tls),
                    withdraw=self._is_not_needed,
                    end=tls.close_soon,
                )
                self._connected.start(asking, "need")
            await self._listen(tls, lines)
        finally:
            self._tls = self.local = None
            if tls is not None:
                tls.abort()
            await self._connected.aclose()
            self._parked.clear()

    async def _listen(self, tls: TlsStream, lines: Heard) -> None:
        asked = 0
        while True:
            try:
                async with asyncio.timeout(PING_AFTER * random.uniform(0.9, 1.1)):
                    message = await lines.next()
                self._heard(tls, message)
                continue
            except TimeoutError:
                asked = (asked + 1) & 0xFFFFFFFF
            self._say(tls, Ping(asked))
            try:
                async with asyncio.timeout(PONG_WITHIN):
                    self._heard(tls, await lines.next())
            except TimeoutError:
                raise ConnectionLost("the relay fell silent") from None

    def _say(self, tls: TlsStream, message: Message) -> None:
        """Raises ConnectionLost, also for a relay that does not read."""
        self._unread = self._unread + 1 if tls.blocked else 0
        if self._unread > MAX_UNREAD:
            raise ConnectionLost("the relay does not read")
        tls.put(encode(message))

    def _heard(self, tls: TlsStream, message: Message | None) -> None:
        match message:
            case Welcome() if self._greeted:
                raise PeerError("the relay says welcome once more")
            case Welcome():
                self._greeted = True
                self.saw, self.contact = message.saw, message.contact
                self._greets()
                if self.need is not None:
                    self.need.begin(message.saw)
                if self.need is None or self.need.registers:
                    self._is_needed(tls)
            case Registered(number, name) if (one := self._registrations.get(number)) is not None:
                if name != one.name:
                    raise PeerError("the relay registered another name")
                if not one.registered:
                    self._is_registered(tls, one)
            case Refused(number, why, retry) if number in self._registrations:
                self._is_refused(tls, self._registrations.pop(number), why, retry)
            case Invite():
                self._invited(tls, message)
            case Tokens(tokens):
                for token in tokens[:MAX_PARKED]:
                    if len(self._parked) < MAX_PARKED and token not in self._parked:
                        self._parked.add(token)
                        self._connected.start(self._park(tls, token), "park")
            case Ping(value):
                self._say(tls, Pong(value))
            case Drain() if self.state == "draining":
                pass
            case Drain():
                self._becomes("draining", "the relay is going to stop")
                log.event("relay.draining", relay=self.relay.endpoint)
                self._changed()
                self._drains(self.relay.endpoint)
            case Bye(why):
                if why is Leave.REPLACED:
                    raise _Later("another node with the same secrets is registered there", REPLACED_FOR)
                raise ConnectionLost("the relay said idle" if why is Leave.IDLE else "the relay is stopping")
            case _:
                pass

    # Registrations.

    def _register(self, tls: TlsStream) -> None:
        if self.need is not None and not self.need.registers:
            return
        wanted = {handle_of(one.prover): one for one in self._wanted()}
        gone = [number for number, one in self._registrations.items() if not one.is_still(wanted.get(one.name))]
        for number in gone:
            del self._registrations[number]
            self._say(tls, Unregister(number))
        there = {one.name for one in self._registrations.values()}
        for name, one in wanted.items():
            if name not in there:
                number, self._next = self._next, self._next % 0x7FFFFFFF + 1
                self._registrations[number] = _Registration(one, name)
                proof = prove_registration(one.prover, tls.exporter(NODE))
                register = Register(number, one.kind, proof, instance=one.instance, legacy=one.legacy)
                self._say(tls, register)
        if not wanted and self.state != _NOT_NEEDED:
            self._becomes("registered")
        if gone:
            self._changed()

    def _is_needed(self, tls: TlsStream) -> None:
        """Be registered, and have others told."""
        if self.state == _NOT_NEEDED:
            self._becomes("registered" if self.registered else "connecting")
            self._changed()
        self._register(tls)

    def _is_not_needed(self) -> None:
        """Have nobody told any more, and those who came by it go another way."""
        if self.state not in ("draining", _NOT_NEEDED):
            self._becomes(_NOT_NEEDED)
            self._changed()
            self._drains(self.relay.endpoint)

    def _is_registered(self, tls: TlsStream, one: _Registration) -> None:
        one.registered = True
        self._connected.start(self._test(tls, one), "test")
        if self.state not in ("draining", _NOT_NEEDED):
            if self.state != "registered":
                log.event("relay.registered", relay=self.relay.endpoint)
            self._becomes("registered")

    async def _test(self, tls: TlsStream, one: _Registration) -> None:
        """Visit it by the relay, as others will: nobody is told of a way that does not lead here."""
        pause = TEST_AGAIN
        while self._tls is tls and one in self._registrations.values():
            try:
                async with asyncio.timeout(JOIN_WITHIN):
                    stream = await self._dialer.connect()
                    said = one.joined_as or one.service.rolling(utc_day(self._clock()))
                    visit = await TlsStream.over(stream, self._as_visitor, said, target=one.service)
                visit.abort()
                one.tested = True
                if self.state == "registered":
                    self._becomes(self.state)
                self._changed()
                return
            except (OSError, HardlineError, TimeoutError) as failure:
                reason = str(failure) or "no answer"
                self._becomes(self.state, f"a visit of our own did not get through: {reason}")
                log.event("relay.not_reached", relay=self.relay.endpoint, service=one.service.short, reason=reason)
            await asyncio.sleep(pause)
            pause = min(2 * pause, TEST_AGAIN_AT_MOST)

    def _is_refused(self, tls: TlsStream, one: _Registration, why: Why, retry: int) -> None:
        if why is Why.ALLOW and not self._said_who:
            # Without it a relay that serves everybody never learns who comes.
            self._said_who = True
            self._registrations.clear()
            self._greeted = False
            self._say(tls, Hello(self._me().prove(NODE, tls.exporter(NODE))))
            return
        wait = min(max(float(retry), RETRY_AT_LEAST), RETRY_AT_MOST)
        if why is Why.ALLOW:
            raise _Later("the relay does not serve this node", wait)
        log.event("relay.refused", relay=self.relay.endpoint, service=one.service.short, reason=why.value)
        self._becomes(self.state, f"the relay refused a service: {why.value}")
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(wait, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self.services_changed()

    # Visitors.

    def _invited(self, tls: TlsStream, invite: Invite) -> None:
        one = self._registrations.get(invite.number)
        if one is None or not one.registered or self._joins >= MAX_JOINS:
            log.debug("relay.invite_ignored", relay=self.relay.endpoint)
            return
        self._joins += 1
        self._tasks.start(self._join(tls.peer, invite, one), "join")

    async def _park(self, tls: TlsStream, token: str) -> None:
        """Have a connection there, so that a visitor need not wait for it."""
        stream: TcpStream | None = None
        try:
            async with asyncio.timeout(JOIN_WITHIN):
                stream = await self._dialer.connect()
                tcp.keep_alive(stream.transport.get_extra_info("socket"), idle=PARKED_IDLE)
                await stream.send(encode_line(Verb.PARK, token))
            line = await _first_line(stream)
            if line.verb is not Verb.GO:
                raise PeerError("a parked join was not taken")
            go = parse_go(line.rest)
            one = self._registrations.get(go.number)
            if one is None or not one.registered or self._tls is not tls:
                raise PeerError("a visitor of nothing that is registered")
            self._is_joined(stream, one, go.source, go.saw, tls.peer)
            stream = None
        except (OSError, HardlineError, TimeoutError) as failure:
            log.debug("relay.park_failed", relay=self.relay.endpoint, reason=str(failure) or "no answer")
        finally:
            self._parked.discard(token)
            if stream is not None:
                stream.abort()

    async def _join(self, relay: Endpoint, invite: Invite, one: _Registration) -> None:
        stream: TcpStream | None = None
        try:
            async with asyncio.timeout(JOIN_WITHIN):
                stream = await self._dialer.connect()
                await stream.send(encode_line(Verb.JOIN, invite.token))
                line = await _first_line(stream)
            if line.verb is not Verb.OK:
                raise PeerError("the visitor has left")
            self._is_joined(stream, one, invite.source, line.rest, relay)
            stream = None
        except (OSError, HardlineError, TimeoutError) as failure:
            log.debug("relay.join_failed", relay=self.relay.endpoint, reason=str(failure) or "no answer")
        finally:
            self._joins -= 1
            if stream is not None:
                stream.abort()

    def _is_joined(self, stream: TcpStream, one: _Registration, source: str, saw: str, relay: Endpoint) -> None:
        # What a proxy has made says nothing of where we are.
        seen = _address(saw) if self._dialer.through is None else None
        claimed = _address(source) or relay
        self._joined(Joined(stream, claimed, one.service, one.joined_as, self.relay.endpoint, seen))


_NOT_NEEDED = "not needed"


class _Later(HardlineError):
    """Not for `wait` seconds."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


async def _first_line(stream: TcpStream) -> Line:
    """Receive it, and nothing of what comes behind it."""
    said = b""
    while (line := read_line(said)) is None:
        piece = await stream.receive(1 if said[-1:] == b"\r" else 2)
        if not piece:
            raise ConnectionLost("the relay ended the connection")
        said += piece
    return line


def _address(said: str) -> Endpoint | None:
    """What a relay says that it sees; None where that cannot be."""
    try:
        endpoint = Endpoint.parse(said)
    except PeerError:
        return None
    return endpoint if endpoint.address is not None else None


def _in_words(failure: OSError) -> str:
    return (failure.strerror or str(failure)).lower()
