"""One computer, real programs: the daemon, the command, curl and a web server, on 127.0.0.1."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hardline import __version__
from tests.support import needs
from tests.support.beats import beats
from tests.support.node import SCRIPTS, Node, free_port, refused
from tests.support.origin import digest_of_bytes
from tests.support.programs import CUT, Download, RunningOrigin, curl
from tests.support.waiting import wait_until

pytestmark = [needs.tools("curl")]

HTML = ("-H", "Accept: text/html")
NOBODY = "0" * 40
TREE = Path(__file__).parent.parent


@pytest.fixture
def host(tmp_path: Path, origin: RunningOrigin) -> Iterator[Node]:
    """A node that shares the origin as "site"."""
    node = Node(tmp_path / "host")
    node.share("site", origin.port, title="The site")
    with node:
        yield node


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Node]:
    """A node that shares nothing."""
    with Node(tmp_path / "visitor") as node:
        yield node


# Visits.


def test_two_nodes_of_one_computer_find_each_other(host: Node, visitor: Node) -> None:
    label = host.label("site")
    answer = curl(visitor.url_of(label))
    assert (answer.status, answer.text) == (200, "hello from the origin\n")
    visit = visitor.last_visit(label)
    assert (visit["via"], visit["protocol"], visit["status"]) == ("LAN", "hardline/2", "ok")


def test_a_node_opens_its_own_services_through_its_own_door(host: Node) -> None:
    assert curl(host.url("site")).text == "hello from the origin\n"


def test_the_local_service_gets_the_request_as_the_browser_sent_it(host: Node, visitor: Node) -> None:
    url = visitor.url_of(host.label("site"), "echo")
    told = curl(url, "-H", "X-Odd:  two  spaces", "-d", "a=1&b=2").json
    assert told["request"] == "POST /echo HTTP/1.1"
    assert told["headers"]["host"] == urlsplit(url).netloc
    assert told["headers"]["x-odd"] == "two  spaces"
    assert told["body"] == "a=1&b=2"


def test_one_browser_connection_is_one_connection_to_the_service(host: Node, visitor: Node) -> None:
    url = visitor.url_of(host.label("site"), "echo")
    answer = curl(url, url, url)
    before = [int(count) for count in re.findall(r'"before": (\d+)', answer.text)]
    assert before == [0, 1, 2]


@pytest.mark.parametrize("form", ["a.b.{label}.localhost", "{upper}.LOCALHOST", "{label}.localhost."])
def test_the_host_header_may_be_written_in_every_way_that_names_the_label(host: Node, visitor: Node, form: str) -> None:
    label = host.label("site")
    name = form.format(label=label, upper=label.upper())
    answer = curl(f"http://127.0.0.1:{visitor.localport}/", "-H", f"Host: {name}:{visitor.localport}")
    assert answer.text == "hello from the origin\n"


def test_the_door_listens_on_ipv6_too(host: Node) -> None:
    answer = curl(f"http://[::1]:{host.localport}/", "-H", f"Host: {host.label('site')}.localhost")
    assert answer.text == "hello from the origin\n"


def test_a_visitor_that_ends_its_sending_still_gets_the_whole_answer(host: Node, visitor: Node) -> None:
    label, count = host.label("site"), 3_000_000
    with socket.create_connection(("127.0.0.1", visitor.localport), timeout=100) as browser:
        browser.sendall(f"GET /bytes/{count} HTTP/1.0\r\nHost: {label}.localhost\r\n\r\n".encode())
        browser.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: browser.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert len(body) == count


def test_an_upload_arrives_whole(host: Node, visitor: Node, tmp_path: Path) -> None:
    file = tmp_path / "upload"
    assert curl(host.url("site", "bytes/20000000"), "-o", file).code == 0
    sent = curl(visitor.url_of(host.label("site"), "sum"), "--data-binary", f"@{file}", "-H", "Expect:").json
    assert sent == {"length": 20_000_000, "sha256": digest_of_bytes(20_000_000)}


def test_an_answer_that_ends_with_its_connection_is_whole_and_ends_at_once(host: Node, visitor: Node) -> None:
    answer = curl(visitor.url_of(host.label("site"), "until-end/300000"), limit=30)
    assert (answer.code, len(answer.body)) == (0, 300_000)


def test_events_arrive_when_they_are_sent_and_not_later(host: Node, visitor: Node, tmp_path: Path) -> None:
    label = host.label("site")
    heard = tmp_path / "heard"
    with Download(visitor.url_of(label, "events"), heard) as events:
        events.has_received(len(b"data: 0\n\n"))
        assert curl(visitor.url_of(label, "event")).status == 200
        wait_until(lambda: heard.read_bytes() == b"data: 0\n\ndata: 1\n\n", "the second event arrived", 5)


def test_a_websocket_works_through_the_tunnel(host: Node, visitor: Node) -> None:
    label = host.label("site")
    with socket.create_connection(("127.0.0.1", visitor.localport), timeout=100) as browser:
        assert b" 101 " in websocket_handshake(browser, f"{label}.localhost:{visitor.localport}")
        for text in (b"hello", b"again" * 20):
            browser.sendall(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)
            assert browser.recv(2 + len(text), socket.MSG_WAITALL) == bytes([0x81, len(text)]) + text


def websocket_handshake(browser: socket.socket, host: str) -> bytes:
    browser.sendall(
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += browser.recv(1)
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455, section 1.3: the answer to this key
    return head


# What a person reads when it fails.


def test_a_password_is_asked_for_and_a_wrong_one_is_403(host: Node, visitor: Node, origin: RunningOrigin) -> None:
    host.share("club", origin.port, password="Sesame")
    label = host.label("club")
    key_hash = label.rpartition("-")[2]
    assert label == f"sesame-{key_hash}"
    assert curl(visitor.url_of(f"SESAME-{key_hash}")).text == "hello from the origin\n"
    for wrong in (f"other-{key_hash}", key_hash):
        assert curl(visitor.url_of(wrong)).status == 403
    assert curl(visitor.url_of(label)).status == 200


@pytest.mark.parametrize("name", ["evil.example", "localhost.evil.example", "192.168.1.1", f"{NOBODY}.evil.example"])
def test_a_host_that_is_not_ours_is_421(host: Node, name: str) -> None:
    answer = curl(f"http://127.0.0.1:{host.localport}/", "-H", f"Host: {name}:{host.localport}")
    assert answer.status == 421
    assert "hello" not in answer.text


def test_a_refused_local_service_is_502_and_names_it(host: Node, visitor: Node, origin: RunningOrigin) -> None:
    origin.kill()
    assert curl(visitor.url_of(host.label("site"))).status == 502


def test_an_event_source_of_a_service_that_is_down_is_cut_so_that_it_asks_again(
    host: Node, visitor: Node, origin: RunningOrigin
) -> None:
    origin.kill()
    answer = curl(visitor.url_of(host.label("site"), "events"), "-H", "Accept: text/event-stream")
    assert (answer.status, answer.body) == (0, b"")
    assert answer.code in (52, 56)  # CURLE_GOT_NOTHING, CURLE_RECV_ERROR


def test_an_absent_host_is_503_with_a_page_for_people_and_text_for_programs(visitor: Node) -> None:
    page = curl(visitor.url_of(NOBODY), *HTML)
    assert page.status == 503
    assert page.text.lstrip().lower().startswith("<!doctype html>")
    text = curl(visitor.url_of(NOBODY))
    assert text.status == 503
    assert "<" not in text.text


def test_the_home_page_lists_services_and_escapes_hostile_titles(
    host: Node, visitor: Node, origin: RunningOrigin
) -> None:
    host.share("bad", origin.port, title="<script>alert(1)</script>")
    for node in (host, visitor):
        page = curl(f"http://localhost:{node.localport}/", *HTML)
        assert page.status == 200
        assert node.url_of(host.label("site")) in page.text
        assert "<script>alert(1)" not in page.text
        assert "&lt;script&gt;" in page.text


def test_a_download_is_cut_and_not_complete_when_the_service_dies(
    host: Node, visitor: Node, origin: RunningOrigin, tmp_path: Path
) -> None:
    with Download(visitor.url_of(host.label("site"), "stall/300000"), tmp_path / "part") as download:
        download.has_received(300_000)
        origin.kill()
        assert download.exit_code() in CUT


def test_a_download_is_cut_and_not_complete_when_the_host_dies(host: Node, visitor: Node, tmp_path: Path) -> None:
    with Download(visitor.url_of(host.label("site"), "stall/300000"), tmp_path / "part") as download:
        download.has_received(300_000)
        host.kill()
        assert download.exit_code() in CUT
    host.start()


# The service directory, live.


def test_streams_of_untouched_services_go_on_while_others_come_change_break_and_go(
    host: Node, visitor: Node, origin: RunningOrigin, tmp_path: Path
) -> None:
    label, heard = host.label("site"), tmp_path / "heard"
    with Download(visitor.url_of(label, "events"), heard) as events:
        events.has_received(1)
        host.share("other", origin.port, title="first")
        other = host.label("other")
        assert curl(visitor.url_of(other)).status == 200
        host.share("other", origin.port, title="second")
        wait_until(lambda: host.serves("other")["title"] == "second", "the new title was taken up")
        assert host.label("other") == other
        host.write("other", "[Service]\nport = http\n")
        stale = wait_until(lambda: host.service("other", "stale"), "the broken file was told")
        assert "port" in stale["problem"]
        assert curl(visitor.url_of(other)).status == 200
        (host.services / "other.ini").unlink()
        wait_until(lambda: host.service("other") is None, "the removed service was gone")
        assert curl(visitor.url_of(other)).status == 503
        assert curl(visitor.url_of(label, "event")).status == 200
        wait_until(lambda: heard.read_bytes() == b"data: 0\n\ndata: 1\n\n", "the stream went on", 5)


def test_a_broken_file_does_not_stop_the_others_at_start(tmp_path: Path, origin: RunningOrigin) -> None:
    node = Node(tmp_path / "node")
    node.share("good", origin.port)
    node.write("bad", "[Service]\nservice = localhost\nprot = 80\n")
    with node:
        assert curl(node.url("good")).status == 200
        broken = node.service("bad", "broken")
        assert broken is not None
        assert "prot" in broken["problem"]
        assert "bad.ini" in broken["file"]


def test_a_service_that_does_not_say_for_whom_it_is_is_served_to_nobody_by_any_way(
    host: Node, visitor: Node, origin: RunningOrigin, tmp_path: Path
) -> None:
    label = host.label("site")
    assert curl(visitor.url_of(label)).status == 200
    ini = host.services / "site.ini"
    host.write("site", f"{ini.read_text()}[Access]\nclients = anna\n")
    wait_until(lambda: host.service("site", "closed"), "the service is closed")
    wait_until(lambda: not visitor.sessions("visiting"), "the session that there was has ended")
    assert curl(visitor.url_of(label)).status == 503
    assert curl(host.url_of(label)).status == 503
    assert hardline_1_answers(host.p2pport, label) == b""
    with Node(tmp_path / "newcomer") as newcomer:
        assert label not in newcomer.hardline("lan").stdout
    shown = host.hardline("status").stdout
    assert "[site: closed]" in shown
    assert "not served: [Access] clients is 'anna', expected everyone or invited" in shown
    host.stop()
    host.start()
    assert host.service("site", "closed"), "nor after a start"
    assert curl(visitor.url_of(label)).status == 503
    host.share("site", origin.port)
    # Known as absent for a moment: who asks then waits a little, not until the dial behind it is over.
    wait_until(lambda: curl(visitor.url_of(label)).status == 200, "it is served again")


def test_a_service_for_invited_visitors_lets_in_whom_its_owner_lists_and_nobody_else(
    host: Node, visitor: Node, origin: RunningOrigin, tmp_path: Path
) -> None:
    label = host.label("site")
    ini, clients = host.services / "site.ini", host.services / "site.ini.clients"
    assert curl(visitor.url_of(label)).status == 200
    host.write("site", f"{ini.read_text()}[Access]\nclients = invited\n")
    wait_until(lambda: not visitor.sessions("visiting"), "who was there is not on the list, and is cut")
    origin.kill()
    refused = curl(visitor.url_of(label))
    assert refused.status == 403
    assert b"hardline key" in refused.body, "which says so before anybody asks the service"
    assert hardline_1_answers(host.p2pport, label) == b"", "nor is it shown to originals"
    assert label not in visitor.hardline("lan").stdout

    key = visitor.hardline("key", host.url_of(label)).stdout.strip()
    assert visitor.hardline("key", label).stdout.strip() == key
    node_key = visitor.hardline("key").stdout.strip()
    assert len({key, node_key, label}) == 3
    assert curl(visitor.url_of(label)).status == 403, "a key that the owner does not know opens nothing"
    wait_until(lambda: f"site.ini.clients: {key}" in host.log, "it is in the log, ready to paste")
    origin.start()  # which nobody who was refused has missed
    assert curl(host.url_of(label)).status == 200, "the owner's own computer needs no invitation"

    clients.write_text(f"{key} the visitor of this test\n")
    wait_until(lambda: curl(visitor.url_of(label)).status == 200, "who is on the list is let in")
    [guest] = [each for each in host.sessions("hosting") if each.get("client") == key]
    assert guest["protocol"] == "hardline/2"
    with Node(tmp_path / "stranger") as stranger:
        assert curl(stranger.url_of(label)).status == 403
        stranger.hardline("key", label)
        assert curl(stranger.url_of(label)).status == 403
    visitor.stop()
    visitor.start()
    assert curl(visitor.url_of(label)).status == 200, "the key is kept"

    clients.write_text("# nobody\n")
    wait_until(lambda: not visitor.sessions("visiting"), "taken out, he is cut")
    assert curl(visitor.url_of(label)).status == 403
    wrong = visitor.hardline("key", "nonsense")
    assert (wrong.returncode, wrong.stdout) == (2, "")


def hardline_1_answers(port: int, key_hash: str) -> bytes:
    """What an original is told by a host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        try:
            with context.wrap_socket(raw, server_hostname=key_hash) as tls:
                tls.sendall(b"{}\n")
                return tls.recv(4096)
        except (ssl.SSLError, ConnectionError):
            return b""


