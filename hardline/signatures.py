"""Signatures by the key of a certificate, without I/O: made with the private key, checked with the certificate alone.

Ed25519; ECDSA with SHA-256 (DER); RSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes.  Of a certificate
nothing but its public key is looked at.  Source: docs/PROTOCOL.md, sections 2.2 and 8.2.
"""

from __future__ import annotations

from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from hardline.errors import PeerError

SigningKey: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
_SEQUENCE, _INTEGER, _VERSION = 0x30, 0x02, 0xA0  # the tags of DER that come before a certificate's public key


class CannotSign(Exception):
    """A private key of a kind that has no signature here; the message says which have one."""


def signing_key(private_key_pem: bytes) -> SigningKey:
    """The key in a PEM text without a passphrase.  Raises CannotSign."""
    try:
        key = serialization.load_pem_private_key(private_key_pem, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, SigningKey):
        raise CannotSign("its key is none of Ed25519, ECDSA and RSA")
    return key


def sign(key: SigningKey, data: bytes) -> bytes:
    """The signature over `data`."""
    match key:
        case ed25519.Ed25519PrivateKey():
            return key.sign(data)
        case ec.EllipticCurvePrivateKey():
            return key.sign(data, ec.ECDSA(hashes.SHA256()))
        case _:
            return key.sign(data, _PSS, hashes.SHA256())


def is_ed25519(certificate: bytes) -> bool:
    """Whether a certificate in DER form has a key of that kind.  Raises PeerError when it has no usable key."""
    return isinstance(_public_key(certificate), ed25519.Ed25519PublicKey)


def verify(certificate: bytes, signature: bytes, data: bytes) -> None:
    """Raise PeerError unless `signature` over `data` was made with the key of the certificate in DER form."""
    key = _public_key(certificate)
    try:
        match key:
            case ed25519.Ed25519PublicKey():
                key.verify(signature, data)
            case ec.EllipticCurvePublicKey():
                key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
            case rsa.RSAPublicKey():
                key.verify(signature, data, _PSS, hashes.SHA256())
            case _:
                raise PeerError("a certificate whose key signs nothing")
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        raise PeerError("a wrong signature") from None


def split_certificate(data: bytes) -> tuple[bytes, bytes]:
    """The certificate in DER form at the start of `data`, and what comes behind it.  Raises PeerError."""
    try:
        end = _der(data, 0, _SEQUENCE)[1]
    except (ValueError, IndexError):
        raise PeerError("something that does not begin with a certificate") from None
    return data[:end], data[end:]


def _public_key(certificate: bytes) -> object:
    """The public key, read past all that comes before it.

    What the original makes (version 1, serial number 0) is refused by parsers that look at the rest; nothing but the
    key counts here.
    """
    try:
        whole = _der(certificate, 0, _SEQUENCE)
        at, _ = _der(certificate, whole[0], _SEQUENCE)
        for tag in (_VERSION, _INTEGER, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE):
            if tag != _VERSION or certificate[at] == _VERSION:
                at = _der(certificate, at, tag)[1]
        return serialization.load_der_public_key(certificate[at : _der(certificate, at, _SEQUENCE)[1]])
    except (ValueError, IndexError, UnsupportedAlgorithm):
        raise PeerError("a certificate that has no usable key") from None


def _der(data: bytes, at: int, tag: int) -> tuple[int, int]:
    """Where the content of the element at `at` begins and ends.  Raises ValueError or IndexError."""
    if data[at] != tag:
        raise ValueError(f"tag {data[at]}, expected {tag}")
    size, begin = data[at + 1], at + 2
    if size & 0x80:
        begin += size & 0x7F
        size = int.from_bytes(data[at + 2 : begin], "big")
    if begin + size > len(data):
        raise ValueError("an element that is cut")
    return begin, begin + size
