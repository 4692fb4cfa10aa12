"""How this node gets to services, its own and others': who finds them, as whom it comes, and the browsers' door.

Given, OwnServices, Near, Remembered ─┐
the DHT, RelayFinder ─────────────────┴─ MergedFinder ─▶ Dialer ─▶ Visitor ◀─ Door ◀─ Listener (local port)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

from hardline import log
from hardline.discovery.given import Given
from hardline.discovery.merged import MergedFinder
from hardline.discovery.own import OwnServices
from hardline.door.own import Own
from hardline.door.ownuser import OwnUser
from hardline.door.pages import Called
from hardline.door.server import Door
from hardline.identity import KeyHash, Label
from hardline.node.changes import Changes
from hardline.node.hosting import Hosting
from hardline.node.known import Known
from hardline.node.lifecycle import Lifecycle
from hardline.node.limits import door_limits, keeps_to_own_user, socket_options, visitor_limits
from hardline.node.near import Near
from hardline.node.offering import Offering
from hardline.node.snapshot import Json, LanOffer, to_object
from hardline.peers.accepted import Accepted
from hardline.peers.keys import ClientKeys
from hardline.peers.names import Names
from hardline.peers.remembered import Remembered
from hardline.routes import Endpoint, Finder
from hardline.session.session import Session, SessionLimits
from hardline.settings.node import NodeSettings
from hardline.tasks import OnceAWhile
from hardline.transport.listener import Listener
from hardline.tunnel.dialer import Dialer
from hardline.tunnel.link import Path as SessionPath
from hardline.tunnel.visitor import Visitor

DOOR_ADDRESSES = ("127.0.0.1", "::1")
BROWSE_WAIT = 0.3  # seconds that the home page waits for answers from the LAN
HOME_BROWSES = 1.0  # seconds between two searches of the LAN for it: any page can make a browser ask for it

_USUAL_DOOR = 7009
_GREETED_WITHIN = 20.0  # seconds


class Visiting:
    """That of one node, of whose `life` it is.

    `hosting` knows the ways here and to hosts beyond the LAN; `browse` asks the LAN what it lists, and waits so long.
    """

    def __init__(
        self,
        settings: NodeSettings,
        datadir: Path,
        hosting: Hosting,
        offering: Offering,
        changes: Changes,
        life: Lifecycle,
        *,
        browse: Callable[[float], Awaitable[tuple[LanOffer, ...]]],
        listens: bool,
    ) -> None:
        self._settings, self._datadir, self._hosting = settings, datadir, hosting
        self._offering, self._changes, self._closers = offering, changes, life.closers
        self.near = Near(settings, offering, lambda: hosting.p2p_port, life, listens=listens, heard=self.heard_of)
        self.keys = ClientKeys(datadir / "keys")
        own = keeps_to_own_user(settings)
        self.users = OwnUser(lambda host: own and self.keys.prover(host) is not None)
        self.accepted = Accepted(datadir / "keys")
        self.names = Names(datadir / "names")
        self.offers = OnceAWhile(lambda: browse(BROWSE_WAIT), HOME_BROWSES)
        self.known = Known(
            self.names,
            services=lambda: offering.known.values(),
            recent=lambda limit: self.remembered.recent(limit),
            offers=self.offers.get,
            door_port=lambda: self.door_port,
        )
        self._visitor: Visitor | None = None
        self.door: Door | None = None
        self._door_listener: Listener | None = None

    async def open(self, limits: SessionLimits, own: Own, unreached: Callable[[Label, str], None]) -> None:
        """Make visits possible, and open the door: `own` answers for this node's own pages there, and `unreached` is
        told of a visit that reached nobody.  Raises ConfigError."""
        await self._open_finders()
        visitor = await self._open_visitor(limits)
        settings = self._settings
        if not settings.node.localport:
            return
        self.door = door = Door(visitor, door_limits(settings), own, self._meant, unreached, self._called, self.users)
        self._closers.append(door.aclose)
        self._door_listener = await Listener.open(
            DOOR_ADDRESSES, settings.node.localport, door.accepted, what="localport", resets=True
        )
        self._closers.append(self._door_listener.aclose)
        log.event("door.listening", at=" ".join(map(str, self._door_listener.endpoints)))

    async def greet(self, label: Label) -> SessionPath | None:
        """Have its host say hello.  Raises TimeoutError, and what Visitor.greet does."""
        async with asyncio.timeout(_GREETED_WITHIN):
            return await self.visitor.greet(label)

    def heard_of(self, key_hash: KeyHash, *, sure: bool = False) -> None:
        """A host is said to be there, or, where it is `sure`, served here."""
        if self._visitor is not None:
            self._visitor.heard_of(key_hash, sure=sure)

    def network_changed(self, addresses: Collection[str]) -> None:
        """This machine has `addresses` now."""
        if self._visitor is not None:
            self._visitor.network_changed(addresses)

    async def stop_listening(self) -> None:
        """No browser connects any more."""
        if self._door_listener is not None:
            await self._door_listener.aclose()

    @property
    def is_open(self) -> bool:
        """Whether there can be visits."""
        return self._visitor is not None

    @property
    def visitor(self) -> Visitor:
        """Who makes them."""
        assert self._visitor is not None, "it is opened first"
        return self._visitor

    @property
    def sessions(self) -> list[Session]:
        """Those to hosts."""
        return [path.session for path in self.visitor.paths]

    @property
    def door_endpoints(self) -> Sequence[Endpoint]:
        """Where browsers connect."""
        return self._door_listener.endpoints if self._door_listener else ()

    @property
    def door_port(self) -> int:
        """The port in the URLs of services; the usual one where this node has no door."""
        return self._door_listener.port if self._door_listener else _USUAL_DOOR

    async def _open_finders(self) -> None:
        settings = self._settings
        self.remembered = await Remembered.open(self._datadir / "routes.db")
        self._closers.append(self.remembered.aclose)
        own = OwnServices(
            lambda: {service.key_hash for service in self._offering.current},
            lambda: self._hosting.endpoints,
        )
        reach = self._hosting.reach
        self.near.open(reach.follow)
        far: list[Finder] = [reach.finder] if reach.finder else []
        if any(relay.named for relay in settings.relay.use):
            from hardline.relay.finder import RelayFinder

            far.append(RelayFinder(settings.relay.use))
        self.given = Given({one.label.key_hash: one.address for one in settings.peers.values() if one.label})
        given = [self.given] if settings.peers else []
        # What is set comes first: the same endpoint out of the memory may be one that is not dialled.
        self.finders = MergedFinder([*given, own, *self.near.ways, self.remembered, *far])
        self._nearby = MergedFinder([own, *self.near.ways, self.remembered])

    async def _open_visitor(self, limits: SessionLimits) -> Visitor:
        settings, hosting = self._settings, self._hosting
        await self.keys.load()
        await self.accepted.load()
        await self.names.load()
        options = socket_options(settings)
        dialer, nearby = (
            Dialer(
                finders.search,
                clock=time.time,
                stagger=settings.dial.stagger,
                timeout=settings.dial.timeout,
                is_ours=hosting.reach.is_ours,
                protocol_of=self.remembered.protocol_of,
                options=options,
            )
            for finders in (self.finders, self._nearby)
        )
        self._visitor = visitor = Visitor(
            dialer,
            self.remembered,
            visitor_limits(settings, limits),
            nearby=nearby,
            prover=lambda key_hash: hosting.host.prover(key_hash) or self.keys.prover(key_hash),
            invitations=self.accepted,
            punches=hosting.punching.visits if hosting.punching is not None else None,
            changed=self._changes.tell,
        )
        self._closers.append(visitor.aclose)
        return visitor

    async def _meant(self, text: str) -> list[dict[str, Json]]:
        return [to_object(match) for match in await self.known.before_localhost(text)]

    async def _called(self, label: Label) -> Called:
        host = await self.remembered.get(label.key_hash)
        name = self.names.of(label.key_hash) or ""
        return Called(name, host.title, host.last_seen) if host is not None else Called(name)