def test_a_service_keeps_its_url_over_a_restart(host: Node) -> None:
    before = host.url("site")
    host.stop()
    host.start()
    assert host.url("site") == before


# The command.


def test_share_prints_a_url_that_works_and_remove_takes_it_back(visitor: Node, origin: RunningOrigin) -> None:
    shared = visitor.hardline("share", str(origin.port), "--name", "mine", "--title", "Mine")
    url = shared.stdout.strip()
    assert shared.returncode == 0
    assert curl(url).text == "hello from the origin\n"
    assert visitor.hardline("remove", "mine").returncode == 0
    assert curl(url).status == 503


def test_lan_shows_what_others_list_and_nothing_unlisted(host: Node, visitor: Node, origin: RunningOrigin) -> None:
    host.share("quiet", origin.port, listed=False)
    offers = {offer["label"]: offer for offer in json.loads(visitor.hardline("lan", "--json").stdout)}
    assert offers[host.label("site")]["title"] == "The site"
    assert host.label("quiet") not in offers


def test_an_unlisted_service_is_found_by_those_who_know_its_name(
    host: Node, visitor: Node, origin: RunningOrigin
) -> None:
    host.share("quiet", origin.port, listed=False)
    label = host.label("quiet")
    assert curl(visitor.url_of(label)).status == 200
    assert visitor.last_visit(label)["via"] == "LAN"


