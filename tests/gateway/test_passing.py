"""What passes as it is: order and doubles of fields, 1xx answers, trailers, gigabytes."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.recorder import OK, Recorder, running_recorder
from tests.gateway.town import Town, settings
from tests.support import needs
from tests.support.node import Node, free_port
from tests.support.origin import digest_of_bytes
from tests.support.programs import Download
from tests.support.size import FULL
from tests.support.waiting import wait_until

pytestmark = [needs.tools("curl")]

SIZE = 1_000_000_000 if FULL else 50_000_000
MOST = 64 << 20


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with running_recorder() as running:
        yield running


@pytest.fixture(scope="module")
def own(town: Town, recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    town.host.share("told", recorder.port)
    port, sections = free_port(), {"nas": f"label = {town.host.label('told')}"}
    with Node(tmp_path_factory.mktemp("passing"), settings=settings(port, sections)) as gateway:
        yield Town(port, town.host, gateway, town.labels, town.origin, sections)


def test_row_36_fields_keep_their_order_and_those_of_the_connection_do_not_pass(own: Town, recorder: Recorder) -> None:
    recorder.reset()
    own.talk(
        b"GET / HTTP/1.1\r\nX-A: 1\r\nHost: nas.example.org\r\nX-B: 2\r\nConnection: close, X-Foo\r\nX-A: 3\r\n"
        b"X-Foo: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: Basic x\r\nProxy-Connection: close\r\n"
        b"Authorization: Basic YTpi\r\nCookie: a=b\r\nX-C:  4 \r\n\r\n"
    )
    lines = recorder.whole.split(b"\r\n")
    assert lines[:8] == [
        b"GET / HTTP/1.1",
        b"Host: nas.example.org",
        b"X-A: 1",
        b"X-B: 2",
        b"X-A: 3",
        b"Authorization: Basic YTpi",
        b"Cookie: a=b",
        b"X-C:  4 ",
    ]
    names = [line.partition(b":")[0] for line in lines[8:-2]]
    assert names == [b"Forwarded", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"Connection"]


def test_row_38_forwarded_is_appended(own: Town, recorder: Recorder) -> None:
    recorder.reset()
    own.get("nas", "/", "-H", 'Forwarded: for="6.6.6.6:5"', "-H", "X-Forwarded-For: 6.6.6.6")
    heard = recorder.whole.decode()
    said = next(line for line in heard.split("\r\n") if line.startswith("Forwarded:"))
    assert said.startswith('Forwarded: for="6.6.6.6:5", for="127.0.0.1:')
    assert said.endswith('";by=_hardline;host="nas.example.org";proto=http')
    assert "\r\nX-Forwarded-For: 6.6.6.6, 127.0.0.1\r\n" in heard


def test_row_40_what_comes_before_an_answer_passes_before_it(own: Town, recorder: Recorder) -> None:
    """The service asks for the body with a 100, and sends a 103 and trailers."""
    recorder.reset()
    recorder.interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    trailers = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"
    )
    recorder.answer = lambda head, before: hints + trailers
    with own.connect() as client, client.makefile("rb") as stream:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: nas.example.org\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n", "before anything of the body was sent"
        client.sendall(b"12345")
        said = stream.read()
    assert b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n" in said
    assert said.endswith(b"\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n")
    recorder.reset()
    sent = b"5\r\n12345\r\n0\r\nX-Sum: 9\r\n\r\n"
    chunked = b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + sent
    assert own.talk(b"POST / HTTP/1.1\r\nHost: nas.example.org\r\n" + chunked).endswith(OK[-2:])
    assert recorder.whole.endswith(b"\r\n\r\n" + sent)


def test_rows_20_and_28_gigabytes_pass_in_flat_memory_beside_a_slow_reader(town: Town, tmp_path: Path) -> None:
    named, url = ("-H", "Host: nas.example.org"), f"http://127.0.0.1:{town.port}"
    with Download(f"{url}/bytes/{SIZE}", tmp_path / "slow", *named, "--limit-rate", "1k") as slow:
        wait_until(lambda: slow.received > 0, "the slow one reads")
        before = town.gateway.pss("Pss_Anon"), town.host.pss("Pss_Anon")
        digest, length = hashlib.sha256(), 0
        with subprocess.Popen(["curl", "-q", "-sS", *named, f"{url}/bytes/{SIZE}"], stdout=subprocess.PIPE) as down:
            assert down.stdout is not None
            while piece := down.stdout.read(1 << 20):
                digest.update(piece)
                length += len(piece)
        assert (length, digest.hexdigest()) == (SIZE, digest_of_bytes(SIZE))
        piece = bytes(range(256)) * 4096
        command = ["curl", "-q", "-sS", *named, "-T", "-", "-X", "POST", f"{url}/sum"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as up:
            assert up.stdin is not None
            assert up.stdout is not None
            sent, digest = 0, hashlib.sha256()
            while sent < SIZE:
                up.stdin.write(piece)
                digest.update(piece)
                sent += len(piece)
            up.stdin.close()
            assert json.load(up.stdout) == {"length": sent, "sha256": digest.hexdigest()}
        grown = [node.pss("Pss_Anon") - was for node, was in zip((town.gateway, town.host), before, strict=True)]
        assert max(grown) < MOST, grown
        assert slow.running
