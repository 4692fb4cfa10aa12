"""What lasts of names and their certificates, in DATADIR/https: for its owner only.

    NAME.key    the private key for NAME, made at first need, kept over renewals      NAME.pem   its certificate chain
    account-HOST-….key, .url    the account at a certificate authority: its key, and what it is called there

Everything here blocks: call it from a worker thread.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from hardline.errors import CertificateError
from hardline.files import hint_for, make_private, read_small, replace_whole, why, write_new
from hardline.transport.contexts import browser_context
from hardline.transport.engine import reason

_MAX_FILE = 65_536
_OTHERS_MAY_TOUCH = 0o066


@dataclass(frozen=True, slots=True)
class Certificate:
    """A chain that is good for a name and its key; `begins` and `ends` are seconds since 1970."""

    chain: tuple[x509.Certificate, ...]
    pem: bytes = field(repr=False)
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Account:
    """At one authority; `url` is what it is called there, "" while it has none."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    url: str


class Store:
    """The files in `directory`.  All methods raise CertificateError, which says what is wrong with which file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def key(self, name: str) -> ec.EllipticCurvePrivateKey:
        """The private key of a name."""
        return self._key(f"{name}.key")

    def certificate(self, name: str, key: ec.EllipticCurvePrivateKey) -> Certificate | None:
        """The certificate of a name; None where there is none that is good for it and `key`, however old."""
        file = self._directory / f"{name}.pem"
        try:
            return certificate_of(read_small(file, _MAX_FILE).data, name, key)
        except FileNotFoundError:
            return None
        except ValueError:
            return None  # another one is got in its place
        except OSError as failure:
            raise CertificateError(f"{file}: {why(failure)}", hint_for(failure)) from None

    def keep_certificate(self, name: str, certificate: Certificate) -> None:
        """For the next start."""
        self._replace(f"{name}.pem", certificate.pem)

    def account(self, directory_url: str) -> Account:
        """The one at the authority whose directory is there."""
        name = _account_name(directory_url)
        key, file = self._key(f"{name}.key"), self._directory / f"{name}.url"
        try:
            url = read_small(file, _MAX_FILE).data.decode("ascii").strip()
        except FileNotFoundError:
            url = ""
        except ValueError:
            url = ""  # the authority knows it by its key
        except OSError as failure:
            raise CertificateError(f"{file}: {why(failure)}", hint_for(failure)) from None
        return Account(key, url)

    def keep_account(self, directory_url: str, url: str) -> None:
        """What it is called there, for CAA records and the next start."""
        self._replace(f"{_account_name(directory_url)}.url", f"{url}\n".encode())

    def _key(self, name: str) -> ec.EllipticCurvePrivateKey:
        file = self._directory / name
        try:
            kept = read_small(file, _MAX_FILE)
        except FileNotFoundError:
            return self._made(file)
        except OSError as failure:
            raise CertificateError(f"{file}: {why(failure)}", hint_for(failure)) from None
        if kept.mode & _OTHERS_MAY_TOUCH:
            raise CertificateError(f"{file}: other users may read or write this private key", f"chmod 600 {file}")
        try:
            key = serialization.load_pem_private_key(kept.data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertificateError(f"{file}: this is no private key of ours", "remove it: another one is made")
        return key

    def _made(self, file: Path) -> ec.EllipticCurvePrivateKey:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            make_private(self._directory)
            write_new(file, pem, 0o600)
        except OSError as failure:
            raise CertificateError(f"{file}: cannot be written: {why(failure)}", hint_for(failure)) from None
        return key

    def _replace(self, name: str, data: bytes) -> None:
        file = self._directory / name
        try:
            replace_whole(file, data)
        except OSError as failure:
            raise CertificateError(f"{file}: cannot be written: {why(failure)}", hint_for(failure)) from None


def certificate_of(pem: bytes, name: str, key: ec.EllipticCurvePrivateKey) -> Certificate:
    """The chain in `pem`.  Raises ValueError for what is no chain, not for `name` and `key`, or cannot be served."""
    if len(pem) > _MAX_FILE:
        raise ValueError(f"a chain of more than {_MAX_FILE} bytes")
    chain = tuple(x509.load_pem_x509_certificates(pem))
    first = chain[0]
    try:
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        public = first.public_key()
    except x509.ExtensionNotFound:
        raise ValueError("a certificate without names") from None
    except (x509.DuplicateExtension, UnsupportedAlgorithm) as failure:
        raise ValueError(f"a certificate that is not understood: {failure}") from None
    if name not in names.get_values_for_type(x509.DNSName):
        raise ValueError(f"a certificate that is not for {name}")
    if _public(public) != _public(key.public_key()):
        raise ValueError("a certificate for another key")
    try:
        browser_context(chain, key)
    except SSL.Error as failure:
        raise ValueError(f"a chain that OpenSSL does not take: {reason(failure)}") from None
    return Certificate(chain, pem, _seconds(first.not_valid_before_utc), _seconds(first.not_valid_after_utc))


def _public(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return b""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _seconds(when: datetime.datetime) -> float:
    return when.timestamp()


def _account_name(directory_url: str) -> str:
    """Several authorities can be at one host."""
    host = urlsplit(directory_url).hostname or "authority"
    return f"account-{host}-{hashlib.sha256(directory_url.encode()).hexdigest()[:8]}"
