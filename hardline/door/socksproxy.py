"""The SOCKS5 port of this computer: names below .localhost, for programs that speak no HTTP.

    client ── greeting, request ──▶ socks ─▶ label ─▶ tunnel.visitor ──▶ the service: bytes as they come, and both ends

Programs of this computer may connect, and those of the networks that are named; a web page cannot, since no request of
a browser begins as SOCKS does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from hardline.door.carrier import ANSWER_TIMEOUT, Carrier
from hardline.door.localport import LocalPort
from hardline.door.ownuser import OwnUser
from hardline.door.socks import Network, Opening, Refused, Reply, label_named, may_connect, reply_to
from hardline.errors import HardlineError
from hardline.identity import Label
from hardline.routes import Endpoint
from hardline.transport.tcp import TcpStream
from hardline.tunnel.parting import part


class SocksProxy(LocalPort):
    """Listens at `listen`; `known` are names that lead to labels, `clients` the networks whose programs may connect.

    A request must be whole within `patience` seconds; `users` says whose programs of this computer are led where.
    """

    def __init__(
        self,
        listen: Endpoint,
        most: int,
        clients: Sequence[Network],
        known: Mapping[str, Label],
        carrier: Carrier,
        *,
        patience: float,
        users: OwnUser | None = None,
    ) -> None:
        super().__init__("[SOCKS] listen", listen, most, self._connect, lambda peer: may_connect(peer, clients))
        self._known, self._carrier, self._patience, self._users = known, carrier, patience, users

    async def _connect(self, client: TcpStream) -> HardlineError | None:
        try:
            async with asyncio.timeout(self._patience):
                opening = await _opened(client)
            if opening is None:
                return None
            assert opening.name is not None, "it was read whole"
            await self._carry(client, label_named(opening.name, self._known), opening.early)
        except TimeoutError:
            raise HardlineError(f"no whole request came within {self._patience:g} s") from None
        except Refused as refused:
            if not refused.answer:
                raise
            await client.send(refused.answer)
            await part(client, whole=True)
            return refused
        return None

    async def _carry(self, client: TcpStream, label: Label, early: bytes) -> None:
        try:
            if self._users is not None and _is_here(client.peer):
                await self._users.check(client, label)
            async with asyncio.timeout(ANSWER_TIMEOUT) as limit:
                await self._carrier.tunnel(client, label, limit, early, Reply.SUCCEEDED.encode())
        except TimeoutError as late:
            raise Refused(f"no answer after {ANSWER_TIMEOUT:g} s", reply_to(late).encode()) from None
        except HardlineError as failure:
            raise Refused(failure.message, reply_to(failure).encode()) from None


def _is_here(peer: Endpoint) -> bool:
    """Whether it is a program of this computer; who listens for others has said whose may connect."""
    return peer.address is not None and peer.address.is_loopback


async def _opened(client: TcpStream) -> Opening | None:
    """What a client asks for, whole; None where it ended before.  Raises Refused."""
    opening = Opening()
    while opening.name is None:
        data = await client.receive()
        if not data:
            return None
        if answer := opening.feed(data):
            await client.send(answer)
    return opening
