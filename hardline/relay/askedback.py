"""Having a relay dial this host, and seeing whether it comes.

What the relay says of it counts for nothing: the id is 128 random bits, good once, and comes from outside or never.
Source: docs/PROTOCOL.md, section 9.4.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hardline.addresses import Kind, Way, kind_of, parse
from hardline.errors import ConnectionLost
from hardline.relay.askings import port_to_ask
from hardline.relay.expected import Expected
from hardline.relay.lines import Verb
from hardline.relay.messages import Dialback, Message, may_be_dialled
from hardline.routes import Endpoint
from hardline.transport.tcp import TcpStream
from hardline.transport.ways import way_to

if TYPE_CHECKING:
    from hardline.relay.client import RelayClient

COMES_WITHIN = 6.0  # seconds until the relay says that it dials, and from then until it has


def is_public_ipv4(host: str) -> bool:
    """Whether the world can send to it, and every visitor can."""
    address = parse(host)
    return address is not None and address.version == 4 and kind_of(address) is Kind.PUBLIC


def is_here(host: str) -> bool:
    """Whether it is this machine."""
    address = parse(host)
    return address is None or way_to(address) is Way.HERE


class AskedBack:
    """Of one relay; `expected` sees who comes, `is_here` tells connections from this machine itself."""

    def __init__(self, expected: Expected, is_here: Callable[[str], bool] = is_here) -> None:
        self._expected, self._is_here = expected, is_here
        self._dialled, self._dialled_at = "", 0.0

    def dialled(self, name: str) -> None:
        """The relay says that it dials, or does not want to: either way it has taken that up."""
        self._dialled, self._dialled_at = name, _now()

    async def comes(self, port: int, say: Callable[[Message], None]) -> bool | None:
        """Whether the relay gets through; None where it did not even say that it tries.  Raises what `say` raises."""
        name = secrets.token_hex(16)
        came: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def take(tcp: TcpStream) -> None:
            if not came.done():
                came.set_result(not self._is_here(tcp.peer.host))
            tcp.close()

        self._expected.expect(Verb.PROBE, name, take, 2 * COMES_WITHIN)
        try:
            say(Dialback(port, name))
            await asyncio.wait([came], timeout=COMES_WITHIN)
            if not came.done() and self._dialled == name:  # which may have taken a slow relay most of that time
                await asyncio.wait([came], timeout=max(self._dialled_at + COMES_WITHIN - _now(), 0))
            if came.done():
                return came.result()
            return False if self._dialled == name else None
        finally:
            self._expected.forget(Verb.PROBE, name)


@dataclass(frozen=True, slots=True)
class DialledBack:
    """What became of having a relay connect to this node at `at`: it came, it did not, or None with the reason."""

    relay: Endpoint
    at: Endpoint | None
    came: bool | None
    reason: str = ""


async def ask_back(client: RelayClient, expected: Expected, told: Sequence[Endpoint], port: int) -> DialledBack:
    """Have the relay of `client` connect to this node, which tells the world that it is at `told`, and listens on
    `port`.  A relay dials each of its sources once a minute, whatever for.  Safe to cancel."""
    relay = client.relay.endpoint
    if client.need is not None and client.need.reached is not None:
        return DialledBack(relay, client.need.reached, True)
    if (saw := client.seen) is None:
        return DialledBack(relay, None, None, "there is no connection to it")
    at = Endpoint(saw.host, port_to_ask(told, saw.host, port))
    if not is_public_ipv4(saw.host):
        return DialledBack(relay, at, None, "it sees no public IPv4 address of this computer")
    if not may_be_dialled(at.port):
        return DialledBack(relay, at, None, f"it does not dial port {at.port}")
    try:
        came = await client.dial_back(AskedBack(expected), at.port)
    except ConnectionLost as lost:
        return DialledBack(relay, at, None, lost.message)
    return DialledBack(relay, at, came, "it does so once a minute" if came is None else "")


def _now() -> float:
    return asyncio.get_running_loop().time()
