"""Settings of the gateway that change while it runs: for the next request, and for those that are served."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.recorder import OK, running_recorder
from tests.gateway.town import PASSWORD, Town, reload, settings, user
from tests.support import needs
from tests.support.node import Node, free_port
from tests.support.programs import CUT, Download, curl
from tests.support.waiting import wait_until

pytestmark = [needs.tools("curl")]


@pytest.fixture(scope="module")
def changing(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    port, sections = free_port(), {name: town.sections[name] for name in ("nas", "wiki", "private")}
    with Node(tmp_path_factory.mktemp("changing"), settings=settings(port, sections)) as gateway:
        yield Town(port, town.host, gateway, town.labels, town.origin, sections)


@pytest.fixture
def own(changing: Town) -> Town:
    """Another gateway before the same host, whose settings the test may change."""
    change(changing)
    return changing


def change(own: Town, more: str = "", **changed: str) -> None:
    reload(own.gateway, settings(own.port, {**own.sections, **changed}, more))


def url(own: Town, path: str) -> str:
    return f"http://127.0.0.1:{own.port}{path}"


def test_names_come_and_go_without_a_restart(own: Town) -> None:
    assert own.get("late").status == 404
    change(own, late=f"label = {own.labels['two']}")
    assert own.get("late").text == "hello from the other\n"
    assert "//late.example.org/" in own.get("", "/").text
    assert "settings.read        changed=[Gateway:late]" in own.gateway.log
    change(own, nas=f"label = {own.labels['two']}")
    assert own.get("late").status == 404
    assert own.get("nas").text == "hello from the other\n"


def test_a_kept_stream_is_not_used_for_what_the_name_leads_to_now(own: Town) -> None:
    """One connection of the client, whose name is another service's in between."""
    with own.connect() as client:
        answers = client.makefile("rb")

        def ask() -> bytes:
            client.sendall(b"GET / HTTP/1.1\r\nHost: nas.example.org\r\n\r\n")
            while line := answers.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            return answers.read(length)

        assert [ask(), ask()] == [b"hello from the origin\n"] * 2
        change(own, nas=f"label = {own.labels['two']}")
        assert ask() == b"hello from the other\n"


def test_who_may_not_any_more_is_cut_and_others_are_not(own: Town, tmp_path: Path) -> None:
    change(own, private=f"{own.sections['private']}, {user('ben')}")
    stall = ("-u", f"anna:{PASSWORD}", "-H", "Host: private.example.org")
    with (
        Download(url(own, "/stall/1000"), tmp_path / "anna", *stall) as anna,
        Download(url(own, "/stall/1000"), tmp_path / "ben", "-u", f"ben:{PASSWORD}", *stall[2:]) as ben,
        Download(url(own, "/stall/1000"), tmp_path / "nas", "-H", "Host: nas.example.org") as nas,
        Download(url(own, "/servers/wiki/stall/1000"), tmp_path / "wiki") as wiki,
    ):
        for download in (anna, ben, nas, wiki):
            download.has_received(1000)
        change(own, wiki=f"label = {own.labels['one']}")
        assert ben.exit_code() in CUT, "ben is no user any more"
        assert wiki.exit_code() in CUT, "wiki is another service"
        assert anna.running
        assert nas.running


def test_whoever_stays_is_not_disturbed(own: Town, tmp_path: Path) -> None:
    stall = ("-u", f"anna:{PASSWORD}", "-H", "Host: private.example.org")
    with Download(url(own, "/stall/1000"), tmp_path / "anna", *stall) as anna:
        anna.has_received(1000)
        change(own, private=f"{own.sections['private']}, {user('ben')}\naddresses = 127.0.0.0/8")
        assert own.get("private", "/", "-u", f"ben:{PASSWORD}").status == 200
        assert anna.running
        change(own, private=f"{own.sections['private']}\naddresses = 192.0.2.0/24")
        assert own.get("private", "/", "-u", f"anna:{PASSWORD}").status == 403
        assert anna.exit_code() in CUT
    assert "gateway.cut_off" in own.gateway.log


def test_what_is_under_gateway_holds_at_once_but_where_it_listens(own: Town) -> None:
    assert own.get("", "/metrics").status == 404
    change(own, "metrics = 127.0.0.1\naccess_log = no")
    assert own.get("", "/metrics").status == 200
    assert "target=/metrics status=404" in own.gateway.log
    assert "target=/metrics status=200" not in own.gateway.log
    other = free_port()
    reload(own.gateway, settings(other, own.sections))
    assert own.get("", "/metrics").status == 404
    assert 'settings.waiting     changed="[Gateway] listen"' in own.gateway.log
    assert curl(f"http://127.0.0.1:{other}/").status == 0


def test_a_mistake_changes_nothing(own: Town) -> None:
    file = own.gateway.services.parent / "hardline.ini"
    before = file.read_text()
    file.write_text(before.replace("label = ", "lable = ", 1))
    own.gateway.signal(signal.SIGHUP)
    wait_until(lambda: "settings.refused" in own.gateway.log, "the mistake was told")
    assert own.get("nas").status == 200


def test_who_waits_for_an_answer_is_cut_too(own: Town) -> None:
    """On a kept connection, whose requests pass without a task as long as they are ordinary."""
    waits = threading.Event()

    def answer(head: bytes, before: int) -> bytes:
        if b"/wait" in head:
            waits.wait(100)
        return OK

    with running_recorder() as recorder, own.connect() as client, client.makefile("rb") as answers:
        recorder.answer = answer
        own.host.share("waits", recorder.port)
        change(own, waits=f"label = {own.host.label('waits')}")
        for path in (b"1", b"2", b"3"):
            client.sendall(b"GET /%b HTTP/1.1\r\nHost: waits.example.org\r\n\r\n" % path)
            while answers.readline().strip():
                pass
            assert answers.read(2) == b"ok"
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: waits.example.org\r\n\r\n")
        wait_until(lambda: b"/wait" in recorder.whole, "it is asked")
        change(own)
        try:
            with contextlib.suppress(ConnectionResetError):
                assert answers.read(1) == b""
        finally:
            waits.set()
        assert own.get("waits").status == 404
