"""The engine in C, where it was built and what it relies on is there: found out by a real exchange at import.

    hardline.native._carry ── probe: types of the binding, two connections, bytes both ways ──▶ NativeEngine
                                 └─ anything else than expected ──▶ None, and `why_not` says what

The C functions under pyOpenSSL are no public interface, so nothing is taken for granted by a version's number.  In C,
an address of something else would end the process: the types are compared first.
Source: docs/decisions/0010-native.md.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from OpenSSL import SSL

from hardline.errors import ConnectionLost, PeerError
from hardline.native import books, built
from hardline.transport import psk
from hardline.transport.engine import (
    FRUITLESS,
    MODE_ENABLE_PARTIAL_WRITE,
    MOST_OVERHEAD,
    PIECE,
    RECORD,
    BindingEngine,
    Engine,
    PublicEngine,
    Scratch,
    Stand,
    binding,
)

_FUNCTIONS = {
    "SSL_read": "int(*)(SSL *, void *, int)",
    "SSL_write": "int(*)(SSL *, void *, int)",
    "SSL_get_error": "int(*)(SSL *, int)",
    "BIO_read": "int(*)(BIO *, void *, int)",
    "BIO_write": "int(*)(BIO *, void *, int)",
    "BIO_new_mem_buf": "BIO *(*)(void *, int)",
    "BIO_new": "BIO *(*)(BIO_METHOD *)",
    "BIO_set_mem_eof_return": "long(*)(BIO *, int)",
    "BIO_get_mem_data": "long(*)(BIO *, char * *)",
    "SSL_set_bio": "void(*)(SSL *, BIO *, BIO *)",
    "BIO_free": "int(*)(BIO *)",
    "ERR_clear_error": "void(*)()",
}
_PARTS = {"_ssl": "SSL *", "_into_ssl": "BIO *", "_from_ssl": "BIO *"}
_BROKEN = len(Stand)


class NativeEngine(BindingEngine):
    """`receive` and `send` in C.  The connection's ciphertext comes in through here alone from now on."""

    __slots__ = ("cipher",)

    def __init__(self, connection: SSL.Connection) -> None:
        self.cipher = _cipher(connection)
        super().__init__(connection)
        inner: Any = connection
        inner._into_ssl = self._into_ssl = None  # it will be another, and this one freed

    def feed(self, source: Scratch, start: int, count: int) -> None:
        self.cipher.feed(source.data, start, count)

    @property
    def fruitless(self) -> int:
        return cast(int, self.cipher.fruitless)

    @fruitless.setter
    def fruitless(self, count: int) -> None:
        self.cipher.fruitless = count

    @property
    def overhead(self) -> int:
        return cast(int, self.cipher.overhead)

    @overhead.setter
    def overhead(self, count: int) -> None:
        self.cipher.overhead = count

    def why_not(self) -> str:
        return self._reason(self.cipher.result)

    def receive(
        self, source: Scratch, start: int, end: int, target: Scratch, scratch: Scratch
    ) -> tuple[int, int, int, bytes]:
        found = self.cipher.receive(source.data, start, end, target.data)
        if found[0] == _BROKEN:
            raise PeerError(f"TLS: {self.why_not()}")
        return cast("tuple[int, int, int, bytes]", found)

    def send(self, source: Scratch, count: int, fd: int, scratch: Scratch) -> tuple[int, bytes | None, int]:
        written = self.cipher.send(source.data, count, fd, scratch.data)
        if written[2] < 0:
            raise ConnectionLost(f"TLS: {self.why_not()}")
        return cast("tuple[int, bytes | None, int]", written)


def _cipher(connection: SSL.Connection) -> Any:
    inner: Any = connection
    parts = (_address(getattr(inner, name)) for name in _PARTS)
    owner = (
        connection,
        inner._ssl,
    )  # which frees it; a connection in a circle that is being taken apart has let go of it
    return _carry.Cipher((*_functions, *parts), MOST_OVERHEAD, FRUITLESS, PIECE, owner)


def _address(pointer: Any) -> int:
    return int(_ffi.cast("uintptr_t", pointer))


def _why_not() -> str:
    """What is missing or does other than expected; "" when nothing is."""
    if _carry is None:
        return built.why_not
    if _ffi is None or psk.MISSING:
        return "this pyOpenSSL has its C functions elsewhere"
    if (*Stand, _BROKEN) != (_carry.DONE, _carry.FULL, _carry.ENDED, _carry.FRUITLESS, _carry.BROKEN):
        return "what was built here counts other states: install again"
    try:
        lib = import_module("cryptography.hazmat.bindings._rust")._openssl.lib  # pyOpenSSL's is without addresses
        probe: Any = SSL.Connection(SSL.Context(SSL.TLS_METHOD))
        types = {name: _ffi.typeof(_ffi.addressof(lib, name)) for name in _FUNCTIONS}
        types |= {name: _ffi.typeof(getattr(probe, name)) for name in _PARTS}
        for name, wanted in (_FUNCTIONS | _PARTS).items():
            if types[name].cname.replace("const ", "") != wanted:
                return f"{name} is {types[name].cname}, expected {wanted}"
        _functions.extend(_address(_ffi.addressof(lib, name)) for name in _FUNCTIONS)
        _functions.append(_address(lib.BIO_s_mem()))
        return _wrong_exchange()
    except Exception as failure:  # whatever a later pyOpenSSL or cffi does
        return f"{type(failure).__name__}: {failure}"


