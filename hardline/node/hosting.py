"""How others get to this node's services: the host, and whoever brings it visitors.

Offering ─▶ Sites, Host, PublicNames           Reach: routers, the DHT, other networks ─▶ Whereabouts ─▶ Host
Listener (P2P port) ─▶ Relaying ─▶ Host        Relaying, Punching ─▶ Brought ─▶ Host
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from hardline import log
from hardline.cache.own import OwnFiles
from hardline.cache.sites import Sites
from hardline.certificates import Identity
from hardline.discovery.interfaces import limited
from hardline.discovery.whereabouts import OWN
from hardline.identity import KeyHash
from hardline.node.brought import Brought
from hardline.node.changes import Changes
from hardline.node.datadir import instance_of
from hardline.node.limits import host_limits
from hardline.node.offering import Offering
from hardline.node.publicnames import PublicNames
from hardline.node.witness import Witness
from hardline.places import Places
from hardline.reach import Reach
from hardline.reachparts import ReachParts
from hardline.relaying import Relaying
from hardline.routes import Endpoint
from hardline.session.hello import Verdict
from hardline.session.session import SessionLimits
from hardline.settings.directory import Service
from hardline.settings.node import NodeSettings
from hardline.transport.listener import ALL_ADDRESSES, Listener
from hardline.transport.own import OwnListeners
from hardline.transport.socketoptions import SocketOptions
from hardline.tunnel.host import Host
from hardline.tunnel.inviting import Redeem
from hardline.tunnel.local import LocalSite

if TYPE_CHECKING:
    from hardline.node.draining import Moving
    from hardline.punching import Punching


class Hosting:
    """That of one node.  `open`, then `start`; what it opens is ended by `closers`, in the reverse order.

    `protocol_of` says what a host was heard to speak when it was visited, `moved` is called when this machine's network
    is, or may be, another, and `redeem` takes an invitation.  Without `listens` nothing of it listens.
    """

    def __init__(
        self,
        settings: NodeSettings,
        places: Places,
        offering: Offering,
        own_files: OwnFiles,
        own_listeners: OwnListeners,
        changes: Changes,
        closers: list[Callable[[], Awaitable[None]]],
        *,
        listens: bool,
        protocol_of: Callable[[KeyHash], Awaitable[str]],
        moved: Callable[[bool], None],
        redeem: Redeem,
    ) -> None:
        self._settings, self._places, self._offering = settings, places, offering
        self._own_files, self._own_listeners, self._changes = own_files, own_listeners, changes
        self._closers, self._listens = closers, listens
        self._protocol_of, self._moved, self._redeem = protocol_of, moved, redeem
        self._bind: Sequence[str] = settings.node.bind or ALL_ADDRESSES
        self.served: tuple[Service, ...] = ()
        self.listener: Listener | None = None
        self._relaying: Relaying | None = None
        self.punching: Punching | None = None
        self.public_names = PublicNames(
            settings, places.datadir, lambda: self.host, lambda: self.relays, changes.tell, closers
        )
        self.brought = Brought(lambda: self.host, lambda: self.punching, self.public_names.joined)

    async def open(self, identity: Identity, limits: SessionLimits, witness: Witness) -> None:
        """Listen, and serve what is offered now.  Raises ConfigError."""
        instance = await asyncio.to_thread(instance_of, self._places.datadir)
        parts = self._settings, self._places.datadir, identity, instance
        self.reach = Reach(
            ReachParts(
                *parts,
                self._protocol_of,
                lambda service: self.relays.via(service),
                lambda service: self.relays.named(service),
            ),
            public=self._settings.node.public,
            bind=self._settings.node.bind,
            services=lambda: self._offering.current,
            listening=lambda: self.endpoints,
            moved=self._moved,
            relayed=bool(self._settings.relay.use),
            dialled=lambda: self._relaying.reached if self._relaying else (),
            whereabouts_changed=self._whereabouts_changed,
            told_otherwise=lambda: self.host.has_news(),
        )
        await self.reach.look()
        self.sites = Sites(self._places.datadir, self._own_files)
        self._closers.append(self.sites.aclose)
        self.host = Host(
            host_limits(self._settings, limits),
            clock=time.time,
            instance=instance,
            site=self._site,
            whereabouts=self.reach.whereabouts.current,
            via=lambda key_hash: self.relays.via(key_hash),
            relays=lambda key_hash: self.relays.named(key_hash),
            reached=self.reach.said,
            own=self._own_listeners,
            control=self.brought.controlled,
            redeem=partial(self._redeemed, witness),
            changed=self._changes.tell,
            witness=witness,
        )
        if self._settings.relay.punch:
            self._open_punching()
        self._relaying = relaying = Relaying(
            self._settings.relay,
            identity,
            instance,
            services=lambda: self._offering.current,
            host=self.host.accepted,
            answers_to=self.host.answers_to,
            joined=self.brought.joined,
            named=self.public_names.came,
            changed=self._relays_changed,
            drains=self._relay_drains,
            port=lambda: self.p2p_port,
            told=self.reach.whereabouts.current,
            found=self.reach.dialled_changed,
            busy=self.brought.are_here_by,
            count=self._places.datadir / "relay-month.json",
            timeout=self._settings.session.hello_timeout,
            clock=time.time,
        )
        await self._serve()
        self._closers += [self.host.aclose, self.brought.aclose, relaying.aclose]
        if self._listens:
            await self._listen(relaying)
        self._closers.append(self.reach.aclose)

    async def start(self) -> None:
        """Be found and reached from beyond the LAN."""
        await self.reach.start()
        self.relays.start()

    async def services_changed(self) -> None:
        """Others are offered than before."""
        await self._serve()
        self.brought.services_changed()
        self.reach.services_changed()
        self.relays.services_changed()

    async def stop_listening(self) -> None:
        """Nobody connects any more."""
        if self.listener is not None:
            await self.listener.aclose()

    async def stop_relaying(self) -> None:
        """Nobody is brought any more, and those who use this relay go elsewhere."""
        if self._relaying is not None:
            await self._relaying.stop_accepting()

    @property
    def moving(self) -> list[Moving]:
        """The sessions of guests, and what passes besides."""
        sessions = (one.session for one in self.host.guests if one.session)
        return [*sessions, *self.brought.moving, *self.public_names.moving]

    @property
    def relays(self) -> Relaying:
        """Being a relay, and being reached by those of others."""
        assert self._relaying is not None, "it is opened first"
        return self._relaying

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """Where others connect."""
        return self.listener.endpoints if self.listener else ()

    @property
    def listens_at(self) -> list[Endpoint]:
        """The same, and where this node is a relay."""
        return [*self.endpoints, *(self._relaying.listens_at if self._relaying is not None else ())]

    @property
    def p2p_port(self) -> int:
        """The port of that; 0 for none."""
        return self.listener.port if self.listener is not None else 0

    @property
    def addresses(self) -> set[str]:
        """This machine's."""
        return {one.address.partition("%")[0] for one in self.reach.addresses}

    async def _listen(self, relaying: Relaying) -> None:
        port, options = self._settings.node.p2pport, SocketOptions(congestion=self._settings.session.congestion)
        self.listener = listener = await Listener.open(
            self._bind, port, relaying.accepted, what="p2pport", options=options
        )
        self._closers.append(listener.aclose)
        await relaying.open(self._bind)
        self.public_names.relays_changed()
        log.event("p2p.listening", at=" ".join(map(str, listener.endpoints)))

    def _open_punching(self) -> None:
        from hardline.punching import Punching
        from hardline.relay.lines import Verb

        self.punching = Punching(
            lambda: {one.address for one in limited(self.reach.addresses, self._settings.node.bind)},
            self._open_to_all,
            self._seen_at,
            self.brought.punched,
            lambda name, take, seconds: self.relays.expected.expect(Verb.REVERSE, name, take, seconds),
            lambda name: self.relays.expected.forget(Verb.REVERSE, name),
        )
        self._closers.append(self.punching.aclose)

    async def _redeemed(self, witness: Witness, service: KeyHash, client: KeyHash, secret: str) -> Verdict:
        verdict = await self._redeem(service, client, secret)
        if verdict is Verdict.LET_IN:
            witness.redeemed(service, client)
        return verdict

    def _site(self, key_hash: KeyHash) -> LocalSite | None:
        return self._offering.site(key_hash) or self.sites.find(key_hash)

    async def _serve(self) -> None:
        """Serve visitors what is offered now: what answers is there before who asks for it is let in."""
        services = self._offering.current
        own = [file for service in services for file in service.identity.files]
        await asyncio.to_thread(self._own_files.also, [*own, *filter(None, [self._places.config])])
        self.sites.replace(services)
        self.host.replace(services)
        self.public_names.replace(services)
        self.served = services

    def _relays_changed(self) -> None:
        """By which relays this host is reached, is another."""
        self.host.has_news()
        self.reach.relays_changed()
        self.public_names.relays_changed()
        self._changes.tell()

    def _whereabouts_changed(self) -> None:
        if self._relaying is not None:
            self._relaying.whereabouts_changed()

    def _relay_drains(self, relay: Endpoint) -> None:
        known = bool(self.reach.whereabouts.current())
        self.brought.drains(relay, self.relays.used(), known_elsewhere=known)

    def _seen_at(self) -> set[str]:
        """The addresses at which routers, relays or visitors see this node."""
        return {at.host for at in self.reach.whereabouts.current()} | self.relays.seen_at()

    def _open_to_all(self) -> list[Endpoint]:
        """Where somebody has seen that the world can connect to this node."""
        return [at for at, known_by in self.reach.whereabouts.explained().items() if known_by != OWN]
