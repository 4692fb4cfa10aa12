"""The cryptographic half of a TLS connection, between memory and memory.

    ciphertext ── receive (feed, decrypt) ──▶ ┌────────┐ ──▶ plaintext
    ciphertext ◀─ send (encrypt, drain) ───── │ OpenSSL│ ◀── plaintext
                                              └────────┘
Three engines do the same.  BindingEngine calls C functions of pyOpenSSL's binding directly, so that bytes go from
buffer to buffer without a Python object each: it more than doubles the speed of bulk transfers
(docs/decisions/0001-data-path.md).  The binding is not a public interface, so PublicEngine uses pyOpenSSL's own methods
where the other cannot work.  native.NativeEngine has `receive` and `send` in C.  All pass the same tests.
"""

from __future__ import annotations

import abc
import enum
import errno
import os
from typing import Any

from OpenSSL import SSL

from hardline.errors import ConnectionLost, PeerError

_WANT_READ, _ZERO_RETURN = 2, 6  # SSL_get_error(3)
# SSL_CTX_set_mode(3); pyOpenSSL sets it in every context, where it would make SSL_write stop after one record.
MODE_ENABLE_PARTIAL_WRITE = 0x1
RECORD = 16_384  # the most that one record holds (RFC 8446, 5.1)
# One SSL_read goes through all of TLS's own messages that are there, and answers them: a key update of 27 bytes takes
# longer than 16 KB of data.  So OpenSSL never has more than a piece, and what gave no data is counted.
PIECE = 32_768
FRUITLESS = 65_536  # bytes that gave no data: a handshake has some thousands, a part of a record 16 KB
MOST_OVERHEAD = 128  # bytes of a record that are no data, in TLS 1.2, whatever the cipher suite


class Stand(enum.IntEnum):
    """How it stands when `Engine.receive` returns."""

    DONE = 0  # it has taken all ciphertext, and there is no more plaintext
    FULL = 1  # there is no room for more plaintext: call it again
    ENDED = 2  # the peer ended its direction in order
    FRUITLESS = 3  # more than FRUITLESS bytes gave no data: judge that, then call it again


class Scratch:
    """A buffer with one memoryview and one C pointer made once: making them per call costs more than the call."""

    __slots__ = ("data", "pointer", "size", "view")

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = bytearray(size)
        self.view = memoryview(self.data)
        self.pointer: Any = _ffi.from_buffer(self.data) if _ffi is not None else None


class Engine(abc.ABC):
    """Turns plaintext into ciphertext and back.

    After a handshake's step, `decrypt` or `encrypt`, call `drain` until it returns 0: OpenSSL may have an answer of its
    own (handshake, alert, key update).  `receive` and `send` do all of that in one go, and can be had in C.
    """

    __slots__ = ("connection", "fruitless", "overhead")

    def __init__(self, connection: SSL.Connection) -> None:
        self.connection = connection
        self.fruitless = 0  # bytes of ciphertext that gave no data
        self.overhead = MOST_OVERHEAD  # bytes of a record that are no data

    def receive(
        self, source: Scratch, start: int, end: int, target: Scratch, scratch: Scratch
    ) -> tuple[int, int, int, bytes]:
        """Take ciphertext from `source`, `start` to `end`, piece by piece, and write its plaintext to `target`.

        Returns a Stand, where in `source` it has come to, how many bytes are in `target`, and what is to go to the
        peer for that.  Raises PeerError when the ciphertext is broken.  `scratch` may be overwritten.
        """
        ready = 0
        while True:
            if target.size - ready < RECORD:
                stand = Stand.FULL
                break
            try:
                count = self.decrypt(target, ready)
            except EOFError:
                stand = Stand.ENDED
                break
            if count:
                ready += count
                self.fruitless -= count + self.overhead
                continue
            self.fruitless = max(self.fruitless, 0)
            if self.fruitless > FRUITLESS:
                stand = Stand.FRUITLESS
                break
            if start == end:
                stand = Stand.DONE
                break
            step = min(PIECE, end - start)
            self.feed(source, start, step)
            self.fruitless += step
            start += step
        answer = b""
        while count := self.drain(scratch):
            answer += scratch.view[:count]
        return stand, start, ready, answer

    def send(self, source: Scratch, count: int, fd: int, scratch: Scratch) -> tuple[int, bytes | None, int]:
        """Encrypt `count` bytes of plaintext from the start of `source`, and write them to the descriptor `fd`.

        Returns how many bytes of ciphertext that were, those that `fd` did not take, and the errno when it is broken.
        With -1 it takes none.  Raises ConnectionLost.  `scratch` may be overwritten.
        """
        self.encrypt(source, count)
        produced, rest, failed = 0, b"", 0
        while count := self.drain(scratch):
            produced += count
            taken = 0
            if fd >= 0 and not rest and not failed:
                try:
                    taken = os.write(fd, scratch.view[:count])
                except BlockingIOError:
                    pass
                except OSError as failure:
                    failed = failure.errno or errno.EIO
            if taken < count and not failed:
                rest += scratch.view[taken:count]
        return produced, rest or None, failed

    def why_not(self) -> str:
        """What OpenSSL has to say of the last call in C that it refused; only of an engine that has such."""
        raise NotImplementedError

    @abc.abstractmethod
    def feed(self, source: Scratch, start: int, count: int) -> None:
        """Take `count` bytes of ciphertext from `source`, beginning at `start`."""

    @abc.abstractmethod
    def decrypt(self, target: Scratch, offset: int) -> int:
        """Write the next plaintext to `target` at `offset`; return how much, 0 when more ciphertext is needed.

        It is of one record, behind however many of TLS's own messages.  Raises EOFError at the peer's orderly end,
        PeerError when the ciphertext is broken.
        """

    @abc.abstractmethod
    def encrypt(self, source: Scratch, count: int) -> None:
        """Take `count` bytes of plaintext from the start of `source`."""

    @abc.abstractmethod
    def encrypt_bytes(self, data: bytes) -> None:
        """Take `data` as plaintext, in one record when it is small enough for one."""

    @abc.abstractmethod
    def drain(self, target: Scratch) -> int:
        """Move ciphertext for the wire to `target`; return how much, 0 when there is none."""


