"""Every row of docs/API.md, and every attack on it that can be made from this computer, by whole daemons."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import needs
from tests.support.node import Node, free_port
from tests.support.programs import RunningOrigin, curl, running_origin
from tests.support.waiting import wait_until
from tests.web.asking import Answer, Events, asked, logged_in, once_of

pytestmark = [needs.tools("curl")]

ROOT = Path(__file__).parents[2]
NOBODY = "0" * 40


class World(NamedTuple):
    """`host` shares the origin as "site" to all, and as "guests" to those who were invited."""

    host: Node
    guest: Node
    origin: RunningOrigin
    token: str
    guest_token: str

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        return asked(self.host, method, path, body, token=self.token)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("api")
    with running_origin() as origin:
        host = Node(place / "host", settings="[Node]\nmetrics = yes\n")
        host.share("site", origin.port, title="The site")
        host.write(
            "guests",
            f"[Service]\nservice = 127.0.0.1\nport = {origin.port}\n[Info]\ntitle = For guests\n"
            "[Access]\nclients = invited\n",
        )
        with host, Node(place / "guest") as guest:
            yield World(host, guest, origin, logged_in(host), logged_in(guest))


# ── who may ask ──────────────────────────────────────────────────────────────────────────────────────────────

EVERY_ROW = [
    ("GET", "status"),
    ("GET", "services"),
    ("POST", "services"),
    ("PATCH", "services/site"),
    ("DELETE", "services/site"),
    ("POST", "services/site/pause"),
    ("POST", "services/site/resume"),
    ("GET", "offers"),
    ("GET", "known"),
    ("POST", "known"),
    ("DELETE", "known/nas"),
    ("GET", "who/guests"),
    ("DELETE", "who/guests/anna"),
    ("GET", "invites"),
    ("POST", "invites"),
    ("DELETE", "invites/abcdef"),
    ("POST", "accept"),
    ("GET", "ping/nas"),
    ("POST", "phone"),
    ("DELETE", "phone/nas"),
    ("GET", "inspect/site"),
    ("GET", "inspected/site"),
    ("POST", "replay/site"),
    ("GET", "doctor"),
    ("GET", "doctor/site"),
    ("GET", "log"),
    ("GET", "events"),
]


@pytest.mark.parametrize(("method", "path"), EVERY_ROW)
def test_no_row_answers_without_a_token_nor_to_another_origin(world: World, method: str, path: str) -> None:
    body = {} if method != "GET" else None
    without = asked(world.host, method, path, body)
    assert (without.status, without.json["code"]) == (401, 1)
    assert "hardline open" in without.json["hint"]
    label = world.host.label("site")
    for origin in (f"http://{label}.localhost:{world.host.localport}", "http://localhost:7999", "null"):
        refused = asked(world.host, method, path, body, token=world.token, origin=origin)
        assert refused.status == 403, origin
    rebound = asked(world.host, method, path, body, token=world.token, host=f"evil.com:{world.host.localport}")
    assert rebound.status == 421
    if method != "GET":
        assert asked(world.host, method, path, body, token=world.token, content_type="text/plain").status == 415
        assert asked(world.host, method, path, body, token=world.token, content_type=None).status == 415
    assert world.host.service("site", state="serving"), "nothing of this did anything"


def test_an_answer_names_no_origin_that_may_read_it(world: World) -> None:
    for origin in (None, f"http://localhost:{world.host.localport}"):
        answer = asked(world.host, "GET", "status", token=world.token, origin=origin)
        assert answer.status == 200
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "set-cookie" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"
    asked_first = asked(
        world.host,
        "OPTIONS",
        "services",
        origin="http://localhost:7999",
        access_control_request_method="POST",
    )
    assert asked_first.status == 403


def test_a_secret_of_hardline_open_is_good_once_and_revoke_ends_all(world: World) -> None:
    node = world.guest
    once = once_of(node)
    first = asked(node, "POST", "login", {"once": once})
    assert first.status == 200
    again = asked(node, "POST", "login", {"once": once})
    assert again.status == 401
    assert "used already" in again.json["error"]
    token = first.json["token"]
    with Events(node, token) as events:
        assert next(iter(events))[0] == "answer"
        done = node.hardline("open", "--revoke")
        assert done.returncode == 0, done.stderr
        events.end()
    assert asked(node, "GET", "status", token=token).status == 401
    assert token not in (node.data / "page-tokens").read_text()


def test_the_browser_is_started_with_nothing_that_other_users_may_not_see(world: World, tmp_path: Path) -> None:
    """What a program is started with is seen by every user: `ps`."""
    kept = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\ncat /proc/$$/cmdline >> {kept}\necho >> {kept}\n")
    browser.chmod(0o755)
    command = ["env", f"BROWSER={browser}", "DISPLAY=:9", *_hardline(world.host), "open"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: kept.exists() and kept.read_text().endswith("\n"), "the browser was started")
    seen = kept.read_text()
    assert "once" not in seen
    name = seen.replace("\0", " ").split("file://")[1].split()[0]
    assert Path(name).stat().st_mode & 0o077 == 0
    page = Path(name).read_text()
    once = page.split("#once=")[1].split('"')[0]
    assert once not in seen
    assert asked(world.host, "POST", "login", {"once": once}).status == 200


def _hardline(node: Node) -> list[str]:
    return [sys.executable, "-m", "hardline.cli", "--datadir", str(node.data)]


def test_who_guesses_is_slowed_down_and_who_has_a_token_is_not(world: World) -> None:
    statuses = [asked(world.guest, "GET", "status", token=f"wrong{number}").status for number in range(40)]
    assert set(statuses) == {401, 429}
    assert asked(world.host, "GET", "services", token=world.token).status == 200
    token = logged_in(world.guest)
    assert asked(world.guest, "GET", "services", token=token).status == 200
    said = [row for row in asked(world.guest, "GET", "log", token=token).json if "wrong token" in row["sentence"]]
    assert len(said) == 1
    assert said[0]["count"] >= 40


@needs.root()
def test_another_user_is_refused_whatever_he_shows(world: World) -> None:
    url = f"http://localhost:{world.host.localport}"
    other = [
        "setpriv",
        "--reuid",
        "12345",
        "--clear-groups",
        "curl",
        "-sS",
        "-H",
        f"Authorization: Bearer {world.token}",
    ]
    told = subprocess.run([*other, f"{url}/api/v1/status"], capture_output=True, text=True, check=True).stdout
    assert "the token belongs to another user" in told
    assert world.host.label("site") not in told
    script = _SENDS_AND_IS_GONE.format(port=world.host.localport, token=world.token)
    subprocess.run([*other[:4], sys.executable, "-I", "-c", script], check=True)
    assert world.ask("GET", "services").status == 200
    assert world.host.service("site", state="serving"), "who does not wait for the answer is another user all the same"
    told = subprocess.run([*other, f"{url}/"], capture_output=True, text=True, check=True).stdout
    assert "The site" not in told
    assert world.host.label("site") not in told


# A socket that its program has closed belongs to nobody in the kernel's tables.
_SENDS_AND_IS_GONE = """
import socket, time
for _ in range(5):
    client = socket.create_connection(("127.0.0.1", {port}))
    client.sendall(b"POST /api/v1/services/site/pause HTTP/1.1\\r\\nHost: localhost:{port}\\r\\n"
        b"Authorization: Bearer {token}\\r\\nContent-Type: application/json\\r\\n\\r\\n")
    client.close()
