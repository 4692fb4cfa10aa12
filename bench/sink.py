"""The origin of uploads: counts what is sent to it and answers when Content-Length bytes have come.

    POST /count   200, "BYTES -"          the kernel discards the bytes (MSG_TRUNC): nearly free
    POST /hash    200, "BYTES SHA256"     reads them all

Run as `python sink.py PORT`.
"""

from __future__ import annotations

import hashlib
import re
import socket
import sys
import threading

_CHUNK = 1 << 20


def serve(port: int) -> None:
    """Serve until killed."""
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_session, args=(connection,), daemon=True).start()


def _session(connection: socket.socket) -> None:
    buffer = memoryview(bytearray(_CHUNK))
    with connection:
        try:
            while _answer_one(connection, buffer):
                pass
        except OSError:
            return


def _answer_one(connection: socket.socket, buffer: memoryview) -> bool:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65_536)
        if not piece:
            return False
        head += piece
    head, _, body = head.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    size = int(found[1]) if found else 0
    hashed = hashlib.sha256(body) if head.startswith(b"POST /hash ") else None
    count = len(body)
    flags = 0 if hashed else socket.MSG_TRUNC
    while count < size:
        got = connection.recv_into(buffer, min(_CHUNK, size - count), flags)
        if not got:
            return False
        if hashed:
            hashed.update(buffer[:got])
        count += got
    text = f"{count} {hashed.hexdigest() if hashed else '-'}".encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
    return True


if __name__ == "__main__":
    serve(int(sys.argv[1]))
