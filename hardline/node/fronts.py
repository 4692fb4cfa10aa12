"""The ports besides the door by which others of this computer's clients come in: gateway, links and forwards.

    Fronts ─┬─ Gateway, with a listener for each address of [Gateway] listen
            ├─ PeerLink, one for each [Peer:NAME], some of them with a listener
            ├─ Forwarding ─ Forward or SocksProxy, one a port
            └─ Phones ─ PhoneDoor, a gateway of one name each

Each is loaded when the settings, or somebody, ask for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hardline import log
from hardline.discovery.given import Given
from hardline.discovery.interfaces import InterfaceAddress
from hardline.door.ownuser import OwnUser
from hardline.identity import Label
from hardline.peers.remembered import Remembered
from hardline.routes import Endpoint
from hardline.settings.node import NodeSettings
from hardline.transport.listener import Listener
from hardline.tunnel.visitor import Visitor

if TYPE_CHECKING:
    from hardline.door.forwards import Forward
    from hardline.gateway.linked import PeerLink
    from hardline.gateway.server import Gateway
    from hardline.node.forwarding import Forwarding
    from hardline.node.phones import AnswerFor, PhoneDoor, Phones


class Fronts:
    """Those of one node: of its `visitor`, which `remembered` hosts and knows `given` ones.

    `addresses` are this computer's, `answer_for` says its names to who asks for them (discovery/mdns), and `changed` is
    told when something is another than it was.  `taken` says whether something of this process listens at a port
    already, and `closers` is where what is to be ended with the node is told of, in the order of its beginning;
    `users` is the door's.
    """

    def __init__(
        self,
        settings: NodeSettings,
        datadir: Path,
        visitor: Visitor,
        remembered: Remembered,
        given: Given,
        taken: Callable[[int], bool],
        closers: list[Callable[[], Awaitable[None]]],
        users: OwnUser,
        *,
        addresses: Callable[[], Sequence[InterfaceAddress]],
        answer_for: AnswerFor,
        changed: Callable[[], None],
    ) -> None:
        self._settings, self._datadir, self._visitor = settings, datadir, visitor
        self._remembered, self._given, self._taken, self._closers = remembered, given, taken, closers
        self._users = users
        self._addresses, self._answer_for, self._changed = addresses, answer_for, changed
        self._phones: Phones | None = None
        self._listeners: list[Listener] = []
        self.forwarding: Forwarding | None = None
        self.gateway: Gateway | None = None
        self.gateway_listens: list[Endpoint] = []
        self.links: list[PeerLink] = []

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where they listen."""
        forwarding = self.forwarding.endpoints if self.forwarding is not None else ()
        phones = [Endpoint(address, door.port) for door in self.phone_doors for address in door.addresses]
        return [*(at for one in self._listeners for at in one.endpoints), *forwarding, *phones]

    @property
    def phones(self) -> Phones:
        """The doors for phones; made when they are first needed."""
        if self._phones is None:
            from hardline.node.phones import Phones

            of_node = self._visitor, self._remembered.get, self._datadir
            self._phones = Phones(*of_node, self._addresses, self._answer_for, self._changed)
            self._closers.append(self._phones.aclose)
        return self._phones

    @property
    def phone_doors(self) -> list[PhoneDoor]:
        """Those that are open."""
        return self._phones.doors if self._phones is not None else []

    def network_changed(self) -> None:
        """This computer's addresses are others."""
        if self._phones is not None:
            self._phones.network_changed()

    async def open(self) -> None:
        """Listen as the settings say.  Raises ConfigError where that cannot be had."""
        if self._settings.forwards or self._settings.socks.listen is not None:
            await self._ports().open()
        if self._settings.gateway.listen:
            await self._open_gateway()
        if self._settings.peers:
            await self._open_links()

    def start(self) -> None:
        """Begin to keep the links."""
        for link in self.links:
            link.warm.start()

    def settings_changed(self, now: NodeSettings) -> None:
        """Take up what of the settings can change while this runs."""
        if self.gateway is not None:
            self.gateway.replace(now.gateway, now.named)

    async def add(self, label: Label, port: int, pages: bool) -> Forward:
        """Lead a port of 127.0.0.1 to `label` until that is closed.  Raises ConfigError, LimitReached."""
        return await self._ports().add(label, port, pages=pages)

    async def stop_accepting(self) -> None:
        """Take no new client."""
        for listener in self._listeners:
            await listener.aclose()
        if self.forwarding is not None:
            await self.forwarding.stop_accepting()

    def _ports(self) -> Forwarding:
        if self.forwarding is None:
            from hardline.node.forwarding import Forwarding

            self.forwarding = Forwarding(self._settings, self._visitor, self._taken, self._users)
            self._closers.append(self.forwarding.aclose)
        return self.forwarding

    async def _open_gateway(self) -> None:
        from hardline.gateway.server import Gateway

        of_it = self._settings.gateway, self._settings.named, self._visitor, self._remembered.get, self._datadir
        self.gateway = gateway = Gateway(*of_it)
        self._closers.append(gateway.aclose)
        for at in self._settings.gateway.listen:
            listener = await Listener.open((at.host,), at.port, gateway.accepted, what="[Gateway] listen", resets=True)
            self._keep(listener)
            self.gateway_listens += listener.endpoints
            log.event("gateway.listening", at=" ".join(map(str, listener.endpoints)))

    async def _open_links(self) -> None:
        from hardline.gateway.linked import PeerLink

        for name, one in self._settings.peers.items():
            assert one.label is not None, "the settings were read"
            known = self._given.candidates(one.label.key_hash)
            link = PeerLink(name, one, self._visitor, known, self._remembered.get, self._datadir)
            self._closers.append(link.aclose)
            self.links.append(link)
            if (listener := await link.listen()) is not None:
                self._keep(listener)
                log.event("link.listening", link=name, at=" ".join(map(str, listener.endpoints)))

    def _keep(self, listener: Listener) -> None:
        self._listeners.append(listener)
        self._closers.append(listener.aclose)
