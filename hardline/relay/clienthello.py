"""What a TLS client asks for first, read without being its server; without I/O.

    record │ record …  ──▶ handshake message 1 (ClientHello) ──▶ server_name, application protocols

A relay passes these bytes on as they came and looks at nothing behind them.  So it reads just enough to know for whom
they are, in as many records as a client may cut them into, and believes nothing: what two readers could understand in
two ways is none.  Source: RFC 8446, sections 4.1.2, 4.2 and 5.1; RFC 6066, section 3; RFC 7301, section 3.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hardline.errors import PeerError

MAX_SIZE = 16_384  # bytes of all records together: with ML-KEM one has some 1 800, with an early PSK a few more

_RECORD_HEADER, _MESSAGE_HEADER = 5, 4
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_MAX_RECORD = 16_384
_SERVER_NAME, _PROTOCOLS = 0, 16
_HOST_NAME = 0
# A name of the DNS, or of ours; an address is none (RFC 6066, section 3).
_NAME = re.compile(rb"[0-9a-z_-]{1,63}(?:\.[0-9a-z_-]{1,63})*\Z")
_MAX_NAME = 253


@dataclass(frozen=True, slots=True)
class ClientHello:
    """`server_name` in lower case, "" for none; `protocols` in the client's order; read from `size` bytes."""

    server_name: str
    protocols: tuple[str, ...]
    size: int


def read_client_hello(data: bytes) -> ClientHello | None:
    """The ClientHello that `data` begins with; None while it is not whole.

    Raises PeerError, as soon as that is known, for what is none, or is larger than MAX_SIZE.
    """
    message, at = b"", 0
    while (wanted := _message_size(message)) is None or len(message) < wanted:
        header = data[at : at + _RECORD_HEADER]
        _check_record(header)
        if len(header) < _RECORD_HEADER:
            return None
        length = int.from_bytes(header[3:])
        if at + _RECORD_HEADER + length > MAX_SIZE:
            raise PeerError(f"a ClientHello of more than {MAX_SIZE} bytes")
        piece = data[at + _RECORD_HEADER : at + _RECORD_HEADER + length]
        message += piece
        if len(piece) < length:
            _message_size(message)
            return None
        at += _RECORD_HEADER + length
    if len(message) > wanted:
        raise PeerError("something else in the record of a ClientHello")
    name, protocols = _read(_Reader(message[_MESSAGE_HEADER:]))
    return ClientHello(name, protocols, at)


def _check_record(header: bytes) -> None:
    """Raises PeerError for the beginning of what cannot be a record of a handshake."""
    if header[:1] not in (b"", bytes([_HANDSHAKE])) or header[1:2] not in (b"", b"\3"):
        raise PeerError("not TLS")
    if len(header) == _RECORD_HEADER and not 0 < int.from_bytes(header[3:]) <= _MAX_RECORD:
        raise PeerError("a TLS record of a size that none has")


def _message_size(message: bytes) -> int | None:
    """Of a whole message, its header included; None while that is not known."""
    if message and message[0] != _CLIENT_HELLO:
        raise PeerError("a handshake that does not begin with a ClientHello")
    if len(message) < _MESSAGE_HEADER:
        return None
    size = _MESSAGE_HEADER + int.from_bytes(message[1:_MESSAGE_HEADER])
    if size > MAX_SIZE:
        raise PeerError(f"a ClientHello of more than {MAX_SIZE} bytes")
    return size


class _Reader:
    """Takes fields off bytes.  Raises PeerError where there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def over(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise PeerError("a ClientHello that ends too early")
        self._at += count
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> _Reader:
        """What stands behind its length, a number of `size` bytes."""
        return _Reader(self.take(self.number(size)))

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data) - self._at)

    def ends(self) -> None:
        if not self.over:
            raise PeerError("bytes in a ClientHello that belong to nothing")


def _read(hello: _Reader) -> tuple[str, tuple[str, ...]]:
    hello.take(2 + 32)  # version, random
    hello.vector(1)  # session
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression
    name, protocols = "", tuple[str, ...]()
    if hello.over:
        return name, protocols  # before there were extensions
    extensions, seen = hello.vector(2), set[int]()
    hello.ends()
    while not extensions.over:
        kind, body = extensions.number(2), extensions.vector(2)
        if kind in seen:
            raise PeerError("an extension that stands there twice")
        seen.add(kind)
        if kind == _SERVER_NAME:
            name = _server_name(body)
        elif kind == _PROTOCOLS:
            protocols = _protocols(body)
    return name, protocols


def _server_name(body: _Reader) -> str:
    names = body.vector(2)
    body.ends()
    kind, name = names.number(1), names.vector(2)
    names.ends()  # nobody sends two, and nobody would know which one counts
    text = name.rest().lower().removesuffix(b".")
    if kind != _HOST_NAME or len(text) > _MAX_NAME or not _NAME.match(text):
        raise PeerError("a server name that is none")
    return text.decode("ascii")


def _protocols(body: _Reader) -> tuple[str, ...]:
    names, found = body.vector(2), list[str]()
    body.ends()
    while not names.over:
        name = names.vector(1).rest()
        if not name:
            raise PeerError("an application protocol without a name")
        found.append(name.decode("latin-1"))
    if not found:
        raise PeerError("an empty list of application protocols")
    return tuple(found)
