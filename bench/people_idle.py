"""For `--people`: the memory of an idle daemon with default settings and one service, beside earlier states of it.

An earlier state is what Git kept of it, run by the same interpreter with the same libraries.  All daemons of a round
run at the same time, so that what they share of the interpreter counts alike for each.  The part in C is not among what
is compared: an earlier one would have to be built, and it is none of what was added.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from daemons import Daemon, ReadySocket, free_port
from load import median
from measures import Row

ROOT = Path(__file__).parent.parent
# The last commit before what people see, and before gateway, forwards, links, public names and ports, applications.
BEFORE = {
    "people": "30b96a20acf7da75b4b1c57050bd9069febd3f34",
    "fronts": "e469a31471decdae79137fdf1eca091f1f39969c",
}
_TITLES = {"people": "what people see", "fronts": "gateway, forwards, links, public names and ports, applications"}
_SETTLED = 6.0  # seconds after its start a daemon does nothing more by itself
_LOOKS = 3

ROWS = (
    Row("idle", "an idle daemon", "MB PSS", "less"),
    *(
        row
        for key, title in _TITLES.items()
        for row in (
            Row(f"idle_{key}", f"  without its part in C, and before {title}", "MB PSS", "less"),
            Row(f"more_{key}", f"    more now than before {title}", "MB", "less", "figure", 3),
        )
    ),
)


class Idle:
    """The earlier states, unpacked and started once."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        place.mkdir()
        self._place, self._stack = place, stack
        self._states = {key: _unpacked(place / key, commit) for key, commit in BEFORE.items()}
        for key in (key for key, state in self._states.items() if state is None):
            print(f"idle, beside the state before {_TITLES[key]}: left out: Git has no {BEFORE[key][:8]}", flush=True)
        with contextlib.ExitStack() as first:  # what is compiled then, is loaded later
            self._all_run("first", first)

    @staticmethod
    def impossible() -> str:
        """Why it cannot be measured here; "" where it can."""
        return "" if Path("/proc/self/smaps_rollup").exists() else "needs Linux"

    def measure(self, number: int) -> dict[str, dict[str, float]]:
        """One round, of daemons that are started for it."""
        with contextlib.ExitStack() as running:
            daemons = self._all_run(str(number), running)
            time.sleep(_SETTLED)
            sizes = {name: median([daemon.pss() for _ in range(_LOOKS)]) for name, daemon in daemons.items()}
        seen, before = {"idle": sizes["native"]}, {}
        for key in (key for key in BEFORE if key in sizes):
            seen |= {f"idle_{key}": sizes["now"], f"more_{key}": sizes["now"] - sizes[key]}
            before[f"idle_{key}"] = sizes[key]
        return {"hardline": seen, "before": before}

    def _all_run(self, name: str, stack: contextlib.ExitStack) -> dict[str, Daemon]:
        """All of them, ready."""
        states = {"native": ROOT, "now": ROOT} | {key: state for key, state in self._states.items() if state}
        started = {
            key: _started(self._place / f"{name}-{key}", state, stack, native=key == "native")
            for key, state in states.items()
        }
        for daemon, notified in started.values():
            notified.wait(daemon)
        return {key: daemon for key, (daemon, _) in started.items()}


def _unpacked(place: Path, commit: str) -> Path | None:
    """The program as it was then; None where Git does not know that."""
    done = subprocess.run(["git", "archive", commit, "hardline"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(place, filter="data")
    return place


def _started(place: Path, state: Path, stack: contextlib.ExitStack, *, native: bool) -> tuple[Daemon, ReadySocket]:
    services = place / "services"
    services.mkdir(parents=True)
    (services / "site.ini").write_text(f"[Service]\nservice = 127.0.0.1\nport = {free_port()}\n")
    (place / "hardline.ini").write_text("[DHT]\nenabled = no\n[UPnP]\nenabled = no\n")
    notified = ReadySocket(place / "ready")
    flags = {
        "--config": place / "hardline.ini",
        "--servicedir": services,
        "--datadir": place / "data",
        "--localport": free_port(),
        "--p2pport": free_port(),
        "--bind": "127.0.0.1",
    }
    words = [sys.executable, "-P", "-m", "hardline.hardlined", *(str(part) for flag in flags.items() for part in flag)]
    env = {"PYTHONPATH": str(state), "HARDLINE_NATIVE": "1" if native else "0", **notified.env}
    daemon = Daemon(f"idle daemon of {state.name}", words, place / "log", env)
    stack.callback(daemon.stop)
    return daemon, notified
