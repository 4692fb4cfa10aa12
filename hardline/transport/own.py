"""Where this process itself listens: a service that leads there would let visitors in as if they were the owner.

    LocalService ──leads_home──▶ its addresses ─▶ one of ours, and a port that we listen on there?

What another program passes on to us is not seen here; the door does not take connections of its own process for the
owner's either (owner.py).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from hardline.addresses import Address, Kind, kind_of, leads_to, unmapped
from hardline.routes import Endpoint
from hardline.settings.local import LocalService
from hardline.transport.resolver import Resolver

_PATIENCE = 5.0  # seconds for a name; one that nobody knows leads nowhere


class OwnListeners:
    """The endpoints that are `listening`, and the Unix socket `control`.

    `addresses` are those of this machine.  Both are asked each time, since they change.
    """

    def __init__(
        self,
        listening: Callable[[], Iterable[Endpoint]],
        control: Path,
        addresses: Callable[[], Collection[str]],
    ) -> None:
        self._listening, self._control, self._addresses = listening, control, addresses

    def listens_at(self, port: int) -> bool:
        """Whether something of this process listens at such a port, at whatever address."""
        return port in {at.port for at in self._listening()}

    async def leads_home(self, service: LocalService, resolver: Resolver | None = None) -> bool:
        """Whether a connection to `service` could end here.  A name is looked up only if its port is one of ours."""
        if service.kind == "unix":
            return await asyncio.to_thread(_is_same_file, service.path, self._control)
        if not self.listens_at(service.port):
            return False
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await (resolver or Resolver.of_services()).addresses(Endpoint(service.host, service.port))
        except (OSError, TimeoutError):
            return False
        return any(self._is_ours(address, one.port) for one in found if (address := one.address) is not None)

    def _is_ours(self, address: Address, port: int) -> bool:
        address = leads_to(unmapped(address))
        anywhere = kind_of(address) is Kind.NONE  # which systems connect to this machine
        here = anywhere or kind_of(address) is Kind.LOOPBACK or _plain(address) in self._addresses()
        for at in self._listening():
            bound = at.address
            if bound is None or at.port != port or bound.version != address.version:
                continue
            if _plain(bound) == _plain(address) or (here and bound.is_unspecified) or (anywhere and bound.is_loopback):
                return True
        return False


def _plain(address: Address) -> str:
    return str(address).partition("%")[0]


def _is_same_file(one: str, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False
