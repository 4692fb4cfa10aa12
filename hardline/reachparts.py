"""Builds the parts of a Reach, as the settings ask for them.

What is switched off is None, and is not even imported: it takes no memory.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hardline.certificates import Identity
from hardline.discovery.asked import AskedAddress
from hardline.discovery.reached import Reached
from hardline.discovery.roaming import NetworkWatch
from hardline.identity import KeyHash
from hardline.routes import Endpoint, Via
from hardline.settings.node import NodeSettings

if TYPE_CHECKING:
    from hardline.dht.either import Either
    from hardline.dht.finder import DhtFinder
    from hardline.dht.publisher import Published, Publisher
    from hardline.upnp.mappings import Mappings

NODES_FILE = "dht-nodes.json"


class ReachParts:
    """The parts, as reach.Parts wants them.

    `instance` is the secret that tells this node from others with the same certificate, `protocol_of` what a host was
    heard to speak, "" for none, `via` by which relays a service is reached,
    `relays` at which of them by its own name.
    """

    def __init__(
        self,
        settings: NodeSettings,
        datadir: Path,
        node: Identity,
        instance: str,
        protocol_of: Callable[[KeyHash], Awaitable[str]],
        via: Callable[[KeyHash], Sequence[Via]],
        relays: Callable[[KeyHash], Sequence[Endpoint]],
    ) -> None:
        self._settings, self._datadir, self._node, self._instance = settings, datadir, node, instance
        self._protocol_of, self._via, self._relays = protocol_of, via, relays

    def watch(self, happened: Callable[[bool], None]) -> NetworkWatch:
        """This machine's addresses."""
        return NetworkWatch(happened)

    def reached(self) -> Reached:
        """What visitors say."""
        return Reached(asyncio.get_running_loop().time)

    def mappings(
        self, port: Callable[[], int], changed: Callable[[], None], needed: Callable[[], bool]
    ) -> Mappings | None:
        """The routers."""
        if not self._settings.upnp.enabled:
            return None
        from hardline.upnp.mappings import Mappings

        # The same after every start, and nobody else can know it: by it a router's mappings are told to be ours.
        owner = hashlib.blake2b(self._node.private_key_pem, digest_size=16, person=b"hardline upnp").hexdigest()
        lease, bind = self._settings.upnp.lease, self._settings.node.bind
        return Mappings(port, owner=owner, lease=lease, changed=changed, bind=bind, needed=needed)

    def asked(self, port: Callable[[], int], changed: Callable[[], None]) -> AskedAddress | None:
        """The web service that knows our address."""
        url = self._settings.node.ip_service
        return AskedAddress(url, port, changed) if url else None

    def table(self) -> Either | None:
        """The DHT."""
        if not self._settings.dht.enabled:
            return None
        from hardline.dht.either import open_table

        return open_table(self._settings.dht, self._settings.node.bind, self._datadir / NODES_FILE)

    def finder(self, table: Either, ours: Callable[[], frozenset[Endpoint]]) -> DhtFinder:
        """Who looks hosts up there."""
        from hardline.dht.finder import DhtFinder

        return DhtFinder(table, ours=ours, protocol_of=self._protocol_of, originals=self._settings.dht.originals)

    def publisher(
        self, table: Either, services: Callable[[], Sequence[Published]], hosts: Callable[[], Sequence[Endpoint]]
    ) -> Publisher:
        """Who publishes services there."""
        from hardline.dht.publisher import Publisher

        return Publisher(
            table, services=services, hosts=hosts, instance=self._instance, via=self._via, relays=self._relays
        )
