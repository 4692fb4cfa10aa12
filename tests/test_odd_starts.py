"""How a daemon begins and ends where its surroundings are odd: no descriptors, no text, early signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.node import SCRIPTS, DidNotStart, Node
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [needs.linux(), needs.tools("curl")]


def started_with(shell: str) -> list[str]:
    return ["sh", "-c", f'exec "$@" {shell}', "sh"]


@pytest.fixture
def oddly(tmp_path: Path) -> Iterator[Path]:
    """A directory whose name no encoding has."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/i\xff"))
    odd.mkdir()
    yield odd
    shutil.rmtree(os.fsencode(odd))  # pytest lists what it keeps, as UTF-8


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_with_closed_descriptors_pages_are_made_and_the_end_is_in_order(tmp_path: Path, closed: str) -> None:
    with Node(tmp_path / "node", before=started_with(closed)) as node:
        node.write("pages", "[Service]\nservice =\n[Cache]\ndirectory = pages\ndynamicContent = yes\n")
        url = node.url_of(node.label("pages"), "hello")
        wait_until((node.data / "cache" / "pages").is_dir, "its directory is there")
        (node.data / "cache" / "pages" / "hello@mako").write_text("hello ${1 + 1}")
        wait_until(lambda: curl(url).text.strip() == "hello 2", "a page is made")
        assert {os.readlink(f"/proc/{node.process.pid}/fd/{fd}") for fd in (0, 1, 2)} <= {
            "/dev/null",
            str(node.log_file),
        }


def test_directories_whose_names_are_no_text_are_used(oddly: Path) -> None:
    with running_origin() as origin, Node(oddly / "node") as node:
        node.share("site", origin.port)
        url = node.url_of(node.label("site"))
        wait_until(lambda: curl(url).status == 200, "it is served")


def test_a_name_that_is_no_text_beside_the_settings_hides_no_change(tmp_path: Path) -> None:
    with running_origin() as origin, Node(tmp_path / "node") as node:
        for number in range(20):
            Path(os.fsdecode(os.fsencode(node.services) + b"/note\xe9%d.txt" % number)).touch()
        node.share("site", origin.port)
        wait_until(lambda: "site" in {one["name"] for one in node.status()["services"]}, "it is taken up", 5)
        assert "task.restarted" not in node.log
        for file in node.services.glob("note*"):
            os.unlink(os.fsencode(file))


def test_a_pipe_in_the_place_of_the_memory_is_not_waited_for(tmp_path: Path) -> None:
    node = Node(tmp_path / "node")
    node.data.mkdir(mode=0o700)
    os.mkfifo(node.data / "routes.db", 0o600)
    with node:
        assert "memory.unusable" in node.log


@pytest.mark.parametrize("arguments", [["hardlined", "--datadir", "d"], ["hardline", "fileserver", "."]])
def test_in_a_directory_that_is_gone_it_says_so(tmp_path: Path, arguments: list[str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = str(SCRIPTS / arguments[0])
    script = 'rmdir "$0"; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, gone, program, *arguments[1:]], cwd=gone, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "the directory that you are in is gone" in done.stderr


@pytest.mark.parametrize("arguments", [["hardlined", "--datadir", ""], ["hardline", "fileserver", ""]])
def test_an_empty_path_means_nothing(arguments: list[str]) -> None:
    done = subprocess.run(
        [SCRIPTS / arguments[0], *arguments[1:]], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "is empty" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_it_loads_is_no_traceback(tmp_path: Path, number: signal.Signals) -> None:
    """It comes while the first of the heavy modules is found."""
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whatever this test was started with
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == 'hardline.node.node': os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from hardline.hardlined import main\n"
        "sys.exit(main(['--datadir', '', ]) if 'hardline.node.node' in sys.modules else "
        f"main(['--datadir', {str(tmp_path)!r}, '--servicedir', '/dev/null/x', '--config', '/dev/null/y']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    assert done.returncode == (130 if number == signal.SIGINT else 1)


def test_a_data_directory_has_one_daemon_whatever_becomes_of_its_socket(tmp_path: Path) -> None:
    with Node(tmp_path / "first") as first:
        (first.data / "control.sock").unlink()
        second = Node(tmp_path / "second")
        second.data = first.data
        with pytest.raises(DidNotStart, match="another hardlined runs on the data directory"):
            second.start()


def test_who_ends_removes_no_socket_but_its_own(tmp_path: Path) -> None:
    with Node(tmp_path / "node") as node:
        sock = node.data / "control.sock"
        sock.unlink()
        sock.write_text("another's")
    assert sock.read_text() == "another's"


def test_a_thread_that_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    """As at a disk that does not answer."""
    hanging = (
        "import sys, threading\n"
        "from hardline import process\n"
        "process._PATIENCE = 0.5\n"
        "async def run(*_):\n"
        "    import asyncio\n"
        "    asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)\n"
        "    await asyncio.sleep(0.1)\n"
        "    return 0\n"
        "process._run = run\n"
        "from hardline.hardlined import main\n"
        f"sys.exit(main(['--datadir', {str(tmp_path)!r}, '--servicedir', {str(tmp_path)!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", hanging], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_readme_names_the_directory_that_make_run_uses() -> None:
    root = Path(__file__).parents[1]
    assert '"run"' in (root / "scripts" / "run.py").read_text()
    assert "`.venv/bin/hardline --datadir run ls`" in (root / "README.md").read_text()
