"""Whether the nodes by which the DHT is entered can be asked at all: by UDP, and beside that by TCP.

    ping ──▶ the node ──▶ its answer: open                   nothing at that port ──▶ ICMP, or RST by TCP: refused

Where TCP brings an answer of any kind and UDP none, UDP is filtered.  The ping is OpenDHT's own.
Source: OpenDHT, network_engine.cpp (sendPing), as dhtnode 2.4 and 4.4 understand it; MessagePack.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Sequence

from hardline.doctor.facts import Entry
from hardline.doctor.threads import in_thread
from hardline.routes import Endpoint

MOST = 4
WITHIN = 2.0  # seconds, of each step
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM, errno.EACCES)


async def look(entries: Sequence[Endpoint], network: int) -> tuple[Entry, ...]:
    """At the first few of a `network` ([DHT] network).  Safe to cancel."""
    return tuple(await asyncio.gather(*(_look(one, network) for one in entries[:MOST])))


def ping(node: bytes, transaction: bytes, network: int = 0) -> bytes:
    """OpenDHT's question whether somebody is there, by a node of 20 bytes; 4 bytes come back in the answer."""
    packet = bytes([0x80 | (6 if network else 5)])  # a map of so many
    packet += _text("a") + b"\x81" + _text("id") + b"\xc4\x14" + node
    packet += _text("q") + _text("ping") + _text("t") + b"\xce" + transaction
    packet += _text("y") + _text("q") + _text("v") + _text("RNG1")
    return packet + (_text("n") + b"\xce" + network.to_bytes(4, "big") if network else b"")


def _text(text: str) -> bytes:
    return bytes([0xA0 | len(text)]) + text.encode("ascii")


async def _look(entry: Endpoint, network: int) -> Entry:
    try:
        async with asyncio.timeout(WITHIN):
            found = await in_thread(lambda: socket.getaddrinfo(entry.host, entry.port, type=socket.SOCK_DGRAM))
    except (OSError, UnicodeError, TimeoutError):
        return Entry(str(entry), resolved=False)
    # IPv4 first: what has no IPv6 has no way to anybody's.
    address = min(found, key=lambda one: one[0] != socket.AF_INET)[4]
    at = Endpoint(str(address[0]), entry.port)
    return Entry(str(entry), True, *await asyncio.gather(_by_udp(at, network), _by_tcp(at)))


class _Asking(asyncio.DatagramProtocol):
    """A UDP socket that is connected hears what ICMP says."""

    def __init__(self, transaction: bytes) -> None:
        self._transaction = transaction
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Somebody answers."""
        if self._transaction in data:
            self._is("open")

    def error_received(self, exc: Exception) -> None:
        """An ICMP error came back."""
        self._is(_in_a_word(exc))

    def _is(self, what: str) -> None:
        if not self.end.done():
            self.end.set_result(what)


async def _by_udp(at: Endpoint, network: int) -> str:
    transaction, node = os.urandom(4), os.urandom(20)
    try:
        transport, asking = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Asking(transaction), remote_addr=(at.host, at.port)
        )
    except OSError as failure:
        return _in_a_word(failure)
    try:
        for _ in range(2):
            transport.sendto(ping(node, transaction, network))
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
