"""ClientHellos: of TLS libraries that nobody here wrote, and made by hand."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Sequence

from OpenSSL import SSL

NAME = "0123456789abcdef0123456789abcdef01234567"


def of_openssl(name: str | None, protocols: Sequence[str] = ()) -> bytes:
    """The first flight of Python's own ssl."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(received, sent, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def of_pyopenssl(name: str | None, protocols: Sequence[bytes] = ()) -> bytes:
    """The first flight of the wheel's OpenSSL, which sends a key of ML-KEM: more than a packet."""
    context = SSL.Context(SSL.TLS_METHOD)
    if protocols:
        context.set_alpn_protos(list(protocols))
    client = SSL.Connection(context, None)
    if name is not None:
        client.set_tlsext_host_name(name.encode())
    client.set_connect_state()
    with contextlib.suppress(SSL.WantReadError):
        client.do_handshake()
    return client.bio_read(65_536)


def vector(size: int, data: bytes) -> bytes:
    """`data` behind its length."""
    return len(data).to_bytes(size) + data


def extension(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2) + vector(2, body)


def server_name(name: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(2, bytes([kind]) + vector(2, name)))


def protocols(*names: bytes) -> bytes:
    return extension(16, vector(2, b"".join(vector(1, name) for name in names)))


def message(extensions: bytes | None, session: bytes = b"") -> bytes:
    """A handshake message; without extensions for None."""
    body = b"\3\3" + bytes(32) + vector(1, session) + vector(2, b"\x13\1") + vector(1, b"\0")
    return b"\1" + vector(3, body + (b"" if extensions is None else vector(2, extensions)))


def records(hello: bytes, *sizes: int) -> bytes:
    """`hello` in records of these sizes, and one more for the rest."""
    said, at = b"", 0
    for size in [*sizes, len(hello)]:
        piece = hello[at : at + size]
        if piece:
            said += b"\x16\3\1" + vector(2, piece)
        at += size
    return said
