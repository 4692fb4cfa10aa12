"""A machine that answers every search with COUNT lies, each in the name of another address of its segment, and says
the same by multicast DNS.  Prints "listening", and "lied N" for each search.  A program for one machine; needs root.

    python crowd.py ADDRESS LABEL COUNT

The senders are forged: nobody is there.  Packets: docs/PROTOCOL.md, sections 6.2 and 6.5.
"""

from __future__ import annotations

import re
import socket
import struct
import sys

GROUP, PORT = "239.192.152.143", 6771
MDNS_GROUP, MDNS_PORT = "224.0.0.251", 5353
FIRST = 30  # the machines of the laboratory are below
SERVICE_TYPE = b"\x09_hardline\x04_tcp\x05local\x00"


def datagram(source: tuple[str, int], to: tuple[str, int], data: bytes) -> bytes:
    """With an IP header of our own; the kernel fills in its checksum, and UDP needs none."""
    udp = struct.pack(">HHHH", source[1], to[1], 8 + len(data), 0) + data
    addresses = socket.inet_aton(source[0]) + socket.inet_aton(to[0])
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 255, 17, 0) + addresses + udp


def label(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def record(name: bytes, kind: int, data: bytes) -> bytes:
    return name + struct.pack(">HHIH", kind, 1, 120, len(data)) + data


def announcement(number: int, address: str, text: str) -> bytes:
    name = label(b"lie %d" % number) + SERVICE_TYPE
    server = label(b"hardline-lie-%d" % number) + label(b"local") + b"\x00"
    records = [
        record(SERVICE_TYPE, 12, name),
        record(name, 33, struct.pack(">HHH", 0, 0, 7008) + server),
        record(name, 16, label(b"kh=" + text.encode()) + label(b"v=2")),
        record(server, 1, socket.inet_aton(address)),
    ]
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def main(own: str, text: str, count: int) -> None:
    sources = [f"{own.rpartition('.')[0]}.{FIRST + number}" for number in range(count)]
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ear.bind(("", PORT))
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(own))
    for number, source in enumerate(sources):
        lie = announcement(number, source, text)
        raw.sendto(datagram((source, MDNS_PORT), (MDNS_GROUP, MDNS_PORT), lie), (MDNS_GROUP, 0))
    print("listening", flush=True)
    lied = 0
    while True:
        packet, (searcher, port) = ear.recvfrom(4096)
        searched = re.search(rb"^Infohash: (\S*)\r$", packet, re.MULTILINE)
        if not packet.startswith(b"HARDLINE-SEARCH") or not searched:
            continue
        for source in sources:
            name = searched[1] or text.encode()
            answer = (
                b"HARDLINE-SERVICE * HTTP/1.1\r\n"
                b"Port: 7008\r\nInfohash: %s\r\ncookie: x\r\ntitle: \r\nv: 2\r\n\r\n\r\n" % name
            )
            raw.sendto(datagram((source, 6771), (searcher, port), answer), (searcher, 0))
        lied += 1
        print(f"lied {lied}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
