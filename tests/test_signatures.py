"""Keys of strangers: what is looked at, and what is refused before a library looks at it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from hardline import signatures
from hardline.errors import PeerError
from hardline.signatures import CannotSign, sign, signing_key, split_certificate, verify
from tests.dht.keys import pem

pytestmark = pytest.mark.pure

# Diffie-Hellman of X9.42: OpenSSL looks for primes in such a key, which takes seconds to minutes.
DHX, DH = "2a8648ce3e0201", "2a864886f70d010301"
EC, SECT571 = "2a8648ce3d0201", "2b81040027"


def element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def certificate(key: bytes) -> bytes:
    """As much of one as is looked at."""
    parts = [element(0x02, b"\x01"), *(element(0x30) for _ in range(4)), key]
    return element(0x30, element(0x30, *parts))


def key_of(oid: str, parameters: bytes) -> bytes:
    return element(0x30, element(0x30, element(0x06, bytes.fromhex(oid)), parameters), element(0x03, b"\0", bytes(300)))


def public(key: object) -> bytes:
    der, info = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return certificate(key.public_key().public_bytes(der, info))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "key",
    [
        key_of(
            DHX, element(0x30, element(0x02, bytes([1] * 512)), element(0x02, b"\x02"), element(0x02, bytes([1] * 64)))
        ),
        key_of(DH, element(0x30, element(0x02, bytes([1] * 512)), element(0x02, b"\x02"))),
        key_of(EC, element(0x30, element(0x02, b"\x01"))),  # a curve that somebody made up
        key_of(EC, element(0x06, bytes.fromhex(SECT571))),
        key_of("2b6570" + "01", b""),
        element(0x30, element(0x30), element(0x03, b"\0")),
    ],
)
def test_a_key_that_is_none_of_ours_is_refused_before_any_library_looks_at_it(key, monkeypatch):
    def asked(*arguments: object) -> None:
        raise AssertionError("the library was asked")

    monkeypatch.setattr(signatures.serialization, "load_der_public_key", asked)
    with pytest.raises(PeerError):
        verify(certificate(key), b"", b"")


@pytest.mark.parametrize("key", [dsa.generate_private_key(1024), ed448.Ed448PrivateKey.generate()])
def test_real_keys_of_other_kinds_are_refused_on_both_sides(key):
    with pytest.raises(PeerError):
        verify(public(key), b"x" * 64, b"data")
    with pytest.raises(CannotSign):
        signing_key(pem(key))


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        *(ec.generate_private_key(curve()) for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)),
        rsa.generate_private_key(65_537, 2048),
    ],
)
def test_what_is_signed_is_believed_and_nothing_else(key):
    signature = sign(signing_key(pem(key)), b"data")
    verify(public(key), signature, b"data")
    for wrong, data in ((signature, b"date"), (signature[:-1], b"data"), (b"", b"data")):
        with pytest.raises(PeerError, match="wrong signature"):
            verify(public(key), wrong, data)


def test_an_rsa_key_whose_use_takes_long_is_refused():
    real = rsa.generate_private_key(65_537, 2048)
    numbers = real.public_key().public_numbers()
    for odd in (rsa.RSAPublicNumbers((1 << 2000) + 1, numbers.n), rsa.RSAPublicNumbers(65_537, (1 << 9000) + 1)):
        key = element(
            0x30,
            element(0x30, element(0x06, bytes.fromhex("2a864886f70d010101")), element(0x05)),
            element(0x03, b"\0", element(0x30, number(odd.n), number(odd.e))),
        )
        with pytest.raises(PeerError, match=r"too long to use|no usable key"):
            verify(certificate(key), bytes(256), b"data")


def number(value: int) -> bytes:
    return element(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def test_a_certificate_is_cut_off_what_follows_it():
    whole = public(ed25519.Ed25519PrivateKey.generate())
    assert split_certificate(whole + b"signature") == (whole, b"signature")
    for nonsense in (b"", b"\x30", b"\x30\x82", b"\x31\x00", whole[:-1]):
        with pytest.raises(PeerError):
            split_certificate(nonsense)
