"""Our node and the original hardline 0.0.16, each visiting the other over a LAN, with a browser's usual work."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.interop.conftest import Pair
from tests.interop.original import Original
from tests.netns.lab import Lab
from tests.support import needs
from tests.support.node import Node
from tests.support.origin import digest_of_bytes
from tests.support.programs import Download, curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "sha256sum"),
]

BIG = 100_000_000


def test_a_page_is_served_and_the_path_is_the_lan(pair: Pair) -> None:
    answer = pair.curl()
    assert (answer.status, answer.text) == (200, "hello from the origin\n")
    if isinstance(pair.visitor, Node):
        visit = pair.visitor.last_visit(pair.label)
        assert (visit["via"], visit["protocol"], visit["status"]) == ("LAN", "hardline/1", "ok")


def test_an_open_connection_shows_as_a_session_of_the_old_protocol(pair: Pair, tmp_path: Path) -> None:
    with Download(pair.url + "stall/1000", tmp_path / "part", at=pair.visitor_machine) as download:
        download.has_received(1000)
        for node, role in ((pair.visitor, "visiting"), (pair.host, "hosting")):
            if isinstance(node, Node):
                sessions = [(session["protocol"], session["streams"]) for session in node.sessions(role)]
                assert ("hardline/1", 1) in sessions


def test_a_connection_is_kept_and_used_again(pair: Pair) -> None:
    url = pair.url + "echo"
    before = [int(count) for count in re.findall(r'"before": (\d+)', pair.curl("echo", url, url).text)]
    assert before == [0, 1, 2]


def test_100_mb_arrive_with_the_right_digest(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "got"
    assert pair.curl(f"bytes/{BIG}", "-o", file, limit=100).code == 0
    assert pair.visitor_machine.run(["sha256sum", file]).split()[0] == digest_of_bytes(BIG)


def test_a_small_post_arrives_as_it_was_sent(pair: Pair) -> None:
    told = pair.curl("echo", "-d", "name=value&more=1").json
    assert (told["request"], told["body"]) == ("POST /echo HTTP/1.1", "name=value&more=1")


def test_a_large_post_arrives_whole(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "sent"
    pair.curl("bytes/20000000", "-o", file)
    told = pair.curl("sum", "--data-binary", f"@{file}", "-H", "Expect:", limit=60).json
    assert told == {"length": 20_000_000, "sha256": digest_of_bytes(20_000_000)}


@pytest.mark.parametrize("size", [4095, 4096, 4097, 8193, 16_384, 65_537])
def test_a_body_of_any_size_near_the_originals_limit_does_not_stall(pair: Pair, tmp_path: Path, size: int) -> None:
    file = tmp_path / "sent"
    answer = pair.curl(f"bytes/{size}", "-o", file, limit=60)
    assert answer.code == 0
    told = pair.curl("sum", "--data-binary", f"@{file}", limit=60).json
    assert told == {"length": size, "sha256": digest_of_bytes(size)}


def test_an_answer_that_ends_with_its_connection_is_whole_and_ends_at_once(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "got"
    assert pair.curl("until-end/300000", "-o", file, limit=30).code == 0
    assert pair.visitor_machine.run(["sha256sum", file]).split()[0] == digest_of_bytes(300_000)


def test_a_websocket_works(pair: Pair) -> None:
    hello = base64.b64encode(bytes([0x81, 0x85]) + bytes(4) + b"hello" + bytes([0x88, 0x80]) + bytes(4)).decode()
    answer = pair.visitor_machine.run(["python3", "-c", WEBSOCKET, pair.label, hello])
    assert answer == "101 Switching Protocols\n8105" + b"hello".hex() + "8800\n"


WEBSOCKET = """
import base64, socket, sys
browser = socket.create_connection(("127.0.0.1", 7009), timeout=100)
browser.sendall((
    f"GET /ws HTTP/1.1\\r\\nHost: {sys.argv[1]}.localhost:7009\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
    "Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n").encode())
head = b""
while not head.endswith(b"\\r\\n\\r\\n"):
    head += browser.recv(1)
