"""Keys and seals for the tests: those of docs/PROTOCOL.md 1.1 and 8.2, and seals that are as a forger makes them."""

from __future__ import annotations

import base64
import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from nacl.secret import SecretBox

from hardline.identity import KeyHash

_VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "1-identity.json").read_text())

DER = bytes.fromhex(_VECTORS["key_hashes"][0]["der"])
NAME = KeyHash.of_certificate(DER)
OTHER = KeyHash.parse("a946e7a560289417a2711f5b9686624852dd469b")
NONCE = bytes(24)


def pem(key: Any) -> bytes:
    """A private key as it stands in its file."""
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def boxed(text: bytes, name: KeyHash, nonce: bytes = NONCE) -> bytes:
    """Anything, sealed by somebody who knows the name."""
    key = blake2b(name.digest, digest_size=32, person=b"hardline2-dht").digest()
    return bytes(SecretBox(key).encrypt(text, nonce))


def boxed_record(
    certificate: bytes, name: KeyHash, now: int, hosts: tuple[str, ...] = (), nonce: bytes = NONCE
) -> bytes:
    """A record with a signature that nobody made."""
    body = {
        "v": 2,
        "instance": "forger",
        "issued": now * 1000,
        "hosts": list(hosts),
        "relays": [],
        "cert": base64.b64encode(certificate).decode(),
    }
    text = json.dumps(
        {"body": body, "sig": base64.b64encode(bytes(64)).decode()}, sort_keys=True, separators=(",", ":")
    )
    return boxed(text.encode(), name, nonce)
