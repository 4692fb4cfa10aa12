"""TLS between memory and memory: what a buffer held is the engine's once it was taken, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref

import pytest
from OpenSSL import SSL

from hardline.errors import PeerError
from hardline.transport.contexts import client_context
from hardline.transport.engine import MODE_ENABLE_PARTIAL_WRITE, PIECE, RECORD, Engine, Scratch, Stand
from hardline.transport.native import NativeEngine
from tests.support.check_byte_stream import read_exactly
from tests.support.pairs import ENGINES, host_context, identity, shake_hands, tls_pair

MODE_AUTO_RETRY = 0x4  # SSL_CTX_set_mode(3): one SSL_read goes on behind a message of TLS's own


def shaken(
    engine: type[Engine], ours: SSL.Context | None = None, theirs: SSL.Context | None = None
) -> tuple[Engine, Engine]:
    """Both ends of a connection."""
    client, server = SSL.Connection(ours or client_context(), None), SSL.Connection(theirs or host_context(), None)
    client.set_tlsext_host_name(b"any")
    shake_hands(client, server)
    return engine(client), engine(server)


def sealed(sender: Engine, data: bytes) -> bytes:
    source = Scratch(len(data))
    source.view[:] = data
    return sender.send(source, len(data), -1, Scratch(65_536))[1] or b""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [1, 5000, RECORD, PIECE, 300_000])
@pytest.mark.parametrize("room", [RECORD, 20_000, 400_000])
def test_what_was_taken_may_be_overwritten_however_little_room_there_is(engine, size, room):
    one, other = shaken(engine)
    for sender, receiver in ((one, other), (other, one), (one, other)):
        data = random.Random(size).randbytes(size)
        wire = sealed(sender, data)
        received, plain, scratch = Scratch(len(wire)), Scratch(room), Scratch(RECORD)
        received.view[:] = wire
        got, at, stand = b"", 0, int(Stand.FULL)
        while stand != Stand.DONE:
            stand, upto, count, answer = receiver.receive(received, at, len(wire), plain, scratch)
            received.view[at:upto] = bytes(upto - at)
            got, at = got + plain.view[:count], upto
            assert not answer
        assert at == len(wire)
        assert got == data


@pytest.mark.parametrize("engine", ENGINES)
def test_every_cut_of_what_comes_means_the_same(engine):
    one, other = shaken(engine)
    dice = random.Random(1)
    for _ in range(40):
        data = dice.randbytes(dice.choice([1, 100, 9000, 40_000]))
        wire, got, at = sealed(one, data), b"", 0
        while at < len(wire):
            piece = wire[at : at + dice.choice([1, 7, 100, 8191, 8192, 8193, 30_000, 100_000])]
            received, plain = Scratch(100_000), Scratch(70_000)
            received.view[: len(piece)] = piece
            stand, upto, count, _ = other.receive(received, 0, len(piece), plain, Scratch(RECORD))
            assert (stand, upto) == (Stand.DONE, len(piece))
            got, at = got + plain.view[:count], at + len(piece)
        assert got == data


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [3000, 200_000])
def test_what_was_changed_on_its_way_is_refused_and_what_came_before_is_not(engine, size):
    one, other = shaken(engine)
    wire = bytearray(sealed(one, bytes(size)))
    wire[-1] ^= 1
    received = Scratch(len(wire))
    received.view[:] = wire
    with pytest.raises(PeerError, match="TLS"):
        other.receive(received, 0, len(wire), Scratch(400_000), Scratch(RECORD))
    with pytest.raises(PeerError, match="TLS"):
        other.receive(received, 0, 0, Scratch(400_000), Scratch(RECORD))


@pytest.mark.parametrize("engine", ENGINES)
def test_where_openssl_stops_behind_a_message_of_its_own_what_follows_is_not_lost(engine):
    ours, theirs = client_context(), SSL.Context(SSL.TLS_METHOD)
    ours.clear_mode(MODE_AUTO_RETRY)
    theirs.use_certificate_chain_file(str(identity().certificate_path))
    theirs.use_privatekey_file(str(identity().private_key_path))
    theirs.clear_mode(MODE_ENABLE_PARTIAL_WRITE)
    client, server = shaken(engine, ours, theirs)  # which has sent two session tickets, that nobody has read yet
    data = random.Random(2).randbytes(100_000)
    wire = sealed(server, data)
    received, plain, got, at = Scratch(len(wire)), Scratch(400_000), b"", 0
    received.view[:] = wire
    for _ in range(10):
        _, at, count, _ = client.receive(received, at, len(wire), plain, Scratch(RECORD))
        got += plain.view[:count]
    assert got == data


def leave_an_error() -> None:
    """As a library does that looks at what a function returns, and at nothing else."""
    binding, context = SSL._lib, SSL.Context(SSL.TLS_METHOD)
    assert not binding.SSL_CTX_set_cipher_list(context._context, b"no such cipher")
    assert binding.ERR_peek_error()


@pytest.mark.parametrize("engine", ENGINES)
def test_what_others_have_left_of_their_errors_is_not_taken_for_this_connections(engine):
    one, other = shaken(engine)
    leave_an_error()
    wire = sealed(one, bytes(100))
    received, plain = Scratch(len(wire)), Scratch(2 * RECORD)
    received.view[:] = wire
    for start, end, ready in ((0, 50, 0), (50, len(wire), 100)):
        leave_an_error()
        assert other.receive(received, start, end, plain, Scratch(RECORD)) == (Stand.DONE, end, ready, b"")
        assert not SSL._lib.ERR_peek_error(), "OpenSSL 4 does not mind, others do"


@pytest.mark.parametrize("engine", ENGINES)
def test_errors_that_others_leave_in_every_turn_of_the_loop_disturb_no_handshake_and_no_connection(engine):
    async def story() -> None:
        loop, forgotten = asyncio.get_running_loop(), 0

        def again() -> None:
            nonlocal due, forgotten
            forgotten += not SSL._lib.ERR_peek_error()
            leave_an_error()
            due = loop.call_soon(again)

        due = loop.call_soon(again)
        async with tls_pair(engine) as (client, server):
            await client.send(b"there")
            assert await read_exactly(server, 5) == b"there"
            await server.send(b"back")
            assert await read_exactly(client, 4) == b"back"
        due.cancel()
        assert forgotten > 2

    asyncio.run(story())


@pytest.mark.skipif(NativeEngine not in ENGINES, reason="this machine cannot have the part in C")
class TestWhatCHas:
    """A Cipher has addresses of OpenSSL's, which are good as long as it lives."""

    def test_a_connection_lives_as_long_as_its_cipher_also_when_python_has_taken_it_apart(self):
        one, other = shaken(NativeEngine)
        cipher, freed = one.cipher, weakref.ref(one.connection._ssl)
        vars(one.connection).clear()  # as the collector does with a circle that it is in
        del one
        gc.collect()
        source = Scratch(3)
        source.view[:] = b"abc"
        _, wire, _ = cipher.send(source.data, 3, -1, bytearray(RECORD))
        received, plain = Scratch(len(wire)), Scratch(RECORD)
        received.view[:] = wire
        assert other.receive(received, 0, len(wire), plain, Scratch(RECORD))[2] == 3
        assert freed() is not None
        del cipher
        gc.collect()
        assert freed() is None

    def test_a_circle_of_a_connection_and_its_cipher_is_collected(self):
        one, _ = shaken(NativeEngine)
        freed = weakref.ref(one.connection._ssl)
        one.connection.set_app_data(one)
        del one
        gc.collect()
        assert freed() is None

    def test_a_cipher_is_made_once(self):
        one, _ = shaken(NativeEngine)
        with pytest.raises(RuntimeError, match="once"):
            one.cipher.__init__((1,) * 16, 1, 1, 1, ())
