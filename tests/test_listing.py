"""`hardline ls`, `watch` and `log`: at a terminal, in a pipe, and as things change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import AsyncIterator, Iterator, Mapping
from fcntl import ioctl
from pathlib import Path

import pytest

from hardline.cells import columns, cut, table
from hardline.cli import happening
from hardline.control import ControlServer, Held
from hardline.showable import is_plain
from hardline.terminal import has_colours, progress, styled
from tests.support.node import SCRIPTS, Node
from tests.support.programs import curl
from tests.support.waiting import wait_until

COMMAND = str(SCRIPTS / "hardline")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """A computer called felix, and one beside it that looks."""
    directory = tmp_path_factory.mktemp("listing")
    settings = "[LAN]\ncomputer = felix\n"
    with Node(directory / "host", settings=settings) as host, Node(directory / "visitor") as visitor:
        yield host, visitor


class Watching:
    """A command that runs on, at a terminal of `columns` columns or in a pipe; a context manager."""

    def __init__(self, *words: str | Path, columns: int = 0, **environment: str) -> None:
        self.text, self._columns = "", columns
        self._ours, theirs = pty.openpty() if columns else os.pipe()
        if columns:
            ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            [COMMAND, *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
            env={**os.environ, "TERM": "xterm", **environment},
        )
        os.close(theirs)
        os.set_blocking(self._ours, False)

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self._ours)

    def says(self, text: str) -> bool:
        """It has written that since it began, or since `text` was emptied."""
        with contextlib.suppress(BlockingIOError, OSError):  # of a terminal whose program has ended
            while data := os.read(self._ours, 65_536):
                self.text += data.decode()
        return text in self.text

    def ended(self) -> int:
        return self.process.wait(60)


# ── cells ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.pure
@pytest.mark.parametrize("width", [20, 40, 79, 80, 200])
def test_no_row_is_wider_than_its_terminal_and_what_is_short_is_whole(width: int) -> None:
    rows = [("nas", "家" * 60, "x" * 39), ("a", "b", "c"), ("e\u0301" * 30, "", "http://" + "9" * 90)]
    lines = list(table(rows, width))
    assert len(lines) == len(rows)
    assert all(columns(line) <= width for line in lines)
    assert lines[0].startswith("  nas")
    assert lines[1].split() == ["a", "b", "c"]


@pytest.mark.pure
def test_what_is_cut_says_so() -> None:
    assert [cut("abcdef", most) for most in (6, 5, 1)] == ["abcdef", "abcd…", "…"]
    assert cut("家家家", 4) == "家…"


# ── ls ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_on_a_terminal_each_row_is_one_line_and_in_a_pipe_all_of_it(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    host.share("printer", 631, title="Printer of the whole house and of everybody who lives in it or comes by")
    label = host.label("printer")
    wait_until(lambda: label in visitor.hardline("ls").stdout, "it is listed whole in a pipe")
    with Watching("--datadir", visitor.data, "ls", columns=60) as at_a_terminal:
        assert at_a_terminal.ended() == 0
        assert at_a_terminal.says("on felix")
        assert at_a_terminal.says("\x1b[1mON THIS NETWORK\x1b[0m")
        assert label not in at_a_terminal.text
        plain = at_a_terminal.text.replace("\x1b[1m", "").replace("\x1b[0m", "")
        assert all(columns(line) <= 60 for line in plain.splitlines())
        assert f"{label[-40:][:4]}…{label[-4:]}" in plain
    with Watching("--datadir", visitor.data, "ls", columns=200, NO_COLOR="1") as without_colour:
        assert without_colour.ended() == 0
        assert without_colour.says(label), "there is room"
        assert "\x1b" not in without_colour.text


def test_a_terminal_that_knows_no_control_sequences_gets_none(nodes: tuple[Node, Node]) -> None:
    _, visitor = nodes
    with Watching("--datadir", visitor.data, "ls", "--watch", columns=60, TERM="dumb") as seen:
        wait_until(lambda: seen.says("KNOWN"), "it is shown")
        assert "\x1b" not in seen.text


@pytest.mark.pure
@pytest.mark.parametrize(("term", "colours"), [("xterm", "\x1b["), ("dumb", ""), (None, "")])
def test_what_steers_a_terminal_goes_to_one_that_understands_it(
    monkeypatch: pytest.MonkeyPatch, term: str | None, colours: str
) -> None:
    ours, theirs = pty.openpty()
    with open(theirs, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.delenv("TERM", raising=False) if term is None else monkeypatch.setenv("TERM", term)
        assert styled("x").startswith(colours or "x")
        assert has_colours() == bool(colours)
        progress("waits")
        stream.write("end")
        stream.flush()
        assert (b"\x1b" in os.read(ours, 100)) == bool(colours)
    os.close(ours)


def test_row_8_what_is_removed_is_gone_from_the_others_list_as_it_is_watched(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    host.share("wiki", 8080, title="Wiki")
    label = host.label("wiki")
    with Watching("--datadir", visitor.data, "ls", "--watch", columns=200) as seen:
        wait_until(lambda: seen.says(label), "it is listed")
        assert seen.text.startswith("\x1b[H\x1b[2J")
        seen.text = ""
        assert host.hardline("remove", "wiki").returncode == 0
        wait_until(lambda: seen.says("KNOWN"), "it is shown anew")
        assert label not in seen.text
    with Watching("--datadir", host.data, "ls", "--watch", "--json") as lines:
        wait_until(lambda: lines.says("\n"), "it is shown")
        assert "wiki" not in [row["name"] for row in json.loads(lines.text)["mine"]]
        lines.text = ""
        host.share("wiki", 8080, title="Wiki")
        wait_until(lambda: lines.says('"name": "wiki"'), "it is shown anew")
        assert "wiki" in [row["name"] for row in json.loads(lines.text.splitlines()[-1])["mine"]]
        lines.process.send_signal(signal.SIGINT)
        assert lines.ended() == 130


def test_those_who_may_visit_are_named_and_a_known_one_has_its_computer(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    assert host.hardline("share", "8081", "--name", "diary", "--invited").returncode == 0
    assert "invited: nobody yet" in host.hardline("ls").stdout
    link = host.hardline("invite", "diary", "--to", "Anna").stdout.strip()
    accepted = visitor.hardline("accept", link)
    assert accepted.returncode == 0, accepted.stderr
    assert "invited: Anna" in host.hardline("ls").stdout
    with Watching("--datadir", host.data, "invite", "diary", "--to", "Ben", columns=200) as to_paste:
        assert to_paste.ended() == 0
        assert to_paste.says("pipx install hardline-tunnel")
        assert to_paste.says("#")
        assert len(to_paste.text.strip().splitlines()) == 3
    mine = {row["name"]: row for row in json.loads(host.hardline("ls", "--json").stdout)["mine"]}
    assert (mine["diary"]["for_invited"], mine["diary"]["invited"]) == (True, ["Anna"])
    host.share("notes", 8082, title="Notes")
    assert visitor.hardline("name", host.url("notes"), "notes").returncode == 0
    wait_until(lambda: host.label("notes") in visitor.hardline("lan").stdout, "it is offered")
    known = {row["name"]: row for row in json.loads(visitor.hardline("ls", "--json").stdout)["known"]}
    assert known["notes"]["host"] == "felix"


def test_row_26_a_hostile_title_is_letters_in_the_list_and_on_the_page(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    titles = {
        "script": "<script>alert(1)</script>",
        "rtl": "a\u202eb\u2066c",
        "long": "x" * 200,
        "steers": "\x1b[31mred",
    }
    for name, title in titles.items():
        assert host.hardline("share", str(9000 + len(name)), "--name", name, "--title", title).returncode == 0
    wait_until(lambda: host.label("steers") in visitor.hardline("lan").stdout, "they are offered")
    said = visitor.hardline("ls").stdout
    assert is_plain(said.replace("\n", ""))
    for shown in ("<script>alert(1)</script>", "abc", "x" * 120, "[31mred"):
        assert shown in said
    page = curl(f"http://localhost:{visitor.localport}/", "-H", "Accept: text/html").text
    assert is_plain(page.replace("\n", ""))
    assert "<script>alert(1)" not in page
    for name in titles:
        assert host.hardline("remove", name).returncode == 0


# ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────


class Told:
    """A daemon that has rows to tell, of which more come when it is asked to."""

    def __init__(self) -> None:
        self.rows = [self.row(1, "Anna came to Photos by relay"), self.row(2, "password refused for Wiki", 14)]
        self.more = asyncio.Event()

    @staticmethod
    def row(number: int, sentence: str, count: int = 1) -> dict[str, object]:
        return {"number": number, "when": 1_000_000_000.0, "kind": "came", "count": count, "sentence": sentence}

    async def log(self, request: Mapping[str, object]) -> object:
        after = request["after"]
        assert isinstance(after, int)
        return [row for row in self.rows if int(str(row["number"])) > after]

    async def find(self, request: Mapping[str, object]) -> object:
        return {"name": "album", "title": str(request["what"]).title()}

    async def changes(self, request: Mapping[str, object]) -> object:
        async def news() -> AsyncIterator[object]:
            yield {}
            await self.more.wait()
            self.rows.append(self.row(3, "Ben \x1b[31mcame to Photos"))
            yield {}

        async def close() -> None:
            pass

        return Held({}, news(), close)


async def _says(told: Told, directory: Path, *words: str) -> tuple[int, str]:
    server = ControlServer({"log": told.log, "find": told.find, "changes": told.changes})
    await server.open(directory)
    ran = await asyncio.create_subprocess_exec(
        *(COMMAND, "--datadir", directory, *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TZ": "UTC"},
    )
    said, _ = await asyncio.wait_for(ran.communicate(), 60)
    await server.aclose()
    return ran.returncode or 0, said.decode()


def test_the_log_is_told_once_about_all_or_about_one(tmp_path: Path) -> None:
    first = "2001-09-09 01:46:40  Anna came to Photos by relay\n"
    second = "2001-09-09 01:46:40  password refused for Wiki (14 times)\n"
    assert asyncio.run(_says(Told(), tmp_path, "log")) == (0, first + second)
    assert asyncio.run(_says(Told(), tmp_path, "log", "photos")) == (0, first)
    code, said = asyncio.run(_says(Told(), tmp_path, "log", "--json", "wiki"))
    assert (code, [row["number"] for row in json.loads(said)]) == (0, [2])


@pytest.mark.parametrize(
    ("words", "before"),
    [(["log", "-f", "photos"], "2001-09-09 01:46:40  Anna came to Photos by relay\n"), (["watch"], "")],
)
def test_what_happens_is_told_as_it_comes_until_the_daemon_ends(words: list[str], before: str, tmp_path: Path) -> None:
    told = Told()
    told.more.set()
    code, said = asyncio.run(_says(told, tmp_path, *words))
    assert (code, said) == (1, before + "2001-09-09 01:46:40  Ben \ufffd[31mcame to Photos\n")


@pytest.mark.pure
def test_what_was_today_has_no_date() -> None:
    now = 1_000_000_000.0
    assert len(happening.line(Told.row(1, "x") | {"when": now}, now).split()[0]) == len("01:46:40")
