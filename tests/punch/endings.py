"""A service that ends connections in every way, and who visits it by a door: to see how ends arrive at the other side.

    python tests/punch/endings.py serve                 prints its port, then a line for each end that it hears
    python tests/punch/endings.py ask URL HOW           prints what it heard, and how that ended: "end" or "reset"

The first line that is said decides: "sum" is answered by the length of all that came until the end, and by an end;
"reset" by a word and a reset; to "listen" nothing is said.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
from urllib.parse import urlsplit

_NOTHING_LEFT = struct.pack("ii", 1, 0)  # SO_LINGER: closed by a reset
_SIZE = 300_000


def _heard(connection: socket.socket) -> tuple[bytes, str]:
    """Everything, and how it ended."""
    data = bytearray()
    try:
        while piece := connection.recv(65_536):
            data += piece
    except ConnectionResetError:
        return bytes(data), "reset"
    return bytes(data), "end"


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOTHING_LEFT)
    connection.close()


def _serve(connection: socket.socket) -> None:
    line = b""
    with contextlib.suppress(OSError):
        while not line.endswith(b"\n"):
            line += connection.recv(1)
        if line == b"reset\n":
            connection.sendall(b"word")
            connection.recv(1)  # it has come
            _reset(connection)
            return
        data, how = _heard(connection)
        print(line.decode().strip(), len(data), how, flush=True)
        if line == b"sum\n":
            connection.sendall(str(len(data)).encode())
    connection.close()


def serve() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=_serve, args=(listener.accept()[0],), daemon=True).start()


def ask(url: str, how: str) -> None:
    there = urlsplit(url)
    connection = socket.create_connection(("127.0.0.1", there.port or 80), timeout=60)
    connection.sendall(f"CONNECT {there.hostname}:80 HTTP/1.1\r\nHost: {there.hostname}:80\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += connection.recv(1)
    assert b" 200 " in answer, answer
    connection.sendall(how.encode() + b"\n")
    if how == "sum":
        connection.sendall(bytes(_SIZE))
        connection.shutdown(socket.SHUT_WR)
    elif how == "reset":
        assert connection.recv(4, socket.MSG_WAITALL) == b"word"
        connection.sendall(b"x")
    else:
        connection.sendall(bytes(_SIZE))
        _reset(connection)
        return
    data, ended = _heard(connection)
    print(data.decode(), ended)


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else ask(*sys.argv[2:])