def test_the_command_says_what_to_do_when_no_daemon_runs(tmp_path: Path) -> None:
    node = Node(tmp_path / "node")
    done = node.hardline("status")
    assert done.returncode == 3
    assert done.stderr.startswith("hardline: error: no hardlined runs")
    assert "\nhardline: hint: " in done.stderr


def test_the_control_socket_and_the_keys_are_the_owners_alone(host: Node) -> None:
    for file in (host.data / "control.sock", host.services / "site.ini.cert.private", host.data / "node.cert.private"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("program", ["hardlined --version", "hardline version"])
def test_both_programs_tell_their_version(program: str) -> None:
    name, argument = program.split()
    said = subprocess.run([SCRIPTS / name, argument], capture_output=True, text=True, timeout=100, check=True)
    assert said.stdout.split() == [name, __version__]


# Beginning and end.


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionRefusedError:
        return True
    return False


def test_sigterm_lets_a_download_come_to_its_end(host: Node, visitor: Node, tmp_path: Path) -> None:
    url = visitor.url_of(host.label("site"), "bytes/60000000")
    with Download(url, tmp_path / "got", "--limit-rate", "30M") as download:
        download.has_received(1)
        host.signal(signal.SIGTERM)
        host.is_told("STOPPING=1")
        wait_until(lambda: is_refused(host.p2pport), "nobody new is taken")
        assert download.running, "and meanwhile"
        assert host.ended() == 0
        assert download.exit_code() == 0
        assert download.received == 60_000_000


def test_a_download_on_a_session_that_was_replaced_is_seen_and_comes_to_its_end(
    host: Node, visitor: Node, origin: RunningOrigin, tmp_path: Path
) -> None:
    label = host.label("site")
    with Download(visitor.url_of(label, "bytes/100000000"), tmp_path / "got", "--limit-rate", "20M") as download:
        download.has_received(1)
        host.share("site", origin.port, password="sesame")
        wait_until(lambda: visitor.sessions("visiting")[0]["draining"], "the host takes no new streams on it")
        assert curl(visitor.url_of(label)).status == 403, "another session was begun, and refused"
        assert curl(visitor.url_of(host.label("site"))).status == 200
        sessions = {session["label"]: session for session in visitor.sessions("visiting") if session["streams"]}
        assert sessions[label]["draining"]
        assert "takes no new streams" in visitor.hardline("status").stdout
        visitor.signal(signal.SIGTERM)
        visitor.is_told("STOPPING=1")
        assert visitor.ended() == 0
        assert download.exit_code() == 0
        assert download.received == 100_000_000


def test_a_download_outlives_the_last_words_of_its_host_and_of_its_visitor(
    host: Node, visitor: Node, tmp_path: Path
) -> None:
    url = visitor.url_of(host.label("site"), "bytes/60000000")
    with Download(url, tmp_path / "got", "--limit-rate", "20M") as download:
        download.has_received(1)
        host.signal(signal.SIGTERM)
        wait_until(lambda: visitor.sessions("visiting")[0]["draining"], "the host goes away")
        visitor.signal(signal.SIGTERM)
        assert visitor.ended() == 0
        assert host.ended() == 0
        assert download.exit_code() == 0
        assert download.received == 60_000_000


class FewNumbers(Node):
    """A node whose sessions have numbers for four streams each."""

    @property
    def command(self) -> list[str]:
        program = (
            "import sys; from hardline.session import yamux; yamux._LAST_STREAM = 8;"
            "from hardline.hardlined import main; sys.exit(main(sys.argv[1:]))"
        )
        return [sys.executable, "-c", program, *super().command[1:]]


def test_a_download_goes_on_when_its_session_has_no_numbers_left_for_others(host: Node, tmp_path: Path) -> None:
    label = host.label("site")
    with (
        FewNumbers(tmp_path / "visitor") as visitor,
        Download(visitor.url_of(label, "bytes/100000000"), tmp_path / "got", "--limit-rate", "20M") as download,
    ):
        download.has_received(1)
        for _ in range(5):
            assert curl(visitor.url_of(label)).status == 200
        sessions = visitor.sessions("visiting")
        assert [(session["draining"], session["streams"]) for session in sessions if session["streams"]] == [(True, 1)]
        assert len(sessions) == 2
        visitor.signal(signal.SIGTERM)
        visitor.is_told("STOPPING=1")
        assert visitor.ended() == 0
        assert download.exit_code() == 0
        assert download.received == 100_000_000


def test_a_second_signal_ends_at_once_with_130(host: Node, tmp_path: Path) -> None:
    with Download(host.url("site", "bytes/2000000000"), tmp_path / "got", "--limit-rate", "5M") as download:
        download.has_received(1)
        host.signal(signal.SIGINT)
        host.is_told("STOPPING=1")
        began = beats()
        host.signal(signal.SIGINT)
        assert host.ended() == 130
        assert beats() - began < 5


@pytest.mark.parametrize("which", ["localport", "p2pport"])
def test_a_taken_port_is_an_error_and_never_a_silent_shift(tmp_path: Path, which: str) -> None:
    node = Node(tmp_path / "node")
    with socket.create_server(("127.0.0.1", getattr(node, which))):
        code, log = refused(node)
    assert code == 1
    [error] = re.findall(rf"^hardlined: error: (.*{which}.*{getattr(node, which)}.*)", log, re.MULTILINE)
    assert "hardlined: hint: " in log
    assert node.told[-1] == f"STATUS={error}"


def test_a_second_daemon_on_one_data_directory_is_an_error(host: Node, tmp_path: Path) -> None:
    second = Node(tmp_path / "second")
    second.data = host.data
    code, log = refused(second)
    assert code == 1
    assert "another hardlined" in log


def test_a_key_that_others_can_read_is_refused_and_named(host: Node) -> None:
    host.stop()
    key = host.services / "site.ini.cert.private"
    key.chmod(0o644)
    with Node(host.services.parent) as again:
        broken = again.service("site", "broken")
        assert broken is not None
        assert str(key) in f"{broken['problem']} {broken['hint']}"


def test_a_key_of_the_node_that_is_weak_or_that_others_can_read_is_an_error(tmp_path: Path) -> None:
    node = Node(tmp_path)
    with node:
        key = node.data / "node.cert.private"
        assert key.stat().st_mode & 0o777 == 0o600, "as the first start makes it"
    good = key.read_bytes()
    key.chmod(0o644)
    code, log = refused(node)
    assert (code, f"hardlined: hint: chmod 600 {key}" in log) == (1, True), log
    assert node.told[-1].startswith(f"STATUS={key}: other users may read or write this private key")
    key.chmod(0o600)
    key.write_bytes(b"password")
    code, log = refused(node)
    assert (code, f"{key}: this is no private key in PEM form" in log) == (1, True), log
    key.write_bytes(good)
    assert node.key_hash in (node.data / "node.cert.hash").read_text()


@needs.root()
@needs.tools("unshare", "mount")
@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        ("mount -t tmpfs -o ro none", "read-only"),
        ("mount -t tmpfs -o size=4k none {data} && head -c 4096 /dev/zero > {data}/full; true", "no space left"),
    ],
)
def test_a_first_start_on_a_data_directory_that_cannot_be_written_is_a_clear_error(
    tmp_path: Path, mount: str, reason: str
) -> None:
    directory = tmp_path / "node"
    data = directory / "data"
    data.mkdir(parents=True)
    mounting = mount.format(data=data) if "{data}" in mount else f"{mount} {data}"
    code, log = refused(Node(directory, before=["unshare", "-m", "sh", "-c", f'{mounting} && exec "$@"', "sh"]))
    assert code == 1
    error = next(line for line in log.splitlines() if line.startswith("hardlined: error: "))
    assert str(data) in error
    assert reason in error


