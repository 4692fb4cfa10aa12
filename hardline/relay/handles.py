"""The names by which a service is found at a relay, which tell the relay nothing of it, without I/O.

    the service's private key, this host, the relay, 30 days ──BLAKE2b──▶ a key ──▶ a certificate ──▶ its hash

So a handle is the same after every start without being kept anywhere, another one at every relay and of every host that
has the same service, and nobody who knows it finds out the key hash, which is the right to visit.
Source: docs/PROTOCOL.md, section 9.3.
"""

from __future__ import annotations

import datetime
from hashlib import blake2b

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from hardline.identity import KeyHash
from hardline.proof import Prover
from hardline.selfsigned import self_signed

PERIOD = 30  # days that a handle is the newest one; for as many again it is honoured

_SINCE = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def periods(day: int) -> tuple[int, ...]:
    """The periods whose handles are registered on a UTC day: that of the newest, then the one before."""
    now = day // PERIOD
    return (now, now - 1) if now else (now,)


def make_handle(private_key_pem: bytes, instance: str, relay: KeyHash, period: int) -> Prover:
    """Who proves to hold the handle of a service, whose key is given, at `relay`.

    `instance` is the secret that tells this host from others which have the same service.
    """
    return _made(b"hardline handle", private_key_pem, instance.encode(), relay.digest, period.to_bytes(8, "little"))


def make_port_name(private_key_pem: bytes, instance: str, relay: KeyHash) -> Prover:
    """Who proves to hold the public port of a service at `relay`; never renewed, since the port would change."""
    return _made(b"hardline port", private_key_pem, instance.encode(), relay.digest)


def make_domain_name(private_key_pem: bytes, instance: str, relay: KeyHash, domain: str) -> Prover:
    """Who proves to hold `domain` at `relay` for a service; it tells nothing of the service."""
    return _made(b"hardline domain", private_key_pem, instance.encode(), relay.digest, domain.encode("ascii"))


def handle_of(prover: Prover) -> str:
    """The handle itself: 40 hex digits."""
    return str(KeyHash.of_certificate(prover.certificate))


def _made(person: bytes, *parts: bytes) -> Prover:
    seed = blake2b(digest_size=32, person=person)
    for part in parts:
        seed.update(len(part).to_bytes(8, "little") + part)
    key = Ed25519PrivateKey.from_private_bytes(seed.digest())
    return Prover(self_signed(key, _SINCE).public_bytes(Encoding.DER), key)
