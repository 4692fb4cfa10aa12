"""TLS 1.3 with an external PSK that is looked up by name, by the C functions under pyOpenSSL.

    use_psk(context)                 the client's half: which identity and key, is asked of the Client at work
    find_psk(context)                the server's half: identity ─▶ key, is asked of the Server at work

pyOpenSSL has no methods for this.  Its binding has the functions, for others' sake: whether all are there is seen
once, at import (`MISSING`).  A connection is "at work" while OpenSSL is called for it, which is the only time at which
it calls back; so nothing is kept between calls, and two loops in two threads never meet.
Source: RFC 8446, sections 2.2 and 4.2.11; SSL_CTX_set_psk_use_session_callback(3), …_find_session_callback(3).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Protocol

from OpenSSL import SSL

_lib: Any = getattr(SSL, "_lib", None)
_ffi: Any = getattr(SSL, "_ffi", None)

# New-style callbacks only: the old ones would also negotiate TLS 1.2 with a PSK.
_NEEDED = (
    "SSL_CTX_set_psk_use_session_callback",
    "SSL_CTX_set_psk_find_session_callback",
    "SSL_CTX_set_tlsext_servername_callback",
    "Cryptography_SSL_SESSION_new",
    "SSL_SESSION_set1_master_key",
    "SSL_SESSION_set_cipher",
    "SSL_SESSION_set_protocol_version",
    "SSL_CIPHER_find",
    "SSL_session_reused",
    "SSL_get_finished",
)
_EARLY = ("SSL_read_early_data", "SSL_write_early_data")

MISSING = tuple(name for name in _NEEDED if not hasattr(_lib, name))
"""What the binding lacks for hardline/2; empty where it can be spoken."""

CAN_SPEAK_EARLY = not MISSING and all(hasattr(_lib, name) for name in _EARLY)
"""Whether a server can speak before the client's last flight (0.5-RTT); else it does a round trip later."""

# A PSK is bound to a hash, SHA-256 here.  A suite with another one would end the handshake when it is chosen.
CIPHERSUITES_AES_FIRST = b"TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
CIPHERSUITES_CHACHA_FIRST = b"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"

_TLS_AES_128_GCM_SHA256 = b"\x13\x01"
_TLS_1_3 = 0x0304
_EARLY_DATA_FINISH = 2  # SSL_READ_EARLY_DATA_FINISH
_OK, _ALERT_FATAL = 0, 2  # SSL_TLSEXT_ERR_…
_DECRYPT_ERROR = 51  # the alert that a wrong key ends in, too
_MAX_FINISHED = 64
KEY_SIZE = 32


class Client(Protocol):
    """Says which PSK its connection offers."""

    identity: bytes
    key: bytes


class Server(Protocol):
    """Knows the PSKs of a server."""

    def key_of(self, identity: bytes) -> bytes | None:
        """The PSK of an identity that a client offers; None for one that means nothing here."""
        ...

    def named(self) -> bool:
        """The server name is known now.  False ends the handshake as a wrong key does."""
        ...


_clients: dict[int, tuple[Client, Any]] = {}
_servers: dict[int, Server] = {}


@contextlib.contextmanager
def client_at_work(connection: SSL.Connection, client: Client) -> Iterator[None]:
    """While this lasts, OpenSSL may be called for `connection`."""
    address = _address(_pointer(connection))
    _clients[address] = client, _ffi.from_buffer(client.identity)  # OpenSSL copies it only after the callback
    try:
        yield
    finally:
        del _clients[address]


@contextlib.contextmanager
def server_at_work(connection: SSL.Connection, server: Server) -> Iterator[None]:
    """While this lasts, OpenSSL may be called for `connection`."""
    address = _address(_pointer(connection))
    _servers[address] = server
    try:
        yield
    finally:
        del _servers[address]


def use_psk(context: SSL.Context) -> None:
    """Connections of `context` offer the PSK of the Client at work, if there is one."""
    _lib.SSL_CTX_set_psk_use_session_callback(_inside(context), _use_session)


