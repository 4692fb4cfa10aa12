"""One node: builds every part, introduces them to each other, and ends them in order.

    ServiceDirectory ─▶ Offering ─▶ Hosting: host, its listener, relays, routers, the DHT
                                       ▲
              Fronts ─▶ Visiting: finders, visitor, door ◀─ OwnPages
    ControlServer ─▶ Actions ─▶ all of them ◀─ Introspection

Only this file, and hosting.py and visiting.py for their sides, know who exists.  It is a library: what belongs to a
process (signals, umask, the garbage collector, what systemd wants to hear) is process.py's.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hardline import __version__, certificates, log
from hardline.asking import SOCKET_NAME
from hardline.cache.own import OwnFiles
from hardline.control import ControlServer
from hardline.discovery.interfaces import limited
from hardline.door.own import Asked
from hardline.errors import ConfigError, HardlineError
from hardline.identity import KeyHash, Label
from hardline.node.actions import Actions
from hardline.node.asked import handlers
from hardline.node.changes import Changes
from hardline.node.datadir import keep_private, prepare
from hardline.node.draining import drain
from hardline.node.ending import Ending
from hardline.node.fronts import Fronts
from hardline.node.hosting import Hosting
from hardline.node.introspection import Introspection
from hardline.node.lifecycle import Lifecycle
from hardline.node.limits import of_a_program, session_limits, unheard
from hardline.node.offering import Offering
from hardline.node.sockets import judged
from hardline.node.visiting import Visiting
from hardline.node.waiting import WaitsForHosts
from hardline.node.witness import Witness
from hardline.peers.invites import Invites
from hardline.peers.visits import Visits
from hardline.places import Places
from hardline.routes import Endpoint
from hardline.settings.directory import ServiceDirectory
from hardline.settings.node import NodeSettings
from hardline.tasks import keep_running
from hardline.transport.own import OwnListeners

if TYPE_CHECKING:
    from hardline.door.forwards import Forward
    from hardline.gateway.linked import PeerLink
    from hardline.node.away import Away
    from hardline.node.inprocess import InProcess, SharedApp
    from hardline.node.opened import OpenedStream
    from hardline.node.ownpages import OwnPages
    from hardline.node.phones import Phones

_SETTLED = 1.0  # seconds after the start: DNS-SD is heard by then


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
        self._gateway = settings.gateway, settings.named
        self._places, self._listens, self._answers_control = places, listen, control and listen
        self._life = life = Lifecycle()
        self._tasks, self._closers, self._ready = life.tasks, life.closers, life.ready
        self.changes = changes = Changes()
        self._directory = ServiceDirectory(places.servicedir)
        self.offering = offering = Offering(self._directory)
        self._own_files = OwnFiles(places.servicedir, places.datadir)
        self._own_listeners = OwnListeners(
            self._listening, places.datadir / SOCKET_NAME, lambda: self._hosting.addresses
        )
        self._hosting = hosting = Hosting(
            settings,
            places,
            offering,
            self._own_files,
            self._own_listeners,
            changes,
            self._closers,
            listens=listen,
            protocol_of=lambda target: self._visiting.remembered.protocol_of(target),
            moved=self._moved_to_another_network,
            redeem=lambda service, client, secret: self.actions.inviting.redeem(service, client, secret),
        )
        self._visiting = visiting = Visiting(
            settings,
            places.datadir,
            hosting,
            offering,
            changes,
            life,
            browse=lambda wait: self.actions.browse(wait),
            listens=listen,
        )
        self._fronts: Fronts | None = None
        self._pages: OwnPages | None = None
        self._in_process: InProcess | None = None
        self._introspection = told = Introspection(
            settings, places, offering, hosting, visiting, self._own_listeners, self._all_notes
        )
        self._waits = WaitsForHosts(visiting.accepted, visiting.greet, self._tasks)
        self.actions = Actions(
            places.servicedir,
            offering,
            self._own_files,
            self._own_listeners,
            changes,
            served=lambda: hosting.served,
            near=lambda: visiting.near.ways,
            door_port=lambda: visiting.door_port,
            snapshot=told.snapshot,
            drain_relay=lambda seconds: hosting.relays.drain(seconds),
            make_key=visiting.keys.make,
            known=visiting.known,
            invites=Invites(places.datadir / "invites"),
            accepted=visiting.accepted,
            greet=visiting.greet,
            wait_for_hosts=self._waits.start,
            witness=lambda: self._witness,
            open_port=self._open_port,
            examined=told.examined,
            phones=self._phones,
            away=self._away,
            inspecting=told.inspecting,
            runs=life.runs_here,
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
        self._life.begin()
        settings, datadir = self._settings, self._places.datadir
        self._socket_notes = judged(settings)
        await asyncio.to_thread(prepare, datadir)
        for directory in (datadir, self._places.servicedir):
            await asyncio.to_thread(keep_private, directory)
        # Before everything else, since it is what keeps a second daemon away from the directory.
        self._handlers = handlers(self.actions, self._ready, lambda: self._own_pages().page)
        control = ControlServer(self._handlers)
        self._closers.append(control.aclose)
        await control.open(datadir, listen=self._answers_control, group=settings.node.group)
        self._identity = await asyncio.to_thread(certificates.load_or_create, datadir / "node.cert")
        await asyncio.to_thread(self._directory.load)
        await self.actions.inviting.load(self.offering.known.values())
        self._closers.append(self.actions.inviting.aclose)

        limits = session_limits(settings)
        self._witness = Witness(
            Visits(datadir / "visits.db"),
            self._visiting.names,
            services=lambda: {service.key_hash: service for service in self.offering.known.values()},
            let_in=self.actions.inviting.let_in,
            recall=lambda host: self._visiting.remembered.get(host),
            clock=time.time,
            changed=self.changes.tell,
        )
        self._closers.append(self._witness.aclose)
        self._witness.offered(self.offering.known, self.offering.problems)
        await self._hosting.open(self._identity, limits, self._witness)
        await self._visiting.open(limits, self._own, self._witness.unreached)
        self._fronts = fronts = self._make_fronts()
        self._introspection.begin(self._identity, fronts)
        await fronts.open()
        await self._hosting.start()
        self._waits.start()
        fronts.start()
        self._tasks.start(keep_running(self.offering.run, "services"), "services")
        self._tasks.start(keep_running(self._follow_offering, "offering"), "offering")
        ending = Ending(self._places.servicedir, self.offering, time.time)
        self._tasks.start(keep_running(ending.run, "ending"), "ending")
        if self._visiting.near.ways:
            self._tasks.start(self._look_around(), "look", expects=HardlineError)
        for note in (*settings.notes, *self._socket_notes):
            log.event("settings.note", note=note)
        log.event("node.ready", version=__version__, node=self._identity.key_hash.short, pid=os.getpid())
        self._ready.set()

    def settings_changed(self, now: NodeSettings) -> None:
        """Take up what of the settings can change while this runs (`is_live`)."""
        self._notes, self._gateway = now.notes, (now.gateway, now.named)
        if self._fronts is not None:
            self._fronts.settings_changed(now)
        self._hosting.relays.access_changed(now.relay)

    async def stop(self) -> None:
        """Let what moves come to its end, then end everything, in the reverse order of its beginning.

        Cancelled, it waits for nothing that moves, and ends everything all the same.
        """
        await self._life.end(self._drain, self._forget)

    def _forget(self) -> None:
        """The parts are ended next."""
        self._fronts = self._pages = self._in_process = None
        self._introspection.end()
        self._hosting.public_names.forget()

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
        self._life.check_running()
        if self._in_process is None:
            from hardline.node.inprocess import InProcess
            from hardline.node.rows import url_of

            self._in_process = InProcess(
                self._places.datadir / "apps",
                self.offering,
                self.changes,
                lambda: self._hosting.served,
                lambda label: url_of(label, self._visiting.door_port),
                self._life.check_loop,
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
        self._life.check_running()
        from hardline.node.opened import open_stream

        return await open_stream(self._visiting.visitor, address)

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

    async def _open_port(self, label: Label, port: int, pages: bool) -> Forward:
        if not self._listens:
            raise ConfigError("this node listens nowhere", hint="start it without listen=False, or use its open()")
        assert self._fronts is not None, "actions are there when it runs"
        return await self._fronts.add(label, port, pages)

    def _make_fronts(self) -> Fronts:
        visiting = self._visiting
        return Fronts(
            self._settings,
            self._places.datadir,
            visiting.visitor,
            visiting.remembered,
            visiting.given,
            self._own_listeners.listens_at,
            self._closers,
            visiting.users,
            addresses=lambda: list(limited(self._hosting.reach.addresses, self._settings.node.bind)),
            answer_for=visiting.near.answer_for,
            changed=self.changes.tell,
        )

    def _phones(self) -> Phones:
        assert self._fronts is not None, "actions are there when it runs"
        return self._fronts.phones

    async def _away(self, label: Label) -> Away:
        from hardline.node.away import away

        assert self._introspection.telling is not None, "actions are there when it runs"
        return away(label, await self._introspection.telling.services(), *self._gateway)

    def _links(self) -> list[PeerLink]:
        return self._fronts.links if self._fronts is not None else []

    async def _follow_offering(self) -> None:
        async for change in self.offering.watch():
            await self._hosting.services_changed()
            for service in (*change.added, *change.changed):
                self._visiting.heard_of(service.key_hash, sure=True)
            self._witness.offered(self.offering.known, self.offering.problems)
            self.changes.tell()

    async def _look_around(self) -> None:
        """Who is there is known before somebody asks."""
        await asyncio.sleep(_SETTLED)
        await self._visiting.offers.get()

    def _moved_to_another_network(self, others: bool) -> None:
        """This machine's network is, or may be, another: what went by the old one does not work any more."""
        if others:
            self._visiting.near.moved()
        addresses = self._hosting.addresses
        self._visiting.network_changed(addresses)
        self._hosting.host.network_changed(addresses)
        if self._fronts is not None:
            self._fronts.network_changed()
        if others:
            self._hosting.relays.network_changed()
        self.changes.tell()

    def _all_notes(self) -> list[str]:
        """What was odd in its settings."""
        return [*self._notes, *self._socket_notes]

    def _listening(self) -> list[Endpoint]:
        """Where others connect, and where browsers do."""
        fronts = self._fronts.endpoints if self._fronts is not None else ()
        return [*self._hosting.listens_at, *self._visiting.door_endpoints, *fronts]

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
                telling=lambda: self._introspection.telling,
                services=lambda: self.offering.known,
                tried=lambda: self._visiting.door.tried if self._visiting.door is not None else {},
                offers=self._visiting.offers,
                door_port=lambda: self._visiting.door_port,
                metrics=self._settings.node.metrics,
                ready=self._ready,
            )
            self._closers.append(self._pages.aclose)
        return self._pages

    # The end.

    async def _drain(self) -> None:
        """Take nothing new, and wait while bytes move."""
        await self._hosting.stop_listening()
        await self._visiting.stop_listening()
        if self._fronts is not None:
            await self._fronts.stop_accepting()
        await self._hosting.stop_relaying()
        if not self._visiting.is_open:
            return
        self._hosting.host.go_away()
        await drain(lambda: [*self._visiting.sessions, *self._hosting.moving])


def _places(datadir: Path | str | None) -> Places:
    if datadir is None:
        raise ConfigError("a node needs a place for its keys", hint="Node(datadir=…), or Node(settings, Places(…))")
    place = Path(datadir).absolute()
    return Places(place / "services", place)
