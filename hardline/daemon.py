"""One node: builds every part, introduces them to each other, and ends them in order.

    ServiceDirectory ──▶ Host ◀── Listener (P2P port)  Lan, DnsSd ─┐
    Listener (local port) ──▶ Door ──▶ Visitor ──▶ Dialer ◀── Remembered ─┴─ MergedFinder
                                           Host, MergedFinder ◀── Reach (routers, the DHT, roaming)
    ControlServer: status, share, remove, lan

This is the only file that knows who exists.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hardline import __version__, certificates, log
from hardline.asking import SOCKET_NAME
from hardline.cache.own import OwnFiles
from hardline.cache.sites import Sites
from hardline.config import NodeSettings
from hardline.control import ControlServer, Handler
from hardline.discovery.answering import LanService
from hardline.discovery.dnssd import DnsSd
from hardline.discovery.lan import Lan
from hardline.discovery.merged import MergedFinder
from hardline.discovery.own import OwnServices
from hardline.door import pages
from hardline.door.server import Door, DoorLimits
from hardline.errors import ConfigError, WrongArgument
from hardline.files import close_to_others, hint_for, is_closed_to_others, probe, read_small, why, write_new
from hardline.identity import Label
from hardline.memory import keep_small
from hardline.notify import notify
from hardline.peers.remembered import Remembered
from hardline.places import Places
from hardline.reach import Reach
from hardline.routes import Endpoint
from hardline.servicedir import (
    Service,
    ServiceDirectory,
    bring_back,
    find_shared,
    local_service,
    remove_service,
    write_service,
)
from hardline.session.session import SessionLimits
from hardline.session.windows import Backlog, WindowBudget
from hardline.showable import as_escapes
from hardline.status import (
    describe_hosting,
    describe_original,
    describe_outside,
    describe_peer,
    describe_process,
    describe_services,
    describe_tried,
    describe_visit,
    describe_visiting,
    target_of,
    url_of,
)
from hardline.tasks import OnceAWhile, TaskSet, keep_running
from hardline.transport.listener import ALL_ADDRESSES, Listener
from hardline.transport.own import OwnListeners
from hardline.tunnel.dialer import Dialer
from hardline.tunnel.host import Host, HostLimits
from hardline.tunnel.serving import OURSELVES
from hardline.tunnel.visitor import Visitor, VisitorLimits
from hardline.units import Unreadable

DOOR_ADDRESSES = ("127.0.0.1", "::1")
PEERS_SHOWN = 50
BROWSE_WAIT = 0.3  # seconds that the home page waits for answers from the LAN
HOME_BROWSES = 1.0  # seconds between two searches of the LAN for it: any page can make a browser ask for it

_DRAIN_LIMIT = 30.0  # seconds
_DRAIN_QUIET = 1.0
_APPEAR_LIMIT = 10.0
_INSTANCE_FILE = 100  # bytes


class Daemon:
    """A whole node.  `start`, then `stop`; `stop` also cleans up after a start that failed half-way."""

    def __init__(self, settings: NodeSettings, places: Places) -> None:
        self._settings = settings
        self._places = places
        self._tasks = TaskSet("daemon")
        self._directory = ServiceDirectory(places.servicedir)
        self._bind: Sequence[str] = settings.node.bind or ALL_ADDRESSES
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._ready, self._reloaded = asyncio.Event(), asyncio.Event()
        self._door: Door | None = None
        self._door_listener: Listener | None = None
        self._home_offers = OnceAWhile(lambda: self._offers(BROWSE_WAIT), HOME_BROWSES)

    async def start(self) -> None:
        """Bring the node up.  Raises ConfigError or CertificateError saying what to do."""
        settings, datadir = self._settings, self._places.datadir
        await asyncio.to_thread(_prepare, datadir)
        for directory in (datadir, self._places.servicedir):
            await asyncio.to_thread(_keep_private, directory)
        handlers = {"status": self._status, "share": self._share, "remove": self._remove, "lan": self._browse}
        # Open before everything else, since it is what keeps a second daemon away from the directory.
        control = ControlServer({name: self._once_ready(handler) for name, handler in handlers.items()})
        await control.open(datadir)
        self._closers.append(control.aclose)
        self._identity = await asyncio.to_thread(certificates.load_or_create, datadir / "node.cert")
        await asyncio.to_thread(self._directory.load)

        limits = SessionLimits(
            streams=settings.session.max_streams,
            stream_window=settings.session.stream_window,
            session_window=settings.session.session_window,
            ping_interval=settings.session.ping_interval,
            ping_timeout=settings.session.ping_timeout,
            process=WindowBudget(settings.session.process_window),
            backlog=Backlog(settings.session.process_window),
        )
        await self._open_host(limits)
        await self._open_finders()
        await self._open_visitor(limits)
        await self._reach.start()
        self._tasks.start(keep_running(self._watch_directory, "services"), "services")
        self._tasks.start(keep_small(), "memory")
        for note in settings.notes:
            log.event("settings.note", note=note)
        log.event("node.ready", version=__version__, node=self._identity.key_hash.short, pid=os.getpid())
        self._ready.set()
        notify(READY="1", STATUS=self._summary())

    async def stop(self) -> None:
        """Let what moves come to its end, then end everything, in the reverse order of its beginning."""
        notify(STOPPING="1", STATUS="stopping")
        if self._closers:
            await self._drain()
        await self._tasks.aclose()
        for close in reversed(self._closers):
            await close()
        if self._closers:
            log.event("node.stopped")

    @property
    def offered(self) -> list[tuple[str, str]]:
        """(title, beginning of the key hash) of every service that is offered."""
        return [(service.title, service.key_hash.short) for service in self._services()]

    # The parts.

    async def _open_host(self, limits: SessionLimits) -> None:
        session, datadir = self._settings.session, self._places.datadir
        instance = await asyncio.to_thread(_instance, self._places.datadir)
        self._reach = Reach(
            *(self._settings, self._places.datadir, self._identity, instance),
            services=self._services,
            listening=lambda: self._listener.endpoints,
            moved=self._moved_to_another_network,
            protocol_of=lambda target: self._remembered.protocol_of(target),
        )
        self._own_listeners = OwnListeners(self._listening, datadir / SOCKET_NAME, lambda: self._addresses)
        self._own_files = OwnFiles(self._places.servicedir, self._places.datadir)
        self._sites = Sites(self._places.datadir, self._own_files)
        self._closers.append(self._sites.aclose)
        self._host = Host(
            HostLimits(
                session=limits,
                sessions=session.max_sessions,
                handshakes_per_source=session.max_handshakes_per_source,
                streams_per_source=session.max_streams_per_source,
                hello_timeout=session.hello_timeout,
            ),
            clock=time.time,
            instance=instance,
            site=self._sites.find,
            whereabouts=self._reach.whereabouts.current,
            reached=self._reach.said,
            leads_home=self._own_listeners.leads_home,
        )
        await self._offer()
        self._closers.append(self._host.aclose)
        self._listener = await Listener.open(
            self._bind, self._settings.node.p2pport, self._host.accepted, what="p2pport"
        )
        self._closers.append(self._listener.aclose)
        log.event("p2p.listening", at=" ".join(map(str, self._listener.endpoints)))
        self._closers.append(self._reach.aclose)

    async def _open_finders(self) -> None:
        self._remembered = await Remembered.open(self._places.datadir / "routes.db")
        self._closers.append(self._remembered.aclose)
        own = OwnServices(lambda: {service.key_hash for service in self._services()}, lambda: self._listener.endpoints)
        self._lan: Lan | None = None
        if self._settings.lan.enabled:
            self._lan = Lan(
                services=self._lan_services,
                port=lambda: self._listener.port,
                clock=time.time,
                bind=self._settings.node.bind,
                multicast=self._settings.lan.multicast,
                broadcast=self._settings.lan.broadcast,
            )
            await self._lan.open()
            self._closers.append(self._lan.aclose)
            self._tasks.start(keep_running(self._lan.run, "lan"), "lan")
        self._dnssd: DnsSd | None = None
        if self._settings.lan.enabled and self._settings.lan.mdns:
            self._dnssd = DnsSd(
                services=self._lan_services, port=lambda: self._listener.port, bind=self._settings.node.bind
            )
            self._closers.append(self._dnssd.aclose)
            self._tasks.start(keep_running(self._dnssd.run, "dnssd"), "dnssd")
        self._near = [finder for finder in (self._lan, self._dnssd) if finder]
        far = [self._reach.finder] if self._reach.finder else []
        self._finders = MergedFinder([own, *self._near, self._remembered, *far])

    async def _open_visitor(self, limits: SessionLimits) -> None:
        settings = self._settings
        dialer = Dialer(
            self._finders.search,
            clock=time.time,
            stagger=settings.dial.stagger,
            timeout=settings.dial.timeout,
            is_ours=self._reach.is_ours,
            protocol_of=self._remembered.protocol_of,
        )
        self._visitor = Visitor(
            dialer,
            self._remembered,
            VisitorLimits(
                session=limits,
                sessions=settings.session.max_sessions,
                keepwarm=settings.session.keepwarm,
                negative_cache=settings.dial.negative_cache,
                hello_timeout=settings.session.hello_timeout,
            ),
        )
        self._closers.append(self._visitor.aclose)
        if not settings.node.localport:
            return
        door_limits = DoorLimits(settings.door.head_timeout, settings.door.max_head, settings.door.idle_timeout)
        self._door = door = Door(self._visitor, door_limits, self._home_page)
        self._closers.append(door.aclose)
        self._door_listener = await Listener.open(
            DOOR_ADDRESSES, settings.node.localport, door.accepted, what="localport"
        )
        self._closers.append(self._door_listener.aclose)
        log.event("door.listening", at=" ".join(map(str, self._door_listener.endpoints)))

    # The service directory.

    def _services(self) -> list[Any]:
        """Those that are offered: to visitors, on the LAN, in the DHT."""
        return [service for service in self._directory.services.values() if not service.settings.closed]

    def _lan_services(self) -> list[LanService]:
        return [
            LanService(service.label, service.title, service.settings.listed, service.settings.legacy)
            for service in self._services()
        ]

    async def _watch_directory(self) -> None:
        await self._directory.watch(self._directory_changed)

    async def _offer(self) -> None:
        """Serve what the directory holds now."""
        services = self._services()
        identities = [service.identity for service in services]
        own = [file for identity in identities for file in identity.files]
        await asyncio.to_thread(self._own_files.also, [*own, *filter(None, [self._places.config])])
        self._sites.replace(services)
        self._host.replace(services)

    async def _directory_changed(self) -> None:
        await self._offer()
        if self._lan:
            self._lan.services_changed()
        if self._dnssd:
            self._dnssd.refresh()
        self._reach.services_changed()
        notify(STATUS=self._summary())
        self._reloaded.set()

    def _moved_to_another_network(self, others: bool) -> None:
        """This machine's network is, or may be, another: what went by the old one does not work any more."""
        if others:
            for near in self._near:
                near.moved()
        addresses = self._addresses
        self._visitor.network_changed(addresses)
        self._host.network_changed(addresses)

    @property
    def _addresses(self) -> set[str]:
        return {one.address.partition("%")[0] for one in self._reach.addresses}

    def _listening(self) -> list[Endpoint]:
        """Where others connect, and where browsers do."""
        opened = [self._listener if hasattr(self, "_listener") else None, self._door_listener]
        return [at for listener in opened if listener for at in listener.endpoints]

    def _summary(self) -> str:
        services, problems = self._services(), self._directory.problems
        broken = f", {len(problems)} with problems" if problems else ""
        return f"serving {len(services)} service{'' if len(services) == 1 else 's'}{broken}"

    # What the control socket and the page show.

    @property
    def _door_port(self) -> int:
        return self._door_listener.port if self._door_listener else 7009

    def _once_ready(self, handler: Handler) -> Handler:
        async def answer(request: Mapping[str, Any]) -> object:
            await self._ready.wait()
            return await handler(request)

        return answer

    async def _status(self, request: Mapping[str, Any]) -> object:
        now = asyncio.get_running_loop().time()
        services = self._services()
        return {
            "version": __version__,
            "pid": os.getpid(),
            "node": {
                "key_hash": str(self._identity.key_hash),
                "servicedir": str(self._places.servicedir),
                "datadir": str(self._places.datadir),
                "door": [str(at) for at in self._door_listener.endpoints] if self._door_listener else [],
                "p2p": [str(at) for at in self._listener.endpoints],
            },
            "outside": describe_outside(self._reach.describe()),
            "services": await self._described_services(),
            "sessions": [
                *(describe_visiting(path, now) for path in self._visitor.paths),
                *(describe_original(original, now) for original in self._visitor.originals.open),
                *(describe_hosting(guest, services, time.time()) for guest in self._host.guests),
            ],
            "peers": [describe_peer(*known) for known in await self._remembered.recent(PEERS_SHOWN)],
            "visits": [describe_visit(record) for record in self._visitor.recent],
            "unreached": [describe_tried(label, one.attempts, one.reasons) for label, one in self._tried()],
            "process": describe_process(task.get_name() for task in asyncio.all_tasks()),
            "notes": list(self._settings.notes),
        }

    def _tried(self) -> list[tuple[Label, pages.Tried]]:
        return list(self._door.tried.items()) if self._door else []

    async def _described_services(self) -> list[dict[str, Any]]:
        troubles = await self._troubles()
        services, problems = self._directory.services, self._directory.problems
        announced = self._reach.describe_service
        return describe_services(services, problems, self._door_port, announced, time.time(), troubles)

    async def _share(self, request: Mapping[str, Any]) -> object:
        target, title, name = (str(request.get(key) or "") for key in ("target", "title", "name"))
        await self._refuse_itself(target)
        if not name and (service := await asyncio.to_thread(find_shared, self._services(), target)):
            return self._shared(service) | {"already": True}
        directory = self._places.servicedir
        if back := await asyncio.to_thread(bring_back, directory, name or None, target):
            return await self._taken_up(back) | {"back": True}
        is_path = target.startswith(("/", "unix:"))
        like = title or (Path(target).name if is_path else target.partition("://")[2].rstrip("/") or target)
        file = await asyncio.to_thread(lambda: write_service(directory, name or None, target, title, like=like))
        return await self._taken_up(file)

    async def _taken_up(self, file: Path) -> dict[str, Any]:
        shared = file.name.removesuffix(".ini")
        await self._until(lambda: shared in self._directory.services or shared in self._directory.problems)
        problem = self._directory.problems.get(shared)
        if problem is not None:
            raise ConfigError(problem.message, hint=problem.hint)
        return self._shared(self._directory.services[shared])

    async def _refuse_itself(self, target: str) -> None:
        if target.startswith("/") and await asyncio.to_thread(self._own_files.is_ours, Path(target)):
            message = f"{as_escapes(target[:200])} is where hardlined keeps its keys, and nothing of it is shown"
            raise WrongArgument(message, hint="share another directory")
        try:
            itself = not target.startswith("/") and await self._own_listeners.leads_home(local_service(target))
        except Unreadable:
            return  # write_service says it better
        if itself:
            message = f"cannot share {as_escapes(target[:60])}: {OURSELVES}"
            raise WrongArgument(message, hint="what is to be shared has a port of its own")

    async def _troubles(self) -> dict[str, str]:
        """What is wrong with services whose files are right, by their names."""
        services = self._services()
        found = await asyncio.gather(*map(self._trouble, services))
        return {service.name: trouble for service, trouble in zip(services, found, strict=True) if trouble}

    async def _trouble(self, service: Service) -> str:
        target, site = service.settings.target, self._sites.find(service.key_hash)
        if target is not None:
            return OURSELVES if await self._own_listeners.leads_home(target) else ""
        return await site.trouble() if site else ""

    def _shared(self, service: Service) -> dict[str, Any]:
        return {
            "name": service.name,
            "title": service.title,
            "target": target_of(service),
            "url": url_of(service.label, self._door_port),
            "file": str(service.file),
            "lists": service.settings.target is not None or service.settings.cache.allow_listing,
        }

    async def _remove(self, request: Mapping[str, Any]) -> object:
        file = await asyncio.to_thread(remove_service, self._places.servicedir, str(request.get("name", "")))
        gone = file.name.removesuffix(".ini")
        await self._until(lambda: gone not in self._directory.services)
        return {"name": gone, "file": str(file)}

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until the directory's watcher has seen what was just written."""
        try:
            async with asyncio.timeout(_APPEAR_LIMIT):
                while not condition():
                    self._reloaded.clear()
                    await self._reloaded.wait()
        except TimeoutError:
            raise ConfigError(
                "the change was written, but the daemon has not taken it up yet", hint="look at its log"
            ) from None

    async def _browse(self, request: Mapping[str, Any]) -> object:
        return await self._offers(0.5)

    async def _home_page(self, html: bool, head_only: bool, ours: bool) -> bytes:
        offers = await self._home_offers.get()
        rows = await self._described_services() if ours else None
        outside = describe_outside(self._reach.describe())
        return pages.home_page(rows, offers, outside, html=html, head_only=head_only)

    async def _offers(self, wait: float) -> list[dict[str, Any]]:
        """What others on the LAN offer, after waiting `wait` seconds for their answers."""
        heard = await asyncio.gather(*(finder.browse(wait) for finder in self._near))
        offers = {offer.label: offer for offers in reversed(heard) for offer in offers}
        return [
            {
                "title": offer.title,
                "label": str(offer.label),
                "url": url_of(offer.label, self._door_port),
                "source": offer.source,
                "endpoint": str(offer.endpoint),
            }
            for offer in sorted(offers.values(), key=lambda offer: (offer.title.lower(), offer.label))
        ]

    # The end.

    async def _drain(self) -> None:
        """Take nothing new, and wait while bytes move."""
        for listener in (self._listener if hasattr(self, "_listener") else None, self._door_listener):
            if listener is not None:
                await listener.aclose()
        if not hasattr(self, "_visitor"):
            return
        self._host.go_away()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _DRAIN_LIMIT
        moved, quiet_since = self._moved(), loop.time()
        while self._open_streams() and loop.time() < min(deadline, quiet_since + _DRAIN_QUIET):
            await asyncio.sleep(0.05)
            if (now := self._moved()) != moved:
                moved, quiet_since = now, loop.time()

    def _sessions(self) -> list[Any]:
        hosting = [guest.session for guest in self._host.guests if guest.session]
        return [*(path.session for path in self._visitor.paths), *hosting]

    def _open_streams(self) -> int:
        return sum(session.open_streams for session in self._sessions())

    def _moved(self) -> int:
        return sum(session.sent + session.received for session in self._sessions())


