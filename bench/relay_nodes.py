"""Whole daemons for `--relay`, which say no more than usual."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE.parent))

from hardline.asking import ask  # noqa: E402
from tests.support.node import Node  # noqa: E402
from tests.support.waiting import wait_until  # noqa: E402


def impossible() -> str:
    """Why machines of their own cannot be made for them here; "" where they can."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [tool for tool in ("ip", "nft", "conntrack", "sysctl") if shutil.which(tool) is None]
    return f"needs {', '.join(missing)}" if missing else ""


class Quiet(Node):
    """A node of the tests; `unpunched`: for which nobody punches."""

    def __init__(self, *words: Any, unpunched: bool = False, **options: Any) -> None:
        super().__init__(*words, **options)
        self._program = [str(_HERE / "unpunched.py")] if unpunched else ["-m", "hardline.hardlined"]

    @property
    def command(self) -> list[str]:
        """How it is started."""
        _, *arguments = super().command
        level = arguments.index("--log-level")
        return [sys.executable, *self._program, *arguments[:level], *arguments[level + 2 :]]

    def says(self) -> dict[str, Any]:
        """Its status, at the cost of a question."""
        said: dict[str, Any] = ask(self.data, "status")
        return said

    def line(self, at: str) -> str:
        """How others name it, as a relay at this endpoint, in [Relay] use."""
        return f"{at}#{self.says()['node']['key_hash']} named"

    def is_reached(self) -> None:
        """Wait until all of its names were reached by a relay: of one service, its own, a rolling one and a handle."""
        wait_until(lambda: any(one["tested"] >= 3 for one in self.says()["relays"]["used"]), "reached by the relay")

    def is_public(self) -> None:
        """Wait until a service has a public port."""
        wait_until(lambda: any(one.get("public") for one in self.says()["services"]), "it has a public port")

    def visited(self, label: str) -> str:
        """Of which kind the path of the last visit was."""
        return str([visit for visit in self.says()["visits"] if visit["label"] == label][-1]["kind"])
