"""The public ports of a relay: bound from the start on, each a name's, and kept in a file over restarts.

    anybody ──▶ Listener ─┬─ leased ──▶ Relay.public(tcp, name)
                          └─ not ──▶ closed at once

What of the file cannot be read counts as nothing: a damaged file must not stop a relay.  Source: docs/PROTOCOL.md, 9.3.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from hardline import log
from hardline.errors import PeerError
from hardline.files import read_small, replace_whole
from hardline.relay.leases import Leases, read_owners
from hardline.routes import Endpoint
from hardline.tasks import TaskSet
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream

MOST = 1000  # ports: each costs descriptors
_MAX_FILE = 128 * MOST


class Ports:
    """Those of one relay; `file` keeps whose they are.  `open`, at the end `aclose`."""

    def __init__(self, ports: Sequence[int], file: Path) -> None:
        self._ports, self._file = ports, file
        self._leases = Leases(ports)
        self._listeners: list[Listener] = []
        self._tasks = TaskSet("ports")
        self._saved: dict[str, int] = {}
        self._keeping: asyncio.Task[None] | None = None

    @property
    def leased(self) -> int:
        """How many are somebody's now."""
        return self._leases.leased

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where it listens."""
        return [at for listener in self._listeners for at in listener.endpoints]

    async def open(self, addresses: Sequence[str], public: Callable[[TcpStream, str], None]) -> None:
        """Listen on all of them; `public` gets who comes, and whose port it is.  Raises ConfigError."""
        self._saved = await asyncio.to_thread(self._load)
        self._leases = Leases(self._ports, self._saved)

        for port in self._ports:

            def accepted(tcp: TcpStream, port: int = port) -> None:
                name = self._leases.holder_of(port)
                if name is None:
                    tcp.close()
                else:
                    public(tcp, name)

            self._listeners.append(await Listener.open(addresses, port, accepted, what="[Relay] public_ports"))

    def lease(self, name: str, wanted: int = 0) -> int | None:
        """As Leases.lease."""
        port = self._leases.lease(name, wanted)
        self._changed()
        return port

    def release(self, name: str) -> None:
        """As Leases.release."""
        self._leases.release(name)
        self._changed()

    async def stop_accepting(self) -> None:
        """Nobody new."""
        for listener in self._listeners:
            await listener.aclose()

    async def aclose(self) -> None:
        """Keep what there is, and listen no more."""
        await self.stop_accepting()
        self._changed()
        if self._keeping is not None:  # not cancelled: two writers of one file would spoil it
            await asyncio.wait([self._keeping])

    def _changed(self) -> None:
        """Kept at once, for a relay that is killed: who comes back is to have his port."""
        if self._keeping is None or self._keeping.done():
            self._keeping = self._tasks.start(self._keep(), "keep")

    async def _keep(self) -> None:
        while list((owners := self._leases.owners).items()) != list(self._saved.items()):
            await asyncio.to_thread(self._save, owners)
            self._saved = owners

    def _load(self) -> dict[str, int]:
        try:
            return read_owners(read_small(self._file, _MAX_FILE).data)
        except FileNotFoundError:
            pass
        except (OSError, PeerError) as failure:
            log.warning("relay.ports_lost", file=self._file, reason=str(failure))
        return {}

    def _save(self, owners: dict[str, int]) -> None:
        try:
            replace_whole(self._file, json.dumps({"ports": owners}).encode())
        except OSError as failure:
            log.warning("relay.ports_not_kept", file=self._file, reason=str(failure))