@needs.root()
@needs.linux()
def test_nothing_is_written_through_links_that_others_put_into_the_data_directory(tmp_path: Path) -> None:
    """Where others may write, they know our names before we use them."""
    with Node(tmp_path / "node") as node:
        names = [path.relative_to(node.data) for path in node.data.rglob("*") if "node.cert" not in path.name]
    precious = tmp_path / "precious"
    planted = {Path(f".probe.{number}") for number in range(2, 5000)} | {
        Path(f"routes.db-{end}") for end in ("wal", "shm")
    }
    for name in [*names, *planted]:
        link, kept = node.data / name, precious / str(name)
        if link.is_dir():
            continue
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.touch()
        link.unlink(missing_ok=True)
        link.symlink_to(kept)
        os.chown(link, 12_345, 12_345, follow_symlinks=False)
    assert names
    with Node(tmp_path / "node") as node:
        assert node.status()["pid"]
    assert {path.name: path.stat().st_size for path in precious.rglob("*") if path.is_file()} == {
        path.name: 0 for path in precious.rglob("*") if path.is_file()
    }


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    place = tmp_path / "node" / "data"
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def _fill(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


def _protect(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)


@needs.root()
@needs.tools("mount", "curl")
@pytest.mark.parametrize(
    ("spoil", "reason", "end"),
    [
        pytest.param(_protect, "read-only file system", "stop", marks=pytest.mark.full),
        (_fill, "no space left on device", "kill"),
    ],
)
def test_a_data_directory_that_takes_nothing_more_is_a_warning_and_everything_is_served(
    tmp_path: Path, origin: RunningOrigin, disk: Path, spoil: Callable[[Path], None], reason: str, end: str
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "a.txt").write_text("found")
    node = Node(disk.parent)
    node.share("site", origin.port)
    node.write("files", f"[Service]\nservice =\n[Cache]\ndirectory = {shared}\n")
    node.write("cached", f"[Service]\nservice = localhost\nport = {origin.port}\n[Cache]\ndirectory = cached\n")
    with Node(tmp_path / "other") as other:
        other.share("far", origin.port)
        far = other.label("far")
        node.start()
        assert curl(node.url_of(far)).status == 200
        assert curl(node.url("cached")).status == 200
        getattr(node, end)()
        spoil(disk)
        with Node(disk.parent) as again:
            assert f"datadir.unwritable   directory={disk}" in again.log
            assert reason in again.log
            for name, path, text in [
                ("site", "", "hello from the origin\n"),
                ("files", "a.txt", "found"),
                ("cached", "", "hello from the origin\n"),
            ]:
                assert curl(again.url(name, path)).text == text
            if end == "stop":  # what a killed process left half written can only be read where it can be mended
                assert far in [peer["key_hash"] for peer in again.status()["peers"]]
            assert curl(again.url_of(far)).status == 200


def test_sighup_reads_the_settings_anew_and_stops_nothing(host: Node, tmp_path: Path) -> None:
    settings = host.services.parent / "hardline.ini"
    with Download(host.url("site", "events"), tmp_path / "heard") as events:
        events.has_received(1)
        before = settings.read_text()

        settings.write_text(f"{before}[Dial]\nstagger = 0.5\n[LAN]\nmdns = no\n")
        host.signal(signal.SIGHUP)
        waiting = 'settings.waiting     changed="[LAN] mdns, [Dial] stagger" hint="restart hardlined"'
        wait_until(lambda: waiting in host.log, "it was said what waits for a restart")

        settings.write_text("[Dail]\n")
        host.signal(signal.SIGHUP)
        wait_until(lambda: "settings.refused" in host.log, "the mistake was told")
        assert "did you mean [Dial]?" in host.log

        settings.write_text(before)
        host.signal(signal.SIGHUP)
        wait_until(lambda: host.log.count("settings.read") == 2, "it was read once more")
        assert host.told.count("READY=1") >= 1
        assert events.running
        assert curl(host.url("site", "event")).status == 200


def test_the_level_of_the_log_changes_while_it_runs(tmp_path: Path) -> None:
    settings = tmp_path / "hardline.ini"
    settings.write_text("[Log]\nlevel = warning\nformat = json\n[DHT]\nenabled = no\n[UPnP]\nenabled = no\n")
    log = tmp_path / "log"
    places = ["--servicedir", tmp_path / "services", "--datadir", tmp_path / "data", "--config", settings]
    ports = ["--bind", "127.0.0.1", "--localport", "0", "--p2pport", "0"]
    with log.open("wb") as writing:
        process = subprocess.Popen([SCRIPTS / "hardlined", *places, *ports], stderr=writing)
    try:
        wait_until((tmp_path / "data" / "control.sock").exists, "it runs", 20)
        settings.write_text("[DHT]\nenabled = no\n[UPnP]\nenabled = no\n")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "settings.read" in log.read_text(), "the other level holds", 20)
        line = next(line for line in log.read_text().splitlines() if "settings.read" in line)
        assert line.endswith('INFO    settings.read        changed="[Log] level, [Log] format"')
    finally:
        process.terminate()
        assert process.wait(20) == 0


