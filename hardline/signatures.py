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


# What an AlgorithmIdentifier in DER begins with (RFC 8410, 5480, 8017): of elliptic curves, those with these names.
_EC = bytes.fromhex("06072a8648ce3d0201")
_KINDS = (
    bytes.fromhex("06032b6570"),  # Ed25519
    *(_EC + bytes.fromhex(curve) for curve in ("06082a8648ce3d030107", "06052b81040022", "06052b81040023")),  # P-256 …
    bytes.fromhex("06092a864886f70d010101"),  # RSA
)
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_MAX_MODULUS, _MAX_EXPONENT = 8192, 32  # bits


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
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in _CURVES:
        raise CannotSign(f"its key is of the curve {key.curve.name}, expected one of {', '.join(_CURVES)}")
    if isinstance(key, rsa.RSAPrivateKey) and not _is_cheap(key.private_numbers().public_numbers):
        raise CannotSign(f"its RSA key has more than {_MAX_MODULUS} bits, or an exponent of more than {_MAX_EXPONENT}")
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
    key counts here.  Strangers choose it: of a kind that is not one of ours the library never sees anything, since it
    looks for primes in some (Diffie-Hellman of X9.42: seconds, minutes), and checks curves that somebody made up.
    """
    try:
        whole = _der(certificate, 0, _SEQUENCE)
        at, _ = _der(certificate, whole[0], _SEQUENCE)
        for tag in (_VERSION, _INTEGER, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE):
            if tag != _VERSION or certificate[at] == _VERSION:
                at = _der(certificate, at, tag)[1]
        key = certificate[at : _der(certificate, at, _SEQUENCE)[1]]
        kind = key[slice(*_der(key, _der(key, 0, _SEQUENCE)[0], _SEQUENCE))]
        if not kind.startswith(_KINDS):
            raise PeerError("a certificate whose key is none of Ed25519, ECDSA and RSA")
        loaded = serialization.load_der_public_key(key)
        if isinstance(loaded, rsa.RSAPublicKey) and not _is_cheap(loaded.public_numbers()):
            raise PeerError("a certificate whose key takes too long to use")
        return loaded
    except (ValueError, IndexError, UnsupportedAlgorithm):
        raise PeerError("a certificate that has no usable key") from None


def _is_cheap(key: rsa.RSAPublicNumbers) -> bool:
    return key.n.bit_length() <= _MAX_MODULUS and key.e.bit_length() <= _MAX_EXPONENT


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
