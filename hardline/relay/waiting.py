"""Visitors that wait at a relay for their host, from the name that they asked for to the pair.

    visitor ─ too many? ─▶ waits ─┬─ parked: HARDLINE-GO, and what he has said ─▶ its first bytes ─┬─▶ Pair
                                  └─ none: invite ─▶ node ─▶ HARDLINE-JOIN ──────────────────────┘
       who leaves, whom nobody comes for, whose name is cut off ─▶ turned away

Source: docs/PROTOCOL.md, sections 9.4 and 9.6.
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass

from hardline import log
from hardline.deadlines import Deadlines
from hardline.relay.control import Control
from hardline.relay.lines import Verb, encode_line
from hardline.relay.messages import Go, Invite, Kind, encode_go
from hardline.relay.pair import Pair, sockets_of
from hardline.relay.pairs import Pairs
from hardline.relay.parking import Parking
from hardline.relay.registry import Registration, is_public
from hardline.relay.visits import Visits, makes_room, wait_in
from hardline.transport.crowd import Crowd
from hardline.transport.sources import source_of
from hardline.transport.tcp import TcpStream

ANSWERS_WITHIN = 1.0  # seconds that a parked one has to answer
JOIN_WITHIN = 5.0  # seconds that a visitor waits for his host
MAX_PARKED_TRIES = 2  # for one visitor: a host that ends them does not want him

UNRECOGNIZED_NAME, INTERNAL_ERROR = 112, 80  # RFC 8446, section 6


@dataclass(eq=False, slots=True)
class Visitor:
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


class Waiting:
    """Those of one relay; what is refused is counted in `refusals`."""

    def __init__(self, visits: Visits, parking: Parking, pairs: Pairs, refusals: Counter[str]) -> None:
        self._visits, self._parking, self._pairs, self._refusals = visits, parking, pairs, refusals
        self._visitors: dict[str, Visitor] = {}  # by token
        self._room: Crowd[Visitor] = Crowd()  # the same
        self._impatient: Deadlines[Visitor] = Deadlines(JOIN_WITHIN, self._nobody_joined)
        self._hasty: Deadlines[Visitor] = Deadlines(ANSWERS_WITHIN, self._parked_is_silent)

    def __len__(self) -> int:
        return len(self._visitors)

    def find(self, token: str) -> Visitor | None:
        """Who is joined with a host's connection that says it."""
        return self._visitors.get(token)

    def wait(self, tcp: TcpStream, found: Registration[Control]) -> bool:
        """Have him wait for his host; False where there are too many."""
        name, source = found.name, source_of(tcp.peer.host)
        if why := self._is_too_much(name, source, tcp.peer.host):
            self._refusals[why] += 1
            log.debug("relay.visitor_refused", endpoint=tcp.peer, reason=why)
            return False
        visitor = Visitor(tcp, found, secrets.token_hex(16), source)
        wait_in(self._room, visitor, tcp.peer.host, self._turn_away, self._refusals)
        self._visitors[visitor.token] = visitor
        self._visits.began(name, source)
        self._impatient.add(visitor)
        self._listen_to(visitor)
        self._call(visitor)
        return True

    def host_came(self, visitor: Visitor, tcp: TcpStream, line_size: int) -> None:
        """His host made a connection for him; of what it said, `line_size` bytes were for us."""
        greeting = encode_line(Verb.OK, str(tcp.peer))
        self._end_parked(visitor)
        self._join(visitor, tcp, greeting, line_size)

    def registered(self, one: Registration[Control]) -> None:
        """The host of some may be here again, whose connection ended after they came: it is called for them."""
        for visitor in tuple(self._visitors.values()) if one.name in self._visits.names else ():
            if visitor.registration.name == one.name and visitor.registration.holder.gone:
                self._end_parked(visitor)
                visitor.registration = one
                self._call(visitor)

    def cut(self, name: str) -> None:
        """Nobody waits for that any more."""
        for visitor in [one for one in self._visitors.values() if one.registration.name == name]:
            self._turn_away(visitor)

    def close(self) -> None:
        """Turn all away."""
        for visitor in tuple(self._visitors.values()):
            self._turn_away(visitor)
        for timers in (self._impatient, self._hasty):
            timers.close()

    def _is_too_much(self, name: str, source: str, address: str) -> str:
        """Why a visitor of `name` is not taken now."""
        makes_room = (lambda: self._makes_room(name, address)) if is_public(name) else None
        return self._visits.why_not(name, source, makes_room)

    def _makes_room(self, name: str, address: str) -> bool:
        """A public port or name is nobody's secret: of those who are there, who has most gives way to others."""
        here: list[Visitor | Pair] = [one for one in self._visitors.values() if one.registration.name == name]
        return makes_room([*here, *self._pairs.of(name)], address, self._turn_away, self._refusals)

    def _listen_to(self, visitor: Visitor) -> None:
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

    def _nobody_joined(self, visitor: Visitor) -> None:
        self._refusals["nobody_joined"] += 1
        self._turn_away(visitor)

    def _turn_away(self, visitor: Visitor) -> None:
        """He waits in vain.  At a public port nobody may speak TLS, and what he does not expect says nothing to him."""
        self._forget(visitor)
        if visitor.registration.kind is Kind.PORT:
            visitor.tcp.close()
        else:
            refuse(visitor.tcp, INTERNAL_ERROR)

    def _forget(self, visitor: Visitor) -> None:
        """He waits no more, and nobody came."""
        self._waits_no_more(visitor)
        self._end_parked(visitor)
        self._visits.ended(visitor.registration.name, visitor.source)

    def _waits_no_more(self, visitor: Visitor) -> None:
        self._visitors.pop(visitor.token, None)
        self._room.discard(visitor)
        self._impatient.discard(visitor)

    def _call(self, visitor: Visitor) -> None:
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

    def _parked_answered(self, visitor: Visitor, tcp: TcpStream) -> None:
        if visitor.parked is not tcp:
            return
        if tcp.heard and not tcp.transport.get_write_buffer_size():
            self._hasty.discard(visitor)
            visitor.parked = None
            self._join(visitor, tcp, b"", 0)
        else:
            self._parked_is_silent(visitor)

    def _parked_is_silent(self, visitor: Visitor) -> None:
        """Its way here was forgotten by a router, mostly: another one is tried with the same bytes."""
        self._end_parked(visitor)
        if self._visitors.get(visitor.token) is visitor:
            self._call(visitor)

    def _end_parked(self, visitor: Visitor) -> None:
        """What it was sent is for whoever comes next."""
        self._hasty.discard(visitor)
        parked, visitor.parked, visitor.sent = visitor.parked, None, 0
        if parked is not None:
            parked.abort()

    def _join(self, visitor: Visitor, tcp: TcpStream, greeting: bytes, line_size: int) -> None:
        """Join him with `tcp`, which hears `greeting` first; of what it said, `line_size` bytes were for us."""
        self._waits_no_more(visitor)
        name, source = visitor.registration.name, visitor.source
        if (taken := sockets_of(visitor.tcp, tcp)) is None:
            self._visits.ended(name, source)
            return
        (ours, early), (theirs, behind) = taken
        self._pairs.carry(name, source, (ours, theirs), (greeting + early[visitor.sent :], behind[line_size:]))


def refuse(tcp: TcpStream, alert: int) -> None:
    """Say by a TLS alert why a visitor is not served, and close: he has no TLS with anybody yet."""
    if not tcp.transport.is_closing():
        tcp.transport.write(bytes((21, 3, 3, 0, 2, 2, alert)))
    tcp.close()
