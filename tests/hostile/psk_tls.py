"""hardline/2's TLS between memory and memory, written apart from the project: for attackers and odd hosts.

    Client(name, key_hash)     a visitor; without a key hash it offers no PSK, as who knows none
    Server(certificate, key)   a host; it proves itself after the visitor's last flight, which is late but right
    Pipe(socket, tls)          either of them over a blocking socket

docs/PROTOCOL.md, section 2.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import time
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

_lib: Any = SSL._lib  # type: ignore[attr-defined]
_ffi: Any = SSL._ffi  # type: ignore[attr-defined]
ALPN = b"hardline/2"


def psk_of(key_hash: bytes) -> bytes:
    return hashlib.blake2b(key_hash, digest_size=32, person=b"hardline/2 psk").digest()


def code_of(key_hash: bytes, day: int | None = None) -> str:
    day = int(time.time()) // 86_400 if day is None else day
    return hashlib.blake2b(key_hash + struct.pack("<Q", day), digest_size=32).hexdigest()[:40]


def hash_of(certificate: bytes) -> bytes:
    return hashlib.blake2b(certificate, digest_size=32).digest()[:20]


@_ffi.callback("int (*)(SSL *, const EVP_MD *, const unsigned char **, size_t *, SSL_SESSION **)")
def _use(pointer: Any, digest: Any, identity: Any, length: Any, session: Any) -> int:
    offer = _offers.get(int(_ffi.cast("uintptr_t", pointer)))
    if offer is not None:
        identity[0], length[0] = offer[0], len(offer[0])
        session[0] = _session(pointer, offer[1])
    return 1


@_ffi.callback("int (*)(SSL *, const unsigned char *, size_t, SSL_SESSION **)")
def _find(pointer: Any, identity: Any, length: int, session: Any) -> int:
    known = _known[int(_ffi.cast("uintptr_t", pointer))]
    session[0] = _session(pointer, known)
    return 1


_offers: dict[int, tuple[Any, bytes]] = {}
_known: dict[int, bytes] = {}


def _session(pointer: Any, key: bytes) -> Any:
    session = _lib.Cryptography_SSL_SESSION_new()
    _lib.SSL_SESSION_set1_master_key(session, key, len(key))
    _lib.SSL_SESSION_set_cipher(session, _lib.SSL_CIPHER_find(pointer, b"\x13\x01"))
    _lib.SSL_SESSION_set_protocol_version(session, 0x0304)
    return session


class _Tls:
    def __init__(self, context: SSL.Context) -> None:
        self.connection = SSL.Connection(context, None)
        self._address = int(_ffi.cast("uintptr_t", self.connection._ssl))  # type: ignore[attr-defined]

    def step(self, data: bytes = b"") -> tuple[bytes, bool]:
        """Give it what came; returns what is to be sent, and whether the handshake is done."""
        if data:
            self.connection.bio_write(data)
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            return self.out(), False
        except SSL.Error as failure:
            raise ConnectionError(f"the handshake failed: {failure}") from None
        return self.out(), True

    def out(self) -> bytes:
        out = b""
        with contextlib.suppress(SSL.WantReadError):
            while True:
                out += self.connection.bio_read(1 << 20)
        return out

    def seal(self, data: bytes) -> bytes:
        while data:
            data = data[self.connection.send(data[:16_384]) :]
        return self.out()

    def unseal(self, data: bytes) -> bytes:
        if data:
            self.connection.bio_write(data)
        plain = b""
        try:
            while piece := self.connection.recv(65_536):
                plain += piece
        except (SSL.WantReadError, SSL.ZeroReturnError):
            pass
        except SSL.Error as failure:
            raise ConnectionError(f"TLS: {failure}") from None
        return plain


class Client(_Tls):
    def __init__(self, name: str, key_hash: bytes = b"", *, old: bool = False) -> None:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_alpn_protos([ALPN])
        if old:
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
        _lib.SSL_CTX_set_psk_use_session_callback(context._context, _use)  # type: ignore[attr-defined]
        super().__init__(context)
        if key_hash:
            _offers[self._address] = (_ffi.new("unsigned char[20]", bytes.fromhex(name)), psk_of(key_hash))
        self.connection.set_tlsext_host_name(name.encode())
        self.connection.set_connect_state()
        self._proof: bytes | None = b""
        self.proof = b""

    def __del__(self) -> None:
        _offers.pop(self._address, None)

    def unseal(self, data: bytes) -> bytes:
        """What comes behind the host's proof."""
        plain = super().unseal(data)
        if self._proof is None:
            return plain
        self._proof += plain
        size = 2 + int.from_bytes(self._proof[:2], "big")
        if len(self._proof) < 2 or len(self._proof) < size:
            return b""
        rest, self.proof, self._proof = self._proof[size:], self._proof[2:size], None
        return rest


class Server(_Tls):
    def __init__(self, certificate: bytes, key_pem: bytes) -> None:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_options(SSL.OP_NO_TICKET)
        context.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256")
        context.set_alpn_select_callback(lambda connection, offered: ALPN)
        _lib.SSL_CTX_set_psk_find_session_callback(context._context, _find)  # type: ignore[attr-defined]
        super().__init__(context)
        self._certificate, self._key, self._key_hash = certificate, key_pem, hash_of(certificate)
        _known[self._address] = psk_of(self._key_hash)
        self.connection.set_accept_state()

    def __del__(self) -> None:
        _known.pop(self._address, None)

    def step(self, data: bytes = b"") -> tuple[bytes, bool]:
        out, done = super().step(data)
        if done:
            out += self.seal(self.proof())
        return out, done

    def proof(self) -> bytes:
        key: Any = load_pem_private_key(self._key, None)
        label = b"EXPORTER-hardline/2 host proof"
        exporter = self.connection.export_keying_material(label, 32, self._key_hash)
        content = self._certificate + key.sign(b"hardline/2 host proof\0" + exporter)
        return struct.pack(">H", len(content)) + content


class Pipe:
    """TLS over a blocking socket.  Raises ConnectionError when the handshake fails."""

    def __init__(self, raw: socket.socket, tls: Client | Server) -> None:
        self._raw, self.tls = raw, tls
        data, done = tls.step()
        while True:
            if data:
                raw.sendall(data)
            if done:
                break
            came = raw.recv(65_536)
            if not came:
                raise ConnectionError("ended in the handshake")
            data, done = tls.step(came)
        self._buffer = tls.unseal(b"")

    def recv(self, most: int) -> bytes:
        while not self._buffer:
            came = self._raw.recv(65_536)
            if not came:
                return b""
            self._buffer = self.tls.unseal(came)
        data, self._buffer = self._buffer[:most], self._buffer[most:]
        return data

    def sendall(self, data: bytes) -> None:
        self._raw.sendall(self.tls.seal(data))

    def close(self) -> None:
        self._raw.close()
