"""The computer's hardlined, and who may ask it: root, its own user, members of its group, and nobody else."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hardline.units import USER, system_unit
from tests.support import needs
from tests.support.node import SCRIPTS, Node, refused

pytestmark = [needs.root(), needs.linux(), needs.tools("setpriv", "unshare")]

SOMEBODY, HIS_NAME = pwd.getpwnam("nobody").pw_uid, "nobody"
GROUP = "daemon"  # every system has it
MEMBERS = grp.getgrnam(GROUP).gr_gid


@dataclass
class System:
    """A node in the place of the computer's, whose runtime directory everybody gets to."""

    node: Node
    runtime: Path
    home: Path

    def hardline(self, *words: str, groups: int = MEMBERS, place: str = "") -> subprocess.CompletedProcess[str]:
        """As a user who is nobody else, of one more group; /run is as after the computer's start."""
        prepare = f"mount -t tmpfs none /run && mkdir /run/hardline && mount --bind {self.runtime} /run/hardline"
        user = f"setpriv --reuid {SOMEBODY} --regid {SOMEBODY} --groups {groups}"
        named = ["--datadir", place] if place else []
        asked = shlex.join([str(SCRIPTS / "hardline"), *words, *named])
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        command = ["unshare", "--mount", "sh", "-c", f"{prepare} && exec {user} {asked}"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        place = Path(made)
        place.chmod(0o755)
        home, runtime = place / "home", place / "run"
        home.mkdir()
        runtime.mkdir(mode=0o755)
        os.chown(home, SOMEBODY, SOMEBODY)
        settings = f"[LAN]\nenabled = no\n[Node]\ngroup = {GROUP}\n"
        node = Node(tmp_path_factory.mktemp("n"), settings=settings, env={"RUNTIME_DIRECTORY": str(runtime)})
        reaches = ["setpriv", "--reuid", str(SOMEBODY), "--clear-groups", "test", "-x", SCRIPTS / "hardline"]
        if subprocess.run(reaches, check=False).returncode:
            needs.cannot("a checkout that other users get to")
        with node:
            yield System(node, runtime, home)


def test_a_member_asks_it_without_a_word_where_it_is(system: System) -> None:
    shared = system.hardline("share", "8000", "--name", "wiki")
    assert shared.returncode == 0, shared.stderr
    assert shared.stdout.strip() == system.node.url("wiki")
    assert "wiki" in system.hardline("ls").stdout
    assert system.hardline("ls", "--names", "mine").stdout.split() == ["wiki"]
    opened = system.hardline("open", "--print")
    assert opened.stdout.startswith(f"http://localhost:{system.node.localport}/#once=")
    assert system.hardline("remove", "wiki").returncode == 0


def test_whoever_is_no_member_is_told_how_he_becomes_one(system: System) -> None:
    for words, code in ((["ls"], 3), (["share", "8000"], 3), (["status"], 3)):
        done = system.hardline(*words, groups=SOMEBODY)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert "sudo hardline --datadir" in done.stderr
        assert f"sudo usermod -aG {GROUP} {HIS_NAME}, and log in anew" in done.stderr
    done = system.hardline("ls", groups=SOMEBODY, place="/run/hardline")
    assert done.returncode == 1
    assert "no permission to talk" in done.stderr


def test_the_socket_is_the_groups_and_nobody_elses_and_goes_with_the_daemon(system: System) -> None:
    facts = (system.runtime / "control.sock").stat()
    assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (0, MEMBERS, 0o660)
    own = (system.node.data / "control.sock").stat()
    assert stat.S_IMODE(own.st_mode) == 0o600
    system.node.stop()
    try:
        assert not (system.runtime / "control.sock").exists()
        assert system.hardline("ls").returncode == 3
    finally:
        system.node.start()


def test_a_daemon_of_his_own_comes_first(system: System) -> None:
    own = system.home / ".local" / "share" / "hardline"
    listening = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); "
        "print(flush=True); c, _ = s.accept(); c.close(); c, _ = s.accept(); c.recv(99); c.sendall(b'junk\\n')"
    )
    own.mkdir(parents=True)
    command = ["python3", "-c", listening, str(own / "control.sock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as mine:
        try:
            assert mine.stdout is not None
            mine.stdout.readline()
            (own / "control.sock").chmod(0o666)
            done = system.hardline("status")
            assert "the daemon gave no answer" in done.stderr, "it was asked, and no other"
        finally:
            mine.kill()
    (own / "control.sock").unlink()


@pytest.mark.parametrize("group", ["of-nobody", "not a name"])
def test_a_group_that_is_none_is_said_at_the_start(tmp_path: Path, group: str) -> None:
    code, said = refused(Node(tmp_path, settings=f"[Node]\ngroup = {group}\n"))
    assert code == 1
    assert "group" in said


def test_the_systems_unit_has_it() -> None:
    unit = system_unit(["/usr/bin/hardlined"])
    assert f"--group {USER}\n" in unit
    assert "RuntimeDirectory=hardline\n" in unit
