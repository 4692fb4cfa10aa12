"""The cryptographic half of a TLS connection, between memory and memory.

    ciphertext ──feed──▶ ┌────────┐ ──decrypt──▶ plaintext
    ciphertext ◀─drain── │ OpenSSL│ ◀─encrypt─── plaintext
                         └────────┘
Two engines do the same.  BindingEngine calls four C functions of pyOpenSSL's binding directly, so that
bytes go from buffer to buffer without a Python object each: it more than doubles the speed of bulk
transfers (docs/decisions/0001-data-path.md).  The binding is not a public interface, so PublicEngine uses
pyOpenSSL's own methods and is chosen at import where the other cannot work.  Both pass the same tests.
"""

from __future__ import annotations

from typing import Any, Protocol

from OpenSSL import SSL

from hardline.errors import ConnectionLost, PeerError

_WANT_READ, _ZERO_RETURN = 2, 6  # SSL_get_error(3)


class Scratch:
    """A buffer with one memoryview and one C pointer made once: making them per call costs more than the call."""

    __slots__ = ("data", "pointer", "size", "view")

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = bytearray(size)
        self.view = memoryview(self.data)
        self.pointer: Any = _ffi.from_buffer(self.data) if _ffi is not None else None


class Engine(Protocol):
    """Turns plaintext into ciphertext and back.

    After every call of `handshake`, `decrypt` or `encrypt`, call `drain` until it returns 0:
    OpenSSL may have an answer of its own (handshake, alert, key update).
    """

    connection: SSL.Connection

    def feed(self, source: Scratch, start: int, count: int) -> None:
        """Take `count` bytes of ciphertext from `source`, beginning at `start`."""
        ...

    def decrypt(self, target: Scratch, offset: int) -> int:
        """Write the next plaintext to `target` at `offset`; return how much, 0 when more ciphertext is needed.

        It is of one record, behind however many of TLS's own messages.  Raises EOFError at the peer's orderly end,
        PeerError when the ciphertext is broken.
        """
        ...

    def encrypt(self, source: Scratch, count: int) -> None:
        """Take `count` bytes of plaintext from the start of `source`."""
        ...

    def encrypt_bytes(self, data: bytes) -> None:
        """Take `data` as plaintext, in one record when it is small enough for one."""
        ...

    def drain(self, target: Scratch) -> int:
        """Move ciphertext for the wire to `target`; return how much, 0 when there is none."""
        ...


class PublicEngine:
    """By pyOpenSSL's public methods."""

    def __init__(self, connection: SSL.Connection) -> None:
        self.connection = connection

    def feed(self, source: Scratch, start: int, count: int) -> None:
        self.connection.bio_write(bytes(source.view[start : start + count]))

    def decrypt(self, target: Scratch, offset: int) -> int:
        try:
            data = self.connection.recv(target.size - offset)
        except SSL.WantReadError:
            return 0
        except SSL.ZeroReturnError:
            raise EOFError from None
        except SSL.Error as failure:
            raise PeerError(f"TLS: {reason(failure)}") from None
        target.view[offset : offset + len(data)] = data
        return len(data)

    def encrypt(self, source: Scratch, count: int) -> None:
        self.encrypt_bytes(bytes(source.view[:count]))

    def encrypt_bytes(self, data: bytes) -> None:
        try:
            while data:
                data = data[self.connection.send(data) :]
        except SSL.Error as failure:
            raise ConnectionLost(f"TLS: {reason(failure)}") from None

    def drain(self, target: Scratch) -> int:
        try:
            data = self.connection.bio_read(target.size)
        except SSL.WantReadError:
            return 0
        target.view[: len(data)] = data
        return len(data)


class BindingEngine:
    """By the C functions under pyOpenSSL."""

    __slots__ = ("_from_ssl", "_into_ssl", "_ssl", "connection")

    def __init__(self, connection: SSL.Connection) -> None:
        inner: Any = connection
        self.connection = connection
        self._ssl, self._into_ssl, self._from_ssl = inner._ssl, inner._into_ssl, inner._from_ssl

    def feed(self, source: Scratch, start: int, count: int) -> None:
        if _lib.BIO_write(self._into_ssl, source.pointer + start, count) != count:
            raise MemoryError("OpenSSL's memory buffer is full")

    def decrypt(self, target: Scratch, offset: int) -> int:
        count: int = _lib.SSL_read(self._ssl, target.pointer + offset, target.size - offset)
        if count > 0:
            return count
        error = _lib.SSL_get_error(self._ssl, count)
        if error == _WANT_READ:
            return 0
        if error == _ZERO_RETURN:
            raise EOFError
        raise PeerError(f"TLS: {self._reason(count)}")

    def encrypt(self, source: Scratch, count: int) -> None:
        self._write(source.pointer, count)

    def encrypt_bytes(self, data: bytes) -> None:
        if data:  # SSL_write of nothing is undefined
            self._write(_ffi.from_buffer(data), len(data))

    def drain(self, target: Scratch) -> int:
        count: int = _lib.BIO_read(self._from_ssl, target.pointer, target.size)
        return max(count, 0)

    def _write(self, pointer: Any, count: int) -> None:
        written = _lib.SSL_write(self._ssl, pointer, count)
        if written != count:
            raise ConnectionLost(f"TLS: {self._reason(written)}")

    def _reason(self, count: int) -> str:
        inner: Any = self.connection
        try:
            inner._raise_ssl_error(self._ssl, count)
        except SSL.Error as failure:
            return reason(failure)
        return "unknown failure"


def reason(failure: SSL.Error) -> str:
    """OpenSSL's words for what went wrong, without library and function names."""
    queue = failure.args[0] if failure.args else ""
    if isinstance(queue, list) and queue:
        return str(queue[-1][-1])
    return str(queue) or type(failure).__name__


def _binding() -> tuple[Any, Any]:
    """The binding's C library and its cffi, or None twice where this pyOpenSSL has them elsewhere."""
    lib, ffi = getattr(SSL, "_lib", None), getattr(SSL, "_ffi", None)
    wanted = ("SSL_read", "SSL_write", "SSL_get_error", "BIO_read", "BIO_write")
    probe: Any = SSL.Connection(SSL.Context(SSL.TLS_METHOD))
    usable = (
        all(hasattr(lib, name) for name in wanted)
        and hasattr(ffi, "from_buffer")
        and all(hasattr(probe, name) for name in ("_ssl", "_into_ssl", "_from_ssl", "_raise_ssl_error"))
    )
    return (lib, ffi) if usable else (None, None)


_lib, _ffi = _binding()

best_engine: type[BindingEngine | PublicEngine] = BindingEngine if _lib is not None else PublicEngine
