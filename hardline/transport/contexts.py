"""The TLS contexts of both sides.

Any self-signed certificate is accepted at this layer; who it is, is judged by its hash before a byte is sent.
Source: docs/PROTOCOL.md, section 2.1.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from hardline.transport import psk
from hardline.transport.engine import MODE_ENABLE_PARTIAL_WRITE
from hardline.transport.handshake import ALPN_2

HTTP_1_1, ACME_TLS = "http/1.1", "acme-tls/1"

_PRIORITIZE_CHACHA = 1 << 21  # SSL_OP_PRIORITIZE_CHACHA, which pyOpenSSL has no name for
_BROWSERS_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2: those that are safe; all browsers have some


def visitor_context(*, originals: bool = False, protocol: bytes = ALPN_2) -> SSL.Context:
    """For visitors: TLS 1.3 with a PSK; for plain names also TLS 1.2 and certificates, which `originals` speak."""
    context = client_context()
    if not originals:
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_alpn_protos([protocol])
    if not psk.MISSING:
        psk.use_psk(context)
    return context


def client_context() -> SSL.Context:
    """TLS 1.2 to 1.3, any certificate."""
    return _context()


def server_context(certificate: Path, private_key: Path) -> SSL.Context:
    """For one service of a host, from its PEM files.  Raises SSL.Error when they cannot be used or are no pair.

    OpenSSL reads the files itself: stricter parsers refuse the version 1 certificates of originals.
    """
    context = _context()
    context.use_certificate_chain_file(os.fsencode(certificate))
    context.use_privatekey_file(os.fsencode(private_key))
    context.check_privatekey()
    return context


def mutual_context(certificate: Path, private_key: Path, authority: Path) -> SSL.Context:
    """For a listener whose clients have to show a certificate of `authority`: PEM files.  Raises as server_context."""
    context = server_context(certificate, private_key)
    context.load_verify_locations(os.fsencode(authority))
    context.load_client_ca(os.fsencode(authority))
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _accept_verified)
    return context


def front_context(protocol: bytes = ALPN_2) -> SSL.Context:
    """For a listener that serves many names by `protocol`; its connections go with handshake.Accepting.

    It holds no certificate: who brings no PSK, and no plain name either, ends in the alert handshake_failure.
    """

    def select(connection: SSL.Connection, offered: Sequence[bytes]) -> Any:
        return protocol if protocol in offered and psk.taken(connection) else SSL.NO_OVERLAPPING_PROTOCOLS

    context = _context()
    context.set_alpn_select_callback(select)
    psk.find_psk(context)
    return context


def browser_context(chain: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey) -> SSL.Context:
    """For browsers, which check the certificate that `chain` begins with, and speak HTTP/1.1."""
    context = _certified(chain, key, HTTP_1_1.encode())
    context.set_cipher_list(_BROWSERS_CIPHERS)
    # OpenSSL's clients name AES-256, which is not ours, and ChaCha20 next, whatever their processor computes itself.
    # One that names ChaCha20 first means it.
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE | _PRIORITIZE_CHACHA)
    return context


def proof_context(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> SSL.Context:
    """For a certificate authority that looks for `certificate` (RFC 8737)."""
    return _certified([certificate], key, ACME_TLS.encode())


def _certified(chain: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey, protocol: bytes) -> SSL.Context:
    def select(connection: SSL.Connection, offered: Sequence[bytes]) -> Any:
        return protocol if protocol in offered else SSL.NO_OVERLAPPING_PROTOCOLS

    context = _context()
    context.use_certificate(chain[0])
    for above in chain[1:]:
        context.add_extra_chain_cert(above)
    context.use_privatekey(key)
    context.set_alpn_select_callback(select)
    return context


def _context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_NONE, _accept_any)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_tls13_ciphersuites(psk.CIPHERSUITES_AES_FIRST if _has_aes() else psk.CIPHERSUITES_CHACHA_FIRST)
    context.clear_mode(MODE_ENABLE_PARTIAL_WRITE)
    return context


def _accept_any(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
    return True


def _accept_verified(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
    return bool(ok)


def _has_aes() -> bool:
    """Whether the CPU computes AES itself.  Where that cannot be read (not Linux), today's machines do."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True
    return any(" aes" in line for line in text.splitlines() if line.startswith(("flags", "Features")))
