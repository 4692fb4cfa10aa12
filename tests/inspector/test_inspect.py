"""`hardline inspect` from outside: a visitor's curl, the owner's terminal."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from hardline.cli.inspecting import MOST_SENT
from hardline.errors import WrongArgument
from hardline.inspector.exchanges import Exchange, Message
from hardline.node.inspecting import Inspecting, Looker
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream
from hardline.tunnel import serving
from tests.support.clock import run, settled
from tests.support.node import SCRIPTS, Node
from tests.support.origin import digest_of_bytes
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until
from tests.tunnel import pair as tunnels

SITE = (
    "[Info]\ntitle = {title}\n[Service]\nservice =\n[Cache]\ndirectory = {directory}\n"
    "allowListing = yes\nuploads = yes\n"
)


class Terminal:
    """`hardline inspect NAME`, while it runs."""

    def __init__(self, node: Node, *words: str) -> None:
        command = [str(SCRIPTS / "hardline"), "--datadir", str(node.data), "inspect", "--json", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        assert "until Ctrl-C" in self.process.stderr.readline()

    def __enter__(self) -> Terminal:
        return self

    def next(self) -> dict:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(100)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Iterator[tuple[Node, Node]]:
    directory = tmp_path_factory.mktemp("inspect")
    host = Node(directory / "host")
    (directory / "files").mkdir()
    (directory / "files/a.txt").write_text("of a site")
    with running_origin() as origin:
        host.share("app", origin.port)
        host.write("site", SITE.format(title="site", directory=directory / "files"))
        with host, Node(directory / "visitor") as visitor:
            host.serves("site")
            yield host, visitor


def url(pair: tuple[Node, Node], service: str, path: str) -> str:
    return pair[1].url_of(pair[0].label(service), path)


def test_requests_are_seen_as_they_pass_and_only_while_somebody_looks(pair):
    host, _ = pair
    kept = subprocess.Popen(
        ["curl", "-sS", url(pair, "app", "before"), "--next", "-sS", url(pair, "app", "headers")],
        stdout=subprocess.PIPE,
    )
    kept.communicate(timeout=100)
    nobody = host.hardline("inspect", "app", "--show", "1")
    assert nobody.returncode == 2
    assert "nobody looks" in nobody.stderr
    with Terminal(host, "app") as terminal:
        got = curl(url(pair, "app", "headers"), "-H", "Authorization: Bearer topsecret", "-H", "X-Mine: yes")
        one = terminal.next()
        assert (one["method"], one["target"], one["status"]) == ("GET", "/headers", got.status)
        assert one["heard_size"] == len(got.body)
        shown = host.hardline("inspect", "app", "--show", str(one["number"])).stdout
        assert "X-Mine: yes" in shown
        assert "topsecret" not in shown
        assert "Authorization: (hidden)" in shown
        assert "topsecret" in host.hardline("inspect", "app", "--show", str(one["number"]), "--secrets").stdout
        # Again, with changes.
        again = host.hardline(
            "inspect", "app", "--replay", str(one["number"]), "--header", "X-Mine: changed", "--secrets", "--json"
        )
        assert again.returncode == 0, again.stderr
        whole = json.loads(again.stdout)
        assert whole["passed"]["replay_of"] == one["number"]
        assert "X-Mine: changed" in whole["asked_head"]
        assert "Bearer topsecret" in whole["asked_head"]
        assert terminal.next()["replay_of"] == one["number"]
        odd = host.hardline("inspect", "app", "--replay", "999")
        assert (odd.returncode, "no exchange 999" in odd.stderr) == (2, True)
        assert host.hardline("inspect", "app", "--replay", "1", "--header", "a\nb: c").returncode == 2
        # Under load the numbers of a minute have five digits.
        for does in ("--show", "--replay"):
            many = host.hardline("inspect", "app", does, "123456")
            assert (many.returncode, "no exchange 123456" in many.stderr) == (2, True), many.stderr
    wait_until(lambda: host.hardline("inspect", "app", "--show", "1").returncode == 2, "it is forgotten")
    assert "topsecret" not in host.log


def test_a_file_that_is_too_long_is_not_asked_with_in_part(pair, tmp_path):
    host, _ = pair
    body = tmp_path / "body"
    with Terminal(host, "app") as terminal:
        curl(url(pair, "app", "headers"))
        again = ("inspect", "app", "--replay", str(terminal.next()["number"]), "--json", "--data", f"@{body}")
        body.write_bytes(b"x" * MOST_SENT)
        assert json.loads(host.hardline(*again).stdout)["passed"]["asked_size"] == MOST_SENT
        assert terminal.next()["asked_size"] == MOST_SENT
        body.write_bytes(b"x" * (MOST_SENT + 1))
        refused = host.hardline(*again)
        assert (refused.returncode, "is longer than" in refused.stderr) == (2, True)


def test_large_bodies_pass_as_they_are_and_are_counted_whole(pair, tmp_path):
    host, _ = pair
    sent = tmp_path / "sent"
    sent.write_bytes(b"abcdefgh" * 125_000)
    with Terminal(host, "app") as terminal:
        got = json.loads(curl(url(pair, "app", "sum"), "--data-binary", f"@{sent}").body)
        assert got == {"length": 1_000_000, "sha256": hashlib.sha256(sent.read_bytes()).hexdigest()}
        up = terminal.next()
        assert (up["asked_size"], up["status"]) == (1_000_000, 200)
        assert "… 1000000 bytes in all" in host.hardline("inspect", "app", "--show", str(up["number"])).stdout
        curl(url(pair, "app", "sum"), "-H", "Transfer-Encoding: chunked", "-H", "Content-Type: text/plain", "-d", "abc")
        shown = host.hardline("inspect", "app", "--show", str(terminal.next()["number"])).stdout
        assert "\nabc\n" in shown
        assert "bytes in all" not in shown
        for path in ("bytes/3000000", "until-end/3000000"):
            got = curl(url(pair, "app", path)).body
            assert hashlib.sha256(got).hexdigest() == digest_of_bytes(3_000_000)
            down = terminal.next()
            assert (down["heard_size"], down["status"], down["note"]) == (3_000_000, 200, "")


def test_a_site_is_looked_at_like_any_other(pair):
    with Terminal(pair[0], "site") as terminal:
        assert curl(url(pair, "site", "a.txt")).body == b"of a site"
        one = terminal.next()
        assert (one["target"], one["kind"], one["heard_size"]) == ("/a.txt", "text/plain", 9)


def test_who_waits_for_an_answer_when_somebody_begins_to_look_gets_it(pair):
    host, visitor = pair
    with socket.create_server(("127.0.0.1", 0)) as slow:
        host.share("slow", slow.getsockname()[1])
        with socket.create_connection(("127.0.0.1", visitor.localport), timeout=100) as asking:
            asking.sendall(
                f"POST / HTTP/1.1\r\nHost: {host.label('slow')}.localhost\r\nContent-Length: 0\r\n\r\n".encode()
            )
            service, _ = slow.accept()
            with service:
                assert service.recv(65536).startswith(b"POST / ")
                with Terminal(host, "slow"):  # what was silent for a second is cut by now
                    service.sendall(b"HTTP/1.1 204 Done\r\n\r\n")
                    assert asking.recv(65536).startswith(b"HTTP/1.1 204 Done\r\n")


def test_a_looker_who_leaves_before_it_began_leaves_nothing():
    class Cancelled:
        watched: ClassVar[list[object]] = []

        async def watch(self, key_hash: object, watcher: object) -> None:
            self.watched.append(watcher)
            if watcher is not None:
                raise asyncio.CancelledError

    host = Cancelled()
    inspecting = Inspecting(lambda: host)
    service = SimpleNamespace(key_hash="of it", name="app")

    async def look() -> None:
        with pytest.raises(asyncio.CancelledError):
            await inspecting.look(service)

    asyncio.run(look())
    assert host.watched[1:] == [None]
    with pytest.raises(WrongArgument):
        inspecting.exchanges(service)


def test_who_looks_is_told_of_as_many_as_anybody_reads():
    async def story() -> None:
        loop, tasks, found = asyncio.get_running_loop(), TaskSet("test"), list[int]()
        looker = Looker(loop.time)

        async def reads() -> None:
            async for one in looker.news():
                found.append(one.number)

        tasks.start(reads(), "reads")
        for first, after, expected in ((0, 0, 1000), (5000, 2, 400)):
            await asyncio.sleep(after)
            found.clear()
            for number in range(first, first + 5000):
                looker.tell(Exchange(number, loop.time(), "GET", "/", Message()))
            await settled()
            assert found == list(range(first, first + expected)), "a page of many parts whole, 200 a second of a flood"
        await tasks.aclose()

    run(story)


@pytest.mark.parametrize("looked_at", [False, True])
def test_an_upload_that_is_under_way_while_its_service_is_changed_comes_to_its_end(pair, looked_at):
    host, visitor = pair
    files = host.services.parent.parent / "files"
    name, title = f"slow-{looked_at}.txt", f"changed {looked_at}"
    with contextlib.ExitStack() as stack:
        if looked_at:
            stack.enter_context(Terminal(host, "site"))
        label = host.label("site")
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", visitor.localport), timeout=100))
        sock.sendall(f"PUT /{name} HTTP/1.1\r\nHost: {label}.localhost\r\nContent-Length: 6\r\n\r\nabc".encode())
        wait_until(lambda: uploading(host), "it is under way")
        host.write("site", SITE.format(title=title, directory=files))
        wait_until(lambda: host.service("site")["title"] == title, "it is another site now")
        sock.sendall(b"def")
        assert sock.recv(65536).startswith(b"HTTP/1.1 201 ")
    assert (files / name).read_bytes() == b"abcdef"


def uploading(host: Node) -> bool:
    """Whether it has a file open that has no name yet, or a hidden one."""
    if any((host.services.parent.parent / "files").glob(".hardline-*")):
        return True
    for one in Path(f"/proc/{host.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if "/files/#" in os.readlink(one):
                return True
    return False


def test_a_connection_that_was_kept_is_seen_from_the_next_request_on(pair):
    import http.client

    host, visitor = pair
    label = host.label("app")
    connection = http.client.HTTPConnection("127.0.0.1", visitor.localport, timeout=100)
    try:
        connection.request("GET", "/headers", headers={"Host": f"{label}.localhost"})
        connection.getresponse().read()
        with Terminal(host, "app") as terminal:

            def asked() -> bool:
                try:
                    connection.request("GET", "/seen", headers={"Host": f"{label}.localhost"})
                    connection.getresponse().read()
                except (http.client.HTTPException, OSError):
                    connection.close()  # as a browser does with a kept connection that was closed
                    return False
                return True

            wait_until(asked, "it is answered")
            assert terminal.next()["target"] == "/seen"
    finally:
        connection.close()


def test_who_comes_while_a_service_is_joined_reads_its_first_request_too(tmp_path, monkeypatch):
    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async def story() -> None:
        async with tunnels.pair(tmp_path, service) as both:
            inspecting, over_socket, tasks = Inspecting(lambda: both.host), serving.over_socket, TaskSet("test")

            async def meanwhile(raw: socket.socket) -> TcpStream:
                tasks.start(inspecting.look(both.service), "look")
                await asyncio.sleep(0)
                return await over_socket(raw)

            monkeypatch.setattr(serving, "over_socket", meanwhile)
            visit = await both.visitor.visit(both.service.label, b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
            await visit.answered()
            assert (await visit.pipe.receive()).endswith(b"ok")
            await visit.pipe.send(b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await visit.pipe.receive()).endswith(b"ok")
            seen = [(one.target, one.status, one.note) for one in inspecting.exchanges(both.service)]
            assert seen == [("/first", 200, ""), ("/second", 200, "")]
            await visit.pipe.aclose()
            await tasks.aclose()

    asyncio.run(story())
