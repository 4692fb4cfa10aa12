"""What proves, inside a TLS connection, that an end holds the private key of a certificate, without I/O.

    host ── u16 length ‖ certificate (DER) ‖ signature ──▶ visitor          the host's first bytes, in one record

The signature is over the connection's own exporter, so it proves nothing on any other: whoever sits in the middle, even
knowing the key hash, has two connections with two exporters.  Source: docs/PROTOCOL.md, section 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from hardline.errors import PeerError
from hardline.identity import KeyHash, WrongCertificate
from hardline.signatures import SigningKey, sign, split_certificate, verify

EXPORTER_SIZE = 32
MAX_PROOF = 8192  # bytes, without the two that say how many: RSA 16384 fits
_LENGTH = 2


@dataclass(frozen=True, slots=True)
class Purpose:
    """Who proves itself: the exporter's label (RFC 8446, section 7.5), and what stands before it in the signature."""

    exporter_label: bytes
    signed_before: bytes


HOST = Purpose(b"EXPORTER-hardline/2 host proof", b"hardline/2 host proof\0")
VISITOR = Purpose(b"EXPORTER-hardline/2 visitor proof", b"hardline/2 visitor proof\0")


@dataclass(frozen=True, slots=True)
class Prover:
    """A certificate in DER form and its private key."""

    certificate: bytes
    key: SigningKey = field(repr=False)

    def prove(self, purpose: Purpose, exporter: bytes) -> Proof:
        """A proof for the connection that has this exporter."""
        return Proof(self.certificate, sign(self.key, purpose.signed_before + exporter))


@dataclass(frozen=True, slots=True)
class Proof:
    """A certificate in DER form, and a signature by its key; nothing is checked yet."""

    certificate: bytes
    signature: bytes

    @property
    def key_hash(self) -> KeyHash:
        """Whose it claims to be."""
        return KeyHash.of_certificate(self.certificate)

    def encode(self) -> bytes:
        """The bytes of a host's proof."""
        content = self.certificate + self.signature
        return len(content).to_bytes(_LENGTH, "big") + content

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read a host's proof, without its length.  Raises PeerError."""
        return cls(*split_certificate(content))

    def check(self, purpose: Purpose, exporter: bytes, expected: KeyHash | None = None) -> None:
        """Raise WrongCertificate when it is not of `expected`, PeerError when it was not made for this connection."""
        if expected is not None and self.key_hash != expected:
            raise WrongCertificate(expected, self.key_hash)
        verify(self.certificate, self.signature, purpose.signed_before + exporter)


class ProofReader:
    """Finds a host's proof in bytes that come in pieces: asks for no byte behind it."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def wants(self) -> int:
        """How many bytes more it takes, as far as is known; 0 once it is whole.  Raises PeerError for too many."""
        if len(self._buffer) < _LENGTH:
            return _LENGTH - len(self._buffer)
        length = int.from_bytes(self._buffer[:_LENGTH], "big")
        if length > MAX_PROOF:
            raise PeerError(f"a proof of {length} bytes, at most {MAX_PROOF}")
        return _LENGTH + length - len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take at most `wants` bytes."""
        self._buffer += data

    @property
    def proof(self) -> Proof:
        """What was read, when `wants` is 0.  Raises PeerError."""
        return Proof.parse(bytes(self._buffer[_LENGTH:]))