"""


def test_who_waits_for_leave_to_send_a_body_gets_it(world: World) -> None:
    body = b'{"target": ""}'
    head = (
        f"POST /api/v1/services HTTP/1.1\r\nHost: localhost:{world.host.localport}\r\nExpect: 100-continue\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {world.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", world.host.localport), timeout=60) as client:
        client.sendall(head.encode())
        assert client.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert b"".join(iter(lambda: client.recv(65_536), b"")).startswith(b"HTTP/1.1 400 ")


def test_a_worker_that_another_program_left_is_replaced_by_one_that_ends_itself(world: World) -> None:
    for path in ("/sw.js", "/api/v1/sw.js"):
        newer = asked(world.guest, "GET", path, service_worker="script")
        assert (newer.status, newer.headers["service-worker-allowed"]) == (200, "/")
        assert newer.headers["content-type"].startswith("text/javascript")
        assert "registration.unregister()" in newer.text
    label = world.host.label("site")
    service = asked(
        world.guest, "GET", "/sw.js", service_worker="script", host=f"{label}.localhost:{world.guest.localport}"
    )
    assert "registration.unregister()" not in service.text, "workers of services are their own"
    log = asked(world.guest, "GET", "log", token=logged_in(world.guest)).json
    assert any("a worker of another program" in row["sentence"] for row in log)


@pytest.mark.parametrize(
    ("raw", "fields", "status"),
    [
        (b"[1]", {}, 400),
        (b"{", {}, 400),
        (b"[" * 60_000, {}, 400),
        (b'{"target": "' + b"x" * 70_000 + b'"}', {}, 413),
        (b"0\r\n\r\n", {"transfer_encoding": "chunked"}, 411),
    ],
)
def test_bodies_are_bounded_and_judged(world: World, raw: bytes, fields: dict[str, str], status: int) -> None:
    assert asked(world.host, "POST", "services", raw=raw, token=world.token, **fields).status == status


def test_there_are_no_more_streams_than_sixteen(world: World) -> None:
    streams = [Events(world.host, world.token) for _ in range(17)]
    try:
        streams[0].end()
        assert next(iter(streams[16]))[0] == "answer"
    finally:
        for stream in streams:
            stream.__exit__()


def test_what_is_no_row_says_what_would_be(world: World) -> None:
    assert world.ask("GET", "nothing").status == 404
    wrong = world.ask("POST", "status", {})
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET")
    assert world.ask("GET", "who/%ff").status == 400
    nobody = world.ask("DELETE", "services/nobody", {})
    assert nobody.status == 404
    assert nobody.json["hint"]


# ── the rows ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_service_is_shared_changed_paused_and_removed(world: World) -> None:
    port = free_port()
    shared = world.ask("POST", "services", {"target": str(port), "title": "A new one", "name": "new"})
    assert shared.status == 200, shared.text
    assert shared.json["title"] == "A new one"
    url = shared.json["url"]
    assert world.ask("POST", "services", {"target": str(port)}).json["already"] is True
    row = _service(world, "new")
    assert (row["answers"], row["visitors"], row["url"]) == (False, 0, url)
    with running_origin(port=port):
        wait_until(lambda: _service(world, "new")["answers"], "it answers")
        changed = world.ask("PATCH", "services/new", {"title": "Another title", "listed": False})
        assert (changed.json["title"], changed.json["url"]) == ("Another title", url)
        paused = world.ask("POST", "services/new/pause", {"title": "Not by this row", "target": "9"})
        assert (paused.status, paused.json["title"]) == (200, "Another title")
        assert _service(world, "new")["state"] == "paused"
        assert world.ask("POST", "services/new/resume", {}).status == 200
        assert curl(url).text == "hello from the origin\n"
    assert world.ask("DELETE", "services/new", {}).json["name"] == "new"
    assert world.host.service("new") is None
    said = [row["sentence"] for row in world.ask("GET", "log").json]
    for sentence in ("A new one is shared", "Another title is paused", "Another title is not shared any more"):
        assert sentence in said


def _service(world: World, name: str) -> dict[str, object]:
    found: dict[str, object] = next(row for row in world.ask("GET", "services").json if row["name"] == name)
    return found


@pytest.mark.parametrize("target", ["nothing-of-this-name", "/", "/no/such/place", "0", "~/..", ""])
def test_what_cannot_be_shared_is_refused_with_what_to_do(world: World, target: str) -> None:
    refused = world.ask("POST", "services", {"target": target})
    assert refused.status in (400, 409)
    assert refused.json["error"]


def test_status_is_that_of_the_command(world: World) -> None:
    status = world.ask("GET", "status").json
    assert status.keys() == world.host.status().keys()
    assert world.ask("HEAD", "status").text == ""


def test_names_are_given_and_forgotten_and_a_host_that_is_away_says_why(world: World) -> None:
    label = world.host.label("site")
    token = logged_in(world.guest)
    ask = lambda method, path, body=None: asked(world.guest, method, path, body, token=token)  # noqa: E731
    named = ask("POST", "known", {"what": world.guest.url_of(label), "name": "nas"})
    assert (named.status, named.json["name"]) == (200, "nas")
    assert ask("GET", "ping/nas").json["title"] == "The site"
    known = next(row for row in ask("GET", "known").json if row["name"] == "nas")
    assert (known["state"], known["label"]) == ("connected", label)
    offers = ask("GET", "offers").json
    assert next(row for row in offers if row["label"] == label)["name"] == "nas"
    assert ask("DELETE", "known/nas", {}).json == {"label": label}
    assert ask("DELETE", "known/nas", {}).status == 404
    ask("POST", "known", {"what": f"http://{NOBODY}.localhost:7009/", "name": "gone"})
    assert curl(world.guest.url_of(NOBODY), "-H", "Accept: text/html").status == 503
    known = next(row for row in ask("GET", "known").json if row["name"] == "gone")
    assert known["state"] == "away"
    assert known["says"] == "nobody on this network has it, and no other way to it is known"
    assert time.time() - known["since"] < 600
    assert "failure" in ask("GET", "ping/gone").json
    sentences = [row["sentence"] for row in ask("GET", "log").json]
    assert f"gone was not reachable: {known['says']}" in sentences
    assert not any(NOBODY in one or label in one for one in sentences), "an address is the right to visit"


def test_a_guest_is_invited_comes_in_is_seen_and_is_thrown_out(world: World) -> None:
    given = world.ask("POST", "invites", {"name": "guests", "who": "Anna", "days": 2}).json
    waiting = world.ask("GET", "invites").json
    assert [(one["number"], one["service"], one["who"]) for one in waiting] == [(given["number"], "guests", "Anna")]
    assert "link" not in waiting[0]
    token = logged_in(world.guest)
    accepted = asked(world.guest, "POST", "accept", {"link": given["link"]}, token=token).json
    assert (accepted["title"], accepted["waits"]) == ("For guests", None)
    assert world.ask("GET", "invites").json == []
    url = world.guest.url_of(world.host.label("guests"))
    assert curl(url).text == "hello from the origin\n"
    row = _service(world, "guests")
    assert [(one["who"], one["here"]) for one in row["let_in"]] == [("Anna", True)]  # type: ignore[attr-defined]
    assert (row["for_invited"], row["visitors"]) == (True, 1)
    gone = world.ask("DELETE", f"who/guests/{row['let_in'][0]['key_hash']}", {}).json  # type: ignore[index]
    assert [one["who"] for one in gone] == ["Anna"]
    wait_until(lambda: curl(url).status == 403, "she is out")
    assert world.ask("GET", "who/guests").json["let_in"] == []
    said = [row["sentence"] for row in world.ask("GET", "log").json]
    assert "Anna accepted the invitation to For guests" in said
    assert "Anna came to For guests from this network" in said
    assert "Anna may not visit For guests any more" in said


def test_what_a_guest_has_read_is_remembered(world: World) -> None:
    given = world.ask("POST", "invites", {"name": "guests", "who": "Ben"}).json
    token = logged_in(world.guest)
    assert asked(world.guest, "POST", "accept", {"link": given["link"]}, token=token).status == 200
    assert curl(world.guest.url_of(world.host.label("guests"), "bytes/100000")).code == 0
    world.guest.stop()

    def ben() -> dict[str, object]:
        found: dict[str, object] = world.ask("GET", "who/guests").json["let_in"][0]
        return found

    try:
        wait_until(lambda: ben()["last_visit"], "his visit is written down")
        assert ben()["kind"] == "LAN"
        assert ben()["read"] > 100_000  # type: ignore[operator]
    finally:
        world.guest.start()
    assert world.ask("DELETE", "who/guests/Ben", {}).status == 200


def test_an_invitation_is_withdrawn_by_its_number(world: World) -> None:
    given = world.ask("POST", "invites", {"name": "guests", "who": "Carl"}).json
    assert world.ask("DELETE", f"invites/{given['number']}", {}).json == {}
    assert world.ask("DELETE", f"invites/{given['number']}", {}).status == 404
    refused = asked(world.guest, "POST", "accept", {"link": given["link"]}, token=logged_in(world.guest))
    assert (refused.status, refused.json["error"]) == (409, "the invitation was withdrawn")


def test_a_phone_is_let_in_by_a_code_and_no_more(world: World) -> None:
    opened = world.ask("POST", "phone", {"what": "site", "seconds": 60})
    if opened.status == 409:  # this computer has no address of a private network: the answer says so
        assert "phone" in opened.text or "network" in opened.text
        return
    assert opened.json["label"] == world.host.label("site")
    assert len({len(row) for row in opened.json["code"]} | {len(opened.json["code"])}) == 1
    assert (opened.json["away"], opened.json["away_code"]) == ("", [])
    assert "HTTPS.md" in opened.json["advice"]
    assert world.ask("DELETE", "phone/site", {}).json == {"label": world.host.label("site")}
    assert world.ask("DELETE", "phone/site", {}).status == 400


def test_requests_are_looked_at_as_they_pass_and_made_once_more(world: World) -> None:
    with Events(world.host, world.token, "inspect/site") as events:
        said = iter(events)
        assert next(said) == ("answer", {"name": "site"})
        assert curl(world.guest.url_of(world.host.label("site"), "echo")).status == 200
        seen = next(news for _, news in said if news["status"] == 200 and news["took_s"] is not None)
        assert (seen["method"], seen["target"]) == ("GET", "/echo")
        number = seen["number"]
        assert [one["number"] for one in world.ask("GET", "inspected/site").json] == [number]
        whole = world.ask("GET", f"inspected/site?number={number}").json
        assert whole["asked_head"].startswith("GET /echo HTTP/1.1")
        again = world.ask("POST", "replay/site", {"number": number, "target": "/echo?again"})
        assert (again.status, again.json["replay_of"], again.json["target"]) == (200, number, "/echo?again")


def test_the_log_goes_on_behind_a_number(world: World) -> None:
    rows = world.ask("GET", "log").json
    last = rows[-1]["number"]
    assert world.ask("GET", f"log?after={last}").json == []
    assert world.ask("GET", f"log?after={rows[0]['number']}").json == rows[1:]
    command = world.host.hardline("status")
    assert command.returncode == 0


def test_events_tell_what_is_new_while_somebody_watches(world: World) -> None:
    with Events(world.host, world.token) as events:
        said = iter(events)
        assert next(said) == ("answer", {"every_s": 2.0})
        first = next(said)[1]
        assert {"services", "offers", "known", "outside", "notes", "version"} <= first.keys()
        port = free_port()
        world.ask("POST", "services", {"target": str(port), "name": "watched"})
        states = (news["services"] for _, news in said if "services" in news)
        assert next(row for rows in states for row in rows if row["name"] == "watched")["answers"] is False
        with running_origin(port=port):
            assert any(row["name"] == "watched" and row["answers"] for rows in states for row in rows)
        world.ask("DELETE", "services/watched", {})
        logs = (row["sentence"] for _, news in said for row in news.get("log", ()))
        assert any("not shared any more" in sentence for sentence in logs)


# ── without a token ──────────────────────────────────────────────────────────────────────────────────────────


def test_health_is_told_to_anybody_here_and_nothing_else(world: World) -> None:
    assert asked(world.host, "GET", "/healthz").text == "ready\n"
    assert asked(world.host, "GET", "/healthz", host="evil.com").status == 421


def test_counts_are_told_where_the_owner_wants_that(world: World) -> None:
    told = asked(world.host, "GET", "/metrics")
    assert told.status == 200
    assert 'hardline_services{state="serving"} 2.0' in told.text
    assert "hardline_sessions" in told.text
    for secret in (world.host.label("site"), world.host.key_hash, "The site", "guests"):
        assert secret not in told.text
    assert asked(world.guest, "GET", "/metrics").status == 404


def test_a_request_that_ends_in_the_middle_of_its_body_disturbs_nobody(world: World) -> None:
    head = (
        f"POST /api/v1/services HTTP/1.1\r\nHost: localhost:{world.host.localport}\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {world.token}\r\nContent-Length: 100\r\n\r\n{{"
    )
    with socket.create_connection(("127.0.0.1", world.host.localport), timeout=60) as client:
        client.sendall(head.encode())
        client.shutdown(socket.SHUT_WR)
        assert b"the body ends before its length" in b"".join(iter(lambda: client.recv(65_536), b""))
    assert world.ask("GET", "services").status == 200


def test_the_doctor_says_each_row_as_it_is_known_and_ends(world: World) -> None:
    with Events(world.host, world.token, "doctor/site") as events:
        rows = [told for name, told in events if name == "news"]
    assert rows, "a visit has steps"
    assert all(row.keys() == {"check", "state", "sentence", "do", "took_s"} for row in rows)
    assert rows[-1]["state"] in ("ok", "warn", "fail")
    with Events(world.host, world.token, "doctor") as events:
        names = [told["check"] for name, told in events if name == "news"]
    assert {"daemon", "ports", "keys", "disk"} <= set(names)
