"""What proves to a relay who a node is, and that it may register a name, without I/O.

Both are over the exporter of the control connection, so they are worth nothing on any other.
Source: docs/PROTOCOL.md, sections 9.2 and 9.3.
"""

from __future__ import annotations

from hardline.identity import KeyHash
from hardline.proof import Proof, Prover, Purpose
from hardline.signatures import sign, verify

NODE = Purpose(b"EXPORTER-hardline-relay", b"hardline-relay/1 node\0")
_REGISTER = b"hardline-relay/1 register\0"


def prove_registration(prover: Prover, exporter: bytes) -> Proof:
    """That the name of `prover`'s certificate is registered by who holds its key."""
    name = KeyHash.of_certificate(prover.certificate)
    return Proof(prover.certificate, sign(prover.key, _REGISTER + exporter + name.digest))


def check_registration(proof: Proof, exporter: bytes) -> KeyHash:
    """The name that it registers.  Raises PeerError when it was not made for this connection."""
    verify(proof.certificate, proof.signature, _REGISTER + exporter + proof.key_hash.digest)
    return proof.key_hash
