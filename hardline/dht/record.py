"""The sealed, signed record of a service in the DHT, and where it lies, without I/O.

    days(now) ──▶ record_key(name, day) ──▶ one key of the DHT per day
    Record ──canonical JSON──▶ body ──sign──▶ {"body", "sig"} ──seal──▶ nonce ‖ box ──▶ the DHT
    the DHT ──▶ open_record: box, certificate, signature, clock ──▶ Record or PeerError

Whoever knows the key hash can find, read and check a record, and nobody else can do any of it; only who has the
private key can make one.  The original's value is the plain text of routes.format_wan_hosts, at the rolling code.
Source: docs/PROTOCOL.md, section 8.  The caller owns the clock and the nonce.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha1
from typing import Any, NewType, NoReturn

from cryptography.hazmat.primitives.asymmetric import ed25519
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from hardline.errors import PeerError
from hardline.identity import KEY_HASH_SIZE, SECONDS_PER_DAY, KeyHash, utc_day
from hardline.routes import MAX_VIA, Endpoint, Via, format_via, parse_via
from hardline.signatures import CannotSign, is_ed25519, sign, signing_key, verify

MAX_HOSTS, MAX_RELAYS = 4, 3
MAX_RECORD, MAX_RECORD_ED25519 = 4096, 1200
MAX_ENDPOINT_TEXT = 300
CLOCK_TOLERANCE = 3 * 3600.0  # seconds
NEIGHBOUR_WINDOW = 3600.0  # seconds from midnight UTC within which two days count
VERSION = 2

Key = NewType("Key", str)  # where a value lies in the DHT: an InfoHash, 40 hex digits

_INSTANCE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_SIGNED = b"hardline/2 record\0"


class Unpublishable(Exception):
    """A certificate or key that no record can be made with; the message says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a host says about itself.  `issued` is milliseconds since 1970; `instance` tells apart several hosts."""

    instance: str
    issued: int
    hosts: tuple[Endpoint, ...]
    relays: tuple[Endpoint, ...]
    certificate: bytes
    via: tuple[Via, ...] = ()


# ── where ────────────────────────────────────────────────────────────────────────────────────────────────────


def days(now: float) -> tuple[int, ...]:
    """The UTC days under which a service is published and looked up at `now`, seconds since 1970: today's first."""
    today, into = utc_day(now), now % SECONDS_PER_DAY
    if into < NEIGHBOUR_WINDOW and today > 0:
        return today, today - 1
    if into >= SECONDS_PER_DAY - NEIGHBOUR_WINDOW:
        return today, today + 1
    return (today,)


def until_days_change(now: float) -> float:
    """Seconds until `days` says something else."""
    into = now % SECONDS_PER_DAY
    marks = (NEIGHBOUR_WINDOW, SECONDS_PER_DAY - NEIGHBOUR_WINDOW, SECONDS_PER_DAY)
    return next(mark - into for mark in marks if mark > into)


def record_key(name: KeyHash, day: int) -> Key:
    """Where the record of a day lies."""
    code = blake2b(name.digest + b"hardline/2" + day.to_bytes(8, "little"), digest_size=32).digest()
    return info_hash(code[:KEY_HASH_SIZE].hex())


def plain_key(name: KeyHash, day: int) -> Key:
    """Where the original's value of a day lies."""
    return info_hash(name.rolling(day))


def info_hash(text: str) -> Key:
    """The key that OpenDHT makes of a text."""
    return Key(sha1(text.encode("ascii"), usedforsecurity=False).hexdigest())


# ── making ───────────────────────────────────────────────────────────────────────────────────────────────────


def seal(record: Record, private_key_pem: bytes, nonce: bytes) -> bytes:
    """Sign and seal; `nonce` is 24 random bytes, never used twice.

    What is too much is left out, from the end: of the relays, then of `via`, then of the hosts.

    Raises Unpublishable for a kind of key that has no signature here, and for a certificate that is too big.
    """
    try:
        key = signing_key(private_key_pem)
    except CannotSign as failure:
        raise Unpublishable(str(failure)) from None
    limit = MAX_RECORD_ED25519 if isinstance(key, ed25519.Ed25519PrivateKey) else MAX_RECORD
    hosts, relays, via = (
        list(record.hosts[:MAX_HOSTS]),
        list(record.relays[:MAX_RELAYS]),
        list(record.via[:MAX_VIA]),
    )
    while True:
        body = _body(record, hosts, relays, via)
        text = _canonical({"body": body, "sig": _base64(sign(key, _SIGNED + _canonical(body)))})
        sealed = bytes(_box(KeyHash.of_certificate(record.certificate)).encrypt(text, nonce))
        if len(sealed) <= limit:
            return sealed
        if len(hosts) + len(relays) + len(via) <= 1:
            raise Unpublishable(f"the certificate makes a record of {len(sealed)} bytes, at most {limit} are possible")
        last: list[Any] = relays or via or hosts
        last.pop()


