"""One node: builds every part, introduces them to each other, and ends them in order.

    ServiceDirectory ─▶ Offering ──▶ Host ◀── Listener (P2P port)  Lan, DnsSd ─┐
    Listener (local port) ──▶ Door ──▶ Visitor ──▶ Dialer ◀── Remembered ─┴─ MergedFinder
                                           Host, MergedFinder ◀── Reach (routers, the DHT, roaming)
    ControlServer ──▶ Actions ──▶ all of them

This is the only file that knows who exists.  It is a library: what belongs to a process (signals, umask, the garbage
collector, what systemd wants to hear) is process.py's.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hardline import __version__, certificates, log
from hardline.asking import SOCKET_NAME
from hardline.cache.own import OwnFiles
from hardline.cache.sites import Sites
from hardline.control import ControlServer
from hardline.discovery.answering import LanService
from hardline.discovery.dnssd import DnsSd
from hardline.discovery.given import Given
from hardline.discovery.interfaces import limited
from hardline.discovery.lan import Lan
from hardline.discovery.looking import WHOLE
from hardline.discovery.merged import MergedFinder
from hardline.discovery.own import OwnServices
from hardline.discovery.whereabouts import OWN
from hardline.door.own import Asked
from hardline.door.ownuser import OwnUser
from hardline.door.pages import Called
from hardline.door.server import Door
from hardline.errors import ConfigError, HardlineError
from hardline.identity import KeyHash, Label
from hardline.node.actions import Actions
from hardline.node.asked import handlers
from hardline.node.brought import Brought
from hardline.node.changes import Changes
from hardline.node.datadir import instance_of, keep_private, prepare
from hardline.node.draining import drain
from hardline.node.ending import Ending
from hardline.node.fronts import Fronts
from hardline.node.known import Known
from hardline.node.limits import (
    computer_of,
    door_limits,
    host_limits,
    keeps_to_own_user,
    of_a_program,
    session_limits,
    socket_options,
    unheard,
    visitor_limits,
)
from hardline.node.offering import Offering
from hardline.node.snapshot import Itself, Json, Snapshot, to_object
from hardline.node.sockets import judged
from hardline.node.telling import Telling
from hardline.node.waiting import WaitsForHosts
from hardline.node.witness import Witness
from hardline.peers.accepted import Accepted
from hardline.peers.invites import Invites
from hardline.peers.keys import ClientKeys
from hardline.peers.names import Names
from hardline.peers.remembered import Remembered
from hardline.peers.visits import Visits
from hardline.places import Places
from hardline.reach import Reach
from hardline.reachparts import ReachParts
from hardline.relaying import Relaying
from hardline.routes import Endpoint, Finder
from hardline.session.hello import Verdict
from hardline.session.session import Session, SessionLimits
from hardline.settings.directory import Service, ServiceDirectory
from hardline.settings.node import NodeSettings
from hardline.tasks import OnceAWhile, TaskSet, keep_running
from hardline.transport.listener import ALL_ADDRESSES, Listener
from hardline.transport.own import OwnListeners
from hardline.transport.socketoptions import SocketOptions
from hardline.tunnel.dialer import Dialer
from hardline.tunnel.host import Host
from hardline.tunnel.link import Path as SessionPath
from hardline.tunnel.local import LocalSite
from hardline.tunnel.visitor import Visitor

if TYPE_CHECKING:
    from hardline.door.forwards import Forward
    from hardline.gateway.linked import PeerLink
    from hardline.https.server import Https
    from hardline.node.examined import Examined
    from hardline.node.inprocess import InProcess, SharedApp
    from hardline.node.inspecting import Inspecting
    from hardline.node.opened import OpenedStream
    from hardline.node.ownpages import OwnPages
    from hardline.node.phones import Phones
    from hardline.punching import Punching
    from hardline.relay.joins import Joined

DOOR_ADDRESSES = ("127.0.0.1", "::1")
BROWSE_WAIT = 0.3  # seconds that the home page waits for answers from the LAN
HOME_BROWSES = 1.0  # seconds between two searches of the LAN for it: any page can make a browser ask for it

# Settings that can change while it runs, besides the gateway's.
LIVE = ("[Relay] allow", "[Relay] deny", "[Relay] public_allow", "[Relay] domains")

_USUAL_DOOR = 7009
_GREETED_WITHIN = 20.0  # seconds
_SETTLED = 1.0  # seconds after the start: DNS-SD is heard by then


def is_live(key: str) -> bool:
    """Whether `[Section] key` takes effect while it runs."""
    return key in LIVE or (key.startswith("[Gateway") and key != "[Gateway] listen")


class Node:
    """A whole node: `start`, then `stop`, or as a context manager.  `stop` also cleans up after half a start.

    Without `settings` it is as a program wants it: no door for browsers, and any port.  `datadir` stands for `places`
    where services have no files of their own.  `control` says whether `hardline` can ask it.  Without `listen` nothing
    of it listens: it is reached by relays, and by connections that it makes itself; `control` is off then.

    A node is used in the event loop that started it: elsewhere a HardlineError says so.
    """

    def __init__(
        self,
        settings: NodeSettings | None = None,
        places: Places | None = None,
        *,
        datadir: Path | str | None = None,
        control: bool = True,
        listen: bool = True,
    ) -> None:
        settings, places = settings or of_a_program(), places or _places(datadir)
        settings = settings if listen else unheard(settings)
        self._settings, self._notes, self._socket_notes = settings, settings.notes, list[str]()
        self._places = places
        self._tasks = TaskSet("node")
        self.changes = Changes()
        self._directory = ServiceDirectory(places.servicedir)
        self.offering = Offering(self._directory)
        self._served: tuple[Service, ...] = ()
        self._bind: Sequence[str] = settings.node.bind or ALL_ADDRESSES
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._ready = asyncio.Event()
        self._end = TaskSet("node")
        self._stopping: asyncio.Task[None] | None = None
        self._listens, self._answers_control, self._started = listen, control and listen, False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._in_process: InProcess | None = None
        self._listener: Listener | None = None
        self._visitor: Visitor | None = None
        self._door: Door | None = None
        self._relaying: Relaying | None = None
        self._punching: Punching | None = None
        self._computer = computer_of(settings)
        self._keys = ClientKeys(places.datadir / "keys")
        self._brought = Brought(lambda: self._host, lambda: self._punching, self._came_by_name)
        self._https: Https | None = None
        self._door_listener: Listener | None = None
        self._fronts: Fronts | None = None
        self._telling: Telling | None = None
        self._examined: Examined | None = None
        self._pages: OwnPages | None = None
        self._inspecting: Inspecting | None = None
        self._own_files = OwnFiles(places.servicedir, places.datadir)
        self._own_listeners = OwnListeners(self._listening, places.datadir / SOCKET_NAME, lambda: self._addresses)
        self._near: list[Lan | DnsSd] = []
        own = keeps_to_own_user(settings)
        self._users = OwnUser(lambda host: own and self._keys.prover(host) is not None)
        self._accepted = Accepted(places.datadir / "keys")
        self._waits = WaitsForHosts(self._accepted, self._greet, self._tasks)
        self._names = Names(places.datadir / "names")
        self._home_offers = OnceAWhile(lambda: self.actions.browse(BROWSE_WAIT), HOME_BROWSES)
        self._known = Known(
            self._names,
            services=lambda: self.offering.known.values(),
            recent=lambda limit: self._remembered.recent(limit),
            offers=self._home_offers.get,
            door_port=lambda: self._door_port,
        )
        self.actions = Actions(
            places.servicedir,
            self.offering,
            self._own_files,
            self._own_listeners,
            self.changes,
            served=lambda: self._served,
            near=lambda: self._near,
            door_port=lambda: self._door_port,
            snapshot=self._snapshot,
            drain_relay=lambda seconds: self._relays.drain(seconds),
            make_key=lambda host: self._keys.make(host),
            known=self._known,
            invites=Invites(places.datadir / "invites"),
            accepted=self._accepted,
            greet=self._greet,
            wait_for_hosts=lambda: self._waits.start(),
            witness=lambda: self._witness,
            open_port=self._open_port,
            examined=self._examine,
            phones=self._phones,
            inspecting=self._inspecting_requests,
            runs=self._runs_here,
        )

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Bring the node up.  Raises ConfigError or CertificateError saying what to do."""
        if self._started:
            raise HardlineError("this node was started already", hint="stop it first")
        self._started, settings, datadir = True, self._settings, self._places.datadir
        self._loop = asyncio.get_running_loop()
        self._socket_notes = judged(settings)
        await asyncio.to_thread(prepare, datadir)
        for directory in (datadir, self._places.servicedir):
            await asyncio.to_thread(keep_private, directory)
        # Before everything else, since it is what keeps a second daemon away from the directory.
        self._handlers = handlers(self.actions, self._ready, lambda: self._own_pages().page)
        control = ControlServer(self._handlers)
        self._closers.append(control.aclose)
        await control.open(datadir, listen=self._answers_control)
        self._identity = await asyncio.to_thread(certificates.load_or_create, datadir / "node.cert")
        await asyncio.to_thread(self._directory.load)
        await self.actions.inviting.load(self.offering.known.values())
        self._closers.append(self.actions.inviting.aclose)

        limits = session_limits(settings)
        self._witness = self._make_witness()
        self._closers.append(self._witness.aclose)
        self._witness.offered(self.offering.known, self.offering.problems)
        await self._open_host(limits)
        await self._open_finders()
        await self._open_visitor(limits)
        self._fronts = fronts = self._make_fronts()
        self._telling = self._make_telling(fronts)
        await fronts.open()
        await self._reach.start()
        self._relays.start()
        self._waits.start()
        fronts.start()
        self._tasks.start(keep_running(self.offering.run, "services"), "services")
        self._tasks.start(keep_running(self._follow_offering, "offering"), "offering")
        ending = Ending(self._places.servicedir, self.offering, time.time)
        self._tasks.start(keep_running(ending.run, "ending"), "ending")
        if self._near:
            self._tasks.start(self._look_around(), "look", expects=HardlineError)
        for note in (*settings.notes, *self._socket_notes):
            log.event("settings.note", note=note)
        log.event("node.ready", version=__version__, node=self._identity.key_hash.short, pid=os.getpid())
        self._ready.set()

    def settings_changed(self, now: NodeSettings) -> None:
        """Take up what of the settings can change while this runs (`is_live`)."""
        self._notes = now.notes
        if self._fronts is not None:
            self._fronts.settings_changed(now)
        self._relays.access_changed(now.relay)

    async def stop(self) -> None:
        """Let what moves come to its end, then end everything, in the reverse order of its beginning.

        Cancelled, it waits for nothing that moves, and ends everything all the same.
        """
        self._check_loop()
        try:
            if self._closers:
                await self._drain()
        finally:
            if self._stopping is None:
                self._stopping = self._end.start(self._close(), "stop")
            await asyncio.shield(self._stopping)
            self._stopping = None

    async def _close(self) -> None:
        self._ready.clear()
        await self._tasks.aclose()
        closers, self._closers = self._closers, []
        self._fronts = self._telling = self._examined = self._inspecting = self._pages = None
        self._in_process = self._https = None
        for close in reversed(closers):
            try:
                await close()
            except Exception as failure:  # the others end all the same
                log.warning("node.not_closed", reason=repr(failure))
        if closers:
            log.event("node.stopped")
        self._started, self._loop = False, None

    async def share(
        self,
        app: object,
        *,
        name: str = "app",
        title: str = "",
        password: str = "",
        listed: bool = True,
        clients: Sequence[KeyHash | str] | None = None,
        interface: str = "",
        threads: int = 16,
    ) -> SharedApp:
        """Share `app`, which is called in this process: an ASGI or WSGI application, or `async def app(stream)`, which
        gets each connection as a ByteStream.  Returns once visitors are served; `str` of that is the URL.

        The key is the name's, in the data directory.  `password` stands before it in the URL, `clients` are the key
        hashes of those who may visit, None for all who have the URL; `interface` is asgi, wsgi or stream, where that
        cannot be told from its arguments; a WSGI application has `threads` for its requests.

        Raises WrongArgument, ConfigError, CertificateError; HardlineError where the application does not start, or what
        it needs is not installed.
        """
        self._check_running()
        if self._in_process is None:
            from hardline.node.inprocess import InProcess
            from hardline.node.rows import url_of

            self._in_process = InProcess(
                self._places.datadir / "apps",
                self.offering,
                self.changes,
                lambda: self._served,
                lambda label: url_of(label, self._door_port),
                self._check_loop,
            )
            self._closers.append(self._in_process.aclose)  # the first that ends: answers under way are still carried
        return await self._in_process.share(
            app,
            name=name,
            title=title,
            password=password,
            listed=listed,
            clients=clients,
            interface=interface,
            threads=threads,
        )

    async def open(self, address: str | Label) -> OpenedStream:
        """A ByteStream into the service of `address`: a label, or a URL with one.  Returns when it was reached.

        There is no time limit inside.  Raises WrongArgument, NoRoute, ServiceFailed, PasswordRefused, AccessRefused,
        LimitReached, PeerError or ConnectionLost.  Safe to cancel.
        """
        self._check_running()
        from hardline.node.opened import open_stream

        assert self._visitor is not None, "a node that is ready has one"
        return await open_stream(self._visitor, address)

    @property
    def summary(self) -> str:
        """What it does, in a few words."""
        count, problems = len(self.offering.current), len(self.offering.problems)
        broken = f", {problems} with problems" if problems else ""
        links = "".join(f"; {link.summary}" for link in self._links())
        return f"serving {count} service{'' if count == 1 else 's'}{broken}{links}"

    @property
    def waits_for_links(self) -> bool:
        """The first attempt of a link that is to be waited for has not ended yet."""
        return any(not link.warm.first.done() for link in self._links() if link.settings.ready == "attempt")

    async def links_tried(self) -> None:
        """Wait until that is over."""
        for link in self._links():
            if link.settings.ready == "attempt":
                await link.warm.first

    def _check_loop(self) -> None:
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise HardlineError(
                "this node belongs to another event loop", hint="asyncio.run_coroutine_threadsafe calls it there"
            )

    def _runs_here(self) -> bool:
        self._check_loop()
        return self._ready.is_set()

    def _check_running(self) -> None:
        if not self._runs_here():
            raise HardlineError("this node does not run", hint="start it, and use it before it is stopped")

    # The parts.

    async def _open_host(self, limits: SessionLimits) -> None:
        instance = await asyncio.to_thread(instance_of, self._places.datadir)
        parts = self._settings, self._places.datadir, self._identity, instance
        self._reach = Reach(
            ReachParts(
                *parts,
                lambda target: self._remembered.protocol_of(target),
                lambda service: self._relays.via(service),
                lambda service: self._relays.named(service),
            ),
            public=self._settings.node.public,
            bind=self._settings.node.bind,
            services=lambda: self.offering.current,
            listening=lambda: self._listener.endpoints if self._listener else (),
            moved=self._moved_to_another_network,
            relayed=bool(self._settings.relay.use),
            dialled=lambda: self._relaying.reached if self._relaying else (),
            whereabouts_changed=self._whereabouts_changed,
        )
        await self._reach.look()
        self._sites = Sites(self._places.datadir, self._own_files)
        self._closers.append(self._sites.aclose)
        self._host = Host(
            host_limits(self._settings, limits),
            clock=time.time,
            instance=instance,
            site=self._site,
            whereabouts=self._reach.whereabouts.current,
            via=lambda key_hash: self._relays.via(key_hash),
            relays=lambda key_hash: self._relays.named(key_hash),
            reached=self._reach.said,
            own=self._own_listeners,
            control=self._brought.controlled,
            redeem=self._redeem,
            changed=self.changes.tell,
            witness=self._witness,
        )
        if self._settings.relay.punch:
            self._open_punching()
        self._relaying = relaying = Relaying(
            self._settings.relay,
            self._identity,
            instance,
            services=lambda: self.offering.current,
            host=self._host.accepted,
            answers_to=self._host.answers_to,
            joined=self._brought.joined,
            named=lambda tcp, name: self._https is not None and self._https.came(tcp, name),
            changed=self._relays_changed,
            drains=self._relay_drains,
            port=lambda: self._p2p_port,
            told=self._reach.whereabouts.current,
            found=self._reach.dialled_changed,
            busy=self._brought.are_here_by,
            count=self._places.datadir / "relay-month.json",
            timeout=self._settings.session.hello_timeout,
            clock=time.time,
        )
        await self._serve()
        self._closers += [self._host.aclose, self._brought.aclose, relaying.aclose]
        if self._listens:
            await self._listen(relaying)
        self._closers.append(self._reach.aclose)

    async def _listen(self, relaying: Relaying) -> None:
        port, options = self._settings.node.p2pport, SocketOptions(congestion=self._settings.session.congestion)
        self._listener = listener = await Listener.open(
            self._bind, port, relaying.accepted, what="p2pport", options=options
        )
        self._closers.append(listener.aclose)
        await relaying.open(self._bind)
        if self._https is not None:
            self._https.relays_changed()
        log.event("p2p.listening", at=" ".join(map(str, listener.endpoints)))

    def _open_punching(self) -> None:
        from hardline.punching import Punching
        from hardline.relay.lines import Verb

        self._punching = Punching(
            lambda: {one.address for one in limited(self._reach.addresses, self._settings.node.bind)},
            self._open_to_all,
            self._seen_at,
            self._brought.punched,
            lambda name, take, seconds: self._relays.expected.expect(Verb.REVERSE, name, take, seconds),
            lambda name: self._relays.expected.forget(Verb.REVERSE, name),
        )
        self._closers.append(self._punching.aclose)

    async def _open_finders(self) -> None:
        settings = self._settings
        self._remembered = await Remembered.open(self._places.datadir / "routes.db")
        self._closers.append(self._remembered.aclose)
        own = OwnServices(
            lambda: {service.key_hash for service in self.offering.current},
            lambda: self._listener.endpoints if self._listener else (),
        )
        if settings.lan.enabled:
            lan = Lan(
                services=self._lan_services,
                port=lambda: self._p2p_port,
                clock=time.time,
                bind=settings.node.bind,
                multicast=settings.lan.multicast,
                broadcast=settings.lan.broadcast,
                host=self._computer,
            )
            self._reach.follow(lan.follow)
            lan.open()
            self._closers.append(lan.aclose)
            self._tasks.start(keep_running(lan.run, "lan"), "lan")
            self._near.append(lan)
            self._follow(lan.services_changed)
        if settings.lan.enabled and settings.lan.mdns:
            dnssd = DnsSd(
                services=self._lan_services,
                port=lambda: self._p2p_port,
                bind=settings.node.bind,
                host=self._computer,
            )
            self._reach.follow(dnssd.follow)
            self._closers.append(dnssd.aclose)
            self._tasks.start(keep_running(dnssd.run, "dnssd"), "dnssd")
            self._near.append(dnssd)
            self._follow(dnssd.refresh)
        far: list[Finder] = [self._reach.finder] if self._reach.finder else []
        if any(relay.named for relay in settings.relay.use):
            from hardline.relay.finder import RelayFinder

            far.append(RelayFinder(settings.relay.use))
        self._given = Given({one.label.key_hash: one.address for one in settings.peers.values() if one.label})
        given = [self._given] if settings.peers else []
        # What is set comes first: the same endpoint out of the memory may be one that is not dialled.
        self._finders = MergedFinder([*given, own, *self._near, self._remembered, *far])
        self._nearby = MergedFinder([own, *self._near, self._remembered])

    async def _open_visitor(self, limits: SessionLimits) -> None:
        settings = self._settings
        await self._keys.load()
        await self._accepted.load()
        await self._names.load()
        options = socket_options(settings)
        dialer, nearby = (
            Dialer(
                finders.search,
                clock=time.time,
                stagger=settings.dial.stagger,
                timeout=settings.dial.timeout,
                is_ours=self._reach.is_ours,
                protocol_of=self._remembered.protocol_of,
                options=options,
            )
            for finders in (self._finders, self._nearby)
        )
        self._visitor = visitor = Visitor(
            dialer,
            self._remembered,
            visitor_limits(settings, limits),
            nearby=nearby,
            prover=lambda key_hash: self._host.prover(key_hash) or self._keys.prover(key_hash),
            invitations=self._accepted,
            punches=self._punching.visits if self._punching is not None else None,
            changed=self.changes.tell,
        )
        self._closers.append(visitor.aclose)
        if not settings.node.localport:
            return
        self._door = door = Door(
            visitor, door_limits(settings), self._own, self._meant, self._witness.unreached, self._called, self._users
        )
        self._closers.append(door.aclose)
        self._door_listener = await Listener.open(
            DOOR_ADDRESSES, settings.node.localport, door.accepted, what="localport", resets=True
        )
        self._closers.append(self._door_listener.aclose)
        log.event("door.listening", at=" ".join(map(str, self._door_listener.endpoints)))

    async def _open_port(self, label: Label, port: int, pages: bool) -> Forward:
        if not self._listens:
            raise ConfigError("this node listens nowhere", hint="start it without listen=False, or use its open()")
        assert self._fronts is not None, "actions are there when it runs"
        return await self._fronts.add(label, port, pages)

    def _make_fronts(self) -> Fronts:
        assert self._visitor is not None, "it is opened first"
        return Fronts(
            self._settings,
            self._places.datadir,
            self._visitor,
            self._remembered,
            self._given,
            self._own_listeners.listens_at,
            self._closers,
            self._users,
            addresses=lambda: list(limited(self._reach.addresses, self._settings.node.bind)),
            answer_for=self._answer_for,
            changed=self.changes.tell,
        )

    def _answer_for(self, host: str, port: int, addresses: Sequence[str]) -> Callable[[], None] | None:
        """By multicast DNS, where this node speaks it."""
        return next((near.answer_for(host, port, addresses) for near in self._near if isinstance(near, DnsSd)), None)

    def _inspecting_requests(self) -> Inspecting:
        if self._inspecting is None:
            from hardline.node.inspecting import Inspecting

            self._inspecting = Inspecting(lambda: self._host)
        return self._inspecting

    def _phones(self) -> Phones:
        assert self._fronts is not None, "actions are there when it runs"
        return self._fronts.phones

    def _links(self) -> list[PeerLink]:
        return self._fronts.links if self._fronts is not None else []

    async def _open_https(self) -> None:
        from hardline.https.server import Https

        self._https = Https(
            self._settings.acme,
            self._places.datadir / "https",
            self._host,
            relays=lambda service, name: self._relays.domain(service, name),
            clock=time.time,
            timeout=self._settings.session.hello_timeout,
            changed=self.changes.tell,
        )
        self._closers.append(self._https.aclose)

    def _came_by_name(self, joined: Joined) -> None:
        if self._https is not None:
            self._https.arrived(joined)
        else:
            joined.tcp.abort()

    # What is offered.

    def _lan_services(self) -> list[LanService]:
        return [
            LanService(service.label, service.title, service.listed, service.legacy)
            for service in (self.offering.current if self._listens else ())
        ]

    def _site(self, key_hash: KeyHash) -> LocalSite | None:
        return self.offering.site(key_hash) or self._sites.find(key_hash)

    async def _follow_offering(self) -> None:
        async for _ in self.offering.watch():
            await self._serve()
            self._brought.services_changed()
            self._reach.services_changed()
            self._relays.services_changed()
            self._witness.offered(self.offering.known, self.offering.problems)
            self.changes.tell()

    def _follow(self, follower: Callable[[], None]) -> None:
        """Have it told of every change."""

        async def follow() -> None:
            async for _ in self.offering.watch():
                follower()

        self._tasks.start(keep_running(follow, "offering"), "offering")

    async def _serve(self) -> None:
        """Serve visitors what is offered now: what answers is there before who asks for it is let in."""
        services = self.offering.current
        own = [file for service in services for file in service.identity.files]
        await asyncio.to_thread(self._own_files.also, [*own, *filter(None, [self._places.config])])
        self._sites.replace(services)
        self._host.replace(services)
        if self._https is None and any(service.settings.public.name for service in services):
            await self._open_https()
        if self._https is not None:
            self._https.replace(services)
        self._served = services

    def _make_witness(self) -> Witness:
        return Witness(
            Visits(self._places.datadir / "visits.db"),
            self._names,
            services=lambda: {service.key_hash: service for service in self.offering.known.values()},
            let_in=self.actions.inviting.let_in,
            recall=lambda host: self._remembered.get(host),
            clock=time.time,
            changed=self.changes.tell,
        )

    async def _redeem(self, service: KeyHash, client: KeyHash, secret: str) -> Verdict:
        verdict = await self.actions.inviting.redeem(service, client, secret)
        if verdict is Verdict.LET_IN:
            self._witness.redeemed(service, client)
        return verdict

    # This machine.

    async def _look_around(self) -> None:
        """Who is there is known before somebody asks."""
        await asyncio.sleep(_SETTLED)
        await self.actions.browse(WHOLE)

    def _moved_to_another_network(self, others: bool) -> None:
        """This machine's network is, or may be, another: what went by the old one does not work any more."""
        if others:
            for near in self._near:
                near.moved()
        addresses = self._addresses
        if self._visitor is not None:
            self._visitor.network_changed(addresses)
        self._host.network_changed(addresses)
        if self._fronts is not None:
            self._fronts.network_changed()
        if others:
            self._relays.network_changed()
        self.changes.tell()

    @property
    def _relays(self) -> Relaying:
        assert self._relaying is not None, "it is opened first"
        return self._relaying

    def _relays_changed(self) -> None:
        """By which relays this host is reached, is another."""
        self._reach.relays_changed()
        if self._https is not None:
            self._https.relays_changed()
        self.changes.tell()

    def _whereabouts_changed(self) -> None:
        if self._relaying is not None:
            self._relaying.whereabouts_changed()

    @property
    def _p2p_port(self) -> int:
        return self._listener.port if self._listener is not None else 0

    def _relay_drains(self, relay: Endpoint) -> None:
        known = bool(self._reach.whereabouts.current())
        self._brought.drains(relay, self._relays.used(), known_elsewhere=known)

    def _seen_at(self) -> set[str]:
        """The addresses at which routers, relays or visitors see this node."""
        return {at.host for at in self._reach.whereabouts.current()} | self._relays.seen_at()

    def _open_to_all(self) -> list[Endpoint]:
        """Where somebody has seen that the world can connect to this node."""
        return [at for at, known_by in self._reach.whereabouts.explained().items() if known_by != OWN]

    @property
    def _addresses(self) -> set[str]:
        return {one.address.partition("%")[0] for one in self._reach.addresses}

    def _listening(self) -> list[Endpoint]:
        """Where others connect, and where browsers do."""
        listeners = self._listener, self._door_listener
        also = self._relaying.listens_at if self._relaying is not None else ()
        fronts = self._fronts.endpoints if self._fronts is not None else ()
        return [*(at for one in listeners if one for at in one.endpoints), *also, *fronts]

    @property
    def _door_port(self) -> int:
        return self._door_listener.port if self._door_listener else _USUAL_DOOR

    # What it says of itself.

    def _make_telling(self, fronts: Fronts) -> Telling:
        assert self._visitor is not None, "it is opened first"
        return Telling(
            itself=self._itself,
            notes=lambda: (*self._notes, *self._socket_notes),
            offering=self.offering,
            own_listeners=self._own_listeners,
            names=self._names,
            reach=self._reach,
            relays=self._relays,
            host=self._host,
            sites=self._sites,
            remembered=self._remembered,
            visitor=self._visitor,
            door=self._door,
            door_port=lambda: self._door_port,
            fronts=fronts,
            https=lambda: self._https,
        )

    def _itself(self) -> Itself:
        return Itself(
            key_hash=str(self._identity.key_hash),
            servicedir=str(self._places.servicedir),
            datadir=str(self._places.datadir),
            door=tuple(map(str, self._door_listener.endpoints)) if self._door_listener else (),
            p2p=tuple(map(str, (*(self._listener.endpoints if self._listener else ()), *self._relays.endpoints))),
            computer=self._computer,
        )

    async def _snapshot(self) -> Snapshot:
        assert self._telling is not None, "who asks waits until the node is ready"
        return await self._telling.snapshot()

    def _examine(self) -> Examined:
        if self._examined is None:
            from hardline.node.examined import Examined

            assert self._telling is not None, "actions are there when it runs"
            assert self._visitor is not None, "actions are there when it runs"
            listeners = self._door_listener, self._listener
            self._examined = Examined(
                self._settings,
                self._places,
                offering=self.offering,
                services=self._telling.services,
                reach=self._reach,
                relays=self._relays,
                remembered=self._remembered,
                near=self._near,
                finders=self._finders,
                visitor=self._visitor,
                listening=lambda: [at for one in listeners if one for at in one.endpoints],
            )
        return self._examined

    async def _own(self, asked: Asked) -> bool:
        return await self._own_pages().web.serve(asked)

    def _own_pages(self) -> OwnPages:
        """What answers for this node's own name; loaded and made when it is asked for."""
        if self._pages is None:
            from hardline.node.ownpages import OwnPages

            self._pages = OwnPages(
                self._handlers,
                self.actions,
                self.changes,
                self._witness,
                self._own_listeners,
                self._places.datadir,
                telling=lambda: self._telling,
                services=lambda: self.offering.known,
                tried=lambda: self._door.tried if self._door is not None else {},
                offers=self._home_offers,
                door_port=lambda: self._door_port,
                metrics=self._settings.node.metrics,
                ready=self._ready,
            )
            self._closers.append(self._pages.aclose)
        return self._pages

    async def _greet(self, label: Label) -> SessionPath | None:
        assert self._visitor is not None, "actions are there when it runs"
        async with asyncio.timeout(_GREETED_WITHIN):
            return await self._visitor.greet(label)

    async def _called(self, label: Label) -> Called:
        host = await self._remembered.get(label.key_hash)
        name = self._names.of(label.key_hash) or ""
        return Called(name, host.title, host.last_seen) if host is not None else Called(name)

    async def _meant(self, text: str) -> list[dict[str, Json]]:
        return [to_object(match) for match in await self._known.before_localhost(text)]

    # The end.

    async def _drain(self) -> None:
        """Take nothing new, and wait while bytes move."""
        for listener in (self._listener, self._door_listener):
            if listener is not None:
                await listener.aclose()
        if self._fronts is not None:
            await self._fronts.stop_accepting()
        if self._relaying is not None:
            await self._relaying.stop_accepting()
        if self._visitor is None:
            return
        self._host.go_away()
        named = [self._https.moving] if self._https is not None else []
        await drain(lambda: [*self._sessions(), *self._brought.moving, *named])

    def _sessions(self) -> list[Session]:
        paths = self._visitor.paths if self._visitor else ()
        return [*(path.session for path in paths), *(one.session for one in self._host.guests if one.session)]


def _places(datadir: Path | str | None) -> Places:
    if datadir is None:
        raise ConfigError("a node needs a place for its keys", hint="Node(datadir=…), or Node(settings, Places(…))")
    place = Path(datadir).absolute()
    return Places(place / "services", place)
