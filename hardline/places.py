"""Where a node keeps its things."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from hardline.errors import ConfigError

SYSTEM = Path("/run/hardline")  # of the computer's hardlined: its note, and the socket for its group


class Places(NamedTuple):  # no dataclass: those take a command's start 10 ms
    """The directories of a node, and its settings file; None where there is no place for one."""

    servicedir: Path
    datadir: Path
    config: Path | None = None


def runtime_directory(user: int) -> Path:
    """Where this user's programs leave what is gone when he logs out; it need not be there.

    Source: XDG Base Directory Specification, by which a path that is not whole counts as none.
    """
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(named if os.path.isabs(named) else f"/run/user/{user}" if user else "/run")


def default_places() -> Places:
    """Where a node keeps things when nobody says otherwise.

    Raises ConfigError for a user who has no home directory and named none of XDG_CONFIG_HOME and XDG_DATA_HOME.
    """
    if os.geteuid() == 0:
        return Places(Path("/etc/hardline/services"), Path("/var/lib/hardline"), Path("/etc/hardline/hardline.ini"))
    from platformdirs import user_config_path, user_data_path  # only where no directory was named

    try:
        config, data = user_config_path("hardline"), user_data_path("hardline")
    except RuntimeError:  # pathlib's, without HOME and without an entry in the system's list of users
        config = data = Path("~")
    if not (config.is_absolute() and data.is_absolute()):
        raise ConfigError(
            f"the user {os.geteuid()} has no home directory: HOME is not set, or is no whole path",
            hint="set HOME, or name the directories: --datadir DIR, and for hardlined --servicedir DIR",
        )
    return Places(config / "services", data, config / "hardline.ini")