def _body(record: Record, hosts: Sequence[Endpoint], relays: Sequence[Endpoint], via: Sequence[Via]) -> dict[str, Any]:
    return {
        "v": VERSION,
        "instance": record.instance,
        "issued": record.issued,
        "hosts": [str(endpoint) for endpoint in hosts],
        "relays": [str(endpoint) for endpoint in relays],
        "cert": _base64(record.certificate),
    } | ({"via": format_via(via)} if via else {})


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────


def open_record(value: bytes, name: KeyHash, now: float) -> Record:
    """Open and check a value that somebody put where the record of `name` lies; `now` is seconds since 1970.

    Everything that costs more than a hash is done only for a certificate that hashes to `name`.

    Raises PeerError for everything that `name` did not write, or wrote more than CLOCK_TOLERANCE from `now`.
    """
    if len(value) > MAX_RECORD:
        raise PeerError(f"a record of {len(value)} bytes, at most {MAX_RECORD}")
    try:
        text = _box(name).decrypt(value)
    except (CryptoError, ValueError, TypeError):
        raise PeerError("a value that the key hash does not open") from None
    fields = _parse(text)
    body, sig = fields.get("body"), fields.get("sig")
    if not isinstance(body, dict) or not isinstance(sig, str) or len(fields) != 2:
        raise PeerError("a record without body and sig, or with more")
    record = _record(body)
    if KeyHash.of_certificate(record.certificate) != name:
        raise PeerError("a record with another certificate")
    if len(value) > MAX_RECORD_ED25519 and is_ed25519(record.certificate):
        raise PeerError(f"a record of {len(value)} bytes, at most {MAX_RECORD_ED25519} for Ed25519")
    verify(record.certificate, _from_base64(sig), _SIGNED + _canonical(body))
    if abs(record.issued / 1000 - now) > CLOCK_TOLERANCE:
        raise PeerError("a record from another time")
    return record


def _parse(text: bytes) -> dict[str, Any]:
    """Canonical JSON only: the signature is over the bytes that a reader would write."""
    try:
        fields = json.loads(text.decode("ascii"), parse_float=_refuse, parse_constant=_refuse)
        canonical = _canonical(fields)
    except (ValueError, RecursionError):
        raise PeerError("a record that is not JSON") from None
    if not isinstance(fields, dict) or canonical != text:
        raise PeerError("a record that is not canonical JSON")
    return fields


def _refuse(text: str) -> NoReturn:
    raise PeerError(f"a record with the number {text[:20]}")


def _record(body: dict[str, Any]) -> Record:
    version, issued, instance = body.get("v"), body.get("issued"), body.get("instance")
    if type(version) is not int or version != VERSION:
        raise PeerError(f"a record whose v is not {VERSION}")
    if type(issued) is not int or not 0 <= issued < 1 << 53:
        raise PeerError("a record without the time when it was issued")
    if not isinstance(instance, str) or not _INSTANCE.match(instance):
        raise PeerError("a record without an instance")
    certificate = body.get("cert")
    if not isinstance(certificate, str):
        raise PeerError("a record without a certificate")
    return Record(
        instance,
        issued,
        _endpoints(body.get("hosts"), MAX_HOSTS),
        _endpoints(body.get("relays"), MAX_RELAYS),
        _from_base64(certificate),
        parse_via(body.get("via")),
    )


def _endpoints(entries: object, limit: int) -> tuple[Endpoint, ...]:
    """As in a WANHosts, an entry that is no endpoint is left out and hides no other."""
    if not isinstance(entries, list) or len(entries) > limit:
        raise PeerError(f"a record without a list of at most {limit} endpoints")
    found = []
    for entry in entries:
        if not isinstance(entry, str) or len(entry) > MAX_ENDPOINT_TEXT:
            raise PeerError("a record with an endpoint that is no text")
        try:
            found.append(Endpoint.parse(entry))
        except PeerError:
            continue
    return tuple(dict.fromkeys(found))


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────────────────


def _box(name: KeyHash) -> SecretBox:
    return SecretBox(blake2b(name.digest, digest_size=32, person=b"hardline2-dht").digest())


def _canonical(fields: object) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        raise PeerError("a record with something that is not base64") from None
    if _base64(data) != text:
        raise PeerError("a record with base64 that can be written in two ways")
    return data
