"""A service's identity on disk: made at first start, read and checked ever after.

    P          the certificate (PEM)                                  ──┐
    P.private  its private key (PKCS#8 PEM, 0600)                       ├──▶ Identity
    P.hash     what its URL begins with: KEYHASH or freetext-KEYHASH  ──┘

The certificate's hash is the service's name, so nothing here ever replaces a file that is there: whoever
loses a certificate loses the URL.  New sets are written key first, .hash last; a crash between leaves what the
next start completes.  Certificates of the original (RSA, version 1, serial 0) are taken as they are: only OpenSSL
reads them, since stricter parsers refuse them.  Source: docs/PROTOCOL.md, section 1.4.

Everything here blocks: call it from a worker thread.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from OpenSSL import SSL, crypto

from hardline.errors import BadKeyHash, BadLabel, CertificateError
from hardline.files import hint_for, read_small, write_new
from hardline.identity import FREE_TEXT_SIGNS, MAX_FREE_TEXT, KeyHash, Label
from hardline.selfsigned import self_signed

MAX_FILE = 65_536
_OTHERS_MAY_TOUCH = 0o066  # read or write, for the group or for everybody


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate, its private key, and the free text that stands before its hash in the URL ("" for none)."""

    certificate_path: Path
    der: bytes = field(repr=False)
    certificate_pem: bytes = field(repr=False)
    private_key_pem: bytes = field(repr=False)
    key_hash: KeyHash
    password: str = field(repr=False)

    @property
    def private_key_path(self) -> Path:
        """The file that `private_key_pem` was read from."""
        return _beside(self.certificate_path, ".private")

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """The certificate, its key, and what its URL begins with."""
        return beside(self.certificate_path)


def beside(path: Path) -> tuple[Path, Path, Path]:
    """The files of an identity whose certificate is `path`: it, its key, and what its URL begins with."""
    return path, _beside(path, ".private"), _beside(path, ".hash")


def load_or_create(path: Path) -> Identity:
    """The identity at `path`; a new one where none is there.

    A key that stands alone, as a crash can leave it, gets its certificate; a missing .hash is written anew.

    Raises CertificateError naming the file, what is wrong with it and what to do.
    """
    key_file, hash_file = _beside(path, ".private"), _beside(path, ".hash")
    if not _is_there(path):
        if _is_there(hash_file):
            raise CertificateError(
                f"{path}: the certificate is missing, but {hash_file.name} says that there was one",
                f"put it back from a copy, since its URL cannot be made anew; to begin with a new URL, "
                f"remove {hash_file.name} and {key_file.name}",
            )
        _create(path, key_file)
    identity = load(path)
    if not _is_there(hash_file):
        # For people and the original only.  A disk that takes no more must not stop a service that works.
        with contextlib.suppress(OSError):
            write_new(hash_file, str(identity.key_hash).encode(), 0o600)
    return identity


def load(path: Path) -> Identity:
    """Read and check the identity at `path`; a missing .hash means no free text.  Writes nothing.

    Raises CertificateError naming the file, what is wrong with it and what to do.
    """
    key_file = _beside(path, ".private")
    der, certificate_pem = _certificate(path)
    private_key_pem, key = _private_key(key_file)
    context = SSL.Context(SSL.TLS_METHOD)
    try:
        context.use_certificate_chain_file(os.fsencode(path))
    except SSL.Error as failure:
        raise CertificateError(
            f"{path}: OpenSSL does not take this certificate{_reason(failure)}",
            "put another certificate and its key there; it has another URL",
        ) from None
    try:
        context.use_privatekey(key)  # type: ignore[arg-type]  # what kinds it takes is for OpenSSL to say
        context.check_privatekey()
    except (SSL.Error, TypeError) as failure:
        raise CertificateError(
            f"{key_file}: this private key does not belong to the certificate {path.name}{_reason(failure)}",
            f"put the {key_file.name} that was made with it back from a copy",
        ) from None
    key_hash = KeyHash.of_certificate(der)
    password = _password(_beside(path, ".hash"), key_hash)
    return Identity(path, der, certificate_pem, private_key_pem, key_hash, password)


