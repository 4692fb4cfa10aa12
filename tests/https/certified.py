"""Certificates as an authority makes them, made here."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID


class LittleAuthority:
    """Signs what it is asked to; `certificate` is what clients trust."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a little authority")])
        self.certificate = self._signed(self._name, self._key.public_key(), [], 0.0, 4e9, authority=True)

    def certify(
        self, name: str, key: ec.EllipticCurvePrivateKey, begins: float = 1e9, ends: float = 4e9
    ) -> tuple[x509.Certificate, ...]:
        return (self._signed(x509.Name([]), key.public_key(), [name], begins, ends), self.certificate)

    def _signed(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        names: Sequence[str],
        begins: float,
        ends: float,
        *,
        authority: bool = False,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.datetime.fromtimestamp(begins, datetime.UTC))
            .not_valid_after(datetime.datetime.fromtimestamp(ends, datetime.UTC))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def as_pem(chain: Sequence[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in chain)


def a_certificate(name: str) -> tuple[tuple[x509.Certificate, ...], ec.EllipticCurvePrivateKey]:
    """One that nobody trusts, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return LittleAuthority().certify(name, key), key
