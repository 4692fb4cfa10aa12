"""A service that answers before it has read a body, and closes: the answer arrives as surely as without the tunnel."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.node import Node
from tests.support.size import FULL

BODY = 50_000_000
TRIES = 80 if FULL else 20
ANSWER = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"
PART = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\nhalf of it"
SAYS = {"/early": ANSWER, "/part": PART, "/endless": ENDLESS}


class Hasty:
    """Reads a head, says something, and closes with all the rest unread: the kernel resets the connection."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            client = self._listening.accept()[0]
            with client, contextlib.suppress(OSError):
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = client.recv(1000)
                    if not piece:
                        break
                    head += piece
                if head.startswith(b"STOP"):
                    return
                if head.endswith(b"\r\n\r\n"):
                    client.recv(1, socket.MSG_PEEK)  # what is unread when it closes is there
                client.sendall(SAYS.get(head.split(b" ")[1].decode(), b"") if head else b"")

    def stop(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as client:
            client.sendall(b"STOP\r\n\r\n")
        self._thread.join()
        self._listening.close()


@dataclass
class Way:
    """How to ask: what is said before the request, and its target's beginning."""

    port: int
    host: str
    before: bytes = b""
    whole_url: bool = False

    def ask(self, path: str) -> tuple[bytes, str]:
        """What came, and how it ended: "ended", "cut", or "lost" when a write failed before anything was read.

        Reads before it writes, as curl does, and gives up when a write fails, as simpler clients do.
        """
        target = f"http://{self.host}{path}" if self.whole_url else path
        head = f"POST {target} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {BODY}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            if self.before:
                client.sendall(self.before)
                while b"\r\n\r\n" not in client.recv(1000):
                    pass
            client.sendall(head.encode())
            left, piece = BODY, bytes(65_536)
            try:
                while left > 0 and not select.select([client], [], [], 0)[0]:
                    left -= client.send(piece[:left])
            except OSError:
                return b"", "lost"
            heard = b""
            try:
                while data := client.recv(65_536):
                    heard += data
            except OSError:
                return heard, "cut"
            return heard, "ended"


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Way]]:
    directory: Path = tmp_path_factory.mktemp("hasty")
    service = Hasty()
    host = Node(directory / "host")
    host.share("hasty", service.port)
    try:
        with host, Node(directory / "visitor") as visitor:
            name, door = f"{host.label('hasty')}.localhost", visitor.localport
            yield {
                "direct": Way(service.port, "x"),
                "door": Way(door, name),
                "proxy": Way(door, name, whole_url=True),
                "tunnel": Way(door, name, before=f"CONNECT {name}:80 HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()),
            }
    finally:
        service.stop()


@pytest.mark.full
def test_an_early_answer_is_lost_no_more_often_than_without_the_tunnel(ways: dict[str, Way]) -> None:
    lost = dict.fromkeys(ways, 0)
    for _ in range(TRIES):
        for name, way in ways.items():
            lost[name] += not way.ask("/early")[0].endswith(b"\r\n\r\ntoo large")
    print(f"lost of {TRIES}: {lost}")
    for name in ways:
        assert lost[name] <= lost["direct"] + TRIES // 20, lost


@pytest.mark.parametrize("path", ["/part", "/endless"])
@pytest.mark.parametrize("name", ["door", "proxy", "tunnel"])
def test_what_is_not_whole_arrives_and_ends_with_a_cut(ways: dict[str, Way], name: str, path: str) -> None:
    for _ in range(10 if FULL else 3):
        heard, end = ways[name].ask(path)
        assert heard.endswith(b"\r\n\r\nhalf of it")
        assert end == "cut"


def test_an_answer_that_is_whole_ends_in_order(ways: dict[str, Way]) -> None:
    heard, end = ways["door"].ask("/early")
    assert heard == ANSWER
    assert end == "ended"