print(head.split(b"\\r\\n")[0].decode().partition(" ")[2])
browser.sendall(base64.b64decode(sys.argv[2]))
print(b"".join(iter(lambda: browser.recv(4096), b"")).hex())
"""


def test_a_wrong_password_gets_nothing(pair: Pair) -> None:
    key_hash = pair.label.rpartition("-")[2]
    answer = curl(pair.visitor.url_of(f"wrong-{key_hash}"), at=pair.visitor_machine, limit=60)
    assert "hello" not in answer.text
    if isinstance(pair.visitor, Node):
        assert answer.status in (403, 502, 503)


def test_many_connections_at_once_are_all_served(pair: Pair) -> None:
    urls = [pair.url + f"bytes/{size}" for size in range(20_000, 20_040)]
    parallel = ["--parallel", "--parallel-immediate", "--parallel-max", "40", "-w", "%{http_code} %{size_download}\\n"]
    outputs = [word for url in urls for word in ("-o", "/dev/null", url)]
    done = pair.visitor_machine.run(["curl", "-q", "-sS", "-m", "60", *parallel, *outputs], timeout=70)
    assert sorted(done.split("\n")[:-1]) == [f"200 {size}" for size in range(20_000, 20_040)]


def test_titles_with_a_colon_are_read_by_both(pair: Pair) -> None:
    if isinstance(pair.visitor, Node):
        offers = json.loads(pair.visitor.hardline("lan", "--json").stdout)
        assert [(offer["label"], offer["title"]) for offer in offers] == [(pair.label, "My: site")]
    elif isinstance(pair.host, Node):
        # It splits at the last colon and would lose the title, so we send none.
        [offer] = pair.visitor.offers()
        assert (offer["hash"], offer["title"].split()) == (pair.label, ["My", "site"])


def test_a_service_of_the_original_without_a_password_is_visited(environment: Path, lab: Lab, tmp_path: Path) -> None:
    there, here = lab.machine("there"), lab.machine("here")
    host = Original(tmp_path / "host", environment, at=there)
    with running_origin(there) as origin, Node(tmp_path / "visitor", at=here) as visitor:
        host.share("site", origin.port)
        with host:
            host.kill()
            host.remove_password("site")
            host.start()
            label = host.label("site")
            assert "-" not in label
            assert curl(visitor.url_of(label), at=here).text == "hello from the origin\n"
            assert visitor.last_visit(label)["via"] == "LAN"


def test_a_service_of_ours_without_a_password_is_visited(environment: Path, lab: Lab, tmp_path: Path) -> None:
    there, here = lab.machine("there"), lab.machine("here")
    with running_origin(there) as origin, Node(tmp_path / "host", at=there) as host:
        host.share("site", origin.port)
        with Original(tmp_path / "visitor", environment, at=here) as visitor:
            assert curl(visitor.url_of(host.label("site")), at=here).text == "hello from the origin\n"


def test_a_service_moves_from_the_original_to_us_with_its_files_and_keeps_its_url(
    environment: Path, lab: Lab, tmp_path: Path
) -> None:
    there, here = lab.machine("there"), lab.machine("here")
    before, after = Original(tmp_path / "before", environment, at=there), Node(tmp_path / "after", at=there)
    with running_origin(there) as origin, Original(tmp_path / "visitor", environment, at=here) as visitor:
        before.share("site", origin.port)
        with before:
            label = before.label("site")
        for file in before.services.glob("site.ini*"):
            moved = shutil.copy(file, after.services)
            if file.name.endswith(".private"):
                os.chmod(moved, 0o600)
        with after:
            assert after.label("site") == label
            assert curl(visitor.url_of(label), at=here).text == "hello from the origin\n"


@pytest.mark.full
def test_an_original_that_left_the_lan_is_reached_at_the_wan_hosts_it_told(
    environment: Path, lab: Lab, tmp_path: Path
) -> None:
    there, here = lab.machine("there"), lab.machine("here")
    host = Original(tmp_path / "host", environment, at=there, external=there.public)
    with running_origin(there) as origin, Node(tmp_path / "visitor", at=here) as visitor:
        host.share("site", origin.port)
        with host:
            label = host.label("site")
            assert curl(visitor.url_of(label), at=here).status == 200
            assert visitor.last_visit(label)["via"] == "LAN"
            there.move(2)
            wait_until(lambda: curl(visitor.url_of(label), at=here).status == 200, "it was reached again", 20)
            visit = visitor.last_visit(label)
            assert (visit["via"], visit["endpoint"]) == ("REMEMBERED", f"{there.public}:7008")
            visitor.kill()
            visitor.start()
            assert curl(visitor.url_of(label), at=here).status == 200
            assert visitor.last_visit(label)["endpoint"] == f"{there.public}:7008"
