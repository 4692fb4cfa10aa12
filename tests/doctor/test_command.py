"""`hardline doctor` as it is typed: where nothing runs, in a terminal, for programs, as a report."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from hardline import certificates
from hardline.doctor.checks import NAMES
from hardline.doctor.rows import Row
from hardline.node.node import Node as LibraryNode
from tests.support.node import SCRIPTS, Node, free_port

COMMAND = str(SCRIPTS / "hardline")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One that runs, and shares what does not answer, with a password that everybody would try."""
    with Node(tmp_path_factory.mktemp("doctor") / "node") as running:
        running.share("secretphotos", 9, title="Anna's photos", password="abc")
        yield running


def typed(node: Node, *arguments: str) -> tuple[int, str]:
    """What a terminal shows, and the exit code."""
    pid, terminal = pty.fork()
    if not pid:
        os.execv(COMMAND, [COMMAND, "--datadir", str(node.data), "doctor", *arguments])
    shown = bytearray()
    with suppress(OSError), open(terminal, "rb", buffering=0) as screen:
        while piece := screen.read(4096):
            shown += piece
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_in_a_terminal_rows_come_in_order_and_what_is_waited_for_is_shown(node: Node) -> None:
    code, shown = typed(node)
    assert code == 1
    plain = re.sub(r"\x1b\[[0-9;]*[mK]", "", shown)
    told = [
        name for line in plain.splitlines() for name in NAMES if re.search(rf"(ok|warn|fail|checked) +{name}  ", line)
    ]
    assert list(dict.fromkeys(told)) == list(NAMES)
    assert "\r\x1b[K… " in shown
    assert "\x1b[31mfail" in shown
    assert "nothing answers at 127.0.0.1:9: connection refused" in plain
    assert plain.rstrip().endswith("1 failed: services")


def test_for_programs_it_is_one_object(node: Node) -> None:
    done = node.hardline("doctor", "--json")
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["code"] == done.returncode == 1
    assert {row["check"] for row in told["rows"]} == set(NAMES)
    for row in told["rows"]:
        assert set(row) == {"check", "state", "sentence", "do", "took_s"}
        assert row["took_s"] < 15


@pytest.mark.full
def test_a_report_is_the_owners_and_tells_nobody_anything(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "report"
    done = node.hardline("doctor", "--report", str(file))
    assert done.returncode == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert "<name 1>: nothing answers at 127.0.0.1:9" in text
    assert "the password is easy to guess" in text
    for secret in (node.label("secretphotos").partition("-")[2], "abc-", "secretphotos", "Anna"):
        assert secret not in text
    again = node.hardline("doctor", "--report", str(file))
    assert again.returncode == 1
    assert "there is such a file already" in again.stderr


@pytest.mark.parametrize("arguments", [(), ("secretphotos",)])
def test_ctrl_c_ends_it_at_once(node: Node, arguments: tuple[str, ...]) -> None:
    command = [COMMAND, "--datadir", str(node.data), "doctor", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("ok ")
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode in (130, 0, 1)  # it may just have ended
    assert "Traceback" not in said


@pytest.mark.full
def test_a_program_that_is_a_node_gets_the_rows_as_they_come(tmp_path: Path) -> None:
    async def examine() -> tuple[list[Row], list[Row]]:
        async with LibraryNode(datadir=tmp_path / "node", control=False) as node:
            rows = [row async for row in node.actions.examine()]
            visit = [row async for row in node.actions.examine_visit("0" * 40)]
            async with aclosing(node.actions.examine()) as left:
                await anext(left)
        return rows, visit

    rows, visit = asyncio.run(examine())
    assert sorted({row.check for row in rows}) == sorted(NAMES)
    assert visit[-1].sentence.startswith("nobody knows where it is")


@pytest.mark.full
def test_whoever_reads_and_goes_is_no_trouble(node: Node) -> None:
    pipe = subprocess.run(
        ["sh", "-c", f"{COMMAND} --datadir {node.data} doctor | head -1"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    )
    assert "Traceback" not in pipe.stderr
    assert pipe.stdout.startswith("ok           daemon")


def test_a_visit_ends_in_the_side_that_failed(node: Node) -> None:
    done = node.hardline("doctor", "secretphotos")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[-2].startswith("fail         result")
    assert "hardline runs there, but nothing answers at the port of the service" in lines[-2]
    assert re.search(r"ok +hello .*\(\d+ ms\)", done.stdout)


def test_what_nothing_is_known_by_is_a_wrong_argument(node: Node) -> None:
    done = node.hardline("doctor", "nobody's")
    assert done.returncode == 2
    assert "nothing is known by" in done.stderr
    assert done.stdout == ""


# Where no daemon runs.


def alone(directory: Path, settings: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask about a node that has never run."""
    directory.mkdir(exist_ok=True)
    (directory / "data").mkdir(mode=0o700, exist_ok=True)
    (directory / "services").mkdir(mode=0o700, exist_ok=True)
    config = directory / "hardline.ini"
    config.write_text(settings)
    command = [COMMAND, "--datadir", str(directory / "data"), "doctor", "--json", "--config", str(config), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_without_a_daemon_it_says_so_and_looks_at_what_is_there(tmp_path: Path) -> None:
    services = tmp_path / "services"
    with socket.create_server(("127.0.0.1", 0)) as other:
        door = other.getsockname()[1]
        text = f"[Node]\nservicedir = services\nlocalport = {door}\np2pport = {free_port()}\n[LAN]\nenabled = no\n"
        services.mkdir(mode=0o700)
        (services / "wiki.ini").write_text("[Service]\nservice = localhost\nport = http\n")
        (services / "dead.ini").write_text("[Service]\nservice = localhost\nport = 9\npassword = abc\n")
        key = certificates.load_or_create(services / "dead.ini.cert").private_key_path
        key.chmod(0o644)
        done = alone(tmp_path, text)
    assert done.returncode == 3
    rows = json.loads(done.stdout)["rows"]
    failed = [(row["check"], row["sentence"]) for row in rows if row["state"] == "fail"]
    assert [check for check, _ in failed] == ["daemon", "ports", "services", "services", "keys"]
    said = " ".join(sentence for _, sentence in failed)
    assert "no hardlined runs on the data directory" in said
    assert f"{door}/tcp (browsers) is taken by " in said
    assert f"(pid {os.getpid()})" in said
    assert "wiki.ini:3: port is 'http'" in said
    assert "dead: nothing answers at localhost:9: connection refused" in said
    assert f"{key}: other users may touch this private key (its mode is 0644)" in said
    assert [row["check"] for row in rows if row["state"] == "warn" and row["check"] == "exposure"] == ["exposure"]


@pytest.mark.full
def test_settings_with_which_none_can_start_are_told(tmp_path: Path) -> None:
    done = alone(tmp_path, "[Node]\nlocalport = seven\n")
    assert done.returncode == 3
    [daemon] = [row for row in json.loads(done.stdout)["rows"] if row["check"] == "daemon"]
    assert f"{tmp_path}/hardline.ini:2: localport is 'seven'" in daemon["sentence"]


def test_a_visit_needs_a_daemon(tmp_path: Path) -> None:
    done = alone(tmp_path, "", "nas")
    assert done.returncode == 3
    assert "no hardlined runs" in done.stderr


def test_the_help_of_all_commands_does_not_load_it() -> None:
    code = (
        "import sys; from hardline.cli import main; main(['--help']); "
        "print([name for name in sys.modules if 'doctor' in name], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "doctor" in done.stdout