class _Known:
    """Both ends of the probe's exchange: one PSK, which is no secret."""

    identity, key = b"probe", bytes(range(psk.KEY_SIZE))

    def key_of(self, identity: bytes) -> bytes | None:
        return self.key

    def named(self) -> bool:
        return True


def _wrong_exchange() -> str:
    known, ends = _Known(), list[SSL.Connection]()
    for prepare in (psk.use_psk, psk.find_psk):
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_tls13_ciphersuites(psk.CIPHERSUITES_AES_FIRST)
        context.clear_mode(MODE_ENABLE_PARTIAL_WRITE)
        prepare(context)
        ends.append(SSL.Connection(context, None))
    client, server = ends
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(3):
        with psk.client_at_work(client, known):
            _step(client, server)
        with psk.server_at_work(server, known):
            _step(server, client)
    wire, far = socket.socketpair()
    with wire, far:
        wire.setblocking(False)
        far.setblocking(False)
        said = Scratch(3 * RECORD)
        said.view[:] = bytes(range(256)) * (said.size // 256)
        received, plain, scratch = Scratch(4 * RECORD), Scratch(5 * RECORD), Scratch(4 * RECORD)
        one, other = NativeEngine(client), NativeEngine(server)
        for sender, receiver in ((one, other), (other, one)):
            produced, rest, code = sender.send(said, said.size, wire.fileno(), scratch)
            arrived = far.recv(received.size) + (rest or b"")
            if code or produced != len(arrived) or produced <= said.size:
                return f"{said.size} bytes were {produced} on the wire, of which {len(arrived)} arrived ({code})"
            received.view[: len(arrived)] = arrived
            stand, at, count, _ = receiver.receive(received, 0, len(arrived), plain, scratch)
            if (stand, at, plain.view[:count]) != (Stand.DONE, len(arrived), said.view):
                return f"of {said.size} bytes {count} arrived, or others ({stand})"
        return _wrong_carrying((one, other), (wire, far), received, plain, scratch)


class _Wire(books.Wire):
    """A connection's socket without an event loop: all that C may ask of it."""

    def is_closing(self) -> bool:
        return False


class _Box(books.Box):
    """A session that nobody answers."""


class _Lane(books.Lane):
    """A stream and its socket, of which C has to know everything."""


def _wrong_carrying(
    engines: tuple[NativeEngine, NativeEngine],
    sockets: tuple[socket.socket, socket.socket],
    received: Scratch,
    plain: Scratch,
    scratch: Scratch,
) -> str:
    """What goes wrong with three bytes that a socket says, from its lane to the other end's."""
    due, lanes, boxes, wires = list[Callable[[], None]](), list[_Lane](), list[_Box](), list[_Wire]()
    stream, ways, window, brake, frames, turns = (
        *(books.Use(), books.Ways(), books.Window(), books.Reasons(), books.Frames(), books.Budget()),
    )
    ways.send_window, ways.announced, window.left, window.size, turns.left = 9, True, 9, 64, 99
    for engine, end in zip(engines, sockets, strict=True):
        box, wire, lane = _Box(), _Wire(), _Lane()
        wire.transport, wire.fd, wire.view = wire, end.fileno(), received.view
        parts = (lambda: 0.0), due.append, (lambda: plain), (lambda _: None), (lambda: None)
        box.link(wire, frames, books.Held(), books.Marks(), turns, bytearray(), [], {}, {}, parts, None)
        wire.link(box, engine.cipher, books.Sizes(), received.data, plain.data, plain.view, scratch.data)
        lane.link(box, 1, stream, ways, window, brake)
        box.turn, box.share, box.ready = 1, 9, True
        lanes.append(lane)
        boxes.append(box)
        wires.append(wire)
    lanes[1].offer(sockets[1].fileno(), 9)
    lanes[0].get_buffer(-1)[:3] = b"abc"
    lanes[0].buffer_updated(3)
    for callback in due:
        callback()
    wires[1].buffer_updated(sockets[1].recv_into(wires[1].get_buffer(-1)))
    got = sockets[0].recv(9)
    counted = lanes[1].moved, boxes[0].sent, boxes[0].fill, ways.send_window, window.left, window.owed, frames.frames
    for box, wire in zip(boxes, wires, strict=True):
        box.unlink()
        wire.part()
    if (got, counted) != (b"abc", (3, 3, 0, 6, 6, 3, 1)) or lanes[0].linked:
        return f"3 bytes of a socket were {len(got)} at the other, and were counted as {counted}"
    return ""


def _step(one: SSL.Connection, other: SSL.Connection) -> None:
    """What one end of a handshake says to what it has heard, given to the other."""
    with contextlib.suppress(SSL.WantReadError):
        one.do_handshake()
    with contextlib.suppress(SSL.WantReadError):
        other.bio_write(one.bio_read(65_536))


_carry: Any = built.carry
_lib, _ffi = binding()
_functions: list[int] = []  # their addresses
why_not = _why_not()

best_engine: type[Engine] = NativeEngine if not why_not else BindingEngine if _lib is not None else PublicEngine
ENGINE = {NativeEngine: "native", BindingEngine: "python", PublicEngine: "public"}[best_engine]
