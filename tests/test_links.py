"""[Peer:NAME] from outside: two whole daemons, and curl at the port of a link that is kept warm."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import needs
from tests.support.beats import beats
from tests.support.node import Node, free_port, refused
from tests.support.origin import digest_of_bytes
from tests.support.programs import CUT, Answer, Download, RunningOrigin, curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [needs.tools("curl", "ss")]

NOBODY = "0f" * 20


class Link:
    """A visitor with one link, "office", and its port."""

    def __init__(self, directory: Path, label: str, more: str = "", hosts: str = "app.example.org") -> None:
        self.port = free_port()
        self.node = Node(
            directory,
            settings=f"[Peer:office]\nlabel = {label}\nlisten = 127.0.0.1:{self.port}\nhosts = {hosts}\n{more}",
        )

    def get(self, path: str = "/", *options: str | Path) -> Answer:
        return curl(f"http://127.0.0.1:{self.port}{path}", *options)

    def raw(self, request: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            client.sendall(request.encode("latin-1"))
            return client.makefile("rb").readline()

    @property
    def row(self) -> dict[str, Any]:
        [row] = self.node.status()["links"]
        found: dict[str, Any] = row
        return found

    def is_(self, state: str, timeout: float = 20.0) -> dict[str, Any]:
        return wait_until(lambda: row if (row := self.row)["state"] == state else None, f"it is {state}", timeout)

    def flows(self) -> int:
        return len(self.node.sessions("visiting"))


@pytest.fixture
def host(tmp_path: Path, origin: RunningOrigin) -> Iterator[Node]:
    node = Node(tmp_path / "host")
    node.share("site", origin.port, title="The site")
    with node:
        yield node


@contextlib.contextmanager
def linked(tmp_path: Path, label: str, more: str = "") -> Iterator[Link]:
    link = Link(tmp_path / "visitor", label, more)
    with link.node:
        yield link


def test_ready_comes_with_a_link_that_is_up_and_requests_share_its_one_session(tmp_path: Path, host: Node) -> None:
    label = host.label("site")
    with linked(tmp_path, label) as link:
        assert link.row["state"] == "up"  # row 45: before READY=1
        assert any(line == "STATUS=serving 0 services; office is up" for line in link.node.told)
        assert link.flows() == 1
        assert link.get().text == "hello from the origin\n"
        assert link.node.last_visit(label)["protocol"] == "hardline/2"
        with (
            Download(f"http://127.0.0.1:{link.port}/stall/1000", tmp_path / "stalled") as stalled,
            ThreadPoolExecutor(100) as pool,
        ):
            stalled.has_received(1000)
            answers = list(pool.map(lambda _: link.get("/bytes/10000").status, range(100)))
            assert answers == [200] * 100  # row 30: beside one that stalls, and all of it is one flow
            ss = ["ss", "-Htnp", "state", "established", f"( dport = :{host.p2pport} )"]
            said = subprocess.run(ss, capture_output=True, text=True, check=True).stdout.splitlines()
            assert len([line for line in said if f"pid={link.node.process.pid}," in line]) == 1
            assert stalled.running
        assert link.flows() == 1
        assert "office" in link.node.hardline("ls").stdout
        shown = link.node.hardline("status").stdout
        assert f"office  127.0.0.1:{link.port} → {label}  up for" in shown


@pytest.mark.parametrize("ready", ["attempt", "start"])
def test_ready_comes_once_the_first_attempt_has_failed_or_at_once(tmp_path: Path, ready: str) -> None:
    with linked(tmp_path, NOBODY, f"ready = {ready}\n") as link:
        first = next(line for line in link.node.told if line.startswith("STATUS="))
        if ready == "attempt":
            assert first == "STATUS=serving 0 services; office is down (nobody who offers the service was found)"
        else:
            assert first == "STATUS=serving 0 services; office is down"
        link.node.is_told("STATUS=serving 0 services; office is down (nobody who offers the service was found)")
        down = link.get("/", "-i")
        assert down.status == 503
        assert "Server: hardline (client)" in down.text
        assert "office is down: its host cannot be reached" in down.text
        assert NOBODY not in down.text


def test_a_daemon_that_waits_for_a_link_can_be_stopped(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = silent.getsockname()[1]
        link = Link(tmp_path / "visitor", NOBODY, f"address = 127.0.0.1:{at}\n")
        link.node.launch()
        wait_until(lambda: "node.ready" in link.node.log, "it runs")
        link.node.signal(signal.SIGTERM)
        assert link.node.ended() == 0
        assert "READY=1" not in link.node.told


def test_a_host_that_is_killed_is_said_answered_503_at_once_and_dialled_until_it_is_back(
    tmp_path: Path, host: Node
) -> None:
    with linked(tmp_path, host.label("site"), "connect_interval = 1\n") as link:
        assert link.get().status == 200
        with Download(f"http://127.0.0.1:{link.port}/stall/1000000", tmp_path / "got") as download:
            download.has_received(1_000_000)
            host.kill()
            assert download.exit_code() in CUT
        down = link.is_("down")
        assert down["reason"]
        wait_until(lambda: link.node._listen() or any("office is down" in one for one in link.node.told), "STATUS=")
        began = beats()
        answers = [link.get("/", "-i") for _ in range(5)]
        assert {one.status for one in answers} == {503}
        assert min(one.first_byte for one in answers) < 0.05
        assert beats() - began < 5
        door = curl(link.node.url_of(down["label"]))
        assert door.status == 503  # at once, too
        host.start()
        up = link.is_("up")
        assert up["attempts"] > 1
        assert link.get().status == 200
        wait_until(lambda: link.flows() == 1, "one session")
        wait_until(lambda: link.node._listen() or link.node.told[-1].endswith("office is up"), "STATUS=")


def test_a_host_that_restarts_in_order_is_there_again(tmp_path: Path, host: Node) -> None:
    with linked(tmp_path, host.label("site"), "connect_interval = 0.5\n") as link:
        host.stop()
        assert link.is_("down")["reason"]
        host.start()
        link.is_("up")
        assert link.get().status == 200


def test_which_side_failed(tmp_path: Path, host: Node, origin: RunningOrigin) -> None:
    with linked(tmp_path, host.label("site")) as link:
        assert link.get().status == 200
        with Download(f"http://127.0.0.1:{link.port}/stall/100000", tmp_path / "got") as download:
            download.has_received(100_000)
            origin.kill()
            assert download.exit_code() in CUT  # row 35
        dead = link.get("/", "-i")
        assert dead.status == 502  # row 34
        assert "Server: hardline (host)" in dead.text
        assert "Its host is there, but the service is not." in dead.text
        assert link.row["state"] == "up"


def test_heads_are_clean_and_else_as_they_came(tmp_path: Path, host: Node) -> None:
    with linked(tmp_path, host.label("site")) as link:
        told = link.get(
            *("/echo?a=b", "-H", "Connection: X-Foo", "-H", "X-Foo: 1", "-H", "Keep-Alive: 5", "-H", "TE: gzip"),
            *("-H", "Proxy-Authorization: Basic x", "-H", "Authorization: Basic y", "-H", "Cookie: a=b"),
            *("-H", "X-Forwarded-For: 192.0.2.9", "-H", "Forwarded: for=192.0.2.9"),
        ).json
        headers = told["headers"]
        assert told["request"] == "GET /echo?a=b HTTP/1.1"
        assert headers["host"] == f"127.0.0.1:{link.port}"
        assert not {"x-foo", "keep-alive", "te", "proxy-authorization"} & set(headers)
        assert (headers["authorization"], headers["cookie"]) == ("Basic y", "a=b")
        assert (headers["x-forwarded-for"], headers["forwarded"]) == ("192.0.2.9", "for=192.0.2.9")
        assert link.get("/echo", "-H", "Host: app.example.org").json["headers"]["host"] == "app.example.org"
        for host_name in ("evil.example.net", "example.org"):
            stranger = link.get("/echo", "-H", f"Host: {host_name}")
            assert stranger.status == 421
            assert "[Peer:office] hosts" in stranger.text
        for lines in ("Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked"):
            assert b" 400 " in link.raw(f"POST /sum HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n\r\n")


def test_forwarded_is_appended_where_that_is_set(tmp_path: Path, host: Node) -> None:
    with linked(tmp_path, host.label("site"), "forwarded = append\n") as link:
        said = link.get("/echo", "-H", "Forwarded: for=192.0.2.9", "-H", "X-Forwarded-Proto: https").json["headers"]
        before, ours = said["forwarded"].split(", ")
        assert before == "for=192.0.2.9"
        assert ours.startswith('for="127.0.0.1:')
        assert ours.endswith(f';by=_hardline;host="127.0.0.1:{link.port}";proto=http')
        assert said["x-forwarded-proto"] == "https"
        assert "x-forwarded-for" not in said


def test_an_upload_in_chunks_arrives_whole(tmp_path: Path, host: Node) -> None:
    with linked(tmp_path, host.label("site")) as link:
        assert link.get("/bytes/3000000", "-o", tmp_path / "up").status == 200
        told = link.get("/sum", "-T", tmp_path / "up", "-X", "POST", "-H", "Transfer-Encoding: chunked").json
        assert told == {"length": 3_000_000, "sha256": digest_of_bytes(3_000_000)}


def test_more_than_max_streams_get_503_and_the_others_go_on(tmp_path: Path, host: Node) -> None:
    with linked(tmp_path, host.label("site"), "max_streams = 3\n") as link, contextlib.ExitStack() as stack:
        downloads = [
            stack.enter_context(Download(f"http://127.0.0.1:{link.port}/stall/1000", tmp_path / f"got{number}"))
            for number in range(3)
        ]
        for download in downloads:
            download.has_received(1000)
        one_more = link.get("/", "-i")
        assert one_more.status == 503
        assert "There is no room" in one_more.text
        assert all(download.running for download in downloads)
        assert (link.row["streams"], link.row["max_streams"], link.flows()) == (3, 3, 1)


def test_a_connection_that_is_kept_survives_the_links_fall_and_is_told(tmp_path: Path, host: Node) -> None:
    with (
        linked(tmp_path, host.label("site"), "connect_interval = 0.5\n") as link,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", link.port, timeout=60)) as client,
    ):

        def status() -> int:
            client.request("GET", "/echo")
            answer = client.getresponse()
            answer.read()
            return answer.status

        assert status() == 200
        kept = client.sock
        host.kill()
        link.is_("down")
        assert status() == 503
        host.start()
        link.is_("up")
        assert status() == 200
        assert client.sock is kept


def test_two_links_to_two_services_do_not_meet(tmp_path: Path, host: Node) -> None:
    with running_origin(name="the other") as other:
        host.share("other", other.port)
        port = free_port()
        second = f"[Peer:second]\nlabel = {host.label('other')}\nlisten = 127.0.0.1:{port}\n"
        with linked(tmp_path, host.label("site"), second) as link:
            assert link.get().text == "hello from the origin\n"
            assert curl(f"http://127.0.0.1:{port}/").text == "hello from the other\n"
            assert [row["name"] for row in link.node.status()["links"]] == ["office", "second"]
            assert link.flows() == 2
            third = Link(tmp_path / "third", host.label("site"))
            with third.node:  # row 49: another daemon beside it
                assert third.get().text == "hello from the origin\n"


def test_who_is_not_invited_stays_down_until_he_is(tmp_path: Path, host: Node, origin: RunningOrigin) -> None:
    ini = host.services / "site.ini"
    label = host.label("site")
    host.write("site", f"{ini.read_text()}[Access]\nclients = invited\n")
    refused = ("lets in whom he has invited", "taken back your right to visit")  # he may come before the file is read
    with linked(tmp_path, label, "connect_interval = 0.5\n") as link:
        assert link.is_("down")["reason"].endswith(refused), "and he is told"
        refused_there = link.get("/", "-i")
        assert refused_there.status == 503
        assert "does not let this node in" in refused_there.text
        key = link.node.hardline("key", label).stdout.strip()
        (host.services / "site.ini.clients").write_text(f"{key} the office\n")
        link.is_("up")
        assert link.get().status == 200
        (host.services / "site.ini.clients").write_text("# nobody\n")
        wait_until(lambda: "taken back your" in link.is_("down")["reason"], "taken out, he is cut, and told why")


def test_a_host_is_dialled_where_the_settings_say_it_is(tmp_path: Path, host: Node) -> None:
    more = f"address = 127.0.0.1:{host.p2pport}\n[LAN]\nenabled = no\n"
    with linked(tmp_path, host.label("site"), more) as link:
        assert link.row["endpoint"] == f"127.0.0.1:{host.p2pport}"
        [session] = link.node.sessions("visiting")
        assert (session["found_by"], session["kind"]) == ("settings", "DIRECT")
        assert link.get().status == 200


def test_what_a_kernel_does_not_have_is_said_at_start(tmp_path: Path) -> None:
    code, said = refused(Link(tmp_path / "a", NOBODY, "congestion = nonsense\n").node)
    assert code == 1
    assert "[Peer:office] congestion: 'nonsense' cannot be used: this kernel has" in said
    code, said = refused(Link(tmp_path / "b", NOBODY, "pings = 2\n").node)
    assert code == 1
    assert "[Peer:office] has no key 'pings'" in said
    with socket.create_server(("127.0.0.1", 0)) as taken:
        link = Link(tmp_path / "c", NOBODY)
        port = taken.getsockname()[1]
        link.node._config.write_text(f"[Peer:office]\nlabel = {NOBODY}\nlisten = 127.0.0.1:{port}\n")
        code, said = refused(link.node)
    assert code == 1
    assert f"[Peer:office] listen: 127.0.0.1:{port} is taken by another program" in said


def test_the_status_is_json_that_tells_what_holds(tmp_path: Path, host: Node) -> None:
    more = (
        "ping_interval = 1\nidle_timeout = 3\nconnect_interval = 7\nstream_window = 1MB\nsession_window = 2MB\n"
        "nodelay = no\nsend_buffer = 32KB\nreceive_buffer = 64KB\n"
    )
    with linked(tmp_path, host.label("site"), more) as link:
        row = json.loads(json.dumps(link.row))
        assert (row["ping_interval_s"], row["idle_timeout_s"], row["connect_interval_s"]) == (1, 3, 7)
        assert (row["stream_window"], row["session_window"]) == (1 << 20, 2 << 20)
        assert (row["nodelay"], row["send_buffer"], row["receive_buffer"]) == (False, 32_768, 65_536)
        assert (row["kind"], row["open"], row["listen"]) == ("LAN", 0, f"127.0.0.1:{link.port}")


def test_who_is_at_the_address_and_is_not_the_host_is_not_taken(tmp_path: Path, host: Node) -> None:
    """Row 41, the other way round: somebody else listens where the settings say that the host is."""
    with linked(tmp_path, NOBODY, f"address = 127.0.0.1:{host.p2pport}\n[LAN]\nenabled = no\n") as link:
        assert link.is_("down")["reason"].startswith(f"127.0.0.1:{host.p2pport}: ")
        assert link.get().status == 503
        assert not link.node.sessions("visiting")
        assert not host.sessions("hosting")