@needs.tools("prlimit")
def test_too_few_descriptors_are_a_clear_error(tmp_path: Path) -> None:
    code, log = refused(Node(tmp_path / "node", before=["prlimit", "--nofile=16:16"]))
    assert code == 1
    assert "hardlined: error: cannot start: 16 open files are too few\n" in log
    assert "96 are the least" in log


def test_an_answer_that_ends_with_its_connection_is_cut_when_the_visitors_daemon_is_killed(
    host: Node, tmp_path: Path
) -> None:
    """The kernel closes for a process that is gone: in order, unless it was told otherwise."""
    label = host.label("site")
    with Node(tmp_path / "visitor") as visitor:
        url = visitor.url_of(label, "until-end/50000000")
        with Download(url, tmp_path / "got", "--limit-rate", "5M") as download:
            download.has_received(1_000_000)
            visitor.kill()
            assert download.exit_code() in CUT


def test_an_answer_that_ends_with_its_connection_is_whole_for_who_reads_slowly(
    host: Node, visitor: Node, tmp_path: Path
) -> None:
    with Download(
        visitor.url_of(host.label("site"), "until-end/8000000"), tmp_path / "got", "--limit-rate", "3M"
    ) as got:
        assert got.exit_code() == 0
    assert (tmp_path / "got").stat().st_size == 8_000_000


