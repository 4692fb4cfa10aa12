"""Somebody who has everything that a relay holds, and wants to visit the services that are registered there.

    memory, data, log, status, packets ──▶ names_in ──▶ what may be key hashes ──┬─▶ opens: ClientHellos in the packets
                                                                                 ├─▶ values that lie in the DHT
                                                                                 └─▶ visits, by this program

    python -m tests.reach.curious  < {"names": […], "handles": […], "day": …, "at": ["host:port", …]}
                                   prints the names by which it visited something, JSON

Whoever knows the key hash needs nothing else, so each guess is tried wherever it could be of use.  That packets are
enough to try guesses on is TLS: a client shows in its first packet that it has the PSK, by an HMAC.
Source: docs/PROTOCOL.md, sections 1, 2.2 and 9; RFC 8446, sections 4.2.11.2 and 7.1.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import random
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hardline.errors import HardlineError
from hardline.identity import KeyHash
from hardline.routes import Endpoint
from hardline.transport import tcp
from hardline.transport.contexts import visitor_context
from hardline.transport.tls import TlsStream

AT_ONCE = 8
PAIRS = 200  # of a name and a handle that are also tried by a visit, which the packets have ruled out
_HEX = re.compile(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{40}(?![0-9a-fA-F])")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{27}=|[A-Za-z0-9+/]{120,}={0,2}")
# A bytes object of CPython: its length, a hash, its letters, a NUL.
_TWENTY = re.compile(rb"\x14\0{7}.{8}(.{20})\0", re.DOTALL)
_NOTHING = re.compile(rb"\0{4096,}")
_CERTIFICATE = re.compile(rb"\x30\x82(..)\x30\x82", re.DOTALL)
_SHORT_CERTIFICATE = re.compile(rb"\x30\x81(.)\x30", re.DOTALL)
_LIKELY = 15  # different bytes in 20 that chance draws: fewer are there once in 3 000 times
_CLIENT_HELLO, _PSK = 1, 41


# ── what a relay holds ───────────────────────────────────────────────────────────────────────────────────────


def memory_of(pid: int) -> Iterator[bytes]:
    """All that a process can write to, by mapping: in the others is what the files of its programs say."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, permissions, *_ = line.split()
            if permissions.startswith("rw") and "/dev/" not in line:
                start, end = (int(one, 16) for one in where.split("-"))
                with contextlib.suppress(OSError):
                    memory.seek(start)
                    yield _NOTHING.sub(bytes(64), memory.read(end - start))


def names_in(held: bytes) -> set[bytes]:
    """Every 20 bytes in it that may be a key hash: written as such, or of a certificate that is there."""
    found = {bytes.fromhex(one.decode()) for one in _HEX.findall(held)}
    found |= set(_TWENTY.findall(held))
    certificates = set(_certificates_in(held))
    for text in set(_BASE64.findall(held)):
        with contextlib.suppress(ValueError):
            data = base64.b64decode(text + b"=" * (-len(text) % 4))
            found |= {data} if len(data) == 20 else set()
            certificates |= set(_certificates_in(data))
    for one in certificates:
        found |= set(_hashes_of(one))
    return {one for one in found if len(set(one)) >= _LIKELY}


def has_anywhere(held: bytes, name: KeyHash) -> bool:
    """Whether any 20 bytes in it are the key hash, in whichever way it is written."""
    ways = (name.digest, name.digest[::-1], name.digest.hex().encode(), name.digest.hex().upper().encode())
    texts = [base64.b64encode(bytes(shift) + name.digest)[2 * shift : 24 + shift] for shift in range(3)]
    return any(one in held for one in (*ways, *texts, name.psk))


def _certificates_in(held: bytes) -> Iterator[bytes]:
    for pattern, head in ((_CERTIFICATE, 4), (_SHORT_CERTIFICATE, 3)):
        for match in pattern.finditer(held):
            one = held[match.start() : match.start() + head + int.from_bytes(match[1], "big")]
            with contextlib.suppress(Exception):  # whatever it is, it is none
                x509.load_der_x509_certificate(one)
                yield one