class PublicEngine(Engine):
    """By pyOpenSSL's public methods."""

    __slots__ = ()

    def feed(self, source: Scratch, start: int, count: int) -> None:
        self.connection.bio_write(bytes(source.view[start : start + count]))

    def decrypt(self, target: Scratch, offset: int) -> int:
        forget_errors()
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
        forget_errors()
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


class BindingEngine(Engine):
    """By the C functions under pyOpenSSL."""

    __slots__ = ("_from_ssl", "_into_ssl", "_ssl")

    def __init__(self, connection: SSL.Connection) -> None:
        super().__init__(connection)
        inner: Any = connection
        self._ssl, self._into_ssl, self._from_ssl = inner._ssl, inner._into_ssl, inner._from_ssl

    def feed(self, source: Scratch, start: int, count: int) -> None:
        if _lib.BIO_write(self._into_ssl, source.pointer + start, count) != count:
            raise MemoryError("OpenSSL's memory buffer is full")

    def decrypt(self, target: Scratch, offset: int) -> int:
        _lib.ERR_clear_error()
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
        _lib.ERR_clear_error()
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


def forget_errors() -> None:
    """Before OpenSSL is called for a connection: its queue of errors is of the whole thread, and before version 4, with
    which a distribution may have built cryptography, SSL_get_error takes what others have left there for this one's."""
    if _lib is not None:
        _lib.ERR_clear_error()


def reason(failure: SSL.Error) -> str:
    """OpenSSL's words for what went wrong, without library and function names."""
    queue = failure.args[0] if failure.args else ""
    if isinstance(queue, list) and queue:
        return str(queue[-1][-1])
    return str(queue) or type(failure).__name__


def binding() -> tuple[Any, Any]:
    """The binding's C library and its cffi, or None twice where this pyOpenSSL has them elsewhere."""
    lib, ffi = getattr(SSL, "_lib", None), getattr(SSL, "_ffi", None)
    wanted = ("SSL_read", "SSL_write", "SSL_get_error", "BIO_read", "BIO_write", "ERR_clear_error")
    probe: Any = SSL.Connection(SSL.Context(SSL.TLS_METHOD))
    usable = (
        all(hasattr(lib, name) for name in wanted)
        and hasattr(ffi, "from_buffer")
        and all(hasattr(probe, name) for name in ("_ssl", "_into_ssl", "_from_ssl", "_raise_ssl_error"))
    )
    return (lib, ffi) if usable else (None, None)


_lib, _ffi = binding()