def _prepare(datadir: Path) -> None:
    """Make the data directory, and see whether it can be written.

    One that cannot is no reason not to serve what is there: a missing key says for itself that it could not be made.
    Raises ConfigError when there is no directory and none can be made.
    """
    try:
        datadir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as failure:
        reason = "is no directory" if isinstance(failure, FileExistsError) else why(failure)
        hint = hint_for(failure) or "choose another with --datadir"
        raise ConfigError(f"the data directory {datadir} cannot be used: {reason}", key="datadir", hint=hint) from None
    try:
        probe(datadir)
    except OSError as failure:
        log.warning(
            "datadir.unwritable",
            directory=datadir,
            reason=why(failure),
            hint=hint_for(failure) or None,
            consequence="what is learned is kept until the node stops",
        )


def _keep_private(directory: Path) -> None:
    """Addresses that were visited, and those of what is shared with their passwords, are their owner's alone.

    A directory that other programs use, too, is left to its owner: nobody means to close /etc or a whole home.
    """
    try:
        if is_closed_to_others(directory):
            return
        if not (reason := _shared_with(directory)):
            close_to_others(directory)
            log.warning("directory.closed", directory=directory, reason="other users of this machine had access to it")
            return
    except FileNotFoundError:
        return
    except OSError as failure:
        reason = (failure.strerror or str(failure)).lower()
    log.warning(
        "directory.open",
        directory=directory,
        reason=reason,
        consequence="other users of this machine have access to it",
        hint="use a directory for hardline alone",
    )


def _shared_with(directory: Path) -> str:
    """By what others seem to use it, too; empty where nothing says so."""
    facts = directory.stat()
    if facts.st_uid != os.geteuid():
        return "it belongs to another user"
    if facts.st_mode & stat.S_ISVTX:
        return "its sticky bit says that all may use it"
    others = {entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)} - {"cache"}
    return "it holds other things, too" if others else ""


def _instance(datadir: Path) -> str:
    """A random name that tells this node from others that hold the same certificate (docs/PROTOCOL.md 4.2).

    On a disk that takes nothing it is another after every start.
    """
    file = datadir / "instance"
    try:
        text = read_small(file, _INSTANCE_FILE).data.decode("ascii").strip()
    except (OSError, ValueError):
        text = ""
    if re.fullmatch(r"[0-9a-f]{32}", text):
        return text
    text = os.urandom(16).hex()
    try:
        file.unlink(missing_ok=True)
        write_new(file, f"{text}\n".encode(), 0o600)
    except OSError as failure:
        log.warning("instance.not_kept", file=file, reason=why(failure))
    return text
