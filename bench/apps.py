"""`--apps`: an application in the program that is the node, beside the same application on a port behind a daemon.

load ─▶ visitor daemon ══ the program: node.share(app)
load ─▶ visitor daemon ══ host daemon ─ TCP ─▶ uvicorn      the same application, uvloop and httptools in both
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import load
from app import write_bulk
from contestants import Hardline
from daemons import Broken, free_port
from measures import Row
from origin import Origin
from sites import Loopback

RIVAL = "uvicorn"
_SIZE = 200_000_000
_AT_ONCE, _SECONDS = 32, 2
_KEPT, _NEW = 1000, 200
_UP_LIMIT = 20.0  # seconds
_APP = str(Path(__file__).with_name("app.py"))
_IMPORTS = 10
_IMPORT = "import time; began = time.perf_counter(); import hardline; print(time.perf_counter() - began)"

ROWS = (
    Row("ka32", f"application: keep-alive, {_AT_ONCE} connections", "req/s", "more", "ratio", 0.8, 1.0),
    Row("cost", "  processor for 1 000 of them, host's side", "ms", "less"),
    Row("ka1", "  keep-alive, 1 connection, p50", "ms", "less"),
    Row("new", "  new connection, first byte", "ms", "less"),
    Row("down", "  download", "MB/s", "more"),
    Row("up", "  upload", "MB/s", "more"),
    Row("idle", "  memory at the host's side, at the end", "MB PSS", "less"),
    Row("import", "import hardline", "ms", "less", "figure", 60.0),
)


class InProcess(Hardline):
    """The program that shares its application."""

    def start(self) -> None:
        data = self.directory / "data"
        self._run("program", [sys.executable, _APP, "shared", str(data), str(_SIZE)])
        self._visited(_wait_for(data / "label", self))

    def host_cpu(self) -> float:
        """Seconds of processor time of all but the visitor."""
        return sum(daemon.cpu() for daemon in self.daemons if "visitor" not in daemon.name)

    def host_pss(self) -> float:
        """MB of all but the visitor."""
        return sum(daemon.pss() for daemon in self.daemons if "visitor" not in daemon.name)

    def _visited(self, label: str) -> None:
        port, ready = self._node("visitor", self._nothing(), self.site.visitor_address, door=True)
        ready()
        self.files = self.sink = load.Door(port, f"{label}.localhost:{port}")
        self._wait()


class Behind(InProcess):
    """uvicorn on a port, and a daemon that shares it."""

    name = RIVAL

    def start(self) -> None:
        port, services = free_port(), self.directory / "services"
        self._run(RIVAL, [sys.executable, _APP, RIVAL, str(port), str(_SIZE)]).wait_listening("127.0.0.1", port)
        services.mkdir()
        (services / "app.ini").write_text(f"[Service]\nservice = 127.0.0.1\nport = {port}\n")
        self._data = self.directory / "host"
        self._node("host", services, self.site.host_address, door=False)[1]()
        self._visited(self._shared()["app"])


def run(
    place: Path, stack: contextlib.ExitStack, rounds: int
) -> tuple[Sequence[Row], dict[str, dict[str, list[float | None]]], list[str]]:
    """All rounds; figures as the loopback's."""
    origin = Origin(place / "origin", 0)
    stack.callback(origin.stop)
    bulk = place / "bulk"
    write_bulk(bulk, _SIZE)
    both = [kind(origin, Loopback(), place / kind.name) for kind in (InProcess, Behind)]
    for one in both:
        stack.callback(one.stop)
        one.start()
        load.verify(one.files, one.sink, bulk)
    figures: dict[str, dict[str, list[float | None]]] = {one.name: {} for one in both}
    errors: list[str] = []
    for number in range(rounds):
        for one in both[:: -1 if number % 2 else 1]:
            one.settle()
            try:
                for key, value in _measured(one, bulk).items():
                    figures[one.name].setdefault(key, [None] * rounds)[number] = value
            except (Broken, OSError) as failure:
                errors.append(f"{one.name}, round {number + 1}: {failure}")
        figures["hardline"].setdefault("import", [None] * rounds)[number] = _imported()
        print(f"round {number + 1} of {rounds}", flush=True)
    return ROWS, figures, errors


def _measured(one: InProcess, bulk: Path) -> dict[str, float]:
    load.kept_alive(one.files, 100)
    before = one.host_cpu()
    many = load.many_kept_alive(one.files, _AT_ONCE, _SECONDS)
    cost = (one.host_cpu() - before) / (many * _SECONDS)
    return {
        "ka32": many,
        "cost": cost * 1e6,
        "ka1": 1000 * load.median(load.kept_alive(one.files, _KEPT)),
        "new": 1000 * load.median([load.first_byte(one.files) for _ in range(_NEW)]),
        "down": _SIZE / 1e6 / load.download(one.files, _SIZE),
        "up": _SIZE / 1e6 / load.upload(one.sink, bulk),
        "idle": one.host_pss(),
    }


def _imported() -> float:
    """ms that a new program waits for it."""
    command = [sys.executable, "-c", _IMPORT]
    took = [subprocess.run(command, capture_output=True, check=True, text=True).stdout for _ in range(_IMPORTS)]
    return 1e3 * load.median([float(seconds) for seconds in took])


def _wait_for(file: Path, one: InProcess) -> str:
    deadline = time.monotonic() + _UP_LIMIT
    while not (file.exists() and (label := file.read_text())):
        one.daemons[0].check()
        if time.monotonic() > deadline:
            raise Broken(f"the program is not there: {one.daemons[0].last_words()}")
        time.sleep(0.05)
    return label
