"""A relay: nodes that nobody can reach register, and their visitors are joined with them.

    node ──control connection──▶ Control ──register──▶ Registry
    visitor ──ClientHello with a name──▶ waits ──invite──▶ node ──HARDLINE-JOIN──▶ Pair: from here on only bytes

It learns a name that means nothing elsewhere, two addresses and how much was said: TLS runs from end to end.
Source: docs/PROTOCOL.md, section 9.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hardline import log
from hardline.allowance import Allowance
from hardline.deadlines import Deadlines
from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.identity import KeyHash, utc_day
from hardline.proof import Prover
from hardline.relay.access import Access
from hardline.relay.control import Control
from hardline.relay.dialback import Dialbacks, is_outside
from hardline.relay.dnsproof import DnsProofs
from hardline.relay.inside import line_bytes, unwrapped
from hardline.relay.limits import RelayLimits
from hardline.relay.lines import BEGINNING, Line, Verb, encode_line, read_line
from hardline.relay.messages import (
    Bye,
    Dialback,
    Drain,
    Go,
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
    Unregister,
    Welcome,
    Why,
    encode_go,
)
from hardline.relay.named import NamedServices
from hardline.relay.opening import CONTROL
from hardline.relay.pair import Pair, sockets_of
from hardline.relay.parking import PARK, Parking
from hardline.relay.pipes import Pipes
from hardline.relay.ports import Ports
from hardline.relay.proofs import NODE, check_registration
from hardline.relay.rates import Rates
from hardline.relay.registry import Registration, Registry
from hardline.relay.visits import DESCRIPTORS_LEFT, Visits, who_leaves
from hardline.routes import Endpoint
from hardline.tasks import TaskSet
from hardline.transport.contexts import front_context
from hardline.transport.descriptors import scarce
from hardline.transport.handshake import Names
from hardline.transport.sources import source_of
from hardline.transport.tcp import TcpStream, keep_alive
from hardline.transport.tls import TlsStream

PING = 20  # seconds of silence after which a node is to ask
SILENT = 60.0  # seconds of silence after which it is gone
ANSWERS_WITHIN = 1.0  # seconds that a parked one has to answer
PROOFS = 1024, 50  # signatures that are checked of a source at once, and in a second
JOIN_WITHIN = 5.0  # seconds that a visitor waits for his host
OUTLIVES = 60.0  # seconds that pairs go on without a control connection of their name
MAX_PARKED_TRIES = 2  # for one visitor: a host that ends them does not want him
RETRY = 60  # seconds after which another attempt at what is full makes sense
PORT_RETRY = 15  # the same for a public port, which is free again when somebody stops wanting his
TELL_UNKNOWN_EVERY = 600.0  # seconds between two lines of the log about one node that is not allowed
_MAX_TOLD = 1024

_PORT = "port:"  # no server name has a colon
_LISTED = (Kind.PORT, Kind.DOMAIN)  # only for nodes that the owner names, and shut at once

UNRECOGNIZED_NAME, INTERNAL_ERROR = 112, 80  # RFC 8446, section 6


@dataclass(frozen=True, slots=True)
class RelayState:
    """What it says of itself."""

    nodes: int
    names: int
    pairs: int
    waiting: int
    parked: int
    passed: int
    refused: dict[str, int]
    draining: bool
    used_up: bool
    public_ports: int  # that are leased
    tlsrelay: int = 0  # servers of tx_tlsrelay that have one


@dataclass(eq=False, slots=True)
class _Visitor:
    """One that waits for its host; `registration` is what it asked for.

    While a `parked` join is tried, `sent` bytes of what he said are there already.
    """

    tcp: TcpStream
    registration: Registration[Control]
    token: str
    source: str
    parked: TcpStream | None = None
    sent: int = 0
    tries: int = 0


class Relay:
    """Everything of it but the first bytes of a connection (porter.py).

    `me` is who this node is, and what nodes have to know to get in; `at` are endpoints that nodes may tell their
    visitors; `clock` is seconds since 1970; `dials` tells whom a node may have dialled back; `ports` are public ones.
    """

    def __init__(
        self,
        me: Prover,
        limits: RelayLimits,
        access: Access,
        *,
        clock: Callable[[], float],
        contact: str = "",
        at: Callable[[], Sequence[Endpoint]] = tuple,
        dials: Callable[[str], bool] = is_outside,
        ports: Ports | None = None,
        dns: DnsProofs | None = None,
    ) -> None:
        self._me, self._name = me, KeyHash.of_certificate(me.certificate)
        self._limits, self._access, self._ports, self._dns = limits, access, ports, dns
        self._clock, self._contact, self._at = clock, contact, at
        self._context = front_context(CONTROL.encode())
        self._names = Names(self._find_myself, lambda _: self._me)
        self._tasks = TaskSet("relay")
        self._controls: set[Control] = set()
        self._idle: dict[Control, None] = {}  # those that have registered nothing, in order of arrival
        self._of_source: Counter[str] = Counter()  # control connections
        self._registry: Registry[Control] = Registry(limits.registry)
        self._visitors: dict[str, _Visitor] = {}  # by token
        self._parking = Parking()
        self._dialbacks = Dialbacks(dials)
        self._pairs: dict[str, dict[Pair, None]] = {}  # by name, in order of arrival
        self._named = NamedServices()
        self._proofs = Allowance(*PROOFS)
        self._silent: Deadlines[Control] = Deadlines(SILENT, self._is_silent)
        self._impatient: Deadlines[_Visitor] = Deadlines(JOIN_WITHIN, self._nobody_joined)
        self._hasty: Deadlines[_Visitor] = Deadlines(ANSWERS_WITHIN, self._parked_is_silent)
        self._orphans: Deadlines[str] = Deadlines(OUTLIVES, self._nobody_came_back)
        self._unknown: dict[KeyHash, float] = {}  # nodes that are not allowed, and when that was told
        self._refusals: Counter[str] = Counter()
        self._passed = 0  # by pairs that have ended
        self.visits = Visits(limits)
        self.rates = Rates(limits.rates)

    def set_access(self, access: Access) -> None:
        """From now on these are served; who is no more, is cut off with what it carries."""
        self._access = access
        for control in [one for one in self._controls if self._registry.held_by(one) and not access.serves(one.node)]:
            names = [one.name for one in self._registry.held_by(control)]
            control.end("it is not allowed any more")
            for name in names:
                self._cut(name)
        for control in tuple(self._controls):
            for one in self._registry.held_by(control):
                if one.kind in _LISTED and not self._may_have(control.node, one.kind, one.name):
                    self._unregister(control, one.number)
                    self._refuse(control, one.number, _not_listed(one.kind))

    def has(self, name: str) -> bool:
        """Whether `name` is registered."""
        return name in self._registry

    def _meant_by(self, server_name: str) -> str:
        """The registered name that a visitor's server name stands for."""
        return self._named.find(server_name, utc_day(self._clock()))

    def describe(self) -> RelayState:
        """What there is."""
        pairs = [pair for pairs in self._pairs.values() for pair in pairs]
        return RelayState(
            nodes=len(self._controls),
            names=len(self._registry),
            pairs=len(pairs),
            waiting=len(self._visitors),
            parked=sum(len(control.parked) for control in self._controls),
            passed=self._passed + sum(pair.passed for pair in pairs),
            refused=dict(sorted(self._refusals.items())),
            draining=self.visits.draining,
            used_up=self.visits.used_up,
            public_ports=self._ports.leased if self._ports is not None else 0,
        )

    def used_up(self, over: bool) -> None:
        """Whether all that may pass this month has."""
        self.visits.used_up = over
        for name in self.visits.names if over else ():
            self._cut(name)

    def drain(self, seconds: int) -> None:
        """Take no new visitors; nodes are told to go elsewhere within so many seconds."""
        self.visits.draining = True
        for control in self._controls:
            control.say(Drain(seconds))

    async def aclose(self) -> None:
        """End everything."""
        await self._tasks.aclose()
        await self._dialbacks.aclose()
        for control in tuple(self._controls):
            control.say(Bye(Leave.DRAIN))
            control.end("the relay is stopping")
        for visitor in tuple(self._visitors.values()):
            self._turn_away(visitor)
        for name in tuple(self._pairs):
            self._cut(name)
        for timers in (self._silent, self._impatient, self._hasty, self._orphans):
            timers.close()
        self.rates.close()
        Pipes.of_this_loop().close()

    # What the porter brings.

    def control(self, tcp: TcpStream) -> None:
        """A node wants to register; its first flight is still to be received."""
        source, limits = source_of(tcp.peer.host), self._limits.registry
        if self._of_source.get(source, 0) >= limits.per_source or not self._has_room():
            self._refusals["connections"] += 1
            tcp.abort()
            return
        self._of_source[source] += 1
        self._tasks.start(self._secure(tcp, source), "control")

    def _has_room(self) -> bool:
        """Who is here for longest and has registered nothing makes room, where there is none."""
        if self._of_source.total() < self._limits.registry.registrations:
            return True
        for control in self._idle:
            self._refusals["connections"] += 1
            control.end("others needed the room")
            return True
        return False

    def visitor(self, tcp: TcpStream, name: str) -> None:
        """Somebody wants to visit `name`; his first flight is still to be received."""
        name = self._meant_by(name)
        found = self._registry.find(name)
        if found is None or found.kind is Kind.PORT:
            refuse(tcp, UNRECOGNIZED_NAME)
        elif not self._wait(tcp, found):
            refuse(tcp, INTERNAL_ERROR)

    def public(self, tcp: TcpStream, name: str) -> None:
        """Somebody connected to the public port of `name`: nothing is known of what he speaks."""
        found = self._registry.find(_pool_of(Kind.PORT, name))
        if found is None or not self._wait(tcp, found):
            tcp.close()

    def _wait(self, tcp: TcpStream, found: Registration[Control]) -> bool:
        """Have him wait for his host; False where there are too many."""
        name, source = found.name, source_of(tcp.peer.host)
        if why := self._is_too_much(name, source, tcp.peer.host):
            self._refusals[why] += 1
            log.debug("relay.visitor_refused", endpoint=tcp.peer, reason=why)
            return False
        visitor = _Visitor(tcp, found, secrets.token_hex(16), source)
        self._visitors[visitor.token] = visitor
        self.visits.began(name, source)
        self._impatient.add(visitor)
        self._listen_to(visitor)
        self._call(visitor)
        return True

    def line(self, tcp: TcpStream, line: Line) -> None:
        """A node that comes for a visitor, or something else that nobody here knows; `line` is still to be received."""
        if line.verb is Verb.JOIN and (visitor := self._visitors.get(line.rest)) is not None:
            self._lives(visitor.registration.holder)
            greeting = encode_line(Verb.OK, str(tcp.peer))
            if visitor.parked is not None:
                self._end_parked(visitor)
                visitor.sent = 0
            self._join(visitor, tcp, greeting, line.size)
        elif line.verb is Verb.PARK and (control := self._parking.node_of(line.rest)) is not None:
            self._lives(control)
            self._parking.park(control, tcp, line.size)
        else:
            tcp.transport.write(encode_line(Verb.NO, "gone"))
            tcp.close()

    # Control connections.

    def _lives(self, control: Control) -> None:
        """Who comes for a visitor is no silent one, whatever he says here."""
        if control in self._controls:
            self._silent.add(control)

    def said(self, control: Control, message: Message) -> None:
        """As control.Served."""
        self._silent.add(control)
        match message:
            case Hello(node):
                if node is not None:
                    if not self._may_prove(control):
                        raise PeerError("more proofs than there is to prove")
                    node.check(NODE, control.tls.exporter(NODE))
                    control.node = node.key_hash
                elif control.greeted:
                    raise PeerError("a second hello without anything new")
                control.greeted = True
                at = tuple(map(str, self._at()))
                control.say(Welcome(str(control.peer), at, PING, PARK, self._contact))
                if self.visits.draining:
                    control.say(Drain(0))
            case _ if not control.greeted:
                raise PeerError("something before the hello")
            case Register():
                self._register(control, message)
            case Unregister(number):
                self._unregister(control, number)
            case Ping(value):
                control.say(Pong(value))
            case Dialback():
                self._dialbacks.asked(control, message)
            case _:
                pass  # a relay's own words, which mean nothing to one

    def left(self, control: Control, why: str) -> None:
        """As control.Served."""
        self._controls.discard(control)
        self._idle.pop(control, None)
        self._is_gone(control.source)
        self._silent.discard(control)
        names = self._registry.leave(control)
        for one in names:
            self._lose(one)
        self._parking.left(control)
        log.debug("relay.node_left", endpoint=control.peer, names=len(names), reason=why)

    async def _secure(self, tcp: TcpStream, source: str) -> None:
        peer = tcp.peer
        tls: TlsStream | None = None
        try:
            async with asyncio.timeout(self._limits.hello_timeout):
                tls = await TlsStream.over(tcp, self._context, names=self._names)
                said = await self._said_first(tls)
                if said.startswith(BEGINNING):
                    self._is_gone(source)
                    source = ""  # it counts as what it is from here on
                    await self._line_inside(tls, said)
                    return
        except BaseException as failure:
            if source:
                self._is_gone(source)
            if tls is not None:
                tls.abort()
            if not isinstance(failure, HardlineError | OSError | TimeoutError):
                raise
            log.debug("relay.node_failed", endpoint=peer, reason=str(failure) or "it said nothing in time")
            return
        control = Control(self, tls, source)
        self._controls.add(control)
        self._idle[control] = None
        self._silent.add(control)
        log.debug("relay.node_came", endpoint=peer)
        control.start(said)

    async def _said_first(self, tls: TlsStream) -> bytes:
        """Its first byte, or its first line and nothing behind that.  No JSON begins as a line of 9.4 does."""
        said = await tls.receive(1)
        if not said:
            raise ConnectionLost("it left")
        return await line_bytes(tls, said) if BEGINNING.startswith(said) else said

    async def _line_inside(self, tls: TlsStream, said: bytes) -> None:
        """A join inside TLS.  Sockets are made for what is expected only."""
        line = read_line(said)
        assert line is not None, "it was read to its end"
        if not self._expects(line) or scarce(DESCRIPTORS_LEFT):
            tls.put(encode_line(Verb.NO, "gone"))
            tls.close_soon()
            return
        tls.keep_alive()
        tcp = await unwrapped(tls)
        self.line(tcp, replace(line, size=0))  # another one may have used its token meanwhile

    def _expects(self, line: Line) -> bool:
        return (line.verb is Verb.JOIN and line.rest in self._visitors) or (
            line.verb is Verb.PARK and self._parking.expects(line.rest)
        )

    def _is_gone(self, source: str) -> None:
        self._of_source[source] -= 1
        if not self._of_source[source]:
            del self._of_source[source]

    def _find_myself(self, server_name: str) -> KeyHash | None:
        """A node's key hash is no right to visit anything: by it, this node is found as a relay."""
        today = utc_day(self._clock())
        return self._name if server_name in {self._name.rolling(today + off) for off in (-1, 0, 1)} else None

    def _may_have(self, node: KeyHash | None, kind: Kind, name: str) -> bool:
        """Whether `node` may register that."""
        if kind is Kind.PORT:
            return self._access.may_have_port(node)
        if kind is Kind.DOMAIN:
            proven = self._dns is not None and self._dns.has(node, name)
            access = self._access
            return access.may_have_domain(node, name) or (proven and access.may_prove_domain(node, name))
        return self._access.serves(node)

    async def _look_up(self, dns: DnsProofs, control: Control, asked: Register) -> None:
        assert control.node is not None, "it has said who it is"
        looked = await dns.look(control.node, asked.domain, control.source)
        if control not in self._controls:
            return
        if looked is None:
            self._refuse(control, asked.number, Why.RATE)
        else:
            self._register(control, asked, looked=True)

    def _register(self, control: Control, asked: Register, *, looked: bool = False) -> None:
        is_port = asked.kind is Kind.PORT
        if is_port and self._ports is None:
            self._refuse(control, asked.number, Why.PORTS)
            return
        if self._dns is not None and not looked and self._access.may_prove_domain(control.node, asked.domain):
            self._tasks.start(self._look_up(self._dns, control, asked), "record")
            return
        if not self._may_have(control.node, asked.kind, asked.domain):
            if control.node is None:
                control.say(Refused(asked.number, Why.ALLOW, RETRY))  # it comes back and says who it is
                return
            key = {Kind.PORT: "public_allow =", Kind.DOMAIN: f"domains = {asked.domain}"}.get(asked.kind, "allow =")
            self._tell_unknown(control.node, key)
            self._refuse(control, asked.number, _not_listed(asked.kind))
            return
        if not self._may_prove(control):
            self._refuse(control, asked.number, Why.RATE)
            return
        key_hash = check_registration(asked.proof, control.tls.exporter(NODE))
        name, at = asked.domain or _pool_of(asked.kind, str(key_hash)), ""
        one = Registration(control, asked.number, asked.kind, name, asked.instance)
        if is_port and self._ports is not None:
            port = self._ports.lease(str(key_hash), asked.port)
            if port is None:
                self._refuse(control, asked.number, Why.PORTS)
                return
            at = str(Endpoint(control.tls.local, port))
        result = self._registry.register(one)
        if isinstance(result, Why):
            self._release(one)
            self._refuse(control, asked.number, result)
            return
        if asked.kind is Kind.NAMED:
            self._named.add(key_hash, plain=asked.legacy)
        self._idle.pop(control, None)
        self._orphans.discard(name)
        control.say(Registered(asked.number, str(key_hash), at))
        if not is_port:
            self._parking.begin(control)
        self._call_those_who_wait(one)
        for replaced in result:
            if replaced.name != name:
                self._lose(replaced)
            if replaced.holder is not control and not self._registry.held_by(replaced.holder):
                replaced.holder.say(Bye(Leave.REPLACED))
                replaced.holder.end("replaced")

    def _may_prove(self, control: Control) -> bool:
        return self._proofs.take(control.source, asyncio.get_running_loop().time())

    def _unregister(self, control: Control, number: int) -> None:
        """A handle's pairs may go on for a while; a public port, or a domain, is to be shut now."""
        if (found := self._registry.unregister(control, number)) is None:
            return
        self._lose(found)
        if found.kind in _LISTED:
            self._orphans.discard(found.name)
            self._nobody_came_back(found.name)
        if not self._registry.held_by(control):
            self._idle[control] = None

    def _release(self, one: Registration[Control]) -> None:
        if one.kind is Kind.PORT and one.name not in self._registry and one.name not in self._orphans:
            self._free(one.name)

    def _free(self, pool: str) -> None:
        if self._ports is not None and pool.startswith(_PORT):
            self._ports.release(pool.removeprefix(_PORT))

    def _lose(self, one: Registration[Control]) -> None:
        """It is registered no more; what it carries may go on for a while."""
        if one.name not in self._registry:
            self._named.discard(one.name)
            self._orphans.add(one.name)

    def _refuse(self, control: Control, number: int, why: Why) -> None:
        self._refusals[why] += 1
        control.say(Refused(number, why, PORT_RETRY if why is Why.PORTS else RETRY))

    def _tell_unknown(self, node: KeyHash | None, key: str) -> None:
        """An owner is to be able to allow it: the line that does is what the log says."""
        now = asyncio.get_running_loop().time()
        if node is None or now - self._unknown.get(node, -TELL_UNKNOWN_EVERY) < TELL_UNKNOWN_EVERY:
            return
        self._unknown.pop(node, None)
        self._unknown[node] = now
        if len(self._unknown) > _MAX_TOLD:
            del self._unknown[next(iter(self._unknown))]
        hint = "[Relay] deny names it" if node in self._access.deny else f"[Relay] {key} {node}"
        log.event("relay.node_unknown", node=node.short, hint=log.Public(hint))

    def _is_silent(self, control: Control) -> None:
        control.say(Bye(Leave.IDLE))
        control.end("it fell silent")

    # Visitors.

    def _is_too_much(self, name: str, source: str, address: str) -> str:
        """Why a visitor of `name` is not taken now."""
        is_public = name.startswith(_PORT) or "." in name  # a handle has no dot in it, and a domain has
        makes_room = (lambda: self._makes_room(name, address)) if is_public else None
        return self.visits.why_not(name, source, len(self._visitors), makes_room)

    def _makes_room(self, name: str, address: str) -> bool:
        """A public port or name is nobody's secret: of those who are there, who has most gives way to others."""
        waiting = [one for one in self._visitors.values() if one.registration.name == name]
        leaving = who_leaves([*waiting, *self._pairs.get(name, ())], address)
        if leaving is None:
            return False
        self._refusals["gave_way"] += 1
        if isinstance(leaving, Pair):
            leaving.close(reset=True)
        else:
            self._turn_away(leaving)
        return True

    def _listen_to(self, visitor: _Visitor) -> None:
        """He may leave before his host comes."""

        def heard(tcp: TcpStream) -> None:
            if self._visitors.get(visitor.token) is not visitor:
                return
            if tcp.ended and (visitor.registration.kind is not Kind.PORT or tcp.transport.is_closing()):
                self._forget(visitor)
                tcp.abort()
            elif tcp.ended:
                pass  # he has said all that he has to say, and wants the answer
            else:
                self._listen_to(visitor)

        visitor.tcp.when_heard(heard, beyond=visitor.tcp.heard_size)

    def _nobody_joined(self, visitor: _Visitor) -> None:
        self._refusals["nobody_joined"] += 1
        self._turn_away(visitor)

    def _turn_away(self, visitor: _Visitor) -> None:
        """He waits in vain.  At a public port nobody may speak TLS, and what he does not expect says nothing to him."""
        self._forget(visitor)
        if visitor.registration.kind is Kind.PORT:
            visitor.tcp.close()
        else:
            refuse(visitor.tcp, INTERNAL_ERROR)

    def _forget(self, visitor: _Visitor) -> None:
        """He waits no more."""
        self._visitors.pop(visitor.token, None)
        self._impatient.discard(visitor)
        self._end_parked(visitor)
        self.visits.ended(visitor.registration.name, visitor.source)

    def _call_those_who_wait(self, one: Registration[Control]) -> None:
        """Their host's connection ended after they came, and is here again."""
        for visitor in tuple(self._visitors.values()) if one.name in self.visits.names else ():
            if visitor.registration.name == one.name and visitor.registration.holder not in self._controls:
                self._end_parked(visitor)
                visitor.registration = one
                self._call(visitor)

    def _call(self, visitor: _Visitor) -> None:
        """Have his host come: by a connection that it has ready, else it is told to make one."""
        one, holder = visitor.registration, visitor.registration.holder
        source = str(visitor.tcp.peer)
        # Whether a parked one still works shows by what the host says first: at a public port that may be nothing.
        may_park = one.kind is not Kind.PORT and visitor.tries < MAX_PARKED_TRIES
        parked = self._parking.take(holder) if may_park else None
        if parked is None:
            holder.say(Invite(one.number, visitor.token, source))
            return
        said, visitor.tries = visitor.tcp.heard, visitor.tries + 1
        visitor.parked, visitor.sent = parked, len(said)
        parked.transport.write(encode_line(Verb.GO, encode_go(Go(one.number, source, str(parked.peer)))) + said)
        self._hasty.add(visitor)
        parked.when_heard(lambda tcp: self._parked_answered(visitor, tcp))

    def _parked_answered(self, visitor: _Visitor, tcp: TcpStream) -> None:
        if visitor.parked is not tcp:
            return
        if tcp.heard and not tcp.transport.get_write_buffer_size():
            self._hasty.discard(visitor)
            visitor.parked = None
            self._join(visitor, tcp, b"", 0)
        else:
            self._parked_is_silent(visitor)

    def _parked_is_silent(self, visitor: _Visitor) -> None:
        """Its way here was forgotten by a router, mostly: another one is tried with the same bytes."""
        self._end_parked(visitor)
        visitor.sent = 0
        if self._visitors.get(visitor.token) is visitor:
            self._call(visitor)

    def _end_parked(self, visitor: _Visitor) -> None:
        self._hasty.discard(visitor)
        parked, visitor.parked = visitor.parked, None
        if parked is not None:
            parked.abort()

    # Pairs.

    def _join(self, visitor: _Visitor, tcp: TcpStream, greeting: bytes, line_size: int) -> None:
        """Join him with `tcp`, which hears `greeting` first; of what it said, `line_size` bytes were for us."""
        name, source = visitor.registration.name, visitor.source
        self._visitors.pop(visitor.token, None)
        self._impatient.discard(visitor)
        if (taken := sockets_of(visitor.tcp, tcp)) is None:
            self.visits.ended(name, source)
            return
        (ours, early), (theirs, behind) = taken

        def ended(pair: Pair) -> None:
            self._passed += pair.passed
            self.visits.ended(name, source)
            pairs = self._pairs[name]
            del pairs[pair]
            if not pairs:
                del self._pairs[name]

        first = greeting + early[visitor.sent :], behind[line_size:]
        for one in (ours, theirs):
            keep_alive(one)
        pair = Pair(ours, theirs, source, self.rates, ended, first)
        self._pairs.setdefault(name, {})[pair] = None
        pair.start()

    def _cut(self, name: str) -> None:
        """End what is carried for it, and who waits to be."""
        for visitor in [one for one in self._visitors.values() if one.registration.name == name]:
            self._turn_away(visitor)
        for pair in tuple(self._pairs.get(name, ())):
            pair.close(reset=True)

    def _nobody_came_back(self, name: str) -> None:
        if not self.has(name):
            self._cut(name)
            self._free(name)


def _pool_of(kind: Kind, name: str) -> str:
    """What it is registered as: a port shares a pool with nothing else."""
    return _PORT + name if kind is Kind.PORT else name


def _not_listed(kind: Kind) -> Why:
    return Why.DOMAINS if kind is Kind.DOMAIN else Why.ALLOW


def refuse(tcp: TcpStream, alert: int) -> None:
    """Say by a TLS alert why a visitor is not served, and close: he has no TLS with anybody yet."""
    if not tcp.transport.is_closing():
        tcp.transport.write(bytes((21, 3, 3, 0, 2, 2, alert)))
    tcp.close()
