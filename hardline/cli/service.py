"""`hardline service`: have systemd keep hardlined running, for this user, or with --system for the computer."""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from hardline.cli.daemon import talk
from hardline.errors import ConfigError, HardlineError, WrongArgument
from hardline.files import give_tree, hint_for, replace_whole, why
from hardline.running import of_users
from hardline.terminal import write
from hardline.units import DATA, NAME, SERVICES, USER, system_unit, user_unit

_SYSTEM_UNITS = Path("/etc/systemd/system")
_LONG = 60.0  # seconds that systemd has for a start
_SAID = 300  # characters of what a program says


def run(options: argparse.Namespace) -> int:
    """Run one of these; the exit code of `status` is systemd's."""
    if shutil.which("systemctl") is None:
        hint = "have what starts your programs run hardlined, and end it by SIGTERM"
        raise ConfigError("there is no systemd on this computer", hint=hint)
    if options.system and os.geteuid() and options.do != "status":
        raise WrongArgument("the computer's unit is root's", hint="sudo, or without --system")
    match options.do:
        case "install":
            _install(options.system)
        case "uninstall":
            _uninstall(options.system)
        case _:
            return _status(options.system)
    return 0


def _install(system: bool) -> None:
    if os.geteuid() == 0 and not system:
        raise WrongArgument("root has no session to run it in", hint="--system, or as the user whose things are shared")
    command = [_hardlined()]
    if system:
        _make_user()
        unit, file = system_unit(command), _SYSTEM_UNITS / NAME
    else:
        unit, file = user_unit(command), _user_units() / NAME
    was_there = file.exists()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(file, unit.encode())
        file.chmod(0o644)
    except OSError as failure:
        raise ConfigError(f"it cannot be written: {why(failure)}", file=str(file), hint=hint_for(failure)) from None
    if system:
        for beside in of_users():
            end = f"as {beside.user_name}: systemctl --user disable --now hardlined"
            talk(f"{beside.user_name} runs one, too, and two have no room at the same ports; {end}")
    try:
        _systemctl(system, "daemon-reload")
    except HardlineError:  # nobody has seen it, and `uninstall` would be refused just the same
        if not was_there:
            file.unlink(missing_ok=True)
        raise
    _systemctl(system, "enable", NAME)
    _systemctl(system, "restart", NAME)
    write(str(file))
    talk("hardlined runs, and starts with the computer" if system else "hardlined runs, and starts when you log in")
    if system:
        talk(f"its services: {SERVICES}; as root, or of the group {USER}: hardline share …, hardline status")
        talk(f"to have somebody be of that group: usermod -aG {USER} NAME, and he logs in anew")
    elif not _lingers():
        talk(f"it stops when you log out; to keep it running: loginctl enable-linger {_user()}")


def _uninstall(system: bool) -> None:
    file = (_SYSTEM_UNITS if system else _user_units()) / NAME
    if not file.exists():
        raise WrongArgument(f"there is no {file}", hint="hardline service status  says what runs")
    _systemctl(system, "disable", "--now", NAME)
    file.unlink()
    _systemctl(system, "daemon-reload")
    kept = f"{SERVICES} and {DATA}" if system else "its services, keys and names"
    talk(f"hardlined does not run any more; {kept} are where they were")


def _status(system: bool) -> int:
    own = [] if system else ["--user"]
    done = subprocess.run(["systemctl", *own, "--no-pager", "status", NAME], check=False, timeout=_LONG)
    if not system and not _lingers():
        talk(f"it stops when you log out; to keep it running: loginctl enable-linger {_user()}")
    return done.returncode


def _systemctl(system: bool, *arguments: str) -> None:
    command = ["systemctl", *([] if system else ["--user"]), *arguments]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_LONG)
    except subprocess.TimeoutExpired:
        raise HardlineError(f"{' '.join(command)} takes too long", hint="journalctl says why") from None
    if done.returncode:
        said = " ".join(done.stderr.split())[:_SAID]
        hint = "" if system else "is this a session of yours? su and sudo make none: log in by ssh, or machinectl shell"
        raise HardlineError(f"{' '.join(command)} failed: {said or 'it does not say why'}", hint=hint)


def _hardlined() -> str:
    """The program that belongs to this one."""
    beside = Path(sys.argv[0]).absolute().with_name("hardlined")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("hardlined")
    if found is None:
        raise ConfigError("there is no program hardlined beside this one", hint="install hardline-tunnel anew")
    return found


def _user_units() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        return (Path(config) if Path(config).is_absolute() else Path.home() / ".config") / "systemd/user"
    except RuntimeError:  # pathlib's
        raise ConfigError(f"the user {os.geteuid()} has no home directory", hint="set HOME") from None


def _lingers() -> bool:
    """Whether programs of this user go on after logging out; true as well where nobody knows."""
    if shutil.which("loginctl") is None:
        return True
    command = ["loginctl", "show-user", _user(), "--property=Linger", "--value"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_LONG)
    except subprocess.TimeoutExpired:
        return True
    return done.stdout.strip() != "no"


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _make_user() -> None:
    """The user of the computer's hardlined, and its directories; what one that ran as root has left there is his."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--home-dir", DATA, "--shell", "/usr/sbin/nologin", USER]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_LONG)
        if done.returncode:
            raise HardlineError(f"the user {USER} cannot be made: {' '.join(done.stderr.split())[:_SAID]}") from None
    user = pwd.getpwnam(USER)
    for directory in (Path(SERVICES), Path(DATA)):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        give_tree(directory, user.pw_uid, user.pw_gid)
