"""Who a service is: key hashes, labels and rolling codes, without I/O.

    certificate (DER) ──BLAKE2b-256, first 20 bytes──▶ KeyHash ──┬─▶ Label    freetext-KEYHASH
                                                                 └─▶ rolling code of a day

The name is the proof: whoever shows a certificate that hashes to it is the service.
Source: docs/PROTOCOL.md, section 1.  This file is the only one that knows how the texts look.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType, Self

from hardline.errors import BadKeyHash, BadLabel, PeerError

KEY_HASH_SIZE = 20
SECONDS_PER_DAY = 86_400

# docs/PROTOCOL.md 1.2: 40 hex digits and a dash leave 22 characters of a DNS label of 63, and browsers resolve none
# that is longer; the original writes and reads one more.
MAX_FREE_TEXT = 23
MAX_OWN_FREE_TEXT = 22
FREE_TEXT_SIGNS = "letters (a-z), digits and _~!$&'()*+,;="

RollingCode = NewType("RollingCode", str)

_HEX = re.compile(r"[0-9a-fA-F]*\Z")
_FREE_TEXT = re.compile(rf"[a-z0-9_~!$&'()*+,;=]{{1,{MAX_FREE_TEXT}}}\Z")


@dataclass(frozen=True, slots=True, order=True)
class KeyHash:
    """The first 20 bytes of the BLAKE2b-256 of a DER certificate; printed as 40 lower-case hex digits."""

    digest: bytes

    def __post_init__(self) -> None:
        if len(self.digest) != KEY_HASH_SIZE:
            raise BadKeyHash(f"a key hash has {KEY_HASH_SIZE} bytes, not {len(self.digest)}")

    @classmethod
    def of_certificate(cls, der: bytes) -> Self:
        """The key hash of a certificate in DER form, whatever the certificate says."""
        return cls(_blake2b_256(der)[:KEY_HASH_SIZE])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read 40 hex digits of any case.  Raises BadKeyHash saying what is wrong."""
        if not _HEX.match(text):
            raise BadKeyHash(f"a key hash has hex digits only (0-9, a-f), not {text[:60]!r}")
        if len(text) != 2 * KEY_HASH_SIZE:
            raise BadKeyHash(f"a key hash has {2 * KEY_HASH_SIZE} hex digits, this has {len(text)}")
        return cls(bytes.fromhex(text))

    def rolling(self, day: int) -> RollingCode:
        """The name used for this key hash on a UTC day where the key hash itself must not be seen."""
        return RollingCode(_blake2b_256(self.digest + day.to_bytes(8, "little"))[:KEY_HASH_SIZE].hex())

    @property
    def psk(self) -> bytes:
        """The 32 bytes that only who knows the key hash has: the external PSK of hardline/2 (docs/PROTOCOL.md 2.2)."""
        return _blake2b(self.digest, 32, person=b"hardline/2 psk")

    @property
    def short(self) -> str:
        """The first 8 digits: for logs and pages, never for decisions."""
        return self.digest[:4].hex()

    def __str__(self) -> str:
        return self.digest.hex()


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """What stands before `.localhost` in a URL: a key hash, and the free text that some services want before it."""

    key_hash: KeyHash
    password: str = ""

    def __post_init__(self) -> None:
        if self.password and not _FREE_TEXT.match(self.password):
            raise BadLabel(
                f"the text before the key hash has 1 to {MAX_FREE_TEXT} letters and digits and no dash, "
                f"not {self.password[:60]!r}"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `KEYHASH`, `freetext-KEYHASH` or the original's `-KEYHASH`, in any case.

        Raises BadKeyHash or BadLabel saying what is wrong.
        """
        password, _, digits = text.rpartition("-")
        # Some letters beyond ASCII have an ASCII one as their lower case: the Kelvin sign is no k.
        return cls(KeyHash.parse(digits), password.lower() if password.isascii() else password)

    def __str__(self) -> str:
        return f"{self.password}-{self.key_hash}" if self.password else str(self.key_hash)

    def has_password(self, given: str) -> bool:
        """Compare in lower case, in a time that tells nothing about ours; with none wanted, any is right."""
        import hmac  # late, as nacl is below

        wanted = self.password
        return not wanted or hmac.compare_digest(_comparable(given), _comparable(wanted))


def instance_name(secret: str, key_hash: KeyHash) -> str:
    """How a host that has `secret` is told apart from others with the same certificate (docs/PROTOCOL.md 4.2).

    Another one for each service, so that nobody sees by it which services are on one host.
    """
    return _blake2b(key_hash.digest, 16, key=secret.encode()[:64]).hex()


def utc_day(now: float) -> int:
    """The number of the UTC day at `now`, in seconds since 1970 (docs/PROTOCOL.md 1.3)."""
    return int(now // SECONDS_PER_DAY)


def label_of(address: str) -> Label:
    """The label of `address`: itself, or what stands before `.localhost` in a URL or host name.

    Raises BadKeyHash or BadLabel saying what is wrong.
    """
    return Label.parse(_host(address).removesuffix(".localhost").rpartition(".")[2])


def word_of(address: str) -> str:
    """The word before `.localhost` in a URL or host name, in lower case; "" where `address` has none."""
    host = _host(address)
    return host.removesuffix(".localhost").rpartition(".")[2] if host.endswith(".localhost") else ""


def _host(address: str) -> str:
    """Of a URL, or what is a host name already; in lower case."""
    host = re.split(r"[/?#:]", address.strip().partition("://")[2] or address.strip(), maxsplit=1)[0]
    return host.lower().removesuffix(".")


def _blake2b_256(data: bytes) -> bytes:
    return _blake2b(data, 32)


def _blake2b(data: bytes, size: int, *, person: bytes = b"", key: bytes = b"") -> bytes:
    from nacl.encoding import RawEncoder  # a command that is given a label hashes nothing, and should not wait for it
    from nacl.hash import blake2b

    return blake2b(data, digest_size=size, key=key, person=person, encoder=RawEncoder)


class WrongCertificate(PeerError):
    """The certificate shown does not hash to the key hash that was asked for."""

    def __init__(self, expected: KeyHash, saw: KeyHash | None) -> None:
        shown = saw.short if saw else "none"
        super().__init__(f"certificate of {shown}, expected {expected.short}")
        self.expected, self.saw = expected, saw


class EarlierVersion(PeerError):
    """A visitor that knows the rolling name of `service` and not what is proven by its key hash."""

    def __init__(self, service: KeyHash) -> None:
        super().__init__(f"a visitor of {service.short} that runs an earlier hardline, or none")
        self.service = service


def _comparable(text: str) -> bytes:
    return text.lower().encode("utf-8", "surrogatepass")
