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
from typing import TYPE_CHECKING

from hardline import log
from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.identity import KeyHash, utc_day
from hardline.proof import Prover
from hardline.relay.dial import RelayDialer
from hardline.relay.greeting import Heard, greet
from hardline.relay.handles import handle_of
from hardline.relay.joins import JOIN_WITHIN, Joined, Joins, said_address
from hardline.relay.messages import (
    Bye,
    Dialled,
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
)
from hardline.relay.proofs import NODE, prove_registration
from hardline.relay.wanted import Registration, Wanted
from hardline.routes import Endpoint, RelayAddress
from hardline.tasks import TaskSet
from hardline.transport.contexts import visitor_context
from hardline.transport.tls import TlsStream

if TYPE_CHECKING:
    from hardline.relay.askedback import AskedBack
    from hardline.relay.needed import Need

CONNECT_WITHIN = 5.0  # seconds from the first packet to the relay's welcome
PING_AFTER, PONG_WITHIN = 20.0, 3.0  # seconds of silence, ± 10 %; and for the answer
MAX_UNREAD = 1024  # lines for a relay that does not read
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 8.0  # seconds, ± 20 %
TEST_AGAIN, TEST_AGAIN_AT_MOST = 2.0, 60.0  # seconds after a visit of our own that failed
TESTS_AT_ONCE = 8  # visits of our own: a relay takes so many newcomers of one source and no more
REPLACED_FOR = 300.0  # seconds: two that replace each other for ever would serve nobody
LASTS = 60.0  # seconds after which a connection counts as one that worked
RETRY_AT_LEAST, RETRY_AT_MOST = 5.0, 3600.0  # seconds, whatever a relay that refuses says


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
        self._me, self._wanted, self._changed = me, wanted, changed
        self._clock = clock
        self._as_visitor = visitor_context()
        self._connected = TaskSet("relay")  # for a connection's time
        self._joins = Joins(relay, self._dialer, lambda number: self._registrations.get(number), joined, clock)
        self._testing = asyncio.Semaphore(TESTS_AT_ONCE)
        self._retry: asyncio.TimerHandle | None = None
        self._unread = 0  # lines that the relay did not read yet, at least
        self._registrations: dict[int, Registration] = {}
        self._refused: dict[tuple[KeyHash, str], Why] = {}  # public ports, and domains by name
        self._next = 1
        self._tls: TlsStream | None = None
        self._again = asyncio.Event()  # do not wait for the next attempt
        self._said_who = self._greeted = False
        self._asked_back: AskedBack | None = None
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

    def _found(self, service: KeyHash) -> list[Registration]:
        if self.state != "registered":
            return []
        return [one for one in self._registrations.values() if one.tested and one.service == service]

    def port_of(self, service: KeyHash) -> int | Why | None:
        """The public port that a service has there, or why it has none; None where that is not known."""
        for one in self._registrations.values():
            if one.public and one.registered and one.service == service:
                return one.port
        return self._refused.get((service, ""))

    def has_domain(self, service: KeyHash, domain: str) -> bool | Why:
        """Whether visitors of a domain are brought to a service by it, or why not; False where that is not known."""
        found = (one for one in self._registrations.values() if one.domain == domain and one.service == service)
        return any(one.registered for one in found) or self._refused.get((service, domain), False)

    @property
    def inside_tls(self) -> bool:
        """Whether joins go there inside TLS, because nothing else passes."""
        return self._joins.inside_tls

    @property
    def seen(self) -> Endpoint | None:
        """Where the relay sees this node now, by its own word."""
        return said_address(self.saw) if self._greeted else None

    @property
    def registered(self) -> int:
        """How many names are by which services are visited."""
        return sum(one.registered and one.by_name for one in self._registrations.values())

    @property
    def tested(self) -> int:
        """By how many of them this host has been visited by itself."""
        return sum(one.tested for one in self._registrations.values())

    async def dial_back(self, asking: AskedBack, port: int) -> bool | None:
        """Have the relay connect to `port` of this node, whether or not it is needed: as AskedBack.comes.

        Raises ConnectionLost where there is no connection to it.
        """
        if (tls := self._tls) is None or not self._greeted:
            raise ConnectionLost("there is no connection to the relay")
        self._asked_back = asking
        try:
            return await asking.comes(port, lambda message: self._say(tls, message))
        finally:
            self._asked_back = None

    def services_changed(self) -> None:
        """Others are wanted than before, or under other names."""
        self._again.set()
        if self.need is not None:
            self.need.look_again()
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
                    await self.need.connects(unless=self._wants_listed)
                began, wait = loop.time(), 0.0
                try:
                    await self._once()
                    problem = "the relay ended the connection"
                except TimeoutError:
                    problem = "no answer"
                except (OSError, HardlineError) as failure:
                    problem = _in_words(failure)
                    wait = failure.wait if isinstance(failure, _Later) else 0.0
                if self.need is not None and self.need.is_over:
                    self._is_left("" if self.need.rests else problem)
                else:
                    self._is_lost(problem, refused=bool(wait))
                if loop.time() - began >= LASTS:
                    pause = FIRST_PAUSE
                self._again.clear()
                waits = max(wait, pause * random.uniform(0.8, 1.2))
                log.debug("relay.waits", relay=self.relay.endpoint, reason=problem, pause_s=round(waits, 3))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(waits):
                        await self._again.wait()
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            if self._retry is not None:
                self._retry.cancel()
            await self._joins.aclose()

    def network_changed(self) -> None:
        """This machine is in another network: the connection may be worth nothing now."""
        self._again.set()
        self._joins.network_changed()
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
        self._refused.clear()
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
                self._connected.start(self._ask(tls, self.need), "need")
            await self._listen(tls, lines)
        finally:
            self._tls = self.local = None
            if tls is not None:
                tls.abort()
            await self._connected.aclose()
            await self._joins.part()

    async def _ask(self, tls: TlsStream, need: Need) -> None:
        """Whether the relay is needed.  For a public port the connection stays even where it is not."""
        over = asyncio.Event()
        while True:
            await need.run(
                lambda message: self._say(tls, message),
                register=lambda: self._is_needed(tls),
                withdraw=self._is_not_needed,
                end=over.set,
            )
            if not over.is_set():
                return
            over.clear()
            if self._wants_listed():
                need.registers = False
                with contextlib.suppress(ConnectionLost):  # who listens there hears of it, too
                    self._register(tls)
                if self.state != _NOT_NEEDED:
                    self._becomes(_NOT_NEEDED)
                await need.connects(unless=lambda: not self._wants_listed())
            if not self._wants_listed():
                tls.close_soon()
                return
            need.begin(self.saw, stands=True)

    def _wants_listed(self) -> bool:
        return any(one.kind in _BY_LIST for one in self._wanted())

    async def _listen(self, tls: TlsStream, lines: Heard) -> None:
        """It asks however much it hears: a relay that brings visitor after visitor hears nothing else of it."""
        loop, asked = asyncio.get_running_loop(), 0
        while True:
            ask_at = loop.time() + PING_AFTER * random.uniform(0.9, 1.1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(ask_at):
                    while True:
                        self._heard(tls, await lines.next())
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
            tls.abort()  # or who listens there would wait for a relay that will never hear of what is wanted
            raise ConnectionLost("the relay does not read")
        tls.put(encode(message))

    def _heard(self, tls: TlsStream, message: Message | None) -> None:
        match message:
            case Welcome() if self._greeted:
                raise PeerError("the relay says welcome once more")
            case Welcome() if not self._said_who and self._wants_listed():
                if self.need is not None:
                    self.need.begin(message.saw, stands=True)
                self._say_who(tls)
            case Welcome():
                self._greeted = True
                self.saw, self.contact = message.saw, message.contact
                self._greets()
                if self.need is not None:
                    self.need.begin(message.saw, stands=self._wants_listed())
                if self.need is None or self.need.registers:
                    self._is_needed(tls)
                else:
                    self._register(tls)
            case Registered(number, name, at) if (one := self._registrations.get(number)) is not None:
                if name != one.name:
                    raise PeerError("the relay registered another name")
                if one.public:
                    port = Endpoint.parse(at).port
                    if not one.registered:
                        log.event("relay.port", relay=self.relay.endpoint, service=one.service.short, port=port)
                    one.port, one.registered = port, True
                    self._refused.pop((one.service, ""), None)
                    if self.need is None or self.need.registers:
                        self._is_served()
                elif one.domain:
                    if not one.registered:
                        log.event("relay.domain", relay=self.relay.endpoint, name=one.domain)
                    one.registered = True
                    self._refused.pop((one.service, one.domain), None)
                    if self.need is None or self.need.registers:
                        self._is_served()
                    self._changed()
                elif not one.registered:
                    self._is_registered(tls, one)
            case Refused(number, why, retry) if number in self._registrations:
                self._is_refused(tls, self._registrations.pop(number), why, retry)
            case Invite():
                self._joins.invited(tls.peer, message)
            case Tokens(tokens):
                self._joins.park(tls.peer, tokens)
            case Ping(value):
                self._say(tls, Pong(value))
            case Dialled(name):
                for asking in (self.need, self._asked_back):
                    if asking is not None:
                        asking.dialled(name)
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
        # Nobody reaches a public port in another way than by the relay that has it.
        all_of_them = self.need is None or self.need.registers
        wanted = {handle_of(one.prover): one for one in self._wanted() if all_of_them or one.kind in _BY_LIST}
        gone = [number for number, one in self._registrations.items() if not one.is_still(wanted.get(one.name))]
        for number in gone:
            del self._registrations[number]
            self._say(tls, Unregister(number))
        there = {one.name for one in self._registrations.values()}
        for name, one in wanted.items():
            if name not in there:
                number, self._next = self._next, self._next % 0x7FFFFFFF + 1
                self._registrations[number] = Registration(one, name)
                proof = prove_registration(one.prover, tls.exporter(NODE))
                self._say(tls, Register(number, one.kind, proof, one.domain, one.instance, one.legacy, one.port))
        if not wanted and all_of_them and self.state != _NOT_NEEDED:
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

    def _is_registered(self, tls: TlsStream, one: Registration) -> None:
        one.registered = True
        self._connected.start(self._test(tls, one), "test")
        self._is_served()

    def _is_served(self) -> None:
        if self.state not in ("draining", _NOT_NEEDED):
            if self.state != "registered":
                log.event("relay.registered", relay=self.relay.endpoint)
            self._becomes("registered")

    async def _test(self, tls: TlsStream, one: Registration) -> None:
        """Visit it by the relay, as others will: nobody is told of a way that does not lead here."""
        pause = TEST_AGAIN
        while self._tls is tls and one in self._registrations.values():
            try:
                async with self._testing, asyncio.timeout(JOIN_WITHIN):
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

    def _is_refused(self, tls: TlsStream, one: Registration, why: Why, retry: int) -> None:
        if why is Why.ALLOW and not self._said_who:
            # Without it a relay that serves everybody never learns who comes.
            self._registrations.clear()
            self._greeted = False
            self._say_who(tls)
            return
        wait = min(max(float(retry), RETRY_AT_LEAST), RETRY_AT_MOST)
        listed = one.public or bool(one.domain)
        told = listed and self._refused.get((one.service, one.domain)) is why
        if listed:
            self._refused[one.service, one.domain] = why
        elif why is Why.ALLOW:
            raise _Later("the relay does not serve this node", wait)
        if not told:
            log.event("relay.refused", relay=self.relay.endpoint, service=one.service.short, reason=why.value)
        self._becomes(self.state, f"the relay refused a service: {why.value}")
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(wait, self._try_again)

    def _say_who(self, tls: TlsStream) -> None:
        self._said_who = True
        self._say(tls, Hello(self._me().prove(NODE, tls.exporter(NODE))))

    def _try_again(self) -> None:
        self._retry = None
        self.services_changed()


_NOT_NEEDED = "not needed"
_BY_LIST = (Kind.PORT, Kind.DOMAIN)  # whose nodes the relay's owner names


class _Later(HardlineError):
    """Not for `wait` seconds."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


def _in_words(failure: OSError | HardlineError) -> str:
    """For people, within a sentence: only the beginning is small, since names of settings are not."""
    said = failure.strerror or str(failure) if isinstance(failure, OSError) else str(failure)
    return said[:1].lower() + said[1:]
