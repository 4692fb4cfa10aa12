"""Where a node keeps its things."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of a node, and its settings file."""

    servicedir: Path
    datadir: Path
    config: Path | None = None


def default_places() -> Places:
    """Where a node keeps things when nobody says otherwise."""
    from platformdirs import user_config_path, user_data_path  # only where no directory was named

    if os.geteuid() == 0:
        return Places(Path("/etc/hardline/services"), Path("/var/lib/hardline"))
    return Places(user_config_path("hardline") / "services", user_data_path("hardline"))
