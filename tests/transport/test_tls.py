"""TLS between nodes: who is accepted, who is refused, and what is left behind (nothing)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import socket
import ssl
import weakref

import pytest

from hardline.errors import ConnectionLost, PeerError
from hardline.identity import KeyHash
from hardline.native import built
from hardline.routes import Endpoint
from hardline.transport import native, tcp
from hardline.transport.contexts import client_context
from hardline.transport.engine import BindingEngine, Scratch
from hardline.transport.handshake import ALPN_2
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from tests.support.check_byte_stream import read_exactly
from tests.support.pairs import DAY, ENGINES, certificate_pair, host_context, identity, tcp_pair, tls_pair


def run(story):
    async def whole():
        async with asyncio.timeout(100):
            await story()

    asyncio.run(whole())


def test_both_ends_agree_on_tls_1_3_and_the_session_protocol():
    async def story():
        async with tls_pair() as (client, server):
            assert client.version == server.version == "TLSv1.3"
            assert client.alpn == server.alpn == ALPN_2
            assert server.server_name == identity().key_hash.rolling(DAY)
            group = client._engine.connection.get_group_name()
            assert group == "X25519MLKEM768"

    run(story)


def test_the_visitor_knows_the_hash_of_the_certificate_that_the_host_proved_to_hold():
    async def story():
        async with certificate_pair() as (client, server):
            assert client.peer_key_hash == identity().key_hash == KeyHash.of_certificate(identity().der)
            assert server.peer_key_hash is None

    run(story)


def test_the_engine_in_c_is_the_one_that_is_used_where_it_was_built():
    if built.carry is None:
        assert os.environ.get("CI") != "true" or os.environ.get("HARDLINE_NATIVE") == "0", "CI must build it"
        assert native.best_engine is BindingEngine
        assert native.why_not
    else:
        assert native.why_not == ""
        assert native.best_engine is native.NativeEngine


@pytest.mark.parametrize("engines", list(itertools.permutations(ENGINES, 2)))
def test_engines_understand_each_other(engines):
    async def story():
        async with tcp_pair() as (one, other):
            client, server = await asyncio.gather(
                TlsStream.over(one, client_context(), "any", engine=engines[0]),
                TlsStream.over(other, host_context(), engine=engines[1]),
            )
            await client.send(b"there" * 20_000)
            assert await read_exactly(server, 100_000) == b"there" * 20_000
            await server.send(b"back")
            assert await read_exactly(client, 4) == b"back"
            client.abort()
            server.abort()

    run(story)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(100), bytes(64)])
def test_what_is_not_tls_is_the_peers_fault(garbage):
    async def story():
        async with tcp_pair() as (one, other):
            await one.send(garbage)
            await one.send_eof()
            with pytest.raises((PeerError, ConnectionLost)):
                await TlsStream.over(other, host_context())

    run(story)


def test_a_handshake_that_is_cut_anywhere_ends_and_leaves_no_socket():
    hello = client_hello()

    async def story():
        for cut in range(0, len(hello), 97):
            async with tcp_pair() as (one, other):
                await one.send(hello[:cut])
                await one.aclose()
                with pytest.raises((PeerError, ConnectionLost)):
                    await TlsStream.over(other, host_context())
                assert other.transport.is_closing()

    run(story)
    gc.collect()


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="any")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def test_a_handshake_that_is_cancelled_leaves_no_connection():
    async def story():
        async with tcp_pair() as (_, other):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(TlsStream.over(other, host_context()), 0.05)
            assert other.transport.is_closing()

    run(story)


def test_a_connection_cut_without_goodbye_is_not_taken_for_an_end():
    async def story():
        async with tls_pair() as (client, server):
            await server.send(b"part")
            assert await read_exactly(client, 4) == b"part"
            server.transport.close()  # TCP's end alone
            with pytest.raises(ConnectionLost):
                await client.receive()

    run(story)


def test_originals_end_without_goodbye_and_that_is_an_end():
    async def story():
        async with tls_pair() as (client, server):
            client.bare_end = True
            await server.send(b"all")
            server.transport.close()
            assert await read_exactly(client, 3) == b"all"
            assert await client.receive() == b""

    run(story)


@contextlib.asynccontextmanager
async def read_by_python(*totals):
    """A TlsStream, and a queue of what was read of it: `totals` bytes each time, as Python's ssl has their records.

    That gives one record in one recv, and never more than it was asked for.
    """

    def others(port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", port), timeout=100) as raw,
            context.wrap_socket(raw, server_hostname="any") as tls,
        ):
            for total in totals:
                records: list[bytes] = []
                while sum(map(len, records)) < total:
                    records.append(tls.recv(16_384))
                loop.call_soon_threadsafe(read.put_nowait, records)

    loop = asyncio.get_running_loop()
    read: asyncio.Queue[list[bytes]] = asyncio.Queue()
    arrived: asyncio.Queue[tcp.TcpStream] = asyncio.Queue()
    listener = await Listener.open(["127.0.0.1"], 0, arrived.put_nowait, what="test")
    reading = loop.run_in_executor(None, others, listener.port)
    server = await TlsStream.over(await arrived.get(), host_context())
    yield server, read
    await reading
    server.abort()
    await listener.aclose()


def test_records_for_originals_hold_at_most_4096_bytes():
    async def story():
        async with read_by_python(50_000) as (server, read):
            assert server.alpn == b""
            server.record_limit = 4096
            await server.send(bytes(50_000))
            assert max(map(len, await read.get())) == 4096

    run(story)


def test_behind_a_pause_the_first_bytes_can_be_read_before_the_last_have_come():
    now, noise = 100.0, os.urandom(100_000)
    whole, begun_small = [16_384] * 6 + [1696], [4096] * 4 + [16_384] * 5 + [1696]

    async def story():
        async with read_by_python(*[len(noise)] * 3) as (server, read):
            server._clock = lambda: now

            async def sent_after(pause):
                nonlocal now
                now += pause
                source = Scratch(len(noise))
                source.view[:] = noise
                server.write(source, len(noise))
                records = await read.get()
                assert b"".join(records) == noise
                return [len(record) for record in records]

            assert await sent_after(0.0) == begun_small
            assert await sent_after(0.4) == whole
            assert await sent_after(0.6) == begun_small

    run(story)


def test_tls_1_1_is_refused_and_1_2_is_for_originals():
    async def shaken(version: ssl.TLSVersion) -> str:
        async with tcp_pair() as (one, other):
            raw = one.transport.get_extra_info("socket").dup()
            one.transport.pause_reading()

            def client() -> str:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.minimum_version = context.maximum_version = version
                raw.setblocking(True)
                raw.settimeout(100)
                with context.wrap_socket(raw, server_hostname="any") as tls:
                    return tls.version() or ""

            talking = asyncio.get_running_loop().run_in_executor(None, client)
            try:
                server = await TlsStream.over(other, host_context())
            except (PeerError, ConnectionLost):
                with pytest.raises(OSError):
                    await talking
                return "refused"
            version_seen = await talking
            server.abort()
            return version_seen

    async def story():
        assert await shaken(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            assert await shaken(ssl.TLSVersion.TLSv1_1) == "refused"

    run(story)


def test_the_other_ends_address_is_told():
    async def story():
        async with tls_pair() as (client, server):
            assert client.peer.host == server.peer.host == "127.0.0.1"
            assert isinstance(client.peer, Endpoint)

    run(story)


@pytest.mark.parametrize("how", ["cut in the handshake", "garbage", "cut while it is read"])
def test_a_connection_that_broke_is_freed_without_the_garbage_collector(how):
    """OpenSSL's memory, some 75 KB a connection, is none that the collector counts."""
    streams: list[weakref.ref[TlsStream]] = []
    made = TlsStream._take_over

    def noting(stream: TlsStream, over: TcpStream) -> None:
        streams.append(weakref.ref(stream))
        made(stream, over)

    async def serve(accepted: TcpStream) -> None:
        with contextlib.suppress(PeerError, ConnectionLost):
            stream = await TlsStream.over(accepted, host_context())
            await stream.receive()

    async def story():
        async with tcp_pair() as (one, other):
            serving = asyncio.get_running_loop().create_task(serve(other))
            if how == "cut while it is read":
                client = await TlsStream.over(one, client_context(), "any")
                client.abort()
                await client.closed
                del client
            else:
                await one.send(b"garbage" * 20 if how == "garbage" else b"\x16\x03\x01\x02\x00\x01")
                one.abort()
            await serving
        del serving
        await asyncio.sleep(0)
        assert [stream() for stream in streams if stream() is not None] == []

    gc.collect()
    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TlsStream, "_take_over", noting)
            run(story)
    finally:
        gc.enable()
    assert streams
