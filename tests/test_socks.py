"""The SOCKS5 port of a whole daemon, used by programs that nobody here wrote."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.node import Node, free_port, refused
from tests.support.rawtcp import LIMIT, everything, exactly, greets_then_echoes_after_the_end, serving
from tests.support.waiting import wait_until

NOBODY = "0" * 40


def answers_as_a_web_server(client: socket.socket) -> None:
    said = b""
    while b"\r\n\r\n" not in said:
        said += client.recv(65_536)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")


@dataclass(frozen=True, slots=True)
class World:
    """A host that shares a web server, a service that speaks first, and one where nobody listens; and a visitor with a
    port for SOCKS, where `web` and `echo` are names."""

    host: Node
    visitor: Node
    port: int


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory, port = tmp_path_factory.mktemp("socks"), free_port()
    host = Node(directory / "host")
    with serving(answers_as_a_web_server) as web, serving(greets_then_echoes_after_the_end) as echo:
        host.share("web", web)
        host.share("echo", echo)
        host.share("nothing", free_port())
        with host:
            names = "".join(f"[Forward:{name}]\nlabel = {host.label(name)}\n" for name in ("web", "echo"))
            settings = f"[SOCKS]\nlisten = 127.0.0.1:{port}\n{names}"
            with Node(directory / "visitor", settings=settings) as visitor:
                yield World(host, visitor, port)


def curl(port: int, url: str, scheme: str = "socks5h") -> subprocess.CompletedProcess[str]:
    words = ["curl", "-sS", "--noproxy", "", "--proxy", f"{scheme}://127.0.0.1:{port}", url]
    return subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, check=False)


def connected(port: int, name: str) -> socket.socket:
    """A client that has asked for `name`, all at once."""
    client = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
    client.sendall(b"\x05\x01\x00\x05\x01\x00\x03" + bytes([len(name)]) + name.encode() + b"\x00\x16")
    return client


@needs.tools("curl")
def test_curl_visits_by_key_hash_and_by_name(world: World) -> None:
    for name in (world.host.label("web"), f"www.{world.host.label('web')}", "web", "WEB"):
        done = curl(world.port, f"http://{name}.localhost/")
        assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    visit = world.visitor.last_visit(world.host.label("web"))
    assert (visit["via"], visit["protocol"], visit["status"]) == ("LAN", "hardline/2", "ok")
    quiet = {"listen": f"127.0.0.1:{world.port}", "open": 0, "problem": None}
    wait_until(lambda: world.visitor.status()["socks"] == quiet, "all are closed")
    assert f"socks  127.0.0.1:{world.port}  0 open" in world.visitor.hardline("status").stdout


@needs.tools("curl")
@pytest.mark.parametrize(
    ("url", "scheme", "why"),
    [
        ("http://example.org/", "socks5h", "(2)"),
        ("http://127.0.0.1:22/", "socks5h", "(8)"),
        ("http://[::1]:22/", "socks5h", "(8)"),
        ("http://localhost/", "socks5h", "(2)"),
        ("http://other.localhost/", "socks5h", "(4)"),
        (f"http://{NOBODY}.localhost/", "socks5h", "(4)"),
        ("http://nothing.localhost/", "socks5h", "(5)"),
        ("http://web.localhost/", "socks4a", ""),
        ("http://web.localhost/", "http", ""),
    ],
)
def test_everything_else_is_refused_with_the_right_reply(world: World, url: str, scheme: str, why: str) -> None:
    done = curl(world.port, url.replace("nothing", world.host.label("nothing")), scheme)
    assert done.returncode not in (0, 28), done.stdout
    assert why in done.stderr
    assert world.visitor.status()["socks"]["problem"]
    assert curl(world.port, "http://web.localhost/").stdout == "hello\n"


def test_a_service_that_speaks_first_is_heard_and_each_direction_has_its_own_end(world: World) -> None:
    with connected(world.port, "echo.localhost") as one:
        assert exactly(one, 12) == b"\x05\x00\x05\x00\x00\x01" + bytes(6)
        assert exactly(one, 6) == b"hello\n"
        one.sendall(b"abc")
        one.shutdown(socket.SHUT_WR)
        assert everything(one) == b"cba"


def test_what_is_said_before_the_reply_is_not_lost(world: World) -> None:
    with connected(world.port, "echo.localhost") as one:
        one.sendall(b"early")
        one.shutdown(socket.SHUT_WR)
        assert everything(one)[12:] == b"hello\nylrae"


@needs.tools("nc")
def test_netcat_as_a_proxy_command_passes_a_banner(world: World) -> None:
    words = ["nc", "-N", "-X", "5", "-x", f"127.0.0.1:{world.port}", "echo.localhost", "22"]
    done = subprocess.run(words, input=b"abc", capture_output=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout) == (0, b"hello\ncba"), done.stderr


def test_who_says_nothing_is_cut_and_who_says_half_too(tmp_path: Path) -> None:
    port = free_port()
    settings = f"[SOCKS]\nlisten = 127.0.0.1:{port}\n[Door]\nhead_timeout = 1 s\n"
    with Node(tmp_path / "hasty", settings=settings) as node:
        silent, half = (socket.create_connection(("127.0.0.1", port), timeout=LIMIT) for _ in range(2))
        with silent, half:
            half.sendall(b"\x05\x01\x00\x05\x01")
            for one in (silent, half):
                with pytest.raises(ConnectionResetError):
                    everything(one)
        assert "no whole request came within 1 s" in node.status()["socks"]["problem"]


def test_it_is_for_this_computer_unless_the_settings_name_others(tmp_path: Path) -> None:
    listen = f"[SOCKS]\nlisten = 0.0.0.0:{free_port()}\n"
    code, log = refused(Node(tmp_path / "open", settings=listen))
    assert (code, "clients = 192.168.1.0/24" in log) == (1, True)
    with Node(tmp_path / "told", settings=f"{listen}clients = 192.0.2.0/24\n") as node:
        assert node.status()["socks"]["listen"].startswith("0.0.0.0:")
