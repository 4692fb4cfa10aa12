"""Somebody is invited, comes, and is thrown out again: by whole daemons, and by what a person types."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import SCRIPTS, Node
from tests.support.programs import Download, curl, running_origin
from tests.support.waiting import wait_until


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Node]:
    """One that shares for invited visitors only."""
    with running_origin(name="ada") as origin, Node(tmp_path / "ada") as node:
        said(node, "share", str(origin.port), "--name", "photos", "--title", "Photos", "--invited")
        yield node


def said(node: Node, *arguments: str) -> str:
    ran = node.hardline(*arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def refused(node: Node, *arguments: str) -> str:
    ran = node.hardline(*arguments)
    assert ran.returncode != 0, ran.stdout
    assert "Traceback" not in ran.stderr
    return ran.stderr


def page(node: Node, host: Node) -> str:
    answer = curl(node.url_of(host.label("photos")), limit=90)
    return f"{answer.status} {answer.text}"


def who(host: Node) -> tuple[list[str], list[str]]:
    told = json.loads(said(host, "who", "photos", "--json"))
    return [row["who"] for row in told["let_in"]], [row["who"] for row in told["invited"]]


def test_who_is_invited_comes_and_nobody_by_the_same_link(host: Node, tmp_path: Path) -> None:
    link = said(host, "invite", "Photos", "--to", "Anna")
    assert link.startswith(f"http://localhost:7009/accept#{host.label('photos')}.")
    assert who(host) == ([], ["Anna"])
    with Node(tmp_path / "anna") as anna, Node(tmp_path / "ben") as ben:
        assert page(anna, host).startswith("403 ")
        assert said(anna, "accept", link) == anna.url_of(host.label("photos"))
        assert page(anna, host) == "200 hello from ada\n"
        assert who(host) == (["Anna"], [])
        assert "was used already" in refused(ben, "accept", link)
        assert page(ben, host).startswith("403 ")
        assert page(anna, host) == "200 hello from ada\n"
        secret = link.rpartition(".")[2]
        for file in [*host.data.rglob("*"), *host.services.rglob("*"), *anna.data.rglob("*")]:
            assert not file.is_file() or secret.encode() not in file.read_bytes(), f"{file} holds the secret"
        for node in (host, anna, ben):
            assert secret not in node.log
            assert str(host.label("photos")) not in node.log
        host.stop()
        host.start()
        wait_until(lambda: page(anna, host) == "200 hello from ada\n", "she is on the list after a start, too")


def test_who_is_thrown_out_is_cut_at_once_and_others_stay(host: Node, tmp_path: Path) -> None:
    with Node(tmp_path / "anna") as anna, Node(tmp_path / "ben") as ben:
        links = {name: said(host, "invite", "photos", "--to", name) for name in ("Anna", "Ben")}
        said(anna, "accept", links["Anna"])
        said(ben, "accept", links["Ben"])
        url = host.label("photos")
        with (
            Download(anna.url_of(url, "bytes/50000000"), tmp_path / "a", "--limit-rate", "4M") as hers,
            Download(ben.url_of(url, "bytes/20000000"), tmp_path / "b", "--limit-rate", "4M") as his,
        ):
            hers.has_received(500_000)
            his.has_received(500_000)
            said(host, "revoke", "photos", "anna")
            assert hers.exit_code(30) in (18, 56)
            refusal = page(anna, host)
            assert refusal.startswith("403 ")
            assert "taken back" in refusal
            assert "access.taken_back" in anna.log
            assert his.exit_code() == 0
        assert who(host) == (["Ben"], [])
        assert "withdrawn" in refused(anna, "accept", links["Anna"])
        assert "nobody called" in refused(host, "revoke", "photos", "anna")


def test_an_invitation_waits_for_its_host(host: Node, tmp_path: Path) -> None:
    link = said(host, "invite", "photos", "--to", "Anna")
    label = host.label("photos")
    with Node(tmp_path / "anna") as anna:
        host.stop()
        ran = anna.hardline("accept", link)
        assert ran.returncode == 0
        assert "takes effect when" in ran.stderr
        anna.stop()
        anna.start()
        host.start()
        wait_until(lambda: who(host) == (["Anna"], []), "she is let in without doing anything", timeout=90)
        assert curl(anna.url_of(label), limit=90).status == 200


def test_one_that_was_taken_back_or_is_too_old_says_so(host: Node, tmp_path: Path) -> None:
    with Node(tmp_path / "anna") as anna:
        withdrawn = said(host, "invite", "photos", "--to", "Anna")
        said(host, "revoke", "photos", "Anna")
        assert "was withdrawn" in refused(anna, "accept", withdrawn)
        old = said(host, "invite", "photos", "--to", "Carl")
        rows = json.loads((host.data / "invites").read_text())
        rows[-1]["until"] = 1_700_000_000
        host.stop()
        (host.data / "invites").write_text(json.dumps(rows))
        host.start()
        wait_until(lambda: "has expired" in refused(anna, "accept", old), "it has expired")
        assert who(host) == ([], ["Carl"])
        assert "expired" in said(host, "who", "photos")


def test_a_guess_is_refused_like_everybody_and_not_many_are_judged(host: Node, tmp_path: Path) -> None:
    label = host.label("photos")
    real = said(host, "invite", "photos", "--to", "Anna")
    with Node(tmp_path / "stranger") as stranger:
        first = refused(stranger, "accept", f"{label}.{'A' * 22}")
        assert "lets in whom he has invited" in first
        assert who(host) == ([], ["Anna"])
        assert "no invitation" in refused(stranger, "accept", label)
        assert "no invitation" in refused(stranger, "accept", f"{label}.short")
        assert said(stranger, "accept", real.replace("http://localhost:7009/accept#", "")) != ""


def test_the_link_leads_to_a_page_that_says_what_to_do(host: Node) -> None:
    answer = curl(f"http://127.0.0.1:{host.localport}/accept", "-H", f"Host: localhost:{host.localport}")
    assert (answer.status, "hardline accept" in answer.text) == (200, True)


def test_inviting_to_what_everybody_may_visit_says_what_to_do(host: Node) -> None:
    said(host, "change", "photos", "--everyone")
    assert "--invited" in refused(host, "invite", "photos", "--to", "Anna")
    assert "everybody" in said(host, "who", "photos")


def test_who_is_taken_off_a_list_that_does_not_count_is_not_called_kept_out(host: Node) -> None:
    with (host.services / "photos.ini.clients").open("a") as clients:
        clients.write(f"{'ab' * 20} Anna\n")
    said(host, "change", "photos", "--everyone")
    ran = host.hardline("revoke", "photos", "Anna")
    assert ran.returncode == 0
    assert "may not visit" not in ran.stderr
    assert "hardline change photos --invited" in ran.stderr
    assert "like everybody" in said(host, "log", "photos")
    assert who(host) == ([], [])


def test_a_name_is_one_line(host: Node) -> None:
    for wrong in ("", "a\nb", "A, B", "x" * 61):
        refused(host, "invite", "photos", "--to", wrong)
    assert who(host) == ([], [])


def test_what_cannot_be_written_lets_nobody_in(host: Node, tmp_path: Path) -> None:
    link = said(host, "invite", "photos", "--to", "Anna")
    if os.geteuid() == 0:
        (host.services / "photos.ini.clients").mkdir()
    else:
        host.services.chmod(0o500)
    with Node(tmp_path / "anna") as anna:
        ran = anna.hardline("accept", link)
        assert "takes effect when" in ran.stderr
        assert not page(anna, host).startswith("200")
        if os.geteuid() == 0:
            (host.services / "photos.ini.clients").rmdir()
        host.services.chmod(0o700)
        wait_until(lambda: page(anna, host).startswith("200"), "it was not used up")


def test_the_list_keeps_what_its_owner_wrote(host: Node, tmp_path: Path) -> None:
    file = host.services / "photos.ini.clients"
    file.write_text("# friends\r\n\r\nnonsense\r\n" + "1" * 40 + " Dora, from school")
    with Node(tmp_path / "anna") as anna:
        said(anna, "accept", said(host, "invite", "photos", "--to", "Anna"))
        text = file.read_bytes().decode()
        assert text.startswith("# friends\r\n\r\nnonsense\r\n" + "1" * 40 + " Dora, from school\n")
        assert who(host)[0] == ["Dora, from school", "Anna"]
        said(host, "revoke", "photos", "1" * 8)
        said(host, "revoke", "photos", "Anna")
        assert file.read_bytes() == b"# friends\r\n\r\nnonsense\r\n"


def test_a_link_is_read_from_stdin_if_there_is_one(host: Node, tmp_path: Path) -> None:
    link = said(host, "invite", "photos", "--to", "Anna")
    with Node(tmp_path / "anna") as anna:
        command = f"{SCRIPTS / 'hardline'} --datadir {anna.data} accept"
        for wrong in ("<&-", "</dev/null", "</dev/zero", r"<<<$'\xff'"):
            ran = subprocess.run(["bash", "-c", f"{command} {wrong}"], capture_output=True, text=True, check=False)
            assert (ran.returncode, ran.stdout) == (2, ""), wrong
            assert ran.stderr.startswith("hardline: ")
            assert "no invitation" in ran.stderr
        ran = subprocess.run(command.split(), input=f"  {link}\r\n", capture_output=True, text=True, check=False)
        assert ran.stdout.strip() == anna.url_of(host.label("photos"))
        assert "let in: Photos" in ran.stderr
