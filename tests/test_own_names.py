"""Names of the user's own: `hardline name`, `forget`, `open`, and http://nas.localhost:7009/, by whole daemons."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.node import SCRIPTS, Node
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until


class Answered(NamedTuple):
    status: int
    text: str
    location: str | None


OPENED = ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """A host that shares a page, and a visitor."""
    place = tmp_path_factory.mktemp("names")
    host = Node(place / "host")
    with running_origin() as origin:
        host.share("site", origin.port)
        with host, Node(place / "visitor") as visitor:
            yield host, visitor


def asked(node: Node, name: str, path: str = "/", *fields: str, method: str = "GET") -> Answered:
    """What the door says to a client that is no browser, or to one with these fields."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", node.localport, timeout=60)) as door:
        named = (field.split(": ", 1) for field in fields)
        door.request(method, path, headers={"Host": f"{name}.localhost:{node.localport}", **dict(named)})
        answer = door.getresponse()
        return Answered(answer.status, answer.read().decode(), answer.headers["location"])


def named(node: Node, what: str, name: str) -> str:
    done = node.hardline("name", what, name)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_row_9_a_name_leads_to_the_service_path_and_all(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    label = host.label("site")
    assert named(visitor, host.url("site"), "Nas") == visitor.url_of(label)
    for fields in ((), OPENED, ("Sec-Fetch-Site: same-origin", *OPENED[1:])):
        answer = asked(visitor, "nas", "/a%20b?c=d", *fields)
        assert (answer.status, answer.location) == (302, f"{visitor.url_of(label)}a%20b?c=d")
    resolved = "--resolve", f"*:{visitor.localport}:127.0.0.1"
    followed = curl(f"http://NAS.localhost:{visitor.localport}/", "-L", *resolved)
    assert (followed.status, followed.text) == (200, "hello from the origin\n")
    assert visitor.last_visit(label)["status"] == "ok"
    found = visitor.hardline("open", "--print", "nas")
    assert found.stdout.strip() == visitor.url_of(label)
    assert str(label) not in found.stderr, "the whole address is a secret, and is shown where it was asked for"


@pytest.mark.parametrize(
    "fields",
    [
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"),
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Origin: http://evil.example"),
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"),
        ("Sec-Fetch-Site: cross-site", *OPENED[1:], "Sec-Purpose: prefetch"),
        ("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: object"),
        ("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"),
        ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"),
        ("Sec-Fetch-Site: none", *OPENED[1:], "Sec-Purpose: prefetch;prerender"),
        ("Origin: http://evil.example", "Upgrade: websocket", "Connection: Upgrade"),
    ],
)
def test_row_9_a_part_of_a_page_learns_nothing(nodes: tuple[Node, Node], fields: tuple[str, ...]) -> None:
    host, visitor = nodes
    named(visitor, host.url("site"), "nas")
    there, not_there = (asked(visitor, name, "/", *fields) for name in ("nas", "nax"))
    assert there.status == not_there.status == 421
    assert there.text.replace("nas", "nax") == not_there.text
    assert there.location is None


@pytest.mark.parametrize("site", ["cross-site", "same-site"])  # nas.localhost:8080 is another program's
def test_a_link_of_another_site_only_asks(nodes: tuple[Node, Node], site: str) -> None:
    host, visitor = nodes
    named(visitor, host.url("site"), "nas")
    answer = asked(visitor, "nas", "/x", f"Sec-Fetch-Site: {site}", *OPENED[1:], "Accept: text/html")
    assert answer.status == 300
    assert f'href="{visitor.url_of(host.label("site"))}x"' in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_what_is_no_reading_goes_nowhere(nodes: tuple[Node, Node], method: str) -> None:
    host, visitor = nodes
    named(visitor, host.url("site"), "nas")
    assert asked(visitor, "nas", method=method).status == 421


def test_first_digits_ask_which_one_and_never_go_on_by_themselves(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    label = host.label("site")
    answer = asked(host, label[:8], "/x")
    assert (answer.status, f"{host.url_of(label)}x" in answer.text) == (300, True)
    assert answer.location is None
    assert asked(host, label[:7]).status == 421
    assert asked(visitor, "0" * 8).status == 421
    refused = host.hardline("open", "--print", label[:8])
    assert (refused.returncode, refused.stdout) == (2, "")
    assert str(label) in refused.stderr
    named(visitor, host.url("site"), "nas")
    assert asked(visitor, label[:8]).status == 302, "the user has named it"
    assert visitor.hardline("open", "--print", label[:9].upper()).stdout.strip() == visitor.url_of(label)


def test_ls_shows_names_and_an_offer_that_only_looks_like_one(nodes: tuple[Node, Node], tmp_path: Path) -> None:
    host, visitor = nodes
    label = host.label("site")
    named(visitor, host.url("site"), "nas")
    with running_origin() as origin, Node(tmp_path / "liar") as liar:
        liar.share("nas", origin.port, title="NAS")
        blocks = json.loads(visitor.hardline("ls", "--json").stdout)
        offers = {offer["label"]: offer for offer in blocks["network"]}
        assert (offers[label]["name"], offers[label]["unlike"]) == ("nas", None)
        assert (offers[liar.label("nas")]["name"], offers[liar.label("nas")]["unlike"]) == (None, "nas")
        assert [peer["name"] for peer in blocks["known"] if peer["key_hash"] == label[-40:]] == ["nas"]
        lines = visitor.hardline("ls").stdout
        assert "= nas" in lines
        assert "not the nas you know" in lines


def test_what_is_forgotten_leads_nowhere_and_the_service_stays(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    named(visitor, host.url("site"), "other")
    assert visitor.hardline("forget", "other").returncode == 0
    assert asked(visitor, "other").status == 421
    assert visitor.hardline("open", "other").returncode == 2
    assert visitor.hardline("forget", "other").returncode == 2
    assert curl(visitor.url_of(host.label("site"))).status == 200


@pytest.mark.parametrize(("what", "name"), [("nonsense", "x1"), ("URL", "cafe"), ("URL", "hardline"), ("URL", "a.b")])
def test_a_wrong_word_is_said_and_nothing_is_named(nodes: tuple[Node, Node], what: str, name: str) -> None:
    host, visitor = nodes
    done = visitor.hardline("name", host.url("site") if what == "URL" else what, name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hardline: ")


def test_every_command_takes_the_url_that_a_name_makes(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    url = f"http://by-url.localhost:{visitor.localport}/a?b"
    words = "nc", "key", "ping", "open", "log"
    for word in words:
        done = visitor.hardline(word, url)
        assert done.returncode == 2, "nothing is called so yet"
        assert "by-url" in done.stderr
        assert "hex digits" not in done.stderr, "what was typed was no address"
    named(visitor, host.url("site"), "by-url")
    for word in words:
        done = visitor.hardline(word, *(["--print"] if word == "open" else []), url)
        assert done.returncode == 0, done.stderr
    assert visitor.hardline("forget", url).returncode == 0
    assert visitor.hardline("ping", url).returncode == 2


def test_names_are_there_after_a_restart_and_in_no_log(tmp_path: Path) -> None:
    with running_origin() as origin, Node(tmp_path / "host") as host, Node(tmp_path / "visitor") as visitor:
        host.share("site", origin.port)
        named(visitor, host.url("site"), "nas")
        visitor.stop()
        visitor.start()
        assert asked(visitor, "nas").status == 302
        assert host.label("site") not in visitor.log


@pytest.mark.parametrize("called", ["xdg-open", "BROWSER"])
def test_a_browser_is_shown_it_and_a_name_keeps_the_address_out_of_the_list_of_processes(
    nodes: tuple[Node, Node], tmp_path: Path, called: str
) -> None:
    host, visitor = nodes
    named(visitor, host.url("site"), "nas")
    got, program = tmp_path / "got", tmp_path / called
    program.write_text(f'#!/bin/sh\necho "$@" > {got}.new\n/bin/mv {got}.new {got}\n')
    program.chmod(0o700)
    environment = {"PATH": str(tmp_path), "DISPLAY": ":0", **({"BROWSER": str(program)} if called == "BROWSER" else {})}
    for what, url in (("NAS", f"http://nas.localhost:{visitor.localport}/"), (host.url("site"), None)):
        got.unlink(missing_ok=True)
        command = [SCRIPTS / "hardline", "--datadir", visitor.data, "open", what]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "")
        wait_until(got.exists, "it was started")
        assert got.read_text().strip() == (url or visitor.url_of(host.label("site")))
    for terminal in ("w3m", "lynx", "links"):
        program.unlink(missing_ok=True)
        (tmp_path / terminal).symlink_to("/bin/false")
    done = subprocess.run(
        command, env={"PATH": str(tmp_path), "TERM": "x"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, visitor.url_of(host.label("site")))


def test_a_title_of_a_stranger_is_shown_and_not_taken(nodes: tuple[Node, Node], tmp_path: Path) -> None:
    host, visitor = nodes
    named(visitor, host.url("site"), "nas")
    with running_origin() as origin, Node(tmp_path / "stranger") as stranger:
        stranger.share("printer", origin.port, title="Our Printer \u00e9")
        label = stranger.label("printer")
        wait_until(lambda: label in visitor.hardline("lan").stdout, "it is offered")
        for command in (("open", "--print"), ("ping",)):
            shown = visitor.hardline(*command, "our printer \u00c9")
            assert (shown.returncode, shown.stdout) == (2, ""), command
            assert label in shown.stderr
        assert visitor.hardline("name", "our printer \u00e9", "printer").returncode == 2
        assert visitor.hardline("ping", label).returncode == 0
        wait_until(lambda: visitor.hardline("open", "--print", "Our Printer \u00e9").returncode == 0, "it was visited")
    title = host.service("site")
    assert title is not None
    named(host, host.url("site"), "mine")
    assert host.hardline("change", title["title"], "--listed").returncode == 0, "named or not, it has its title"
