"""Who asks too much, guesses, or comes through a proxy."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.gateway.town import PASSWORD, Town, settings
from tests.support import needs
from tests.support.node import Node, free_port
from tests.support.programs import Answer, curl
from tests.support.servers import nginx
from tests.support.waiting import wait_until

pytestmark = [needs.tools("curl")]

NGINX = """
{user} daemon off; pid {directory}/pid; worker_processes 1; error_log {directory}/log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{gateway}; proxy_http_version 1.1; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto https;
    }}
  }}
}}
"""


@contextlib.contextmanager
def gateway(town: Town, directory: Path, more: str = "", **sections: str) -> Iterator[Town]:
    """Another one before the same host."""
    port, named = free_port(), {name: f"label = {town.labels['one']}\n{section}" for name, section in sections.items()}
    with Node(directory / "gateway", settings=settings(port, named, more)) as node:
        yield Town(port, town.host, node, town.labels, town.origin, named)


def has_clients(town: Town, number: int) -> None:
    wait_until(lambda: town.gateway.status()["gateway"]["clients"] == number, f"{number} are connected")


def test_wrong_passwords_are_bounded_and_only_where_they_are_guessed(town: Town) -> None:
    said = [town.get("guessed", "/", "-u", f"anna:{number}", "-i") for number in range(7)]
    assert [answer.status for answer in said[:5]] == [401] * 5
    assert said[-1].status == 429
    assert "retry-after: 60" in said[-1].text.lower()
    assert town.get("guessed", "/", "-u", f"anna:{PASSWORD}").status == 429, "nor is the right one judged"
    assert town.get("private", "/", "-u", f"anna:{PASSWORD}").status == 200
    other = town.get("guessed", "/", "-u", f"anna:{PASSWORD}", "--interface", "127.0.0.2")
    assert other.status == 200, "somebody else's guesses are not his"


def test_connections_of_one_address_and_of_all_are_bounded(town: Town, tmp_path: Path) -> None:
    with gateway(town, tmp_path, "max_per_source = 2\nmax_connections = 4\ntrusted = 127.0.0.9", nas="") as own:

        def get(source: str) -> Answer:
            return own.get("nas", "/", "--interface", source, "-i")

        with own.connect() as one, own.connect() as two:
            for client in (one, two):
                client.sendall(b"GET / HTTP/1.1\r\nHost: nas.example.org\r\n\r\n")
                assert client.recv(12) == b"HTTP/1.1 200"
            full = get("127.0.0.1")
            assert (full.status, "hardline (gateway)" in full.text) == (503, True)
            assert "retry-after" in full.text.lower()
            assert get("127.0.0.2").status == 200
            url = [f"http://127.0.0.1:{own.port}/events", "-H", "Host: nas.example.org", "--interface", "127.0.0.9"]
            quiet = ["curl", "-q", "-sN", "-m", "100", *url]
            with contextlib.ExitStack() as stack:
                for number in range(2):
                    running = stack.enter_context(subprocess.Popen(quiet, stdout=subprocess.DEVNULL))
                    stack.callback(running.kill)
                    has_clients(own, 3 + number)
                assert get("127.0.0.2").status == 503, "four are all that there may be"
        wait_until(lambda: get("127.0.0.1").status == 200, "who has gone makes room")


def test_a_head_that_does_not_end_is_not_waited_for(town: Town, tmp_path: Path) -> None:
    with gateway(town, tmp_path, "head_timeout = 1 s\nmax_head = 2KB\nkeepalive = 1 s", nas="") as own:
        with own.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: nas.exam")
            assert client.makefile("rb").read().startswith(b"HTTP/1.1 408 ")
        assert own.first_line(b"GET / HTTP/1.1\r\nX: " + b"a" * 3000).startswith(b"HTTP/1.1 431 ")
        with own.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: nas.example.org\r\n\r\n")
            assert client.makefile("rb").read().endswith(b"hello from the origin\n"), "and then it ends by itself"


def test_a_service_that_does_not_answer_is_a_504(town: Town, tmp_path: Path) -> None:
    with gateway(town, tmp_path, "answer_timeout = 1 s\nidle_timeout = 1 s", nas="") as own:
        own.get("nas")
        with own.connect() as client:  # /sum waits for the rest of its body
            client.sendall(b"POST /sum HTTP/1.1\r\nHost: nas.example.org\r\nContent-Length: 5\r\n\r\n123")
            said = client.makefile("rb").read()
            assert said.startswith(b"HTTP/1.1 504 ")
            assert b"Server: hardline (host)" in said
        assert own.get("nas", "/stall/10").code in (18, 56), "one that stops in its answer is cut"


def test_a_trusted_proxy_says_who_asks_and_nobody_else(town: Town, tmp_path: Path) -> None:
    with gateway(town, tmp_path, "trusted = 127.0.0.9", nas="addresses = 192.0.2.7, 127.0.0.5") as own:

        def get(source: str, forwarded_for: str) -> int:
            return own.get("nas", "/", "--interface", source, "-H", f"X-Forwarded-For: {forwarded_for}").status

        assert get("127.0.0.9", "192.0.2.7") == 200
        assert get("127.0.0.9", "6.6.6.6, 192.0.2.7") == 200
        assert get("127.0.0.9", "192.0.2.7, 6.6.6.6") == 403, "the last one is the proxy's word"
        assert get("127.0.0.9", "192.0.2.7, nonsense") == 403
        assert get("127.0.0.1", "192.0.2.7") == 403, "he is no proxy of ours"
        assert get("127.0.0.5", "6.6.6.6") == 200
        rows = own.asked()
        assert [row["client"] for row in rows][:2] == ["192.0.2.7", "192.0.2.7"]


def test_behind_nginx_the_client_is_known_and_cannot_lie(town: Town, tmp_path: Path) -> None:
    with (
        gateway(town, tmp_path, "trusted = 127.0.0.1", nas="addresses = 127.0.0.5") as own,
        nginx(tmp_path / "nginx", NGINX, gateway=own.port) as port,
    ):

        def get(path: str, *options: str) -> Answer:
            return curl(f"http://127.0.0.1:{port}{path}", "-H", "Host: nas.example.org", *options)

        told = get("/echo", "--interface", "127.0.0.5", "-H", "X-Forwarded-For: 6.6.6.6").json["headers"]
        assert told["x-forwarded-for"] == "6.6.6.6, 127.0.0.5, 127.0.0.1"
        assert told["x-forwarded-proto"] == "https"
        assert get("/", "--interface", "127.0.0.6", "-H", "X-Forwarded-For: 127.0.0.5").status == 403
        body = get("/sum", "--interface", "127.0.0.5", "-d", "x" * 100_000)
        assert body.json["length"] == 100_000


def test_row_26_what_comes_piece_by_piece_is_not_held_back_by_an_nginx(town: Town, tmp_path: Path) -> None:
    """One that buffers, as it does unless it is told: the second event is written after the first was read."""
    with (
        gateway(town, tmp_path, "trusted = 127.0.0.1", nas="") as own,
        nginx(tmp_path / "nginx", NGINX, gateway=own.port) as port,
    ):
        url = f"http://127.0.0.1:{port}/events"
        command = ["curl", "-q", "-sN", "-m", "100", "-H", "Host: nas.example.org", url]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as reading:
            assert reading.stdout is not None
            try:
                assert reading.stdout.readline() == b"data: 0\n"
                own.get("nas", "/event")
                assert [reading.stdout.readline(), reading.stdout.readline()] == [b"\n", b"data: 1\n"]
            finally:
                reading.kill()
        wait_until(
            lambda: not [one for one in own.gateway.sessions("visiting") if one["streams"]], "its stream ends with it"
        )
