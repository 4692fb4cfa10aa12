"""The host's side: connections from outside, verified names, who may come in, and sessions.

    Arrival ──▶ TLS (PSK of a service's name) ──▶ visitor's hello ─▶ admission ──▶ Session ─▶ serving.py
                                            └─▶ hardline/1 line ──▶ admission ──▶ one pipe ─▶ serving.py

Source: docs/PROTOCOL.md, sections 2 to 5.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from OpenSSL import SSL

from hardline import log
from hardline.errors import AccessRefused, ConnectionLost, HardlineError, PasswordRefused, PeerError
from hardline.identity import EarlierVersion, KeyHash, Label, instance_name, utc_day
from hardline.proof import VISITOR, Prover
from hardline.routes import Endpoint, Via, format_wan_hosts
from hardline.session import hello
from hardline.session.controlstream import ControlStream
from hardline.session.legacy import LegacyPipe
from hardline.session.session import Session, SessionLimits
from hardline.session.watch import RELAYED_PATIENCE
from hardline.settings.directory import Service
from hardline.signatures import CannotSign, signing_key
from hardline.streams import ByteStream
from hardline.tasks import TaskSet
from hardline.transport import psk
from hardline.transport.contexts import front_context, server_context
from hardline.transport.engine import reason
from hardline.transport.handshake import Names
from hardline.transport.newcomers import Newcomers
from hardline.transport.own import OwnListeners
from hardline.transport.sources import source_of
from hardline.transport.tcp import TcpStream, local_address
from hardline.transport.tls import TlsStream
from hardline.tunnel.admission import Admitted, NotAdmitted, Refusal, admit
from hardline.tunnel.arrival import Arrival, By
from hardline.tunnel.guesses import TELL_EVERY, Guesses
from hardline.tunnel.guests import Guest, Guests
from hardline.tunnel.inviting import Redeem, invited
from hardline.tunnel.local import LocalSite
from hardline.tunnel.names import ServerNames
from hardline.tunnel.parting import LINGER
from hardline.tunnel.pump import Local
from hardline.tunnel.serving import Came, Reached, Serving, Watcher
from hardline.tunnel.tellnews import NewsTeller
from hardline.tunnel.told import ToldOnce

if TYPE_CHECKING:
    from hardline.http.virtualhost import VirtualHost

_MOST_REFUSED = 64  # visitors that are still to hear why they were refused
_MOST_DROPPED = 1 << 20  # bytes that one of them may send meanwhile
_MOST_TOLD = 256  # sources, or clients, that the log tells of within TELL_EVERY
OLD_PASSWORD = 600.0  # seconds that what was opened with a password goes on after it was changed


@dataclass(frozen=True, slots=True)
class HostLimits:
    """The [Session] settings that a host needs; times in seconds."""

    session: SessionLimits
    sessions: int = 1000
    handshakes_per_source: int = 16
    handshakes: int = 512  # of all sources together
    hello_timeout: float = 10.0
    streams_per_source: int = 1000


class Sees(Protocol):
    """Who is told what happens at a host; nothing that he does may take time."""

    def came(self, guest: Guest) -> None:
        """He is in, with a session."""
        ...

    def left(self, guest: Guest) -> None:
        """He is gone."""
        ...

    def guessed(self, key_hash: KeyHash, count: int) -> None:
        """So many passwords for a service were wrong."""
        ...

    def kept_out(self, key_hash: KeyHash) -> None:
        """Somebody who may not visit it."""
        ...


class Host:
    """Serves whatever `replace` was given last.

    `clock` is seconds since 1970, `instance` is the secret by which this host is told apart from others with the same
    certificate, `site` finds what answers in place of a local service, `whereabouts` says where else the host is, and
    `via` by which relays a service is reached, `relays` at which by its own name, for visitors to remember; `reached`
    is told where each of them, by its address, says that it reached us; `own` knows which local service would be this
    process itself; `control` gets the control stream of sessions that somebody stands between; `changed` is called when
    others are here than before, and `witness` is told who.
    """

    def __init__(
        self,
        limits: HostLimits,
        *,
        clock: Callable[[], float],
        instance: str,
        site: Callable[[KeyHash], LocalSite | None] = lambda key_hash: None,
        whereabouts: Callable[[], Sequence[Endpoint]] = tuple,
        via: Callable[[KeyHash], Sequence[Via]] = lambda key_hash: (),
        relays: Callable[[KeyHash], Sequence[Endpoint]] = lambda key_hash: (),
        reached: Callable[[Endpoint, str], None] = lambda source, endpoint: None,
        own: OwnListeners | None = None,
        control: Callable[[ControlStream, Arrival], None] | None = None,
        redeem: Redeem | None = None,
        changed: Callable[[], None] = lambda: None,
        witness: Sees | None = None,
    ) -> None:
        self._limits = limits
        self._clock, self._witness = clock, witness
        self._instance = instance
        self._whereabouts, self._via, self._relays = whereabouts, via, relays
        self._reached, self._control, self._redeem = reached, control, redeem
        self._tasks, self._refused = TaskSet("host"), TaskSet("host")
        self._services: dict[KeyHash, Service] = {}
        self._provers: dict[KeyHash, Prover] = {}
        self._contexts: dict[KeyHash, SSL.Context] = {}  # of those that speak hardline/1
        self._server_names = ServerNames(())
        self._front = front_context()
        self._every_name = self._names(None, "")
        self._serving = Serving(site, own, limits.streams_per_source)
        self._newcomers: Newcomers[TcpStream] = Newcomers(limits.handshakes, limits.handshakes_per_source)
        # Apart from the others, and all of a relay are of one source: whence they come is its word.
        self._brought: Newcomers[TcpStream] = Newcomers(limits.handshakes, limits.handshakes // 2)
        self._guesses = Guesses()
        self._outdated, self._unknown = ToldOnce(TELL_EVERY, _MOST_TOLD), ToldOnce(TELL_EVERY, _MOST_TOLD)
        self._telling: dict[Label, asyncio.TimerHandle] = {}
        self.guests = Guests(limits.sessions, clock, changed)
        self._news = NewsTeller(self.guests, self._hello, self._may_hear)

    def replace(self, services: Iterable[Service]) -> None:
        """Serve `services` from now on.

        Whoever is connected to one that is gone is cut.  Whoever gave a password that it has no more opens nothing new,
        and is cut after OLD_PASSWORD: a download may come to its end, and a kept connection serves nobody for ever.
        Whoever is let in no more is cut: that is what his name was taken out for.
        """
        before, self._services = self._services, {service.label.key_hash: service for service in services}
        self._provers, self._contexts = self._usable(self._provers), self._usable_by_originals(self._contexts)
        self._server_names = ServerNames((key_hash, key_hash in self._contexts) for key_hash in self._services)
        self._serving.replace(self._services.values())
        for guest in self.guests:
            was, now = before.get(guest.key_hash), self._services.get(guest.key_hash)
            if now is None:
                self._tasks.start(guest.cut("the service was removed"), "removed")
            elif not now.lets_in(guest.client):
                log.event("access.ended", service=guest.key_hash.short, client=guest.client and guest.client.short)
                self._news.revoke(guest)
                self._tasks.start(guest.cut("the owner lets this visitor in no more"), "uninvited")
            elif was is not None and was.label != now.label:
                if guest.session is not None:
                    guest.session.go_away()
                asyncio.get_running_loop().call_later(OLD_PASSWORD, self._end_of_old_password, guest)
        self._news.changed()

    def has_news(self) -> None:
        """Where it is, or by which relays it is reached, may be another than its visitors were told."""
        self._news.changed()

    def _end_of_old_password(self, guest: Guest) -> None:
        if guest in self.guests:
            self._tasks.start(guest.cut("the password was changed"), "changed")

    def accepted(self, tcp: TcpStream) -> None:
        """A connection came in: the listener's callback."""
        self.arrived(Arrival(tcp, tcp.peer))

    def arrived(self, arrival: Arrival) -> None:
        """Somebody is here, and has not said yet who he is."""
        whose = arrival.between or arrival.for_whom
        newcomers = self._brought if whose else self._newcomers
        for leaving in newcomers.come(arrival.tcp, whose or arrival.source.host):
            if leaving is arrival.tcp:
                log.debug("visitor.refused", endpoint=arrival.source, reason="max_handshakes_per_source")
            leaving.abort()
            if leaving is arrival.tcp:
                return
        self._tasks.start(self._welcome(arrival, newcomers), "welcome")

    async def reach_public(self, key_hash: KeyHash, source: str, came: Came) -> Reached:
        """As Serving.reach_public."""
        return await self._serving.reach_public(key_hash, source, came)

    def is_public(self, key_hash: KeyHash) -> bool:
        """Whether its owner wants everybody to reach it."""
        service = self._services.get(key_hash)
        return service is not None and service.settings.public_port is not None

    async def join(
        self,
        pipe: ByteStream,
        key_hash: KeyHash,
        source: str,
        came: Came,
        first: bytes,
        over: Callable[[TcpStream], Local],
    ) -> None:
        """As Serving.join, for whoever came by a public name and was let in."""
        await self._serving.join(pipe, key_hash, source, came, first, over)

    async def watch(self, key_hash: KeyHash, watcher: Watcher | None) -> None:
        """As Serving.watch."""
        await self._serving.watch(key_hash, watcher)

    async def open_service(self, key_hash: KeyHash) -> Local:
        """A connection to a service as a visitor's stream gets it.  Raises ServiceFailed."""
        return await self._serving.open_service(key_hash)

    def virtual_host(self, key_hash: KeyHash) -> VirtualHost | None:
        """As Serving.virtual_host."""
        return self._serving.virtual_host(key_hash)

    def answers_to(self, server_name: str) -> bool:
        """Whether a visitor who says `server_name` is served here."""
        return self._server_names.find(server_name, utc_day(self._clock())) is not None

    def prover(self, key_hash: KeyHash) -> Prover | None:
        """Who proves to be the service of `key_hash`, where it is served here."""
        return self._provers.get(key_hash)

    def go_away(self) -> None:
        """Take no new streams, since it ends; those that are open go on."""
        self._news.stop()
        self.guests.go_away()

    def go_away_by(self, between: str) -> None:
        """The same for those who came by whoever stands there: they hear of another way for what they open next."""
        leaving = [guest for guest in self.guests if guest.between == between]
        self._news.tell(leaving)
        for guest in leaving:
            if guest.session is not None:
                guest.session.go_away()

    def network_changed(self, addresses: Collection[str]) -> None:
        """This machine has `addresses` now: sessions to one that is gone end, the others are asked about."""
        self.guests.network_changed(addresses)

    async def aclose(self) -> None:
        """End everything.  Let it drain first: `go_away`."""
        for timer in self._telling.values():
            timer.cancel()
        await self._news.aclose()
        await self.guests.aclose("the host is stopping")
        await self._tasks.aclose()
        await self._refused.aclose()
        await self._serving.aclose()

    def _usable(self, before: Mapping[KeyHash, Prover]) -> dict[KeyHash, Prover]:
        """Who proves to be each service, for hardline/2."""
        if psk.MISSING:
            return {}
        provers = {}
        for key_hash, service in self._services.items():
            try:
                provers[key_hash] = before.get(key_hash) or Prover(
                    service.identity.der, signing_key(service.identity.private_key_pem)
                )
            except CannotSign as failure:
                log.warning("service.unusable", service=service.name, protocol="hardline/2", reason=str(failure))
        return provers

    def _usable_by_originals(self, before: Mapping[KeyHash, SSL.Context]) -> dict[KeyHash, SSL.Context]:
        """The contexts of the services that speak hardline/1."""
        contexts = {}
        for key_hash, service in self._services.items():
            if not service.legacy:
                continue
            try:
                contexts[key_hash] = before.get(key_hash) or server_context(
                    service.identity.certificate_path, service.identity.private_key_path
                )
            except SSL.Error as failure:
                log.warning("service.unusable", service=service.name, protocol="hardline/1", reason=reason(failure))
        return contexts

    def _names(self, only: KeyHash | None, name: str) -> Names:
        """Who answers to which server name; with `only`, nobody but that service, to `name` if that is given."""

        def find(server_name: str) -> KeyHash | None:
            if name:
                return only if server_name == name else None
            found = self._server_names.find(server_name, utc_day(self._clock()))
            return found if only in (None, found) else None

        def certificate(server_name: str) -> SSL.Context | None:
            key_hash = self._server_names.plain(server_name) if not name else None
            return self._contexts.get(key_hash) if key_hash and only in (None, key_hash) else None

        return Names(find, lambda key_hash: self._provers.get(key_hash), certificate)

    async def _welcome(self, arrival: Arrival, newcomers: Newcomers[TcpStream]) -> None:
        tls: TlsStream | None = None
        try:
            async with asyncio.timeout(self._limits.hello_timeout):
                names = self._every_name if arrival.only is None else self._names(arrival.only, arrival.name)
                tls = await TlsStream.over(arrival.tcp, self._front, names=names)
                service = self._service_of(tls)
                key_hash, between = service.label.key_hash, arrival.between
                guest = Guest(key_hash, arrival.source, arrival.by, self._clock(), tls, between=between)
                pipe = None
                if tls.key_hash is not None:
                    await self._begin_session(tls, service, guest, arrival)
                else:
                    pipe = await self._begin_legacy(tls, service, guest)
        except (HardlineError, TimeoutError) as failure:
            reason = failure.message if isinstance(failure, HardlineError) else "no hello in time"
            if isinstance(failure, EarlierVersion):
                self._tell_of_version(arrival.source, failure)
            log.debug("visitor.failed", endpoint=arrival.source, reason=reason)
            refused = isinstance(failure, (PasswordRefused, AccessRefused))
            if tls is not None and not (refused and self._hears_why(tls)):
                await tls.aclose()
            return
        except BaseException:
            if tls is not None:
                tls.abort()
            raise
        finally:
            newcomers.known(arrival.tcp)
        self.guests.add(guest)
        # One line per session, not one per browser connection of an original.
        level = logging.INFO if guest.session else logging.DEBUG
        told = {"service": guest.key_hash.short, "endpoint": guest.source}
        log.event("visitor.came", level=level, **told, protocol=guest.protocol)
        watched = self._witness if guest.session is not None else None
        if watched is not None:
            watched.came(guest)
        try:
            if pipe is not None:
                source = guest.whose
                reached = format_wan_hosts([*self._whereabouts(), *self._relays(guest.key_hash)])
                await self._serving.serve_legacy(pipe, guest.key_hash, source, reached, _came(arrival))
            else:
                assert guest.session is not None
                await asyncio.shield(guest.session.closed)
        finally:
            self.guests.discard(guest)
            ended = guest.session.failure if guest.session is not None else None
            log.event("visitor.left", level=level, **told, reason=str(ended) if ended else None)
            if watched is not None:
                watched.left(guest)

    def _service_of(self, tls: TlsStream) -> Service:
        return self._offered(tls.key_hash or self._server_names.plain(tls.server_name))

    def _offered(self, key_hash: KeyHash | None) -> Service:
        service = self._services.get(key_hash) if key_hash else None
        if service is None:
            raise PeerError("the service is not offered here")
        return service

    def _hears_why(self, tls: TlsStream) -> bool:
        """Whether a refused visitor gets time to read why: closing on what he still sends would take it from him."""
        if tls.key_hash is None or len(self._refused) >= _MOST_REFUSED:
            return False
        self._refused.start(_until_read(tls), "refused")
        return True

    def _admit(self, guest: Guest, service: Service, password: str, client: KeyHash | None) -> NotAdmitted | None:
        """Let him in, or say why not."""
        now, where = asyncio.get_running_loop().time(), guest.guesses_as
        machine = guest.machine if service.label.password else ""
        match admit(service, password, where, client, self._guesses, now, machine):
            case Admitted(client):
                guest.client = client
                return None
            case NotAdmitted() as refused:
                if client is not None and refused.why is Refusal.ACCESS:
                    self._tell_of_unknown(service, client, now)
                self._tell_of_guesses(service.label, refused.untold)
                return refused

    def _tell_of_version(self, source: Endpoint, failure: EarlierVersion) -> None:
        """Log it, once in a while for a source."""
        if self._outdated.is_due(source_of(source.host), asyncio.get_running_loop().time()):
            log.event("visitor.outdated", service=failure.service.short, endpoint=source, hint="update hardline there")

    def _tell_of_unknown(self, service: Service, client: KeyHash, now: float) -> None:
        """Log who was not let in, as it would be pasted into the list."""
        if self._unknown.is_due(str(client), now):
            # A visitor's key hash opens nothing by itself: only who has the key can use it.
            hint = f"to let this visitor in, add the line to {service.name}.ini.clients: {client}"
            log.event("access.refused", service=service.name, client=client.short, hint=log.Public(hint))
            if self._witness is not None:
                self._witness.kept_out(service.label.key_hash)

    def _tell_of_guesses(self, label: Label, count: int) -> None:
        """Log that `count` were wrong, and in an hour how many have been since."""
        if count:
            log.warning("password.refused", service=label.key_hash.short, count=count)
            if self._witness is not None:
                self._witness.guessed(label.key_hash, count)
            if earlier := self._telling.pop(label, None):
                earlier.cancel()
            loop = asyncio.get_running_loop()
            self._telling[label] = loop.call_later(TELL_EVERY + 1, self._tell_again, label)

    def _tell_again(self, label: Label) -> None:
        self._tell_of_guesses(label, self._guesses.untold(label, asyncio.get_running_loop().time()))

    def _hello(self, key_hash: KeyHash) -> hello.HostHello:
        """What is said of a service to who was let in."""
        service, instance = self._offered(key_hash), instance_name(self._instance, key_hash)
        return hello.HostHello(
            format_wan_hosts(self._whereabouts()), service.title, instance, tuple(self._via(key_hash))
        )

    def _may_hear(self, guest: Guest) -> bool:
        """Whether he would be let in as he was: what is said since a password was changed is for others."""
        service = self._services.get(guest.key_hash)
        return service is not None and service.label == guest.label and service.lets_in(guest.client)

    # hardline/2

    async def _begin_session(self, tls: TlsStream, service: Service, guest: Guest, arrival: Arrival) -> None:
        reader = hello.HelloReader()
        while (line := reader.feed(await _more(tls))) is None:
            pass
        theirs = hello.VisitorHello.parse(line)
        service = self._offered(service.key_hash)  # as it is now, however long the hello took
        client = None
        if theirs.client is not None:
            theirs.client.check(VISITOR, tls.exporter(VISITOR, service.key_hash))
            client = theirs.client.key_hash
        refused = None
        if theirs.invite and client is not None and not service.lets_in(client) and self._redeem is not None:
            now = asyncio.get_running_loop().time()
            shown = service.key_hash, client, theirs.invite
            refused = await invited(*shown, self._redeem, guest.guesses_as, self._guesses, now, guest.machine)
            service = self._offered(service.key_hash)
        if refused := refused or self._admit(guest, service, theirs.password, client):
            await tls.send(hello.HostRefusal(refused.why.value, refused.invite).encode())
            raise _refusal(refused)
        self.guests.make_room(guest)
        if arrival.once is not None:
            if arrival.once.done():
                raise PeerError("somebody else came by that name already")
            arrival.once.settle()
        if guest.by is By.LISTENER:
            self._reached(guest.source, theirs.reached)
        key_hash, as_of = service.label.key_hash, self._news.changes
        guest.label, guest.told = service.label, self._hello(key_hash)
        await tls.send(guest.told.encode())
        offered = self._offered(key_hash)
        if offered.label != service.label or not offered.lets_in(client):
            raise ConnectionLost("who may visit was changed")
        source = self._serving.source(guest.whose)
        accept = self._serving.acceptor(key_hash, source, _came(arrival))
        patience = RELAYED_PATIENCE if guest.between else 0.0
        guest.session = Session(
            tls, self._limits.session, client=False, accept=accept, source=source, patience=patience
        )
        guest.session.start(reader.leftover)
        if not theirs.control:
            return
        guest.control = ControlStream(guest.session.open_control)
        if arrival.saw is not None and self._control is not None:
            self._control(guest.control, arrival)
        if self._news.changes != as_of:
            self._news.changed()

    # hardline/1

    async def _begin_legacy(self, tls: TlsStream, service: Service, guest: Guest) -> LegacyPipe:
        pipe = LegacyPipe(tls)
        line = await pipe.read_line()
        service = self._offered(service.key_hash)
        # An original that wants no password does not look at the line either.
        password = hello.LegacyVisitorLine.parse(line).password if service.label.password else ""
        if refused := self._admit(guest, service, password, None):
            raise _refusal(refused)
        self.guests.make_room(guest)
        return pipe


def _came(arrival: Arrival) -> Came:
    """What a service may be told of whence it was visited."""
    if arrival.between:
        return Came()
    address = local_address(transport := arrival.tcp.transport)
    return Came(arrival.source, Endpoint(address, transport.get_extra_info("sockname")[1]) if address else None)


def _refusal(refused: NotAdmitted) -> HardlineError:
    kind = AccessRefused if refused.why in (Refusal.ACCESS, Refusal.INVITE) else PasswordRefused
    return kind(refused.sentence)


async def _until_read(tls: TlsStream) -> None:
    try:
        async with asyncio.timeout(LINGER):
            await tls.send_eof()
            dropped = 0
            while dropped < _MOST_DROPPED and (data := await tls.receive()):
                dropped += len(data)
    except (HardlineError, TimeoutError):
        pass
    finally:
        await tls.aclose()


async def _more(tls: TlsStream) -> bytes:
    data = await tls.receive()
    if not data:
        raise ConnectionLost("the visitor closed before its hello")
    return data
