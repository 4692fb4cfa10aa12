"""A cached site through two daemons: what is no plain answer, too."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.node import Node
from tests.support.origin import digest_of_bytes
from tests.support.programs import RunningOrigin, curl, running_origin
from tests.support.waiting import wait_until


@pytest.fixture
def origin() -> Iterator[RunningOrigin]:
    with running_origin() as running:
        yield running


@pytest.fixture
def nodes(tmp_path: Path, origin: RunningOrigin) -> Iterator[tuple[Node, Node]]:
    with Node(tmp_path / "host") as host, Node(tmp_path / "visitor") as visitor:
        cache = "[Cache]\ndirectory = site\nmaxAge = 1h\n"
        host.write("site", f"[Service]\nservice = 127.0.0.1\nport = {origin.port}\n{cache}")
        yield host, visitor


def connected(visitor: Node, label: str, target: str, *fields: str) -> socket.socket:
    """A connection through the visitor's door on which a GET was sent."""
    sock = socket.create_connection(("127.0.0.1", visitor.localport), timeout=100)
    head = [f"GET {target} HTTP/1.1", f"Host: {label}.localhost:{visitor.localport}", *fields, "", ""]
    sock.sendall("\r\n".join(head).encode())
    return sock


def received(sock: socket.socket, until: bytes) -> bytes:
    data = b""
    while until not in data:
        piece = sock.recv(65_536)
        assert piece, f"ended after {data!r}"
        data += piece
    return data


def open_connections(port: int) -> int:
    """Connections to a port of this computer that are established."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2] == f"0100007F:{port:04X}" and line.split()[3] == "01" for line in lines)


@needs.linux()
def test_a_websocket_goes_through_and_ends_when_its_visitor_is_gone(
    nodes: tuple[Node, Node], origin: RunningOrigin
) -> None:
    host, visitor = nodes
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}")
    with connected(visitor, host.label("site"), "/ws", *upgrade) as sock:
        assert received(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        for word in (b"one", b"two"):
            sock.sendall(b"\x81\x83\0\0\0\0" + word)  # a masked text frame
            assert received(sock, word) == b"\x81\x03" + word
        assert open_connections(origin.port) >= 1
    wait_until(lambda: not open_connections(origin.port) or None, "the origin's connection has ended")


def test_the_first_event_of_a_stream_comes_before_the_second_one_is_made(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    label = host.label("site")
    with connected(visitor, label, "/events", "Accept: text/event-stream") as sock:
        received(sock, b"data: 0\n\n")
        curl(visitor.url_of(label, "event"), "-H", "Cache-Control: no-store")
        received(sock, b"data: 1\n\n")


def test_an_upload_is_carried_whole(nodes: tuple[Node, Node], tmp_path: Path) -> None:
    host, visitor = nodes
    body = tmp_path / "body"
    body.write_bytes(os.urandom(30_000_000))
    for how in (("-H", "Expect: 100-continue"), ("-H", "Transfer-Encoding: chunked")):
        told = curl(visitor.url_of(host.label("site"), "sum"), "--data-binary", f"@{body}", *how)
        assert told.json["length"] == 30_000_000


def test_what_is_cached_comes_without_the_origin(nodes: tuple[Node, Node], origin: RunningOrigin) -> None:
    host, visitor = nodes
    url = visitor.url_of(host.label("site"), "bytes/5000000")
    first = curl(url)
    assert hashlib.sha256(first.body).hexdigest() == digest_of_bytes(5_000_000)
    origin.kill()
    for part, expected in (("0-4999999", first.body), ("100-199", first.body[100:200])):
        assert curl(url, "-r", part).body == expected
    assert curl(url, "-o", "/dev/null", "-D", "-").body.count(b"hardline; hit") == 1
    assert curl(visitor.url_of(host.label("site"), "echo")).status == 502
