"""One connection to the door, requests for several hosts: each reaches its own, whoever keeps the connection."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.support import needs
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.support.servers import nginx
from tests.support.waiting import wait_until

pytestmark = [needs.tools("curl")]


@dataclass
class Street:
    """Two services of one host, and a visitor's door."""

    door: int
    visitor: Node
    one: str
    two: str

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.door), timeout=20)

    def talk(self, *pieces: bytes) -> bytes:
        """Send bytes, and read until the door ends."""
        with self.connect() as client:
            for piece in pieces:
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65_536), b""))


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    directory = tmp_path_factory.mktemp("street")
    with running_origin() as one, running_origin(name="the other") as two:
        host = Node(directory / "host")
        host.share("one", one.port)
        host.share("two", two.port)
        visitor = Node(directory / "visitor", settings="[Door]\nhead_timeout = 1 s\n")
        with host, visitor:
            yield Street(visitor.localport, visitor, f"{host.label('one')}.localhost", f"{host.label('two')}.localhost")


def get(host: str, path: str = "/", *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    return (
        "".join(f"{line}\r\n" for line in (f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "")).encode() + body
    )


def answers(data: bytes) -> list[bytes]:
    """The body of each answer with a length."""
    bodies = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        bodies.append(rest[:length])
        data = rest[length:]
    return bodies


HELLO = {"one": b"hello from the origin\n", "two": b"hello from the other\n"}


def test_every_request_on_one_connection_reaches_its_own_service(street: Street) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", street.door, timeout=20)) as client:
        client.connect()
        kept, heard = client.sock, []
        for host in (street.one, street.two, street.two):
            client.request("POST", "/echo", b"x" * 100, {"Host": host, "Cookie": f"secret-of={host}"})
            heard.append(json.loads(client.getresponse().read()))
            assert heard[-1]["headers"]["cookie"] == f"secret-of={host}"
            client.request("GET", "/", headers={"Host": host})
            assert client.getresponse().read() == HELLO["one" if host == street.one else "two"]
        assert [told["before"] for told in heard] == [0, 0, 2], "two in a row go the same way"
        assert client.sock is kept


def test_what_is_pipelined_is_answered_in_order_each_by_its_own(street: Street) -> None:
    order = [street.one, street.two, street.two, street.one]
    heard = answers(street.talk(b"".join(map(get, order))))
    assert heard == [HELLO["one"], HELLO["two"], HELLO["two"], HELLO["one"]]


def test_the_nodes_own_page_is_one_of_them(street: Street) -> None:
    own = f"localhost:{street.door}"
    heard = street.talk(get(street.one), get(own, "/proxy.pac"))
    assert heard.count(b"HTTP/1.1 200 OK") == 2
    assert b"FindProxyForURL" in heard
    assert street.talk(get(own, "/proxy.pac"), get(street.one)).count(b"HTTP/1.1 ") == 1


def test_a_host_that_is_not_ours_is_refused_wherever_it_stands(street: Street) -> None:
    heard = street.talk(get(street.one), get("example.com", "/", "Cookie: secret"))
    assert heard.partition(HELLO["one"])[2].startswith(b"HTTP/1.1 421 ")


def test_a_tunnel_or_a_whole_url_behind_a_request_is_what_it_says(street: Street) -> None:
    url = get("x").replace(b"GET /", f"GET http://{street.two}/".encode(), 1)
    assert HELLO["two"] in street.talk(get(street.one), url)
    connect = f"CONNECT {street.two}:80 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    heard = street.talk(get(street.one), connect, get(street.two, "/", "Connection: close"))
    assert heard.endswith(HELLO["two"])
    assert b"200 Connection established" in heard


@pytest.mark.parametrize("nonsense", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x00", b"GET / HTTP/1.1\n"])
def test_nonsense_behind_a_request_reaches_nobody(street: Street, nonsense: bytes) -> None:
    heard = street.talk(get(street.one), nonsense)
    assert heard.startswith(b"HTTP/1.1 200 ")
    assert heard.partition(HELLO["one"])[2].startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 505 "))


def test_chunks_and_their_trailers_are_gone_through(street: Street) -> None:
    body = b"4;x=1\r\nWiki\r\n" + b"1388\r\n" + bytes(5000) + b"\r\n0\r\nDigest: x\r\n\r\n"
    upload = get(street.one, "/sum", "Transfer-Encoding: chunked", method="POST", body=body)
    heard = answers(street.talk(upload[:99], upload[99:] + get(street.two)))
    assert json.loads(heard[0])["length"] == 5004
    assert heard[1] == HELLO["two"]


def test_a_client_may_wait_to_be_told_to_go_on(street: Street) -> None:
    with street.connect() as client:
        client.sendall(get(street.one, "/sum", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"12345" + get(street.two))
        client.shutdown(socket.SHUT_WR)
        heard = answers(b"".join(iter(lambda: client.recv(65_536), b"")))
    assert json.loads(heard[0])["length"] == 5
    assert heard[1] == HELLO["two"]


def test_an_answer_to_http_1_0_comes_and_ends(street: Street) -> None:
    request = get(street.one, "/", "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert street.talk(request).endswith(HELLO["one"])


def test_behind_an_answer_without_an_end_nothing_reaches_another_service(street: Street) -> None:
    heard = street.talk(get(street.one, "/until-end/100000"), get(street.two))
    assert heard.startswith(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    assert len(heard.partition(b"\r\n\r\n")[2]) == 100_000


def test_a_second_head_that_does_not_end_is_answered_after_its_time(street: Street) -> None:
    with street.connect() as client:
        client.sendall(get(street.one) + get(street.one)[:20])
        heard = b"".join(iter(lambda: client.recv(65_536), b""))
    assert heard.partition(HELLO["one"])[2].startswith(b"HTTP/1.1 408 ")


def test_the_connection_of_a_client_that_leaves_in_between_is_let_go(street: Street) -> None:
    with street.connect() as client:
        client.sendall(get(street.one, "/stall/1000") + get(street.two))
        client.recv(1000)
        wait_until(lambda: streams(street) == 1, "only this one is open")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_until(lambda: streams(street) == 0, "the stream ended", 15)


def streams(street: Street) -> int:
    """How many are open, to both services."""
    return sum(session["streams"] for session in street.visitor.status()["sessions"])


# Upgrades.


def test_a_websocket_works_also_on_a_connection_that_was_used_before(street: Street) -> None:
    async def story() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as client:
            url, named = f"http://127.0.0.1:{street.door}", {"Host": street.one}
            async with client.get(f"{url}/", headers=named) as answer:
                assert await answer.read() == HELLO["one"]
            async with client.ws_connect(f"{url}/ws", headers=named) as ws:
                for message in (b"", get(street.two), bytes(100_000)):
                    await ws.send_bytes(message)
                    assert await ws.receive_bytes() == message

    asyncio.run(story())


def test_what_is_sent_behind_an_upgrade_that_is_refused_reaches_its_own_service(street: Street) -> None:
    upgrade = get(street.one, "/", "Connection: Upgrade", "Upgrade: websocket")
    assert answers(street.talk(upgrade, get(street.two), get(street.one))) == [HELLO["one"], HELLO["two"], HELLO["one"]]


# A proxy that keeps connections for many hosts.

NGINX = """
daemon off; pid {directory}/pid; {user} error_log stderr; worker_processes 1;
events {{ worker_connections 100; }}
http {{
  access_log off; client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;
  fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
  upstream door {{ server 127.0.0.1:{door}; keepalive 1; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://door; proxy_http_version 1.1;
      proxy_set_header Host $http_host; proxy_set_header Connection $http_x_connection;
      proxy_set_header Upgrade $http_upgrade; proxy_request_buffering off;
    }}
  }}
}}
"""


def test_nginx_may_keep_its_connection_to_the_door_for_all_hosts(street: Street, tmp_path: Path) -> None:
    with nginx(tmp_path / "nginx", NGINX, door=street.door) as port:
        url = f"http://127.0.0.1:{port}"
        before = []
        for number, host in enumerate([street.one, street.one, street.two, street.one, street.two, street.two]):
            told = curl(f"{url}/echo", "-H", f"Host: {host}", "-d", f"body {number}", "-H", "Cookie: s=1").json
            assert told["headers"]["host"] == host
            assert told["body"] == f"body {number}"
            before.append(told["before"])
        assert before == [0, 1, 0, 0, 0, 1], "nginx kept its connection, or this would show nothing"
        for host, hello in ((street.one, HELLO["one"]), (street.two, HELLO["two"])):
            assert curl(f"{url}/", "-H", f"Host: {host}").body == hello
