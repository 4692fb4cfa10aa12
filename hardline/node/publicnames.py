"""The public names of this node's services: HTTPS of its own, loaded when the first service has one.

Hosting ─ services, relays ─▶ PublicNames ─▶ Https        Relaying, Brought ─ who comes by a name ─▶ PublicNames
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hardline.relaying import Relaying
from hardline.settings.directory import Service
from hardline.settings.node import NodeSettings
from hardline.transport.tcp import TcpStream
from hardline.tunnel.host import Host

if TYPE_CHECKING:
    from hardline.https.server import Https
    from hardline.node.draining import Moving
    from hardline.relay.joins import Joined


class PublicNames:
    """Those of one node; `host` and `relays` are looked up when there are any.

    `closers` is where what is to be ended with the node is told of, in the order of its beginning.
    """

    def __init__(
        self,
        settings: NodeSettings,
        datadir: Path,
        host: Callable[[], Host],
        relays: Callable[[], Relaying],
        changed: Callable[[], None],
        closers: list[Callable[[], Awaitable[None]]],
    ) -> None:
        self._settings, self._datadir, self._host, self._relays = settings, datadir, host, relays
        self._changed, self._closers = changed, closers
        self.https: Https | None = None  # None while no service has a name

    @property
    def moving(self) -> list[Moving]:
        """What passes by them."""
        return [self.https.moving] if self.https is not None else []

    def replace(self, services: Sequence[Service]) -> None:
        """These are offered from now on."""
        if self.https is None and any(service.settings.public.name for service in services):
            self._open_https()
        if self.https is not None:
            self.https.replace(services)

    def relays_changed(self) -> None:
        """By which relays this host is reached, is another."""
        if self.https is not None:
            self.https.relays_changed()

    def came(self, tcp: TcpStream, name: str) -> bool:
        """Somebody asks this node, which is a relay, for `name`: whether it is one of its own, and he is taken."""
        return self.https is not None and self.https.came(tcp, name)

    def joined(self, joined: Joined) -> None:
        """A relay brought somebody who came by one."""
        if self.https is not None:
            self.https.arrived(joined)
        else:
            joined.tcp.abort()

    def forget(self) -> None:
        """The node ends: whoever comes by one now is not taken any more."""
        self.https = None

    def _open_https(self) -> None:
        from hardline.https.server import Https

        self.https = Https(
            self._settings.acme,
            self._datadir / "https",
            self._host(),
            relays=lambda service, name: self._relays().domain(service, name),
            clock=time.time,
            timeout=self._settings.session.hello_timeout,
            changed=self._changed,
        )
        self._closers.append(self.https.aclose)
