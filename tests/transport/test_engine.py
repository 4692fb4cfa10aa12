"""TLS between memory and memory: what a buffer held is the engine's once it was taken, and nothing of it is lost."""

from __future__ import annotations

import contextlib
import random

import pytest
from OpenSSL import SSL

from hardline.errors import PeerError
from hardline.transport.contexts import client_context
from hardline.transport.engine import PIECE, RECORD, Engine, Scratch, Stand
from tests.support.pairs import ENGINES, host_context


def shaken(engine: type[Engine]) -> tuple[Engine, Engine]:
    """Both ends of a connection."""
    client, server = SSL.Connection(client_context(), None), SSL.Connection(host_context(), None)
    client.set_tlsext_host_name(b"any")
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(3):
        for one, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(65_536))
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
