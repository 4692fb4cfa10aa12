"""For `--people`: a stranger has a wheel, and soon a page of his on a second machine.

    host       pip install WHEEL     hardline share PORT ─┐
    visitor    pip install WHEEL     hardline open        └─▶ its page lists the service ─▶ one click, and it is there

Two machines in namespaces of their own, at each a home without anything of hardline.  The wheel is built before, and
what it needs is in the virtual environment of this bench: nothing is fetched.  As pipx does it, each machine gets a
virtual environment of its own.  `share` and `open` are typed at a terminal, which becomes the daemon, by a user who is
not root, on a computer where no other daemon has left a note.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import relay_nodes
from daemons import Broken
from measures import Row

from tests.netns.lab import Lab, Machine
from tests.support.programs import curl, running_origin
from tests.support.typed import Typed
from tests.support.waiting import wait_until

ROOT = Path(__file__).parent.parent
_COMMANDS = ("pip install", "hardline share", "hardline open")
_TITLE = "Photos"
_AS_A_USER = 'mount -t tmpfs none /run && exec unshare --user --map-user=1000 "$@"'

ROWS = (
    Row("wheel", "from a wheel to a page on a second machine", "s", "less", "figure", 60),
    Row("wheel_commands", "  commands that are typed", "", "less", "figure", 3),
    Row("wheel_installs", "  of that: installed, on both", "s", "less"),
)


class Stranger:
    """A wheel and two machines; they end with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        place.mkdir()
        self._place = place
        built = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(place), str(ROOT)]
        subprocess.run(built, check=True, capture_output=True, text=True)
        [self._wheel] = place.glob("*.whl")
        lab = stack.enter_context(Lab())
        self._machines = {name: lab.machine(name) for name in ("host", "visitor")}
        self._origin = stack.enter_context(running_origin(self._machines["host"]))

    @staticmethod
    def impossible() -> str:
        """Why it cannot be measured here; "" where it can."""
        return relay_nodes.impossible() or ("" if shutil.which("unshare") else "needs unshare")

    def measure(self, number: int) -> dict[str, dict[str, float]]:
        """One round, in new homes."""
        homes = {name: self._place / f"{name}{number}" for name in self._machines}
        for home in homes.values():
            (home / "run").mkdir(parents=True)
        with contextlib.ExitStack() as stack:
            began = time.perf_counter()
            installs = sum(self._installed(name, home) for name, home in homes.items())
            shared = self._type("host", homes["host"], stack, "share", str(self._origin.port), "--title", _TITLE)
            wait_until(lambda: shared.says("  who  "), "it is shared", 60)
            opened = self._type("visitor", homes["visitor"], stack, "open", "--print")
            wait_until(lambda: opened.says("#once="), "the page is open", 60)
            visitor = self._machines["visitor"]
            address = wait_until(lambda: _listed(visitor), "its page lists the service", 60)
            answer = curl(address, at=visitor)
            took = time.perf_counter() - began
            if answer.status != 200:
                raise Broken(f"the service is answered {answer.status}: {answer.complaint}")
        return {"hardline": {"wheel": took, "wheel_commands": len(_COMMANDS), "wheel_installs": installs}}

    def _installed(self, name: str, home: Path) -> float:
        """`pip install WHEEL`, into an environment of its own; the seconds that it took."""
        began, own, python = time.perf_counter(), home / "own", home / "own" / "bin" / "python"
        install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps"]
        for command in ([sys.executable, "-m", "venv", "--without-pip", own], [*install, self._wheel]):
            self._machines[name].run(command, 60)
        [packages] = own.glob("lib/python*/site-packages")
        (packages / "needs.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        return time.perf_counter() - began

    def _type(self, name: str, home: Path, stack: contextlib.ExitStack, *words: str) -> Typed:
        environment = {"PATH": os.environ["PATH"], "TERM": "dumb"}
        environment |= {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
        command = ["unshare", "--mount", "sh", "-c", _AS_A_USER, "sh", home / "own" / "bin" / "hardline", *words]
        running = Typed(self._machines[name].wrap(command), environment)
        stack.callback(running.close)
        return running


def _listed(visitor: Machine) -> str:
    """The address of the service, as the visitor's page has it; "" while it does not."""
    page = curl("http://localhost:7009/", "-H", "Accept: text/html", at=visitor)
    found = re.search(rf'<a href="(http://[0-9a-f]{{40}}\.localhost:7009/)"><bdi>{_TITLE}<', page.text)
    return found[1] if found else ""