def test_who_asks_a_daemon_that_is_starting_gets_his_answer_when_it_is_up(tmp_path: Path) -> None:
    node = Node(tmp_path / "node")
    answers: list[bytes] = []

    def ask() -> None:
        path = node.data / "control.sock"
        wait_until(path.exists, "the socket is there", 20)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(100)
            wait_until(lambda: asking.connect_ex(str(path)) == 0, "somebody listens", 20)
            asking.sendall(b'{"do": "status"}\n')
            answers.append(asking.makefile("rb").readline())

    thread = threading.Thread(target=ask)
    thread.start()
    with node:
        thread.join()
    assert json.loads(answers[0])["ok"]["node"]["door"]
    assert "task.failed" not in node.log


def test_make_run_serves_the_example_and_leaves_nothing_behind(tmp_path: Path) -> None:
    tree, localport = tmp_path / "tree", free_port()
    shutil.copytree(TREE / "scripts", tree / "scripts")
    (tree / "services.d").mkdir()
    shutil.copy(TREE / "services.d" / "example.ini", tree / "services.d")
    log = tree / "said"
    command: list[str | Path] = [sys.executable, tree / "scripts" / "run.py", "--bind", "127.0.0.1", "--p2pport", "0"]
    with log.open("wb") as said:
        run = subprocess.Popen([*command, "--localport", str(localport)], stdout=said, stderr=subprocess.STDOUT)
    try:
        url = rf"run: +(http://[0-9a-f]{{40}}\.localhost:{localport}/)"
        found = wait_until(lambda: re.search(url, log.read_text()), "a URL was printed", 20)
        assert "It works" in curl(found[1]).text
        assert "notes.md" in curl(f"{found[1]}files/").text
        (tree / "run" / "cache" / "example" / "mine.txt").write_text("and mine")
        assert curl(f"{found[1]}mine.txt").text == "and mine"
        run.send_signal(signal.SIGINT)
        assert run.wait(100) == 0
    finally:
        run.kill()
        run.wait()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", localport), timeout=100)