def _create(path: Path, key_file: Path) -> None:
    if _is_there(key_file):
        _, key = _private_key(key_file)
        if not isinstance(key, Ed25519PrivateKey):
            raise CertificateError(
                f"{path}: the certificate is missing, but {key_file.name} is there",
                f"put the certificate back from a copy; to begin with a new URL, remove {key_file.name}",
            )
    else:
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write(key_file, pem)
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    _write(path, self_signed(key, now).public_bytes(serialization.Encoding.PEM))


def _certificate(path: Path) -> tuple[bytes, bytes]:
    """The first certificate of the file as DER and PEM: exactly the bytes that a TLS handshake shows."""
    data, _ = _read(path)
    try:
        certificate = crypto.load_certificate(crypto.FILETYPE_PEM, data)
        return (
            crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate),
            crypto.dump_certificate(crypto.FILETYPE_PEM, certificate),
        )
    except crypto.Error:
        raise CertificateError(
            f"{path}: this is no certificate in PEM form",
            "expected a file that begins with -----BEGIN CERTIFICATE-----; put it back from a copy",
        ) from None


def _private_key(path: Path) -> tuple[bytes, PrivateKeyTypes]:
    data, mode = _read(path)
    if os.name == "posix" and mode & _OTHERS_MAY_TOUCH:
        raise CertificateError(
            f"{path}: other users may read or write this private key (its mode is {mode:04o})", f"chmod 600 {path}"
        )
    try:
        # The check of an RSA key's primes takes a quarter of a second; that the key fits is checked by `load`.
        return data, serialization.load_pem_private_key(data, password=None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise CertificateError(
            f"{path}: this private key is encrypted",
            f"openssl pkey -in {path.name} -out plain.pem  writes it without a passphrase",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(
            f"{path}: this is no private key in PEM form",
            "expected a file that begins with -----BEGIN PRIVATE KEY-----; put it back from a copy",
        ) from None


def _password(path: Path, key_hash: KeyHash) -> str:
    if not _is_there(path):
        return ""
    data, _ = _read(path)
    try:
        label = Label.parse(data.decode("ascii").strip())
    except (UnicodeDecodeError, BadKeyHash):
        raise CertificateError(
            f"{path}: expected {key_hash}, alone or with a free text and a dash before it",
            f"remove {path.name}: it is written anew",
        ) from None
    except BadLabel:
        raise CertificateError(
            f"{path}: the text before the key hash has other signs than {FREE_TEXT_SIGNS}, "
            f"or more than {MAX_FREE_TEXT} of them",
            f"choose another text, or none: {key_hash}",
        ) from None
    if label.key_hash != key_hash:
        raise CertificateError(
            f"{path}: says {label.key_hash.short}…, but the certificate beside it has {key_hash.short}…",
            f"one of the two was exchanged: put the right certificate back, "
            f"or remove {path.name} to go on with this one",
        )
    return label.password


def _read(path: Path) -> tuple[bytes, int]:
    try:
        file = read_small(path, MAX_FILE)
    except FileNotFoundError:
        raise CertificateError(
            f"{path}: this file is missing",
            "put it back from a copy; to begin with a new URL, remove the files that belong to it as well",
        ) from None
    except OSError as failure:
        hint = hint_for(failure) or "put the file back from a copy"
        raise CertificateError(f"{path}: {_lower(failure)}", hint) from None
    return file.data, file.mode


def _write(path: Path, data: bytes) -> None:
    try:
        write_new(path, data, 0o600)
    except FileExistsError:
        raise CertificateError(
            f"{path}: it appeared while a new one was being made", "another hardlined may use the same directory"
        ) from None
    except OSError as failure:
        raise CertificateError(f"{path}: cannot be written: {_lower(failure)}", hint_for(failure)) from None


def _is_there(path: Path) -> bool:
    """Whether anything has this name: a link that leads nowhere counts, and so does what we may not look at."""
    return os.path.lexists(path)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _lower(failure: OSError) -> str:
    return (failure.strerror or str(failure)).lower()


def _reason(failure: Exception) -> str:
    """OpenSSL's own words, which come as (library, function, reason)."""
    reasons = failure.args[0] if failure.args and isinstance(failure.args[0], list) else []
    return f": {reasons[-1][-1]}" if reasons else ""
