"""Writes down every byte that passes an interface, frame after frame.  A program; needs root.

python sniffer.py INTERFACE FILE            prints "listening" first
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

_EVERY_PROTOCOL = 3


def main(interface: str, file: str) -> None:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)
    tap.bind((interface, _EVERY_PROTOCOL))
    with Path(file).open("wb", buffering=0) as kept:
        print("listening", flush=True)
        while True:
            kept.write(tap.recv(1 << 17))


if __name__ == "__main__":
    main(*sys.argv[1:])
