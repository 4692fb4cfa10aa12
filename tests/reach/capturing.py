"""Keep every packet that passes a machine's eth0, until killed: each with its length before it, four bytes.

python tests/reach/capturing.py FILE        prints a line when it listens
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

_ETH_P_ALL = 3
_SO_RCVBUFFORCE = 33
_ROOM = 64 << 20


def _main(file: Path) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as link, file.open("wb") as kept:
        link.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        link.bind(("eth0", _ETH_P_ALL))
        print("listening", flush=True)
        while True:
            packet = link.recv(1 << 17)
            kept.write(len(packet).to_bytes(4, "big") + packet)
            kept.flush()


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
