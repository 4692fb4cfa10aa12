"""A gateway from outside: curl and plain sockets in front of it, services behind a host of its own."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import socket
import threading
from pathlib import Path

import pytest

from tests.gateway.town import NOBODY, PASSWORD, Town
from tests.support import needs
from tests.support.beats import beats
from tests.support.node import Node, free_port
from tests.support.origin import digest_of_bytes
from tests.support.programs import CUT, Download, curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [needs.tools("curl")]

UPLOAD = 50_000_000


def test_a_plain_browser_reaches_a_service_by_its_name(town: Town) -> None:
    assert town.get("nas").text == "hello from the origin\n"
    assert town.get("wiki").text == "hello from the other\n"
    visit = town.gateway.last_visit(town.labels["two"])
    assert (visit["status"], visit["protocol"]) == ("ok", "hardline/2")


def test_every_access_is_in_the_log(town: Town) -> None:
    for number in range(150):
        assert town.get("nas", f"/counted-{number}?secret").status == 404

    def lines() -> list[str]:
        return [line for line in town.gateway.log.splitlines() if "/counted-" in line and "gateway.access" in line]

    wait_until(lambda: len(lines()) == 150, "each is in the log")
    assert "client=127.0.0.1 service=nas method=GET target=/counted-7 status=404 bytes=13" in lines()[7]


def test_what_the_service_is_told(town: Town) -> None:
    told = town.get("nas", "/echo?a=b", "-H", "X-Forwarded-For: 6.6.6.6", "-H", "Cookie: a=b").json
    assert told["request"] == "GET /echo?a=b HTTP/1.1"
    assert told["headers"]["host"] == "nas.example.org"
    assert told["headers"]["cookie"] == "a=b"
    assert told["headers"]["x-forwarded-for"].endswith("127.0.0.1")


def test_many_bytes_come_and_parts_of_them(town: Town) -> None:
    got = town.get("nas", "/bytes/20000000")
    assert hashlib.sha256(got.body).hexdigest() == digest_of_bytes(20_000_000)
    assert town.get("nas", "/until-end/3000000").body == got.body[:3_000_000]


@pytest.mark.parametrize("how", [[], ["-H", "Transfer-Encoding: chunked"]])
def test_an_upload_arrives_whole(town: Town, tmp_path: Path, how: list[str]) -> None:
    data = os.urandom(1_000_000) * (UPLOAD // 1_000_000)
    (tmp_path / "up").write_bytes(data)
    answer = town.get("nas", "/sum", "-T", tmp_path / "up", "-X", "POST", *how)
    assert answer.json == {"length": UPLOAD, "sha256": hashlib.sha256(data).hexdigest()}


def test_the_list_says_what_is_there(town: Town) -> None:
    town.get("nas")
    lines = {line.split("  ")[0]: line.split("  ")[1] for line in town.get("", "/").text.splitlines()}
    assert lines["//nas.example.org/"] == "online"
    assert lines["//away.example.org/"].startswith("offline")
    assert not [at for at in lines if "far" in at or "hidden" in at]
    page = town.get("", "/", "-H", "Accept: text/html").text
    assert "//nas.example.org/" in page
    for label in (*town.labels.values(), NOBODY):
        assert label[-40:] not in page


def test_behind_a_path_nothing_is_shared_but_files(town: Town) -> None:
    told = town.get("", "/servers/nas/echo", "-H", "Cookie: a=b").json
    assert told["request"] == "GET /echo HTTP/1.1"
    assert "cookie" not in told["headers"]
    assert town.get("", "/servers/nas/sum", "-d", "x").status == 405
    assert town.get("", "/servers/together/sum", "-d", "x").json["length"] == 1
    assert town.get("", "/servers/nas").status == 308


def test_files_behind_a_path(town: Town, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4
    assert 'href="a%20file.bin"' in town.get("", "/servers/pile/", "-H", "Accept: text/html").text.replace("./", "")
    assert town.get("", "/servers/pile/a%20file.bin").body == data
    part = town.get("", "/servers/pile/a%20file.bin", "-r", "100-199")
    assert (part.status, part.body) == (206, data[100:200])
    assert town.get("", "/servers/pile/a%20file.bin", "-r", "999999-").status == 416
    there = town.get("", "/servers/pile/sub", "-i").text
    assert "location: /servers/pile/sub/" in there.lower() or "location: sub/" in there.lower()
    assert town.get("", "/servers/pile/sub/../../../etc/passwd", "--path-as-is").status == 404
    (tmp_path / "got").write_bytes(data[:300])
    assert town.get("", "/servers/pile/a%20file.bin", "-C", "-", "-o", tmp_path / "got").status == 206
    assert (tmp_path / "got").read_bytes() == data


def test_who_may(town: Town) -> None:
    assert town.get("private").status == 401
    assert town.get("private", "/", "-u", "anna:wrong").status == 401
    told = town.get("private", "/echo", "-u", f"anna:{PASSWORD}").json
    assert told["headers"]["x-forwarded-user"] == "anna"
    assert "authorization" not in told["headers"]
    assert town.get("far").status == 403
    assert town.get("other").status == 404
    assert curl(f"http://127.0.0.1:{town.port}/", "-H", "Host: evil.example.net").status == 421


def test_which_side_failed(town: Town) -> None:
    began = beats()
    away = town.get("away", "/", "-i")
    assert beats() - began < 3 + 2, "row 21: [Dial] timeout, and what it takes to be asked"
    assert (away.status, "offline" in away.text) == (503, True)
    assert "Server: hardline (host)" in away.text, "row 34: whose side it is"
    dead = town.get("dead", "/", "-i")
    assert dead.status == 502
    assert "Server: hardline (host)" in dead.text
    assert "Its host is there, but the service is not." in dead.text
    for label in (*town.labels.values(), NOBODY):
        assert label[-40:] not in away.text + dead.text


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", b"400"),
        ("Content-Length: 5\r\nContent-Length: 6", b"400"),
        ("Transfer-Encoding: gzip, chunked", b"400"),
        ("Host: wiki.example.org", b"400"),
        ("X: a\r\n b", b"400"),
        ("X : a", b"400"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(town: Town, lines: str, status: bytes) -> None:
    head = f"POST /sum HTTP/1.1\r\nHost: nas.example.org\r\n{lines}\r\n\r\n"
    assert town.first_line(head.encode()).split(b" ")[1] == status


def test_two_names_on_one_connection_go_to_their_own_services(town: Town) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", town.port, timeout=20)) as client:
        client.connect()
        kept, before = client.sock, []
        for name in ("nas", "wiki", "wiki", "nas"):
            client.request("GET", "/echo", headers={"Host": f"{name}.example.org"})
            told = json.loads(client.getresponse().read())
            assert told["headers"]["host"] == f"{name}.example.org"
            before.append(told["before"])
            assert client.sock is kept
        assert before == [0, 0, 1, 0]


def test_an_event_comes_at_once(town: Town) -> None:
    with town.connect() as client:
        client.sendall(b"GET /events HTTP/1.1\r\nHost: nas.example.org\r\n\r\n")
        stream = client.makefile("rb")
        while stream.readline().strip():
            pass
        assert stream.readline() == b"data: 0\n"
        town.get("nas", "/event")
        assert [stream.readline(), stream.readline()] == [b"\n", b"data: 1\n"]


def test_a_websocket_speaks(town: Town) -> None:
    with town.connect() as client:
        client.sendall(
            b"GET /ws HTTP/1.1\r\nHost: nas.example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        stream = client.makefile("rb")
        assert stream.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        while stream.readline().strip():
            pass
        client.sendall(b"\x81\x85\0\0\0\0hello")
        assert stream.read(7) == b"\x81\x05hello"


def test_a_service_that_dies_in_its_answer_is_a_cut(town: Town, tmp_path: Path) -> None:
    with running_origin() as dying:
        town.host.share("dying", dying.port)
        label = town.host.label("dying")
        port = free_port()
        settings = f"[Gateway]\nlisten = 127.0.0.1:{port}\n[Gateway:dying]\nlabel = {label}\n"
        with (
            Node(tmp_path / "gateway", settings=settings) as _,
            Download(f"http://127.0.0.1:{port}/servers/dying/stall/1000000", tmp_path / "got") as download,
        ):
            download.has_received(1_000_000)
            dying.kill()
            assert download.exit_code() in CUT


def test_an_early_answer_is_not_lost(town: Town, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            client, _ = server.accept()
            with client, contextlib.suppress(ConnectionResetError):  # nobody wants to be told the rest
                client.recv(1000)
                client.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch")
                client.shutdown(socket.SHUT_WR)
                while client.recv(1000):
                    pass

        answering = threading.Thread(target=refuse, daemon=True)
        answering.start()
        town.host.share("full", server.getsockname()[1])
        port = free_port()
        settings = (
            f"[Gateway]\nlisten = 127.0.0.1:{port}\n[Gateway:full]\nlabel = {town.host.label('full')}\nmixed = yes\n"
        )
        (tmp_path / "up").write_bytes(b"x" * UPLOAD)
        with Node(tmp_path / "gateway", settings=settings):
            answer = curl(f"http://127.0.0.1:{port}/servers/full/", "-T", tmp_path / "up", "-H", "Expect:")
            assert (answer.status, answer.text) == (413, "much")
        answering.join(20)


def test_whoever_has_gone_is_not_waited_for(town: Town) -> None:
    def streams() -> int:
        return sum(session["streams"] for session in town.gateway.status()["sessions"] if "streams" in session)

    wait_until(lambda: not streams(), "what others asked is over")
    with town.connect() as client:
        client.sendall(b"GET /stall/10 HTTP/1.1\r\nHost: nas.example.org\r\n\r\n")
        assert client.recv(15).startswith(b"HTTP/1.1 200 OK")
        wait_until(lambda: streams(), "its stream is open")
    wait_until(lambda: not streams(), "its stream is gone")
