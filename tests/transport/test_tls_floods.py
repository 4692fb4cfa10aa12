"""TLS's own messages, which cost us more than their sender and carry nothing: how many a peer may send."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from OpenSSL import SSL

from hardline.errors import PeerError
from hardline.transport import tls as tls_module
from hardline.transport.contexts import client_context
from hardline.transport.engine import BindingEngine, Engine, Scratch
from hardline.transport.native import NativeEngine
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from tests.support.check_byte_stream import read_exactly
from tests.support.pairs import ENGINES, EngineMaker, host_context

KEY_UPDATE = b"\x18\0\0\1\1"  # RFC 8446, 4.6.3: with the wish for one in return
CLOSE_NOTIFY = b"\1\0"
ALERT, HANDSHAKE, DATA = 21, 22, 23  # content types
ALLOWED = 65_536  # bytes without data


class Peer:
    """A client that makes its records itself once the handshake is over."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self._secrets: dict[bytes, bytes] = {}
        context = client_context()
        context.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256")
        context.set_keylog_callback(lambda _, line: self._secrets.__setitem__(line.split()[0], line.split()[2]))
        self._connection = SSL.Connection(context, None)
        self._connection.set_connect_state()
        self._connection.set_tlsext_host_name(b"any")

    async def shake_hands(self) -> None:
        loop, done = asyncio.get_running_loop(), False
        while not done:
            try:
                self._connection.do_handshake()
                done = True
            except SSL.WantReadError:
                pass
            await loop.sock_sendall(self.raw, self._connection.bio_read(65_536))
            if not done:
                self._connection.bio_write(await loop.sock_recv(self.raw, 65_536))
        self._use(bytes.fromhex(self._secrets[b"CLIENT_TRAFFIC_SECRET_0"].decode()))

    def record(self, content: bytes, kind: int) -> bytes:
        inside = content + bytes([kind])
        header = b"\x17\x03\x03" + struct.pack(">H", len(inside) + 16)
        nonce = bytes(a ^ b for a, b in zip(self._iv, self._number.to_bytes(12, "big"), strict=True))
        self._number += 1
        return header + self._key.encrypt(nonce, inside, header)

    def key_update(self) -> bytes:
        record = self.record(KEY_UPDATE, HANDSHAKE)
        self._use(_expanded(self._secret, b"traffic upd", 32))
        return record

    def _use(self, secret: bytes) -> None:
        self._secret, self._number = secret, 0
        self._key, self._iv = AESGCM(_expanded(secret, b"key", 16)), _expanded(secret, b"iv", 12)


def _expanded(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label of RFC 8446, 7.1, for what fits into one block."""
    label = b"tls13 " + label
    return hmac.digest(secret, struct.pack(">HB", size, len(label)) + label + b"\0\1", "sha256")[:size]


class Counting:
    """What an engine was given: mixed into it by `counting`."""

    fed = most_at_once = 0


def counting(engine: type[Engine], made: list[Counting]) -> EngineMaker:
    """`engine`, with what it counts in `made`."""

    class Counted(engine, Counting):  # type: ignore[misc,valid-type]
        def __init__(self, connection: SSL.Connection) -> None:
            super().__init__(connection)
            made.append(self)

        def feed(self, source: Scratch, start: int, count: int) -> None:
            self.fed += count
            self.most_at_once = max(self.most_at_once, count)
            super().feed(source, start, count)

        def receive(self, source: Scratch, start: int, end: int, *buffers: Scratch) -> tuple[int, int, int, bytes]:
            found = super().receive(source, start, end, *buffers)
            if engine is NativeEngine:  # which feeds in C
                self.fed += found[1] - start
            return found

    return Counted


async def secured(engine: type[Engine] = BindingEngine) -> tuple[Peer, TlsStream, Counting]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    made: list[Counting] = []
    _, stream = await asyncio.get_running_loop().create_connection(TcpStream, sock=ours)
    peer = Peer(theirs)
    tls, _ = await asyncio.gather(
        TlsStream.over(stream, host_context(), engine=counting(engine, made)), peer.shake_hands()
    )
    return peer, tls, made[0]


def push(tls: TlsStream, said: bytes, size: int = 1 << 30) -> None:
    """Give `said` to `tls` as the event loop does, in reads of at most `size`."""
    place = tls.get_buffer(-1)
    size = min(size, len(place))
    for start in range(0, len(said), size):
        piece = said[start : start + size]
        place[: len(piece)] = piece
        tls.buffer_updated(len(piece))


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(300):
            await story()

    asyncio.run(whole())


@pytest.mark.parametrize("size", [1 << 30, 1000], ids=["at once", "in small reads"])
@pytest.mark.parametrize("between", [0, 500, 20], ids=["alone", "a byte behind 500", "a byte behind 20"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_flood_of_key_updates_ends_the_connection_before_openssl_has_gone_through_it(engine, between, size):
    async def story() -> None:
        peer, tls, counting = await secured(engine)
        flood = bytearray()
        for number in range(1, 8001):
            flood += peer.key_update()
            if between and number % between == 0:
                flood += peer.record(b"x", DATA)
        counting.fed, written = 0, tls.written
        push(tls, bytes(flood), size)
        received = 8000 // between if between else 0
        with pytest.raises(PeerError, match="of its own messages"):
            await read_exactly(tls, received + 1)
        assert counting.most_at_once <= 32_768
        assert counting.fed <= 2 * ALLOWED
        assert tls.written - written <= 2 * ALLOWED
        tls.abort()
        peer.raw.close()

    run(story)


@pytest.mark.parametrize("size", [1 << 30, 1000], ids=["at once", "in small reads"])
@pytest.mark.parametrize("engine", ENGINES)
def test_who_sends_many_tiny_records_and_some_key_updates_is_not_cut(engine, size):
    async def story() -> None:
        peer, tls, _ = await secured(engine)
        said = b"".join(peer.record(b"x", DATA) for _ in range(20_000))
        said += b"".join(peer.key_update() for _ in range(1000))
        said += b"".join(peer.record(b"y" * 16_000, DATA) for _ in range(20))
        push(tls, said, size)
        assert await read_exactly(tls, 340_000) == b"x" * 20_000 + b"y" * 320_000
        tls.abort()
        peer.raw.close()

    run(story)


def test_what_key_updates_make_us_say_does_not_pile_up_for_who_reads_nothing(monkeypatch):
    monkeypatch.setattr(tls_module, "_WHILE", 0.0)  # as if they came slowly

    async def story() -> None:
        peer, tls, _ = await secured()
        flood = b"".join(peer.key_update() for _ in range(20_000))
        push(tls, flood)
        with pytest.raises(PeerError, match="of its own messages"):
            await tls.receive()
        assert tls.transport is not None
        assert tls.transport.get_write_buffer_size() <= 3 * ALLOWED
        tls.abort()
        peer.raw.close()

    run(story)


def test_a_handshake_that_does_not_end_is_ended():
    async def story() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        _, stream = await asyncio.get_running_loop().create_connection(TcpStream, sock=ours)
        securing = asyncio.get_running_loop().create_task(TlsStream.over(stream, host_context()))
        hello = (
            bytes([HANDSHAKE]) + b"\3\1" + struct.pack(">H", 1004) + b"\1" + (130_000).to_bytes(3, "big") + bytes(1000)
        )
        more = bytes([HANDSHAKE]) + b"\3\1" + struct.pack(">H", 1000) + bytes(1000)
        await asyncio.get_running_loop().sock_sendall(theirs, hello)
        with contextlib.suppress(ConnectionError):
            while not securing.done():
                await asyncio.get_running_loop().sock_sendall(theirs, more)
        with pytest.raises(PeerError, match="of its own messages"):
            await securing
        theirs.close()

    run(story)


def test_what_comes_behind_the_peers_goodbye_is_not_kept():
    async def story() -> None:
        peer, tls, counting = await secured()
        push(tls, peer.record(b"all", DATA) + peer.record(CLOSE_NOTIFY, ALERT))
        counting.fed = 0
        push(tls, bytes(1_000_000))
        assert await read_exactly(tls, 3) == b"all"
        assert await tls.receive() == b""
        assert counting.fed == 0
        tls.abort()
        peer.raw.close()

    run(story)
