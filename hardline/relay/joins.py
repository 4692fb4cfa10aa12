"""Visitors whom a relay brings: a host's own connections there, each of which becomes one of theirs.

    invite ─▶ HARDLINE-JOIN ─▶ OK ─┐
    token  ─▶ HARDLINE-PARK ─▶ GO ─┴─▶ Joined: a visitor's TCP stream, for the service of that registration

What a relay says is a stranger's word: for which service a visitor comes follows from the registration alone.
Source: docs/PROTOCOL.md, section 9.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from hardline import log
from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.identity import KeyHash
from hardline.relay.dial import RelayDialer
from hardline.relay.lines import Line, Verb, encode_line, read_line
from hardline.relay.messages import Invite, parse_go
from hardline.relay.wanted import Registration
from hardline.routes import Endpoint
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.tcp import TcpStream

JOIN_WITHIN = 10.0  # seconds that an invite is good for
MAX_PARKED = 4  # joins that are ready, whatever a relay wants
PARKED_IDLE = 20  # seconds after which the kernel keeps one alive: routers forget after 30
MAX_JOINS = 64  # under way at once


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


class Joins:
    """Those at one relay.

    `dialer` makes connections to it, `find` knows the registrations by number, `joined` gets the visitors.
    """

    def __init__(
        self,
        relay: Endpoint,
        dialer: RelayDialer,
        find: Callable[[int], Registration | None],
        joined: Callable[[Joined], None],
    ) -> None:
        self._relay, self._dialer, self._find, self._joined = relay, dialer, find, joined
        self._tasks, self._parking = TaskSet("relay"), TaskSet("relay")  # the second for a control connection's time
        self._under_way = 0
        self._parked = set[str]()

    def invited(self, at: Endpoint, invite: Invite) -> None:
        """The relay, which is `at` that address, has a visitor."""
        one = self._find(invite.number)
        if one is None or not one.registered or self._under_way >= MAX_JOINS:
            log.debug("relay.invite_ignored", relay=self._relay)
            return
        self._under_way += 1
        self._tasks.start(self._join(at, invite, one), "join")

    def park(self, at: Endpoint, tokens: tuple[str, ...]) -> None:
        """Have connections there, so that visitors need not wait for them."""
        for token in tokens[:MAX_PARKED]:
            if len(self._parked) < MAX_PARKED and token not in self._parked:
                self._parked.add(token)
                self._parking.start(self._park(at, token), "park")

    async def part(self) -> None:
        """The control connection is gone, and what was parked for it."""
        await self._parking.aclose()
        self._parked.clear()

    async def aclose(self) -> None:
        """End everything."""
        await self.part()
        await self._tasks.aclose()

    async def _park(self, at: Endpoint, token: str) -> None:
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
            one = self._find(go.number)
            if one is None or not one.registered:
                raise PeerError("a visitor of nothing that is registered")
            self._is_joined(stream, one, go.source, go.saw, at)
            stream = None
        except (OSError, HardlineError, TimeoutError) as failure:
            log.debug("relay.park_failed", relay=self._relay, reason=str(failure) or "no answer")
        finally:
            self._parked.discard(token)
            if stream is not None:
                stream.abort()

    async def _join(self, at: Endpoint, invite: Invite, one: Registration) -> None:
        stream: TcpStream | None = None
        try:
            async with asyncio.timeout(JOIN_WITHIN):
                stream = await self._dialer.connect()
                await stream.send(encode_line(Verb.JOIN, invite.token))
                line = await _first_line(stream)
            if line.verb is not Verb.OK:
                raise PeerError("the visitor has left")
            self._is_joined(stream, one, invite.source, line.rest, at)
            stream = None
        except (OSError, HardlineError, TimeoutError) as failure:
            log.debug("relay.join_failed", relay=self._relay, reason=str(failure) or "no answer")
        finally:
            self._under_way -= 1
            if stream is not None:
                stream.abort()

    def _is_joined(self, stream: TcpStream, one: Registration, source: str, saw: str, at: Endpoint) -> None:
        # What a proxy has made says nothing of where we are.
        seen = said_address(saw) if self._dialer.through is None else None
        claimed = said_address(source) or at
        self._joined(Joined(stream, claimed, one.service, one.joined_as, self._relay, seen))


async def _first_line(stream: TcpStream) -> Line:
    """Receive it, and nothing of what comes behind it."""
    said = b""
    while (line := read_line(said)) is None:
        piece = await stream.receive(1 if said[-1:] == b"\r" else 2)
        if not piece:
            raise ConnectionLost("the relay ended the connection")
        said += piece
    return line


def said_address(said: str) -> Endpoint | None:
    """What a relay says that it sees; None where that cannot be."""
    try:
        endpoint = Endpoint.parse(said)
    except PeerError:
        return None
    return endpoint if endpoint.address is not None else None
