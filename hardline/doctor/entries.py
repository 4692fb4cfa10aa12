"""Whether the nodes by which the DHT is entered can be asked at all: by UDP, and beside that by TCP.

A node of the DHT answers nothing that is not its protocol, so silence says nothing; but a computer that has nothing at
that port says so, by UDP as by TCP.  Where TCP brings an answer and UDP none, UDP is filtered.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence

from hardline.doctor.facts import Entry
from hardline.doctor.threads import in_thread
from hardline.routes import Endpoint

MOST = 4
WITHIN = 2.0  # seconds, of each step
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM, errno.EACCES)


async def look(entries: Sequence[Endpoint]) -> tuple[Entry, ...]:
    """At the first few.  Safe to cancel."""
    return tuple(await asyncio.gather(*map(_look, entries[:MOST])))


async def _look(entry: Endpoint) -> Entry:
    try:
        async with asyncio.timeout(WITHIN):
            found = await in_thread(lambda: socket.getaddrinfo(entry.host, entry.port, type=socket.SOCK_DGRAM))
    except (OSError, TimeoutError):
        return Entry(str(entry), resolved=False)
    # IPv4 first: what has no IPv6 has no way to anybody's.
    address = min(found, key=lambda one: one[0] != socket.AF_INET)[4]
    at = Endpoint(str(address[0]), entry.port)
    return Entry(str(entry), True, *await asyncio.gather(_by_udp(at), _by_tcp(at)))


class _Asking(asyncio.DatagramProtocol):
    """A UDP socket that is connected hears what ICMP says."""

    def __init__(self) -> None:
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Somebody answers."""
        self._is("open")

    def error_received(self, exc: Exception) -> None:
        """An ICMP error came back."""
        self._is(_in_a_word(exc))

    def _is(self, what: str) -> None:
        if not self.end.done():
            self.end.set_result(what)


async def _by_udp(at: Endpoint) -> str:
    try:
        transport, asking = await asyncio.get_running_loop().create_datagram_endpoint(
            _Asking, remote_addr=(at.host, at.port)
        )
    except OSError as failure:
        return _in_a_word(failure)
    try:
        for _ in range(2):
            transport.sendto(b"\0")
            await asyncio.wait([asking.end], timeout=WITHIN / 2)
            if asking.end.done():
                return asking.end.result()
        return "silent"
    finally:
        transport.close()


async def _by_tcp(at: Endpoint) -> str:
    try:
        async with asyncio.timeout(WITHIN):
            _, writer = await asyncio.open_connection(at.host, at.port)
    except TimeoutError:
        return "silent"
    except OSError as failure:
        return _in_a_word(failure)
    writer.close()
    return "open"


def _in_a_word(failure: Exception) -> str:
    if isinstance(failure, ConnectionRefusedError):
        return "refused"
    return "unreachable" if isinstance(failure, OSError) and failure.errno in _UNREACHABLE else "silent"
