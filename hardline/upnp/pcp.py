"""The packets of PCP, without I/O: asking whether it is spoken, and MAP, for IPv4 and for IPv6 pinholes.

    us ── 2, ANNOUNCE ─────────────────────────────────────────────────▶ router:5351
       ── 2, MAP, lifetime, our address, nonce, TCP, inside, wished ───▶
       ◀── 2, 128 + MAP, result, lifetime, epoch, nonce, TCP, inside, port, address ──

A mapping belongs to whoever knows its nonce: the same one renews and ends it, after a crash too.
Source: RFC 6887, sections 7, 11 and 14.1.  Callers own the socket and the clock.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from hardline.addresses import unmapped
from hardline.errors import PeerError

VERSION = 2
NONCE_LENGTH = 12
MAX_PACKET = 1100  # RFC 6887, section 7
ANNOUNCE, _MAP, _ANSWER = 0, 1, 128
_TCP = 6
RESULTS = {
    1: "it speaks another version",
    2: "it does not allow mappings",
    3: "it could not read the request",
    4: "it does not know what was asked",
    5: "it does not know an option",
    6: "an option was wrong",
    7: "it has no address from its provider",
    8: "it has no room for another mapping",
    9: "it does not do TCP",
    10: "this computer has too many mappings",
    11: "it cannot give that port",
    12: "there is another NAT between this computer and it",
    13: "too many peers",
}
WRONG_VERSION = 1
NO_ADDRESS = (7,)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Answer:
    """Any answer; `code` is what it answers, `lifetime` of a refusal is how long that will hold."""

    code: int
    result: int
    lifetime: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Mapped(Answer):
    """The answer to ask_mapping."""

    nonce: bytes
    inside: int
    port: int
    external: str


def ask_announce(own: Address) -> bytes:
    """Ask only for an answer: whoever sends one speaks PCP."""
    return _head(ANNOUNCE, 0, own)


def ask_mapping(own: Address, nonce: bytes, inside: int, wished: int, lifetime: int, external: str = "") -> bytes:
    """Ask for a TCP port; `lifetime` is in seconds, 0 ends the mapping; `external` is the address it had."""
    unspecified: Address = ipaddress.IPv4Address(0) if own.version == 4 else ipaddress.IPv6Address(0)
    suggested = ipaddress.ip_address(external) if external else unspecified
    payload = struct.pack("!12sB3xHH16s", nonce, _TCP, inside, wished, _wide(suggested))
    return _head(_MAP, lifetime, own) + payload


def parse(packet: bytes) -> Answer:
    """Read an answer.  Raises PeerError for anything else."""
    if not 24 <= len(packet) <= MAX_PACKET:
        raise PeerError(f"expected a PCP answer, got {len(packet)} bytes")
    version, code, result, lifetime, epoch = struct.unpack_from("!BBxBII", packet)
    if version != VERSION or code < _ANSWER:
        raise PeerError(f"expected a PCP answer, got version {version}, code {code}")
    if code != _ANSWER + _MAP:
        return Answer(code - _ANSWER, result, lifetime, epoch)
    if len(packet) < 60:
        raise PeerError("a PCP answer without its mapping")
    nonce, protocol, inside, port, external = struct.unpack_from("!12sB3xHH16s", packet, 24)
    if protocol != _TCP:
        raise PeerError(f"a PCP answer for protocol {protocol}")
    address = ipaddress.IPv6Address(external)
    return Mapped(_MAP, result, lifetime, epoch, nonce, inside, port, str(unmapped(address)))


def _head(code: int, lifetime: int, own: Address) -> bytes:
    return struct.pack("!BBxxI16s", VERSION, code, lifetime, _wide(own))


def _wide(address: Address) -> bytes:
    return address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed
