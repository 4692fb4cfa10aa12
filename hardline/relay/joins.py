"""Visitors whom a relay brings: a host's own connections there, each of which becomes one of theirs.

    invite ─▶ HARDLINE-JOIN ─▶ OK ─┐
    token  ─▶ HARDLINE-PARK ─▶ GO ─┴─▶ Joined: a visitor's TCP stream, for the service of that registration

What a relay says is a stranger's word: for which service a visitor comes follows from the registration alone.
Source: docs/PROTOCOL.md, section 9.4.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hardline import log
from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.identity import KeyHash
from hardline.relay.dial import RelayDialer
from hardline.relay.greeting import secured
from hardline.relay.inside import line_bytes, unwrapped
from hardline.relay.joinway import JoinWay
from hardline.relay.lines import Line, Verb, encode_line, read_line
from hardline.relay.messages import Invite, parse_go
from hardline.relay.wanted import Registration
from hardline.routes import HTTPS, Endpoint, RelayAddress
from hardline.streams import ByteStream
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream

JOIN_WITHIN = 10.0  # seconds that an invite is good for
MAX_PARKED = 4  # joins that are ready, whatever a relay wants
PARKED_IDLE = 20  # seconds after which the kernel keeps one alive: routers forget after 30
MAX_JOINS = 64  # under way at once
MAX_INVITED = 1024  # that wait for their turn: as many as a relay has visitors waiting
ANSWER_WITHIN = 5.0  # seconds that a relay has for its answer: its visitor waits no longer
_BEHIND = 0.01  # seconds: it was asked for because somebody comes, who goes first
TRIES = 3  # of one token: twice as it is, and inside TLS


@dataclass(frozen=True, slots=True)
class Joined:
    """A visitor's connection that a relay brought: whence it says that he comes, for which service, and which handle he
    says, empty where he says what he would say anywhere; `saw` is where the relay sees our end, None if it did not;
    one who came by a public port, `public`, speaks what the service speaks, and who came by a `domain` TLS, to 443."""

    tcp: TcpStream
    source: Endpoint
    service: KeyHash
    name: str
    relay: Endpoint
    saw: Endpoint | None = None
    public: Endpoint | None = None
    domain: str = ""


class Joins:
    """Those at one relay.

    `dialer` makes connections to it, `find` knows the registrations by number, `joined` gets the visitors; `clock` is
    seconds since 1970.
    """

    def __init__(
        self,
        relay: RelayAddress,
        dialer: RelayDialer,
        find: Callable[[int], Registration | None],
        joined: Callable[[Joined], None],
        clock: Callable[[], float],
    ) -> None:
        self._address, self._relay, self._clock = relay, relay.endpoint, clock
        self._dialer, self._find, self._joined = dialer, find, joined
        self._tasks, self._parking = TaskSet("relay"), TaskSet("relay")  # the second for a control connection's time
        self._under_way = 0
        self._invited: deque[tuple[float, Endpoint, Invite]] = deque()  # until when, and whither; the oldest first
        self._parked: dict[str, asyncio.Task[None]] = {}  # by token
        self._at = relay.endpoint
        self._way = JoinWay()
        self._looking = False

    @property
    def inside_tls(self) -> bool:
        """Whether they go there inside TLS, because nothing else passes."""
        return self._way.only_tls

    def invited(self, at: Endpoint, invite: Invite) -> None:
        """The relay, which is `at` that address, has a visitor."""
        if len(self._invited) >= MAX_INVITED:
            log.debug("relay.invite_ignored", relay=self._relay)
            return
        self._invited.append((_now() + ANSWER_WITHIN, at, invite))
        self._begin_joins()

    def _begin_joins(self) -> None:
        """Of a crowd that comes at once each has his turn, while he still waits."""
        while self._invited and self._under_way < MAX_JOINS:
            until, at, invite = self._invited.popleft()
            one = self._find(invite.number)
            if one is None or not one.registered or _now() > until:
                log.debug("relay.invite_ignored", relay=self._relay)
                continue
            self._under_way += 1
            self._tasks.start(self._join(at, invite, one), "join")

    def park(self, at: Endpoint, tokens: tuple[str, ...]) -> None:
        """Have connections there, so that visitors need not wait for them."""
        self._at = at
        for token in tokens[:MAX_PARKED]:
            if len(self._parked) < MAX_PARKED and token not in self._parked:
                self._parked[token] = self._parking.start(self._park(at, token), "park")

    def network_changed(self) -> None:
        """This machine is in another network: what passes there is not known."""
        self._way.network_changed()

    async def part(self) -> None:
        """The control connection is gone, and what was parked for it."""
        await self._parking.aclose()
        self._parked.clear()
        self._invited.clear()
        self._looking = False
        self._way.parted(_now())
        if self._way.inside:
            self._look_later()

    async def aclose(self) -> None:
        """End everything."""
        await self.part()
        await self._parking.aclose()
        await self._tasks.aclose()

    async def _park(self, at: Endpoint, token: str) -> None:
        """The relay keeps a token that it has not heard of, so one that was not answered is said once more."""
        await asyncio.sleep(_BEHIND)
        try:
            for _ in range(TRIES):
                if await self._parked_once(at, token, inside=self._way.inside):
                    return
        except (OSError, HardlineError, TimeoutError) as failure:
            log.debug("relay.park_failed", relay=self._relay, reason=str(failure) or "no answer")
        finally:
            if self._parked.get(token) is asyncio.current_task():
                del self._parked[token]

    async def _parked_once(self, at: Endpoint, token: str, *, inside: bool) -> bool:
        """False where the line did not get there, it seems."""
        stream: TcpStream | TlsStream | None = None
        try:
            async with asyncio.timeout(JOIN_WITHIN):
                stream = await self._connected(inside=inside)
                if isinstance(stream, TlsStream):
                    stream.keep_alive(PARKED_IDLE)
                else:
                    tcp.keep_alive(stream.transport.get_extra_info("socket"), idle=PARKED_IDLE)
                await stream.send(encode_line(Verb.PARK, token))
            said_at = _now()
            try:
                line = await _first_line(stream)
            except ConnectionLost:
                if _now() - said_at > ANSWER_WITHIN:
                    raise  # it was there, and was forgotten on the way
                self._unanswered(inside=inside)
                return False
            self._answered(inside=inside)
            if line.verb is not Verb.GO:
                raise PeerError("a parked join was not taken")
            go = parse_go(line.rest)
            one = self._find(go.number)
            if one is None or not one.registered:
                raise PeerError("a visitor of nothing that is registered")
            taken, stream = stream, None
            await self._is_joined(taken, one, go.source, go.saw, at)
            return True
        finally:
            if stream is not None:
                stream.abort()

    async def _join(self, at: Endpoint, invite: Invite, one: Registration) -> None:
        try:
            for _ in range(TRIES):
                if await self._joined_once(at, invite, one, inside=self._way.inside):
                    return
        except (OSError, HardlineError, TimeoutError) as failure:
            log.debug("relay.join_failed", relay=self._relay, reason=str(failure) or "no answer")
        finally:
            self._under_way -= 1
            self._begin_joins()

    async def _joined_once(self, at: Endpoint, invite: Invite, one: Registration, *, inside: bool) -> bool:
        """False where the line did not get there, it seems; a silent one is not tried again, since the relay's visitor
        has left by then."""
        stream: TcpStream | TlsStream | None = None
        try:
            async with asyncio.timeout(JOIN_WITHIN):
                stream = await self._connected(inside=inside)
                try:
                    async with asyncio.timeout(ANSWER_WITHIN):
                        await stream.send(encode_line(Verb.JOIN, invite.token))
                        line = await _first_line(stream)
                except TimeoutError:
                    self._unanswered(inside=inside)
                    raise
                except ConnectionLost:
                    self._unanswered(inside=inside)
                    return False
            self._answered(inside=inside)
            if line.verb is not Verb.OK:
                raise PeerError("the visitor has left")
            taken, stream = stream, None
            await self._is_joined(taken, one, invite.source, line.rest, at)
            return True
        finally:
            if stream is not None:
                stream.abort()

    async def _is_joined(
        self, stream: TcpStream | TlsStream, one: Registration, source: str, saw: str, at: Endpoint
    ) -> None:
        claimed, seen = said_address(source) or at, None
        if isinstance(stream, TlsStream):
            stream = await unwrapped(stream)  # nothing but TLS gets out there, so nobody punches from its port
        elif self._dialer.through is None:  # what a proxy has made says nothing of where we are
            seen = said_address(saw)
        port = one.port if one.public else HTTPS if one.domain else 0
        where = at.host if self._dialer.through is None else self._relay.host
        public = Endpoint(where, port) if port else None
        self._joined(Joined(stream, claimed, one.service, one.joined_as, self._relay, seen, public, one.domain))

    async def _connected(self, *, inside: bool) -> TcpStream | TlsStream:
        stream = await self._dialer.connect()
        return await secured(stream, self._address.key_hash, self._clock()) if inside else stream

    # Which way.

    def _answered(self, *, inside: bool) -> None:
        if self._way.answered(inside=inside):
            log.event("relay.only_tls", relay=self._relay, reason="this firewall passes only TLS")

    def _unanswered(self, *, inside: bool) -> None:
        if not self._way.unanswered(inside=inside, now=_now()):
            return
        if self._way.inside:
            self._look_later()
        # What was parked in the other way may be silent for ever.
        for token, task in tuple(self._parked.items()):
            if task is not asyncio.current_task():
                task.cancel()
                self._parked[token] = self._parking.start(self._park_again(task, token), "park")

    async def _park_again(self, before: asyncio.Task[None], token: str) -> None:
        await asyncio.wait([before])
        await self._park(self._at, token)

    def _look_later(self) -> None:
        if not self._looking:
            self._looking = True
            self._parking.start(self._look(), "look")

    async def _look(self) -> None:
        """Whether lines pass as they are again: one with a token that nobody gave is answered, too."""
        while self._way.inside:
            await asyncio.sleep(self._way.look_after)
            passes = False
            with contextlib.suppress(OSError, HardlineError, TimeoutError):
                async with asyncio.timeout(ANSWER_WITHIN):
                    stream = await self._dialer.connect()
                    try:
                        await stream.send(encode_line(Verb.JOIN, secrets.token_hex(16)))
                        passes = (await _first_line(stream)).verb is Verb.NO
                    finally:
                        stream.abort()
            self._way.looked(passes=passes)
        self._looking = False


async def _first_line(stream: ByteStream) -> Line:
    """Receive it, and nothing of what comes behind it."""
    line = read_line(await line_bytes(stream))
    assert line is not None, "it was read to its end"
    return line


def _now() -> float:
    return asyncio.get_running_loop().time()


def said_address(said: str) -> Endpoint | None:
    """What a relay says that it sees; None where that cannot be."""
    try:
        endpoint = Endpoint.parse(said)
    except PeerError:
        return None
    return endpoint if endpoint.address is not None else None
