"""Writes down what a machine sends through an interface: a line of JSON for each UDP packet.  A program; needs root.

    python tap.py INTERFACE            {"from": "10.77.1.10", "to": "224.0.0.251", "port": 5353, "data": "…"}

`data` is the packet's payload as Latin-1.  Prints "listening" first.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import sys

_OUTGOING, _EVERY_PROTOCOL = 4, 3
_UDP = 17


def read(frame: bytes) -> dict[str, object] | None:
    """The UDP packet in an Ethernet frame."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == _UDP:
        start = 14 + (frame[14] & 15) * 4
        source, to = frame[26:30], frame[30:34]
    elif kind == b"\x86\xdd" and frame[20] == _UDP:
        start, source, to = 54, frame[22:38], frame[38:54]
    else:
        return None
    (port,) = struct.unpack(">H", frame[start + 2 : start + 4])
    return {
        "from": str(ipaddress.ip_address(source)),
        "to": str(ipaddress.ip_address(to)),
        "port": port,
        "data": frame[start + 8 :].decode("latin-1"),
    }


def main(interface: str) -> None:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
    tap.bind((interface, _EVERY_PROTOCOL))
    print("listening", flush=True)
    while True:
        try:
            frame, (_, _, direction, *_) = tap.recvfrom(65_536)
        except OSError:  # the interface is down, for a while
            continue
        if direction == _OUTGOING and (packet := read(frame)):
            print(json.dumps(packet), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
