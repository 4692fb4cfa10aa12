"""Announces COUNT services that nobody has, as fast as it can, from ADDRESS.  A program, for a machine of its own."""

from __future__ import annotations

import secrets
import socket
import struct
import sys

SERVICE_TYPE = b"\x09_hardline\x04_tcp\x05local\x00"


def label(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def record(name: bytes, kind: int, data: bytes) -> bytes:
    return name + struct.pack(">HHIH", kind, 1, 2**31 - 1, len(data)) + data


def announcement(number: int, address: str) -> bytes:
    name = label(b"junk %d" % number) + SERVICE_TYPE
    server = label(b"junk-%d" % number) + label(b"local") + b"\x00"
    text = label(b"kh=" + secrets.token_hex(20).encode()) + label(b"v=2") + label(b"x" * 200) * 4
    records = [
        record(SERVICE_TYPE, 12, name),
        record(name, 33, struct.pack(">HHH", 0, 0, 7008) + server),
        record(name, 16, text),
        record(server, 1, socket.inet_aton(address)),
    ]
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def main(address: str, count: int) -> None:
    mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    mouth.bind((address, 5353))
    for number in range(count):
        mouth.sendto(announcement(number, address), ("224.0.0.251", 5353))


main(sys.argv[1], int(sys.argv[2]))
