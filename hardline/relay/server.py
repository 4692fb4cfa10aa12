"""A relay: nodes that nobody can reach register, and their visitors are joined with them.

    node ──control connection──▶ Controls ──register──▶ Registrar
    visitor ──ClientHello with a name──▶ Waiting ──invite──▶ node ──HARDLINE-JOIN──▶ Pairs: from here on only bytes

It learns a name that means nothing elsewhere, two addresses and how much was said: TLS runs from end to end.
Source: docs/PROTOCOL.md, section 9.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hardline import log
from hardline.errors import PeerError
from hardline.identity import utc_day
from hardline.proof import Prover
from hardline.relay.access import Access
from hardline.relay.control import Control
from hardline.relay.controls import Controls
from hardline.relay.dialback import Dialbacks, is_outside
from hardline.relay.dnsproof import DnsProofs
from hardline.relay.limits import RelayLimits
from hardline.relay.lines import Line, Verb, encode_line
from hardline.relay.messages import Dialback, Drain, Hello, Kind, Message, Ping, Pong, Register, Unregister, Welcome
from hardline.relay.pairs import Pairs
from hardline.relay.parking import PARK, Parking
from hardline.relay.pipes import Pipes
from hardline.relay.ports import Ports
from hardline.relay.proofs import NODE
from hardline.relay.rates import Rates
from hardline.relay.registrar import Registrar
from hardline.relay.registry import pool_of
from hardline.relay.visits import Visits
from hardline.relay.waiting import INTERNAL_ERROR, UNRECOGNIZED_NAME, Waiting, refuse
from hardline.routes import Endpoint
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream

PING = 20  # seconds of silence after which a node is to ask


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
        self._clock, self._contact, self._at = clock, contact, at
        self._tasks = TaskSet("relay")
        self._refusals: Counter[str] = Counter()
        self.visits = Visits(limits)
        self.rates = Rates(limits.rates)
        self._parking = Parking()
        self._dialbacks = Dialbacks(dials)
        self._controls = Controls(self, me, limits, self._tasks, self._refusals, clock)
        self._pairs = Pairs(self.visits, self.rates)
        self._waiting = Waiting(self.visits, self._parking, self._pairs, self._refusals)
        self._registrar = Registrar(
            limits.registry,
            access,
            self._controls,
            self._parking,
            ports=ports,
            dns=dns,
            registered=self._waiting.registered,
            cut=self._cut,
            tasks=self._tasks,
            refusals=self._refusals,
        )

    def set_access(self, access: Access) -> None:
        """From now on these are served; who is no more, is cut off with what it carries."""
        self._registrar.set_access(access)

    def has(self, name: str) -> bool:
        """Whether `name` is registered."""
        return name in self._registrar

    def describe(self) -> RelayState:
        """What there is."""
        return RelayState(
            nodes=len(self._controls),
            names=len(self._registrar),
            pairs=len(self._pairs),
            waiting=len(self._waiting),
            parked=sum(len(control.parked) for control in self._controls),
            passed=self._pairs.passed,
            refused=dict(sorted(self._refusals.items())),
            draining=self.visits.draining,
            used_up=self.visits.used_up,
            public_ports=self._registrar.leased_ports,
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
        self._controls.close()
        self._waiting.close()
        self._pairs.close()
        self._registrar.close()
        self.rates.close()
        Pipes.of_this_loop().close()

    # What the porter brings.

    def control(self, tcp: TcpStream) -> None:
        """A node wants to register; its first flight is still to be received."""
        self._controls.accepted(tcp)

    def visitor(self, tcp: TcpStream, name: str) -> None:
        """Somebody wants to visit `name`; his first flight is still to be received."""
        found = self._registrar.find(self._meant_by(name))
        if found is None or found.kind is Kind.PORT:
            refuse(tcp, UNRECOGNIZED_NAME)
        elif not self._waiting.wait(tcp, found):
            refuse(tcp, INTERNAL_ERROR)

    def public(self, tcp: TcpStream, name: str) -> None:
        """Somebody connected to the public port of `name`: nothing is known of what he speaks."""
        found = self._registrar.find(pool_of(Kind.PORT, name))
        if found is None or not self._waiting.wait(tcp, found):
            tcp.close()

    def line(self, tcp: TcpStream, line: Line) -> None:
        """A node that comes for a visitor, or something else that nobody here knows; `line` is still to be received."""
        if line.verb is Verb.JOIN and (visitor := self._waiting.find(line.rest)) is not None:
            self._lives(visitor.registration.holder)
            self._waiting.host_came(visitor, tcp, line.size)
        elif line.verb is Verb.PARK and (control := self._parking.node_of(line.rest)) is not None:
            self._lives(control)
            self._parking.park(control, tcp, line.size)
        else:
            tcp.transport.write(encode_line(Verb.NO, "gone"))
            tcp.close()

    def _meant_by(self, server_name: str) -> str:
        """The registered name that a visitor's server name stands for."""
        return self._registrar.meant_by(server_name, utc_day(self._clock()))

    def _lives(self, control: Control) -> None:
        """Who comes for a visitor is no silent one, whatever he says here."""
        if not control.gone:
            self._controls.heard(control)

    # What control connections bring.

    def said(self, control: Control, message: Message) -> None:
        """As control.Served."""
        self._controls.heard(control)
        match message:
            case Hello(node):
                if node is not None:
                    if not self._registrar.may_prove(control):
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
                self._registrar.register(control, message)
            case Unregister(number):
                self._registrar.unregister(control, number)
            case Ping(value):
                control.say(Pong(value))
            case Dialback():
                self._dialbacks.asked(control, message)
            case _:
                pass  # a relay's own words, which mean nothing to one

    def left(self, control: Control, why: str) -> None:
        """As control.Served."""
        self._controls.left(control)
        names = self._registrar.left(control)
        self._parking.left(control)
        log.debug("relay.node_left", endpoint=control.peer, names=names, reason=why)

    def expects(self, line: Line) -> bool:
        """As controls.ServedBeside."""
        if line.verb is Verb.JOIN:
            return self._waiting.find(line.rest) is not None
        return line.verb is Verb.PARK and self._parking.expects(line.rest)

    def _cut(self, name: str) -> None:
        """End what is carried for it, and who waits to be."""
        self._waiting.cut(name)
        self._pairs.cut(name)
