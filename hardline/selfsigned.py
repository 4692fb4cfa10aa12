"""The certificates that are made here, without I/O: nothing personal, nothing that is not needed, 215 bytes of DER.

The same key and time make the same certificate.  Source: docs/PROTOCOL.md, section 1.4.
"""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VALID_FOR = datetime.timedelta(days=36_500)


def self_signed(key: Ed25519PrivateKey, since: datetime.datetime) -> x509.Certificate:
    """A certificate of `key`, from `since` (of whole seconds) for a hundred years."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hardline")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(since)
        .not_valid_after(since + VALID_FOR)
        .sign(key, algorithm=None)
    )
