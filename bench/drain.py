"""Downloads that run beside a measurement, in a process of their own.

`python drain.py ADDRESS PORT HOST COUNT SIZE` keeps COUNT downloads of /bulk (SIZE bytes) flowing.  It says "flowing"
when each has had its first megabyte, and prints the bytes that came since then when its stdin ends.
"""

from __future__ import annotations

import selectors
import socket
import sys

from load import Door

_CHUNK = 1 << 20


def drain(door: Door, count: int, size: int) -> int:
    """Run until stdin ends; the bytes received after all were flowing."""
    buffer = memoryview(bytearray(_CHUNK))
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    received: dict[socket.socket, int] = {}

    def begin() -> None:
        connection = door.connect()
        connection.sendall(door.get("/bulk"))
        received[connection] = 0
        selector.register(connection, selectors.EVENT_READ)

    for _ in range(count):
        begin()
    total, starting = 0, set(received)
    while True:
        for key, _ in selector.select():
            connection = key.fileobj
            if not isinstance(connection, socket.socket):
                return total
            got = connection.recv_into(buffer, _CHUNK, socket.MSG_TRUNC)
            if not got:
                raise SystemExit(f"a background download ended after {received[connection]} of {size} bytes")
            received[connection] += got
            if not starting:
                total += got
            elif received[connection] >= _CHUNK:
                starting.discard(connection)
                if not starting:
                    print("flowing", flush=True)
            if received[connection] >= size:
                selector.unregister(connection)
                connection.close()
                del received[connection]
                begin()


if __name__ == "__main__":
    address, port, host, count, size = sys.argv[1:]
    print(drain(Door(int(port), host, address), int(count), int(size)), flush=True)
