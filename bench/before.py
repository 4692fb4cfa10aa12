"""hardline as it was before its part in C and visits at once, out of this repository's history.

Both engines take part in visits at once, so only the code of that day shows what they brought.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from contestants import Hardline
from daemons import Broken

_COMMIT = "5012c01f6a8ad8548f3cccce99205b136dd6aaed"
_REPOSITORY = Path(__file__).parent.parent


class HardlineBefore(Hardline):
    """It takes part in new connections alone: all else is compared with the engine in Python."""

    name = "hardline-before"
    optional = True
    unable = frozenset(
        {"bulk", "ka1", "ka32", "beside", "streams8", "tree", "cold", "memory", "crowd", "site", "scp", "suite"}
    )

    def start(self) -> None:
        packages = self.directory / "packages"
        try:
            packed = subprocess.run(
                ["git", "-C", _REPOSITORY, "archive", _COMMIT, "hardline"], capture_output=True, check=True
            ).stdout
        except (OSError, subprocess.CalledProcessError):
            raise Broken("the commit before is not in this checkout's history") from None
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(packages, filter="data")
        # What runs in the checkout would find today's beside it, if the working directory came first.
        self.env: Mapping[str, str] = {"PYTHONPATH": str(packages), "PYTHONSAFEPATH": "1"}
        super().start()
