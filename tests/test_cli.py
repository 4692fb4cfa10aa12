"""The command `hardline`, as people and scripts start it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardline import __version__
from hardline.cli import main
from tests.support import needs
from tests.support.node import SCRIPTS, Node
from tests.support.programs import RunningOrigin, curl
from tests.support.waiting import wait_until

COMMAND = str(SCRIPTS / "hardline")
HEAVY = {
    *("asyncio", "ssl", "OpenSSL", "cryptography", "nacl", "aiohttp", "uvloop", "watchfiles", "zeroconf", "sqlite3"),
    *("importlib.metadata", "dataclasses", "configparser", "platformdirs", "email"),
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that shares one directory, whose title most encodings lack."""
    with Node(tmp_path_factory.mktemp("node"), settings="[LAN]\ncomputer = atlas\n") as running:
        (running.data.parent / "photos").mkdir()
        done = running.hardline("share", str(running.data.parent / "photos"), "--title", "家 → дом", "--name", "house")
        assert done.returncode == 0, done.stderr
        yield running


def run(*arguments: str | Path, shell: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """`hardline` with what `shell` puts behind it; output is UTF-8, or what can be read of it."""
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", COMMAND, *map(str, arguments)]
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=30,
        check=False,
    )


# ── what it costs ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["status"], ["ls"], ["share", "8000"], ["remove", "x"]]
)
def test_a_command_loads_nothing_that_it_does_not_need(arguments: list[str], tmp_path: Path) -> None:
    """Start-up is what is imported: counted, since a clock would count the machine's other work, too."""
    program = (
        "import sys; before = set(sys.modules)\n"
        "from hardline.cli import main\n"
        f"main({arguments!r} + ['--datadir', {str(tmp_path)!r}])\n"
        "print('\\n'.join({*sys.modules} - before), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    loaded = set(done.stderr.split())
    assert not loaded & HEAVY
    assert "hardline.cli" in loaded
    assert len(loaded) < 90
    assert len({name for name in loaded if name.startswith("hardline")}) < 17


# ── what is said where ───────────────────────────────────────────────────────────────────────────────────────


def test_alone_it_explains_itself(tmp_path: Path) -> None:
    for done in (run(), run("help"), run("--help")):
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: hardline")
    assert run("help", "share").stdout == run("share", "--help").stdout


@pytest.mark.parametrize("asked", ["version", "--version"])
def test_it_tells_its_version(asked: str) -> None:
    assert run(asked).stdout == f"hardline {__version__}\n"


@pytest.mark.parametrize("command", [["status"], ["ls"], ["lan"], ["share", "8000"], ["remove", "x"]])
def test_without_a_daemon_one_sentence_and_exit_code_3(command: list[str], tmp_path: Path) -> None:
    done = run(*command, "--datadir", tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines()[0] == f"hardline: error: no hardlined runs on the data directory {tmp_path}"


@pytest.mark.parametrize(
    "arguments",
    [
        *(["nix"], ["share"], ["status", "--nix"], ["help", "nix"], ["fileserver", ".", "--port", "70000"]),
        *(["share", "Musik"], ["share", "70000"], ["share", "http://nas/path"], ["share", "unix:"]),
        *(["share", "8000", "--name", "///"], ["share", "-1"], ["share", "80a"], ["share", "ftp://nas"]),
        *(["share", "ada:secret@nas:80"], ["pac", "--localport", "0"], ["pac", "--localport", "65536"]),
        *(["fileserver", ".", "--name", name] for name in ("a b", "nas:80", "", "http://nas")),
    ],
)
def test_wrong_arguments_are_exit_code_2_and_nothing_on_stdout(node: Node, arguments: list[str]) -> None:
    done = node.hardline(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("target", ["nas:99999", "http://nas/path", "unix:", "http://ann:secret@nas"])
def test_a_hint_speaks_of_what_was_typed_and_not_of_a_file(node: Node, target: str) -> None:
    done = node.hardline("share", target)
    assert done.returncode == 2
    assert "hint: for example 8000, nas:8080" in done.stderr
    assert " = " not in done.stderr


def test_the_result_alone_is_on_stdout(node: Node) -> None:
    done = node.hardline("share", "8123", "--title", "Home Assistant")
    assert done.returncode == 0
    assert done.stdout == f"{node.url('Home-Assistant')}\n"
    nothing = '(nothing answers there now: visitors read "not running" until it does)'
    assert done.stderr.splitlines() == [
        f"hardline: shared as Home-Assistant: Home Assistant on atlas → localhost:8123 {nothing}",
        "  this network  listed on this computer only ([Node] bind)",
        "  elsewhere     reachable on this machine only ([Node] bind)",
        "  who           everybody who has the address; to choose people: hardline change Home-Assistant --invited",
        "  keep a copy of its key: hardline backup FILE",
    ]


def test_row_7_whoever_shares_reads_whether_something_answers_there(node: Node, origin: RunningOrigin) -> None:
    said = node.hardline("share", str(origin.port), "--name", "web").stderr
    assert f"on atlas → localhost:{origin.port} (answers, HTTP 200)\n" in said
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        said = node.hardline("share", str(port), "--unlisted", "--invited").stderr
    assert f"→ localhost:{port} (answers)\n" in said
    assert "  this network  not listed: who has its address finds it\n" in said
    assert f"  who           those who are invited: hardline invite {port} --to NAME\n" in said


# ── where results go ─────────────────────────────────────────────────────────────────────────────────────────

RESULTS = [["status"], ["status", "--json"], ["ls"], ["lan"], ["lan", "--json"], ["--help"], ["version"]]
BUFFERED = [*((command, "") for command in RESULTS), (["status"], "1"), (["--help"], "1")]


@pytest.mark.parametrize(("command", "unbuffered"), BUFFERED, ids=str)
def test_a_full_disk_as_stdout_is_an_error(node: Node, command: list[str], unbuffered: str) -> None:
    done = run("--datadir", node.data, *command, shell="> /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr == "hardline: error: the result cannot be written to stdout: no space left on device\n"


@pytest.mark.parametrize("command", RESULTS, ids=" ".join)
def test_a_closed_stdout_is_an_error_and_a_closed_stderr_is_not(node: Node, command: list[str]) -> None:
    done = run("--datadir", node.data, *command, shell=">&-")
    assert (done.returncode, done.stderr) == (1, "hardline: error: there is no stdout to write the result to\n")
    assert run("--datadir", node.data, *command, shell="2>&-").returncode == 0


def test_what_was_to_be_said_on_a_closed_stderr_does_not_go_among_the_results(tmp_path: Path) -> None:
    done = run("status", "--datadir", tmp_path, shell="2>&-")
    assert (done.returncode, done.stdout) == (3, "")


@pytest.mark.parametrize(("command", "unbuffered"), BUFFERED, ids=str)
def test_row_22_a_reader_that_has_gone_is_no_traceback(node: Node, command: list[str], unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        done = subprocess.run(
            [COMMAND, "--datadir", node.data, *command],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    "encoding",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=str,
)
@pytest.mark.parametrize("command", [["status"], ["ls"], ["share", "PHOTOS"], ["remove", "nix-家"]], ids=" ".join)
def test_row_22_any_title_can_be_told_in_any_encoding(node: Node, command: list[str], encoding: dict[str, str]) -> None:
    words = [str(node.data.parent / "photos") if word == "PHOTOS" else word for word in command]
    done = run("--datadir", node.data, *words, **encoding)
    assert "Traceback" not in done.stderr
    assert done.returncode == (1 if command[0] == "remove" else 0)


# ── ls ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_ls_shows_what_is_ours_what_the_network_offers_and_who_is_known(node: Node, tmp_path: Path) -> None:
    with Node(tmp_path / "other", settings="[LAN]\ncomputer = felix\n") as other:
        other.share("printer", 631, title="Printer")
        label = other.label("printer")
        listed = json.loads(node.hardline("ls", "--json").stdout)
        assert set(listed) == {"mine", "network", "known", "links"}
        assert "house" in [row["name"] for row in listed["mine"]]
        assert {row["label"]: row["host"] for row in listed["network"]}[label] == "felix"
        assert other.status()["node"]["computer"] == "felix"
        assert "Printer  on felix\n" in node.hardline("lan").stdout
        lines = node.hardline("ls").stdout.splitlines()
    headings = [lines.index(heading) for heading in ("MINE", "ON THIS NETWORK", "KNOWN")]
    assert headings == sorted(headings)
    mine = next(line for line in lines[: headings[1]] if line.startswith("  house "))
    assert "listed" in mine.split()
    assert mine.endswith(node.url("house"))
    assert any("Printer" in line and "on felix" in line and label in line for line in lines[headings[1] : headings[2]])


# ── share ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sharing_the_same_again_is_the_same_url(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "写真"
    directory.mkdir()
    monkeypatch.chdir(tmp_path)
    first = node.hardline("share", "写真")
    assert first.returncode == 0
    for again in ("写真", "./写真/", str(directory)):
        done = node.hardline("share", again)
        assert (done.returncode, done.stdout) == (0, first.stdout)
        assert done.stderr.startswith("hardline: shared already as service-1: 写真 on atlas → ")
    monkeypatch.chdir(directory)
    assert node.hardline("share", ".").stdout == first.stdout
    port = node.hardline("share", "8124")
    assert node.hardline("share", "localhost:8124").stdout == port.stdout
    assert node.hardline("share", "http://localhost:8124/").stdout == port.stdout


def test_two_directories_of_one_name_are_two_services(node: Node, tmp_path: Path) -> None:
    urls = set()
    for parent in ("a", "b"):
        (tmp_path / parent / "music").mkdir(parents=True)
        urls.add(node.hardline("share", str(tmp_path / parent / "music")).stdout)
    assert len(urls) == 2
    assert node.serves("music-2")["title"] == "music"


def test_a_title_is_as_it_was_typed_and_the_file_has_a_name_that_can_be(node: Node) -> None:
    done = node.hardline("share", "8125", "--title", "Мой дом")
    assert done.returncode == 0
    service = next(row for row in node.status()["services"] if row.get("title") == "Мой дом")
    assert service["name"].isascii()
    assert service["url"] == done.stdout.strip()


def test_a_title_of_which_something_cannot_be_shown_is_not_called_short(node: Node) -> None:
    done = node.hardline("share", "8140", "--title", "a\nb")
    assert done.stderr.startswith("hardline: shared as a-b: a b on atlas → localhost:8140 ")
    assert done.stderr.endswith("\nhardline: some characters of its title cannot be shown\n")


@pytest.mark.parametrize("letter", ["é", "😀"])
def test_a_title_without_end_is_cut_and_that_is_said(node: Node, letter: str) -> None:
    done = node.hardline("share", str(8126 + len(letter.encode())), "--title", letter * 10_000)
    assert done.returncode == 0
    assert "hardline: its title has 200 of 10000 characters" in done.stderr


@pytest.mark.parametrize(
    "name",
    ["\u3000wide\u3000", "no\u00a0break", "می\u200cخواهم", "👩\u200d👩\u200d👧", "a\tb", '"', " # ; = [x] : ", "x.ini"],
)
def test_directories_of_any_name_are_shared(node: Node, tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    (directory / "a.txt").write_text("found")
    done = node.hardline("share", str(directory))
    assert done.returncode == 0, done.stderr
    if shutil.which("curl"):
        told = subprocess.run(["curl", "-s", f"{done.stdout.strip()}a.txt"], capture_output=True, text=True, check=True)
        assert told.stdout == "found"


@pytest.mark.parametrize("name", ["line\nend", "c\rr", "esc\x1b[31m", os.fsdecode(b"caf\xe9")])
def test_a_name_that_no_settings_file_can_hold_is_refused_with_the_reason(
    node: Node, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    done = node.hardline("share", str(tmp_path / name))
    assert (done.returncode, done.stdout) == (2, "")
    assert "a path in a settings file has" in done.stderr
    assert done.stderr.count("\n") == 2
    assert "\x1b" not in done.stderr


def test_row_1_a_file_a_directory_and_what_is_neither(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    first = node.hardline("share", "m")
    assert first.returncode == 0
    assert f'directory = "{tmp_path}/m"\n' in (node.services / "m.ini").read_text()
    assert node.hardline("share", "m").stdout == first.stdout
    nothing = node.hardline("share", "nix")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert 'there is no file "nix" here; a computer needs its port: nix:80' in nothing.stderr
    (tmp_path / "x.pdf").write_bytes(b"%PDF-1.7 of ours")
    (tmp_path / "y.pdf").write_bytes(b"another")
    done = node.hardline("share", "x.pdf")
    url = done.stdout.strip()
    assert f"→ the file {tmp_path}/x.pdf\n" in done.stderr
    assert node.hardline("share", "./x.pdf").stdout == done.stdout
    for path in ("", "x.pdf"):
        got = subprocess.run(["curl", "-si", url + path], capture_output=True, check=True).stdout
        assert b" 200 " in got.splitlines()[0]
        assert got.endswith(b"\r\n\r\n%PDF-1.7 of ours")
        assert b"content-type: application/pdf" in got.lower()
        assert b"filename*=UTF-8''x.pdf" in got
    for path in ("y.pdf", "x.pdf/", "%2e%2e/y.pdf", "api/v1/dir/", "?zip", "m/"):
        got = subprocess.run(["curl", "-s", "--path-as-is", url + path], capture_output=True, check=True).stdout
        assert b"another" not in got, path
        assert b"y.pdf" not in got, path
    assert node.hardline("share", ".").returncode == 0
    assert node.hardline("change", "x-pdf", "y.pdf").stdout == done.stdout
    assert subprocess.run(["curl", "-s", url], capture_output=True, check=True).stdout == b"another"
    assert node.hardline("change", "x-pdf", "m").stdout == done.stdout
    assert "only" not in (node.services / "x-pdf.ini").read_text()


def test_row_2_what_is_hidden_is_not_served_and_not_listed(node: Node, tmp_path: Path) -> None:
    for name in (".env", "shown"):
        (tmp_path / name).write_text(name)
    url = node.hardline("share", str(tmp_path), "--name", "row2").stdout.strip()
    seen = [curl(f"{url}{path}") for path in (".env", "shown", "api/v1/dir/")]
    assert [one.status for one in seen] == [404, 200, 200]
    assert "shown" in seen[2].text
    assert ".env" not in seen[2].text


def test_row_2_a_home_is_shared_only_on_purpose(node: Node, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    done = node.hardline("share", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"hardline: error: {tmp_path} holds .ssh; share a directory inside it, or add --yes\n"
    assert node.hardline("share", str(tmp_path), "--yes").returncode == 0
    served = run("fileserver", tmp_path, "--port", "0")
    assert (served.returncode, served.stdout, served.stderr) == (1, "", done.stderr)


def test_what_begins_with_a_dash_is_told_how_it_is_written(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-dash").mkdir()
    done = node.hardline("share", "-dash")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("hint: for what lies here under this name, write ./-dash\n")
    assert node.hardline("share", "./-dash").returncode == 0


def test_what_is_removed_and_shared_again_has_its_url_again(node: Node, tmp_path: Path) -> None:
    for parent in ("pub", "priv"):
        (tmp_path / parent / "pictures").mkdir(parents=True)
    public, private = str(tmp_path / "pub" / "pictures"), str(tmp_path / "priv" / "pictures")
    first = node.hardline("share", public, "--title", "Pictures of mine").stdout
    assert node.hardline("remove", "Pictures-of-mine").returncode == 0
    refused = node.hardline("share", private, "--name", "Pictures-of-mine")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"before was {public}: who has its URL would get into this, too" in refused.stderr
    assert node.hardline("share", private, "--title", "Pictures of mine").stdout != first
    again = node.hardline("share", public, "--title", "Other")
    assert (again.returncode, again.stdout) == (0, first)
    assert again.stderr.startswith("hardline: shared again as Pictures-of-mine: Pictures of mine on atlas → ")
    assert "its title stays as it was" in again.stderr


def test_a_directory_that_is_shared_without_lists_says_so(node: Node, tmp_path: Path) -> None:
    file = node.services / "unlisted.ini"
    file.write_text(f"[Service]\nservice =\n[Cache]\ndirectory = {tmp_path}\n")
    wait_until(lambda: "unlisted" in [row["name"] for row in node.status()["services"]], "it is served")
    done = node.hardline("share", str(tmp_path))
    says = f"hardline: what is in its directories is not shown; to change it, allowListing = yes in {file}"
    assert done.stderr.splitlines()[-1] == says


# ── a daemon that was not restarted ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("command", "answer", "code", "says"),
    [
        (["status"], {"version": __version__, "pid": 1}, 1, "another version: it does not tell 'node'"),
        (["ls"], {"version": __version__}, 1, "another version: it does not tell 'services'"),
        (["status", "--json"], {"version": "0.1"}, 0, f"is version 0.1, this is {__version__}: restart it"),
        (["share", "8000"], {"url": "http://x/", "name": "a"}, 0, "another version: restart it"),
    ],
)
def test_a_daemon_of_another_version_is_to_be_restarted(
    command: list[str],
    answer: dict[str, object],
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("hardline.asking.ask", lambda datadir, do, **arguments: [] if do == "lan" else answer)
    assert main([*command, "--datadir", "/nowhere"]) == code
    told = capsys.readouterr()
    assert says in told.err
    assert "restart it" in told.err
    assert bool(told.out) == (code == 0)


# ── without a home ───────────────────────────────────────────────────────────────────────────────────────────


@needs.root()
@needs.linux()
@pytest.mark.parametrize(
    ("program", "arguments", "says"),
    [
        ("hardline.cli", ["status"], "hardline: error: the user 123456 has no home directory"),
        (
            "hardline.cli",
            ["status", "--datadir", "/nowhere"],
            "hardline: error: no hardlined runs on the data directory",
        ),
        ("hardline.hardlined", [], "hardlined: error: the user 123456 has no home directory"),
        ("hardline.hardlined", ["--datadir", "/proc/x"], "hardlined: error: the user 123456 has no home directory"),
        (
            "hardline.hardlined",
            ["--datadir", "/proc/x", "--servicedir", "/proc/y"],
            "hardlined: error: the data directory /proc/x cannot be used",
        ),
    ],
)
def test_who_has_no_home_is_told_so_unless_he_needs_none(program: str, arguments: list[str], says: str) -> None:
    become = (
        "import hashlib, os, sys, unicodedata, platformdirs, uvloop\n"  # others' homes may be closed to him
        f"from hardline import asking, places, process, tables\nfrom {program} import main\n"
        "for name in ('HOME', 'XDG_DATA_HOME', 'XDG_CONFIG_HOME'): os.environ.pop(name, None)\n"
        f"os.setgroups([]); os.setgid(123456); os.setuid(123456)\nsys.exit(main({arguments!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", become], capture_output=True, text=True, timeout=30, check=False, cwd="/"
    )
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode in (1, 3)
