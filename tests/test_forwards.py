"""Programs that speak no HTTP, through two whole daemons: bytes as they come, each direction with its own end."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.node import Node, free_port
from tests.support.rawtcp import LIMIT, everything, exactly, greets_then_echoes_after_the_end, never_stops, serving
from tests.support.waiting import wait_until

MB = 1 << 20


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=LIMIT)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Node]:
    """It shares a service that speaks first, and one that never stops."""
    node = Node(tmp_path / "host")
    with serving(greets_then_echoes_after_the_end) as echo, serving(never_stops) as endless:
        node.share("echo", echo)
        node.share("endless", endless)
        with node:
            yield node


@contextlib.contextmanager
def forwarding(tmp_path: Path, label: str, more: str = "") -> Iterator[tuple[Node, int]]:
    """A visitor with a port that leads to `label`."""
    port = free_port()
    settings = f"[Forward:it]\nlabel = {label}\nlisten = 127.0.0.1:{port}\n{more}"
    with Node(tmp_path / "visitor", settings=settings) as node:
        yield node, port


def cut(one: socket.socket) -> bool:
    """It is reset, whatever came before."""
    try:
        everything(one)
    except ConnectionResetError:
        return True
    return False


def test_a_port_leads_to_a_service_that_speaks_first_and_answers_after_the_end(tmp_path: Path, host: Node) -> None:
    with forwarding(tmp_path, host.url("echo")) as (visitor, port):
        with connected(port) as one:
            assert exactly(one, 6) == b"hello\n"  # before the client has said anything
            assert [row["open"] for row in visitor.status()["forwards"]] == [1]
            one.sendall(b"abc")
            one.shutdown(socket.SHUT_WR)
            assert everything(one) == b"cba"
        visit = visitor.last_visit(host.label("echo"))
        assert (visit["via"], visit["protocol"], visit["status"]) == ("LAN", "hardline/2", "ok")
        rows = wait_until(lambda: [row for row in visitor.status()["forwards"] if not row["open"]], "it is closed")
        label = host.label("echo")
        assert rows == [{"name": "it", "listen": f"127.0.0.1:{port}", "label": label, "open": 0, "problem": None}]
        assert f"it  127.0.0.1:{port} → {label}  0 open" in visitor.hardline("status").stdout


def test_two_hundred_clients_at_once_get_their_own_bytes_back(tmp_path: Path, host: Node) -> None:
    together = threading.Barrier(200)

    def talk(number: int) -> bool:
        said = f"{number:04}|".encode() * 10_000
        with connected(port) as one:
            assert exactly(one, 6) == b"hello\n"
            together.wait(LIMIT)
            one.sendall(said)
            one.shutdown(socket.SHUT_WR)
            return everything(one) == said[::-1]

    with forwarding(tmp_path, host.label("echo")) as (_, port), ThreadPoolExecutor(200) as pool:
        assert all(pool.map(talk, range(200)))


def test_a_host_that_is_killed_in_a_transfer_is_a_cut_and_who_comes_later_is_reset(tmp_path: Path, host: Node) -> None:
    with forwarding(tmp_path, host.label("endless")) as (visitor, port):
        with connected(port) as one:
            assert exactly(one, MB) == b"x" * MB
            host.kill()
            assert cut(one)
        with connected(port) as late:
            assert cut(late)
        assert visitor.status()["forwards"][0]["problem"]


BROWSER = "User-Agent: Mozilla/5.0"


def asked(*fields: str, body: str = "") -> bytes:
    return "".join(f"{line}\r\n" for line in ("POST / HTTP/1.1", *fields, "")).encode() + body.encode()


def test_a_page_of_another_site_gets_no_byte_through(tmp_path: Path) -> None:
    heard: list[bytes] = []

    def listens(client: socket.socket) -> None:
        client.sendall(b"hello\n")
        heard.append(client.recv(65_536))
        client.sendall(b"heard\n")

    def answered(port: int, request: bytes) -> bytes:
        with connected(port) as one:
            assert exactly(one, 6) == b"hello\n"
            for piece in (request[:30], request[30:]):
                one.sendall(piece)
            with contextlib.suppress(ConnectionResetError):
                return exactly(one, 6)
        return b""

    host = Node(tmp_path / "host")
    with serving(listens) as port:
        host.share("lines", port)
        kinds = ("Sec-Fetch-Site: cross-site", "Origin: null", BROWSER)
        pages = [asked("Host: evil.example", field, body="QUIT\r\n") for field in kinds]
        with host, forwarding(tmp_path, host.label("lines")) as (visitor, at):
            for page in pages:
                assert answered(at, page) == b""
            assert "another site" in visitor.status()["forwards"][0]["problem"]
            program = asked("Host: evil.example", "User-Agent: curl/8", body="QUIT\r\n")
            typed = asked(f"Host: 127.0.0.1:{at}", "Sec-Fetch-Site: none", BROWSER)
            for fine in (program, typed, b"GET key\r\n", b"QUIT\r\n"):
                assert answered(at, fine) == b"heard\n"
            assert heard.pop() == b"QUIT\r\n"
        assert not set(pages) & set(heard)
        with host, forwarding(tmp_path, host.label("lines"), "pages = yes\n") as (_, at):
            assert answered(at, pages[0]) == b"heard\n"


def test_more_than_max_connections_are_reset_and_the_others_go_on(tmp_path: Path, host: Node) -> None:
    with forwarding(tmp_path, host.label("echo"), "max_connections = 1\n") as (visitor, port), connected(port) as one:
        assert exactly(one, 6) == b"hello\n"
        with connected(port) as other:
            assert cut(other)
        assert "max_connections" in visitor.status()["forwards"][0]["problem"]
        one.shutdown(socket.SHUT_WR)
        assert everything(one) == b""


def test_a_port_that_is_taken_is_a_problem_of_its_forward_alone(tmp_path: Path, host: Node) -> None:
    with serving(never_stops) as taken:
        settings = f"[Forward:it]\nlabel = {host.label('echo')}\nlisten = 127.0.0.1:{taken}\n"
        with Node(tmp_path / "visitor", settings=settings) as visitor:
            [row] = visitor.status()["forwards"]
            assert "taken by another program" in row["problem"]
