"""Services and clients that speak no HTTP."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

LIMIT = 60.0  # seconds after which a socket that says nothing has failed


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP service on a free port; `answer` has each connection in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=200)

    def one(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(LIMIT)
            answer(client)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def everything(one: socket.socket) -> bytes:
    """Until the other end says that it was all; a cut raises."""
    said = bytearray()
    while data := one.recv(65_536):
        said += data
    return bytes(said)


def exactly(one: socket.socket, count: int) -> bytes:
    said = bytearray()
    while len(said) < count and (data := one.recv(count - len(said))):
        said += data
    return bytes(said)


def greets_then_echoes_after_the_end(client: socket.socket) -> None:
    client.sendall(b"hello\n")
    client.sendall(everything(client)[::-1])


def never_stops(client: socket.socket) -> None:
    while True:
        client.sendall(b"x" * 65_536)