def find_psk(context: SSL.Context) -> None:
    """Connections of `context` accept the PSKs of the Server at work."""
    _lib.SSL_CTX_set_psk_find_session_callback(_inside(context), _find_session)
    _lib.SSL_CTX_set_tlsext_servername_callback(_inside(context), _server_named)


def taken(connection: SSL.Connection) -> bool:
    """Whether both ends have the PSK: certain once the handshake is over."""
    return bool(_lib.SSL_session_reused(_pointer(connection)) == 1)


def has_sent_finished(connection: SSL.Connection) -> bool:
    """Whether our Finished is out, which comes after all that makes the keys."""
    return bool(_lib.SSL_get_finished(_pointer(connection), _ffi.new("char[]", _MAX_FINISHED), _MAX_FINISHED) > 0)


def read_first_flight(connection: SSL.Connection) -> None:
    """A server's first step, before `do_handshake`: on after it, the server may speak before the client's last flight.

    Raises SSL.WantReadError until the client's hello is whole, SSL.Error when it is refused.
    """
    count = _ffi.new("size_t *")
    result = _lib.SSL_read_early_data(_pointer(connection), _ffi.new("char[]", 1), 1, count)
    while result != _EARLY_DATA_FINISH:
        _raise(connection, 0)
        result = _lib.SSL_read_early_data(_pointer(connection), _ffi.new("char[]", 1), 1, count)


def write_early(connection: SSL.Connection, data: bytes) -> None:
    """What a server says right behind its Finished, in one record.  Raises SSL.Error.

    Only when `has_sent_finished`: before that OpenSSL would send it as it is.
    """
    count = _ffi.new("size_t *")
    if _lib.SSL_write_early_data(_pointer(connection), data, len(data), count) != 1:
        _raise(connection, 0)


def _raise(connection: Any, result: int) -> None:
    connection._raise_ssl_error(connection._ssl, result)


def _session(pointer: Any, key: bytes) -> Any:
    """A new SSL_SESSION for a PSK; OpenSSL frees it."""
    session = _lib.Cryptography_SSL_SESSION_new()
    _lib.SSL_SESSION_set1_master_key(session, key, len(key))
    _lib.SSL_SESSION_set_cipher(session, _lib.SSL_CIPHER_find(pointer, _TLS_AES_128_GCM_SHA256))
    _lib.SSL_SESSION_set_protocol_version(session, _TLS_1_3)
    return session


def _pointer(connection: Any) -> Any:
    return connection._ssl


def _inside(context: Any) -> Any:
    return context._context


def _address(pointer: Any) -> int:
    return int(_ffi.cast("uintptr_t", pointer))


if not MISSING:

    @_ffi.callback("int (*)(SSL *, const EVP_MD *, const unsigned char **, size_t *, SSL_SESSION **)", error=0)  # type: ignore[untyped-decorator]
    def _use_session(pointer: Any, digest: Any, identity: Any, length: Any, session: Any) -> int:
        found = _clients.get(_address(pointer))
        if found is None:
            session[0] = _ffi.NULL
            return 1
        client, buffer = found
        identity[0] = _ffi.cast("const unsigned char *", buffer)
        length[0] = len(client.identity)
        session[0] = _session(pointer, client.key)
        return 1

    @_ffi.callback("int (*)(SSL *, const unsigned char *, size_t, SSL_SESSION **)", error=0)  # type: ignore[untyped-decorator]
    def _find_session(pointer: Any, identity: Any, length: int, session: Any) -> int:
        server = _servers[_address(pointer)]
        # A key that nobody has: an unknown identity must end as a wrong key does, and in the same time.
        key = server.key_of(bytes(_ffi.buffer(identity, length))) or os.urandom(KEY_SIZE)
        session[0] = _session(pointer, key)
        return 1

    @_ffi.callback("int (*)(SSL *, int *, void *)", error=_ALERT_FATAL)  # type: ignore[untyped-decorator]
    def _server_named(pointer: Any, alert: Any, _: Any) -> int:
        if _servers[_address(pointer)].named():
            return _OK
        alert[0] = _DECRYPT_ERROR
        return _ALERT_FATAL