def _hashes_of(certificate: bytes) -> Iterator[bytes]:
    """What a key hash could be made of, and how."""
    public = x509.load_der_x509_certificate(certificate).public_key()
    whats = [certificate, public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)]
    with contextlib.suppress(ValueError):
        whats.append(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
    for what in whats:
        yield KeyHash.of_certificate(what).digest
        yield hashlib.blake2b(what, digest_size=20).digest()
        for how in ("sha1", "sha256", "sha512", "sha3_256", "blake2b", "blake2s"):
            yield hashlib.new(how, what, usedforsecurity=False).digest()[:20]


# ── what its packets tell ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Offered:
    """A visitor's first flight: the name that it says, and what shows that it has the PSK of `name`."""

    name: bytes
    transcript: bytes  # SHA-256 of it, up to the binder
    binder: bytes

    def opens(self, guess: KeyHash) -> bool:
        """Whether the visitor's key hash is this one."""
        early = hmac.digest(bytes(32), guess.psk, "sha256")
        binder_key = _expand(early, b"ext binder", hashlib.sha256(b"").digest())
        return hmac.digest(_expand(binder_key, b"finished", b""), self.transcript, "sha256") == self.binder


def offered_in(capture: Path) -> list[Offered]:
    """Of all connections that begin with a ClientHello, in either direction."""
    flows: dict[bytes, dict[int, bytes]] = {}
    starts: dict[bytes, int] = {}
    for packet in _packets(capture):
        if packet[12:14] != b"\x08\x00" or packet[23] != 6:
            continue
        segment = packet[14 + 4 * (packet[14] & 15) : 14 + int.from_bytes(packet[16:18], "big")]
        flow, number = packet[26:34] + segment[:4], int.from_bytes(segment[4:8], "big")
        if segment[13] & 2:  # SYN
            starts[flow] = number + 1
        if payload := segment[4 * (segment[12] >> 4) :]:
            flows.setdefault(flow, {})[number] = payload
    found = []
    for flow, pieces in flows.items():
        said, number = b"", starts.get(flow, min(pieces))
        while number in pieces and len(said) < 1 << 14:
            said += pieces[number]
            number = (number + len(pieces[number])) & 0xFFFFFFFF
        with contextlib.suppress(IndexError, ValueError):
            found.append(_read_hello(said))
    return found


def _packets(capture: Path) -> Iterator[bytes]:
    data, at = capture.read_bytes(), 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _read_hello(said: bytes) -> Offered:
    """Raises IndexError, ValueError for what is none with a PSK."""
    if said[:2] != b"\x16\x03" or said[5] != _CLIENT_HELLO:
        raise ValueError("no ClientHello")
    hello = said[5 : 9 + int.from_bytes(said[6:9], "big")]
    at = 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 1 + hello[at] + 2
    while True:
        kind, size = int.from_bytes(hello[at : at + 2], "big"), int.from_bytes(hello[at + 2 : at + 4], "big")
        body, at = hello[at + 4 : at + 4 + size], at + 4 + size
        if kind == _PSK:  # it is the last one
            identities = int.from_bytes(body[:2], "big")
            name = body[4 : 4 + int.from_bytes(body[2:4], "big")]
            binders = body[2 + identities :]
            before = hello[: len(hello) - len(binders)]
            return Offered(name, hashlib.sha256(before).digest(), binders[3 : 3 + binders[2]])
        if not size and at >= len(hello):
            raise ValueError("no PSK")


def _expand(secret: bytes, label: bytes, context: bytes) -> bytes:
    """HKDF-Expand-Label, 32 bytes."""
    label = b"tls13 " + label
    info = (32).to_bytes(2, "big") + bytes([len(label)]) + label + bytes([len(context)]) + context
    return hmac.digest(secret, info + b"\x01", "sha256")


# ── visits ───────────────────────────────────────────────────────────────────────────────────────────────────


async def visited_by(
    names: Iterable[KeyHash], handles: Iterable[str], day: int, at: Iterable[Endpoint]
) -> set[KeyHash]:
    """Those by which somebody was visited who proved to be it."""
    names, handles, at = list(names), list(handles), list(at)
    wanted = [
        (name, said, there)
        for name in names
        for said in (str(name), *(name.rolling(near) for near in (day - 1, day, day + 1)))
        for there in at
    ]
    by_handle = list(product(names, handles, at))
    wanted += random.Random(14).sample(by_handle, min(PAIRS, len(by_handle)))
    context, found = visitor_context(), set[KeyHash]()

    async def work() -> None:
        while wanted:
            name, said, there = wanted.pop()
            with contextlib.suppress(HardlineError, OSError, TimeoutError):
                async with asyncio.timeout(10):
                    stream = await TlsStream.over(await tcp.connect_any([there]), context, said, target=name)
                if name in (stream.key_hash, stream.peer_key_hash):  # the second: hardline/1, by its plain name
                    found.add(name)
                stream.abort()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return found


def _main() -> None:
    told = json.load(sys.stdin)
    at = [Endpoint.parse(one) for one in told["at"]]
    names = [KeyHash.parse(name) for name in told["names"]]
    print(json.dumps([str(name) for name in asyncio.run(visited_by(names, told["handles"], told["day"], at))]))


if __name__ == "__main__":
    _main()
