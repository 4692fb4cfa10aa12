"""The packets of NAT-PMP, without I/O.

    us ── 0, 0 ────────────────────────────────▶ router:5351        external address?
       ◀── 0, 128, result, epoch, address ──────
       ── 0, 2, 0, inside, wished, lifetime ───▶                    TCP port, please; lifetime 0: no more
       ◀── 0, 130, result, epoch, inside, port, lifetime ──

Source: RFC 6886, sections 3.2 to 3.5.  Callers own the socket and the clock.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from hardline.errors import PeerError

VERSION = 0
_ADDRESS, _MAP_TCP, _ANSWER = 0, 2, 128
RESULTS = {
    1: "it speaks another version",
    2: "it does not allow mappings",
    3: "it has no address from its provider",
    4: "it has no room for another mapping",
    5: "it does not know what was asked",
}

ASK_ADDRESS = bytes((VERSION, _ADDRESS))


@dataclass(frozen=True, slots=True)
class ExternalAddress:
    """The answer to ASK_ADDRESS, also sent unasked to 224.0.0.1:5350 when the address changed."""

    result: int
    epoch: int
    address: str


@dataclass(frozen=True, slots=True)
class Mapped:
    """The answer to ask_mapping."""

    result: int
    epoch: int
    inside: int
    port: int
    lifetime: int


def ask_mapping(inside: int, wished: int, lifetime: int) -> bytes:
    """Ask for a TCP port; `lifetime` is in seconds, 0 ends the mapping of `inside`."""
    return struct.pack("!BBHHHI", VERSION, _MAP_TCP, 0, inside, wished if lifetime else 0, lifetime)


def parse(packet: bytes) -> ExternalAddress | Mapped:
    """Read an answer.  Raises PeerError for anything else."""
    if len(packet) < 8:
        raise PeerError(f"expected a NAT-PMP answer, got {len(packet)} bytes")
    version, code, result, epoch = struct.unpack_from("!BBHI", packet)
    if version != VERSION:
        raise PeerError(f"expected NAT-PMP version 0, got {version}")
    # A refusal may end after its result: RFC 6886, section 3.5.
    if code == _ANSWER + _ADDRESS:
        if len(packet) < 12 and not result:
            raise PeerError("a NAT-PMP answer without its address")
        address = str(ipaddress.IPv4Address(packet[8:12])) if len(packet) >= 12 and not result else ""
        return ExternalAddress(result, epoch, address)
    if code == _ANSWER + _MAP_TCP:
        if len(packet) < 16 and not result:
            raise PeerError("a NAT-PMP answer without its mapping")
        inside, port, lifetime = struct.unpack_from("!HHI", packet, 8) if len(packet) >= 16 else (0, 0, 0)
        return Mapped(result, epoch, inside, port, lifetime)
    raise PeerError(f"a NAT-PMP answer to something else: {code}")
