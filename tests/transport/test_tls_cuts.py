"""A TLS connection that stops after any of its bytes: the handshake's, and those of the first record behind it.

the peer: an SSL.Connection in memory ──its first `cut` bytes──▶ socket pair ──▶ our TlsStream, as server or client
                                            then its end, or silence and a close
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator

import pytest
from OpenSSL import SSL

from hardline.errors import ConnectionLost
from hardline.routes import Endpoint
from hardline.transport import tcp
from hardline.transport.contexts import client_context
from hardline.transport.engine import BindingEngine, Scratch
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from tests.support.pairs import host_context, identity
from tests.support.size import FULL

PAYLOAD = bytes(range(100))
ALL = 1 << 30
SAMPLED = 61
RECORD_HEADER = 5
HANDSHAKE_HEADER = 4


class Peer:
    """The other end, which follows the rules until its bytes are used up."""

    def __init__(self, raw: socket.socket, *, client: bool) -> None:
        self._raw, self._client = raw, client
        self._connection = SSL.Connection(_client_context() if client else _host_context(), None)
        if client:
            self._connection.set_connect_state()
            self._connection.set_tlsext_host_name(b"any")
        else:
            self._connection.set_accept_state()
        self.sent = b""
        self.handshake = 0  # how many bytes of `sent` we need for ours

    async def talk(self, cut: int) -> None:
        """Shake hands and send PAYLOAD, but no more than `cut` bytes."""
        while not self._has_shaken():
            if not await self._send(cut):
                return
            self.handshake = len(self.sent)
            data = await asyncio.get_running_loop().sock_recv(self._raw, 65_536)
            if not data:
                return
            self._connection.bio_write(data)
        if self._client:
            await self._send(cut)
            self.handshake = len(self.sent)
        if len(self.sent) < cut:
            self._connection.send(PAYLOAD)
            await self._send(cut)

    def _has_shaken(self) -> bool:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    async def _send(self, cut: int) -> bool:
        """Send what there is; False when that was the last byte."""
        data = b""
        with contextlib.suppress(SSL.WantReadError):
            data = self._connection.bio_read(65_536)
        piece = data[: cut - len(self.sent)]
        self.sent += piece
        await asyncio.get_running_loop().sock_sendall(self._raw, piece)
        return len(self.sent) < cut


@functools.cache
def _client_context() -> SSL.Context:
    return client_context()


@functools.cache
def _host_context() -> SSL.Context:
    return host_context()


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[TcpStream, socket.socket]]:
    """(our end, the peer's)."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    _, stream = await asyncio.get_running_loop().create_connection(TcpStream, sock=ours)
    try:
        yield stream, theirs
    finally:
        theirs.close()
        stream.abort()


async def secured(stream: TcpStream, *, as_server: bool) -> TlsStream:
    if as_server:
        return await TlsStream.over(stream, _host_context())
    return await TlsStream.over(stream, _client_context(), "any")


@functools.cache
def recorded(as_server: bool) -> tuple[bytes, int]:
    """All that a peer sends to us in that role, and how much of it is the handshake."""

    async def story() -> tuple[bytes, int]:
        async with connected() as (stream, theirs):
            peer = Peer(theirs, client=as_server)
            ours, _ = await asyncio.gather(secured(stream, as_server=as_server), peer.talk(ALL))
            assert await ours.receive() == PAYLOAD
            ours.abort()
            return peer.sent, peer.handshake

    return asyncio.run(story())


def cuts(as_server: bool) -> list[int]:
    """Around each record and each header; between them some, or all with HARDLINE_TEST_FULL=1."""
    sent, handshake = recorded(as_server)
    if FULL:
        return list(range(len(sent) + 1))
    chosen, start = {0, 1, handshake - 1, handshake, handshake + 1, len(sent) - 1, len(sent)}, 0
    while start < len(sent):
        chosen.update(range(start, start + RECORD_HEADER + HANDSHAKE_HEADER + 2))
        start += RECORD_HEADER + int.from_bytes(sent[start + 3 : start + 5], "big")
        chosen.add(start - 1)
    assert start == len(sent)
    return sorted(cut for cut in chosen | set(range(0, len(sent), SAMPLED)) if cut <= len(sent))


async def turns(count: int = 6) -> None:
    """Let the event loop deal with all that is there."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("ending", ["its end", "silence and a close"])
@pytest.mark.parametrize("as_server", [True, False], ids=["as server", "as client"])
def test_a_connection_that_is_cut_at_any_byte_is_lost_and_no_part_of_a_record_is_taken(as_server, ending):
    sent, handshake = recorded(as_server)

    async def one(cut: int) -> None:
        async with connected() as (stream, theirs):
            ours = asyncio.get_running_loop().create_task(secured(stream, as_server=as_server))
            await Peer(theirs, client=as_server).talk(cut)
            if ending == "its end":
                theirs.shutdown(socket.SHUT_WR)
            else:
                await turns()
                assert ours.done() == (cut >= handshake)
                theirs.close()
            if cut < handshake:
                with pytest.raises(ConnectionLost):
                    await ours
            else:
                tls = await ours
                if cut == len(sent):
                    assert await tls.receive() == PAYLOAD
                with pytest.raises(ConnectionLost):
                    await tls.receive()
                await tls.aclose()
            await turns()
            assert stream.transport.is_closing()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def story() -> None:
        for cut in cuts(as_server):
            try:
                async with asyncio.timeout(100):
                    await one(cut)
            except BaseException as failure:
                failure.add_note(f"cut behind byte {cut} of {len(sent)}, {handshake} of them the handshake's")
                raise

    before = open_files()
    asyncio.run(story())
    assert open_files() == before


@pytest.mark.parametrize("as_server", [True, False], ids=["as server", "as client"])
def test_who_gives_up_a_silent_handshake_at_any_byte_leaves_no_connection(as_server):
    _, handshake = recorded(as_server)

    async def story() -> None:
        for cut in cuts(as_server):
            if cut >= handshake:
                break
            async with asyncio.timeout(100), connected() as (stream, theirs):
                ours = asyncio.get_running_loop().create_task(secured(stream, as_server=as_server))
                await Peer(theirs, client=as_server).talk(cut)
                await turns()
                assert not ours.done()
                ours.cancel()
                await asyncio.wait([ours])
                assert ours.cancelled()
                assert stream.transport.is_closing()
                await turns()
                assert asyncio.all_tasks() == {asyncio.current_task()}

    before = open_files()
    asyncio.run(story())
    assert open_files() == before


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_what_the_other_end_said_before_it_broke_off_is_heard_though_writing_fails_first():
    """As a host that refuses: it says why and closes, while the visitor still sends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity().certificate_path, identity().private_key_path)
    listening = socket.create_server(("127.0.0.1", 0))
    shaken = threading.Event()

    def refuses() -> None:
        with listening, context.wrap_socket(listening.accept()[0], server_side=True) as peer:
            assert shaken.wait(60)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.sendall(b"why")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def story() -> None:
        thread = threading.Thread(target=refuses)
        thread.start()
        tls = await TlsStream.over(
            await tcp.connect(Endpoint(*listening.getsockname())), client_context(), "any", engine=BindingEngine
        )
        shaken.set()
        thread.join()  # on the loop: it must not read before it writes
        said = Scratch(10)
        for _ in range(3):
            tls.write(said, 10)
        assert await tls.receive() == b"why"
        with pytest.raises(ConnectionLost):
            await tls.receive()
        with pytest.raises(ConnectionLost):
            tls.write(said, 10)
        await tls.aclose()

    asyncio.run(asyncio.wait_for(story(), 60))
