"""What shows a certificate authority that this host answers for a name: the challenge TLS-ALPN-01.

    token.thumbprint of the account's key ──SHA-256──▶ acmeIdentifier of a self-signed certificate for the name

The authority connects to the name by TLS, offers acme-tls/1 and nothing else, and looks at the certificate.  certbot's
`acme` has no class for it any more; this is one, by the library's own rules.  Source: RFC 8737, section 3.
"""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

from acme import challenges
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier
from josepy.jwk import JWK

_ACME_IDENTIFIER = ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_OCTETS = bytes((4, hashlib.sha256().digest_size))  # DER: an OCTET STRING of that size
_LIFE = datetime.timedelta(days=1)


@challenges.ChallengeResponse.register
class TlsAlpn01Response(challenges.KeyAuthorizationChallengeResponse):
    """Says that the certificate is there."""

    typ = "tls-alpn-01"


@challenges.Challenge.register
class TlsAlpn01(challenges.KeyAuthorizationChallenge):
    """As the authority sends it."""

    response_cls = TlsAlpn01Response
    typ = response_cls.typ

    def validation(self, account_key: JWK, **_: Any) -> bytes:
        """What the certificate has to hold."""
        return hashlib.sha256(self.key_authorization(account_key).encode()).digest()


def proof_certificate(
    name: str, validation: bytes, now: datetime.datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The certificate for `name`, and its key, which nobody needs afterwards."""
    key = ec.generate_private_key(ec.SECP256R1())
    me = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme-tls/1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(me)
        .issuer_name(me)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.UnrecognizedExtension(_ACME_IDENTIFIER, _OCTETS + validation), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key
