"""`hardline service` and its units: what systemd-analyze says of them, and what systemctl is asked to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hardline.files import give_tree
from hardline.units import NAME, system_unit, user_unit
from tests.support.node import SCRIPTS

NASTY = ['/opt/my programs/100%/$HOME/"quoted"/back\\slash', "--x='y'"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")
@pytest.mark.parametrize("unit", [user_unit, system_unit])
def test_systemd_finds_nothing_wrong(tmp_path, unit):
    (tmp_path / NAME).write_text(unit(["/bin/true"]))
    how = ["--user"] if unit is user_unit else []
    command = ["systemd-analyze", *how, "--man=no", "verify", str(tmp_path / NAME)]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    assert (done.returncode, [line for line in done.stderr.splitlines() if NAME in line]) == (0, [])


def test_words_are_taken_as_they_are():
    line = next(line for line in user_unit(NASTY).splitlines() if line.startswith("ExecStart="))
    assert line == ('ExecStart="/opt/my programs/100%%/$$HOME/\\"quoted\\"/back\\\\slash" "--x=\'y\'"')


Asked = tuple[subprocess.CompletedProcess[str], list[str]]


def asked(tmp_path: Path, *arguments: str, fails: str = "nothing of this", linger: str = "no") -> Asked:
    """`hardline service` where systemctl and loginctl write down what they are asked."""
    programs, said = tmp_path / "bin", tmp_path / "asked"
    programs.mkdir(exist_ok=True)
    said.write_text("")
    for name, answer in (("systemctl", ""), ("loginctl", f"echo {linger}")):
        program = programs / name
        program.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {said}\n{answer}\n'
            f'case "$*" in *"{fails}"*) echo "no bus" >&2; exit 1;; esac\n'
        )
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "XDG_CONFIG_HOME": str(tmp_path)}
    # Root has no unit of its own, so it is somebody else who types this.
    before = ["unshare", "--user", "--map-user=1000"] if os.geteuid() == 0 else []
    command = [*before, str(SCRIPTS / "hardline"), "service", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    return done, said.read_text().splitlines()


def test_installed_it_runs_and_says_what_ends_it(tmp_path):
    done, systemctl = asked(tmp_path, "install")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "systemd/user" / NAME
    assert done.stdout.strip() == str(file)
    assert f"ExecStart={SCRIPTS / 'hardlined'}\n" in file.read_text()
    verbs = [line.removeprefix("systemctl --user ") for line in systemctl if line.startswith("systemctl")]
    assert verbs == ["daemon-reload", f"enable {NAME}", f"restart {NAME}"]
    assert "loginctl enable-linger" in done.stderr
    again, _ = asked(tmp_path, "install", linger="yes")
    assert again.returncode == 0
    assert "linger" not in again.stderr
    gone, systemctl = asked(tmp_path, "uninstall")
    assert gone.returncode == 0
    assert not file.exists()
    assert systemctl[0] == f"systemctl --user disable --now {NAME}"
    assert "are where they were" in gone.stderr
    nothing, _ = asked(tmp_path, "uninstall")
    assert nothing.returncode == 2


def test_what_systemd_refuses_is_said(tmp_path):
    done, _ = asked(tmp_path, "install", fails="enable")
    assert done.returncode == 1
    assert "no bus" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_systemd_cannot_be_asked_nothing_is_left(tmp_path):
    done, _ = asked(tmp_path, "install", fails="daemon-reload")
    assert done.returncode == 1
    assert not (tmp_path / "systemd/user" / NAME).exists()
    asked(tmp_path, "install")
    assert asked(tmp_path, "install", fails="daemon-reload")[0].returncode == 1
    assert (tmp_path / "systemd/user" / NAME).exists(), "what was there before stays"


def test_the_computers_is_roots(tmp_path):
    done, systemctl = asked(tmp_path, "install", "--system")
    assert (done.returncode, systemctl) == (2, [])
    assert "sudo" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_only_what_is_surely_of_its_directories_is_given_to_their_user(tmp_path):
    (tmp_path / "secret").write_text("of root")
    own = tmp_path / "own"
    own.mkdir()
    (own / "plain").write_text("x")
    (own / "link").symlink_to(tmp_path / "secret")
    os.link(tmp_path / "secret", own / "further-name")
    os.mkfifo(own / "pipe")
    (own / "below").mkdir()
    (own / "below" / "one").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "two").touch()
    (own / "directory").symlink_to(tmp_path / "elsewhere")
    give_tree(own, 65534, 65534)
    given = {path.name for path in tmp_path.rglob("*") if path.lstat().st_uid == 65534}
    assert given == {"own", "plain", "below", "one"}
