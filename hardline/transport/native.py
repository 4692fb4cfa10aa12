"""The engine in C, where it was built and what it relies on is there: found out by a real exchange at import.

    hardline.native._carry ── probe: types of the binding, two connections, bytes both ways ──▶ NativeEngine, Carrier
                                 └─ anything else than expected ──▶ None, and `why_not` says what

The C functions under pyOpenSSL are no public interface, so nothing is taken for granted by a version's number.  In C,
an address of something else would end the process: the types are compared first.
Source: docs/decisions/0010-native.md.
"""

from __future__ import annotations

import contextlib
import socket
from importlib import import_module
from typing import Any, Protocol, cast

from OpenSSL import SSL

from hardline import native
from hardline.errors import ConnectionLost, PeerError
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
}
_PARTS = {"_ssl": "SSL *", "_into_ssl": "BIO *", "_from_ssl": "BIO *"}
_BROKEN = len(Stand)


class Carrier(Protocol):
    """The streams of one session whose frames go to their sockets at once."""

    def join(self, number: int, sink: Carried, fd: int, left: int, unwatched: int) -> None:
        """Write DATA of stream `number` to `fd`, `unwatched` bytes of it, while the peer keeps to `left` bytes."""
        ...

    def part(self, number: int) -> None:
        """DATA of stream `number` is Python's again.  Idempotent."""
        ...

    def allow(self, number: int, left: int) -> None:
        """The peer may send `left` bytes on stream `number` now; nothing for one that did not join."""
        ...

    def carry(
        self, data: memoryview, most: int, stream: int, left: int
    ) -> tuple[int, int, int, int, tuple[tuple[Carried, int, int], ...]]:
        """Write the frames at the start of `data` to their sockets, `most` of them.

        `left` bytes of a frame of `stream` come first.  Returns where it stopped, how many frames began, of which
        stream how many bytes come there, and who got what: (sink, bytes of frames that began, bytes its socket took).
        """
        ...


class Carried(Protocol):
    """Who is told what was carried for it."""

    def carried(self, announced: int, written: int) -> None:
        """Frames of `announced` bytes began; `written` bytes went to the socket."""
        ...


class NativeEngine(BindingEngine):
    """`receive` and `send` in C.  The connection's ciphertext comes in through here alone from now on."""

    __slots__ = ("_cipher",)

    def __init__(self, connection: SSL.Connection) -> None:
        self._cipher = _cipher(connection)
        super().__init__(connection)
        inner: Any = connection
        inner._into_ssl = self._into_ssl = None  # it will be another, and this one freed

    def feed(self, source: Scratch, start: int, count: int) -> None:
        self._cipher.feed(source.data, start, count)

    @property
    def fruitless(self) -> int:
        return cast(int, self._cipher.fruitless)

    @fruitless.setter
    def fruitless(self, count: int) -> None:
        self._cipher.fruitless = count

    @property
    def overhead(self) -> int:
        return cast(int, self._cipher.overhead)

    @overhead.setter
    def overhead(self, count: int) -> None:
        self._cipher.overhead = count

    def receive(
        self, source: Scratch, start: int, end: int, target: Scratch, scratch: Scratch
    ) -> tuple[int, int, int, bytes]:
        found = self._cipher.receive(source.data, start, end, target.data)
        if found[0] == _BROKEN:
            raise PeerError(f"TLS: {self._reason(self._cipher.result)}")
        return cast("tuple[int, int, int, bytes]", found)

    def send(self, source: Scratch, count: int, fd: int, scratch: Scratch) -> tuple[int, bytes | None, int]:
        written = self._cipher.send(source.data, count, fd, scratch.data)
        if written[2] < 0:
            raise ConnectionLost(f"TLS: {self._reason(self._cipher.result)}")
        return cast("tuple[int, bytes | None, int]", written)


def carrier() -> Carrier | None:
    """One for a new session; None where Python does its work."""
    return cast(Carrier, _carry.Carrier()) if best_engine is NativeEngine else None


def _cipher(connection: SSL.Connection) -> Any:
    inner: Any = connection
    parts = (_address(getattr(inner, name)) for name in _PARTS)
    return _carry.Cipher((*_functions, *parts), MOST_OVERHEAD, FRUITLESS, PIECE)


def _address(pointer: Any) -> int:
    return int(_ffi.cast("uintptr_t", pointer))


def _why_not() -> str:
    """What is missing or does other than expected; "" when nothing is."""
    if _carry is None:
        return native.why_not
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
        carrier = _carry.Carrier()
        carrier.join(1, known, wire.fileno(), 9, 9)
        carrier.allow(1, 3)
        frame = b"\0\0\0\0" + b"\0\0\0\1" + b"\0\0\0\3" + b"abc"
        if carrier.carry(frame * 2, 9, 0, 0) != (len(frame), 1, 1, 0, ((known, 3, 3),)) or far.recv(9) != b"abc":
            return "a frame was not carried"
        carrier.part(1)
    return ""


def _step(one: SSL.Connection, other: SSL.Connection) -> None:
    """What one end of a handshake says to what it has heard, given to the other."""
    with contextlib.suppress(SSL.WantReadError):
        one.do_handshake()
    with contextlib.suppress(SSL.WantReadError):
        other.bio_write(one.bio_read(65_536))


_carry: Any = native.carry
_lib, _ffi = binding()
_functions: list[int] = []  # their addresses
why_not = _why_not()

best_engine: type[Engine] = NativeEngine if not why_not else BindingEngine if _lib is not None else PublicEngine
ENGINE = {NativeEngine: "native", BindingEngine: "python", PublicEngine: "public"}[best_engine]
