"""For `--people`: what somebody who types a command waits for, and how long a guest stays who is thrown out."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path

from daemons import Broken, Daemon, cpu_of, free_port
from load import Door
from measures import Row
from people_nodes import TITLES, sharing, typed, usual
from relay_nodes import Quiet

from hardline.discovery.offers import LIFETIME
from tests.support.node import SCRIPTS
from tests.support.programs import curl

_TIMES = 11
_LOOKED_AROUND = 2.0  # seconds after its start a daemon knows who is there
_IDLE = LIFETIME + 5.0  # seconds: nothing that was heard before is shown any more
_SWITCH = b"GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
_GUESTS = ("Anna", "Ben")

ROWS = (
    Row("help", "hardline --help", "ms", "less", "figure", 60),
    Row("help_cpu", "  processor", "ms", "less"),
    Row("ls", "hardline ls", "ms", "less", "figure", 150),
    Row("ls_cpu", "  processor, of the command", "ms", "less"),
    Row("ls_idle", f"  when nobody has asked for {_IDLE:g} s", "ms", "less", "figure", 150),
    Row("ls_first", f"  the first, {_LOOKED_AROUND:g} s after the daemon's start", "ms", "less", "figure", 150),
    Row("status", "hardline status", "ms", "less", "figure", 150),
    Row("status_cpu", "  processor, of the command", "ms", "less"),
    Row("ready", "hardlined is started, with a new data directory: ready", "s", "less", "figure", 0.7),
    Row("ready_again", "  with one that it had before", "s", "less", "figure", 0.7),
    Row("ready_cpu", "    processor", "s", "less"),
    Row("revoke", "hardline revoke is typed: what the guest has open ends", "s", "less", "figure", 1.0),
)


class Typist:
    """A host with services, and one for invited visitors; they end with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        place.mkdir()
        self._place = place
        self._host = sharing(place / "host", stack)
        self._live = free_port()
        live = [sys.executable, str(Path(__file__).with_name("live.py")), str(self._live)]
        echo = Daemon("echo", live, place / "echo.log")
        stack.callback(echo.stop)
        echo.wait_listening("127.0.0.1", self._live)

    @staticmethod
    def impossible() -> str:
        """Why it cannot be measured here."""
        return ""

    def measure(self, number: int) -> dict[str, dict[str, float]]:
        """One round, of a visitor that is started for it."""
        visitor, seen = Quiet(self._place / f"visitor{number}"), usual(None, _TIMES, "help", "--help")
        seen["ready"] = _ready(visitor)
        visitor.stop()
        seen["ready_again"] = _ready(visitor)
        try:
            seen["ready_cpu"] = cpu_of(visitor.process.pid)
            return {"hardline": seen | self._listed(visitor) | {"revoke": self._revoked(visitor, number)}}
        finally:
            visitor.stop()

    def _listed(self, visitor: Quiet) -> dict[str, float]:
        time.sleep(_LOOKED_AROUND)
        first = self._ls(visitor)
        seen = usual(visitor, _TIMES, "ls", "ls") | usual(visitor, _TIMES, "status", "status")
        time.sleep(_IDLE)
        return seen | {"ls_first": first, "ls_idle": self._ls(visitor)}

    def _ls(self, visitor: Quiet) -> float:
        ran = typed(visitor, "ls")
        if missing := [title for title in TITLES if title not in ran.text]:
            raise Broken(f"{', '.join(missing)} not shown: {ran.text}")
        return ran.took

    def _revoked(self, visitor: Quiet, number: int) -> float:
        """Two are invited, and have a connection that says what it is told; the first is thrown out."""
        name = f"guests{number}"
        typed(self._host, "share", f"127.0.0.1:{self._live}", "--name", name, "--invited")
        with Quiet(self._place / f"ben{number}") as other:
            visitors = dict(zip(_GUESTS, (visitor, other), strict=True))
            for who, one in visitors.items():
                link = typed(self._host, "invite", name, "--to", who).text
                typed(one, "accept", link.strip())
            label = self._host.label(name)
            doors = {who: Door(one.localport, f"{label}.localhost:{one.localport}") for who, one in visitors.items()}
            with contextlib.ExitStack() as stack:
                anna, ben = (stack.enter_context(_switched(doors[who])) for who in _GUESTS)
                began = time.perf_counter()
                words = [str(SCRIPTS / "hardline"), "--datadir", str(self._host.data), "revoke", name, "Anna"]
                with subprocess.Popen(words, stderr=subprocess.DEVNULL) as revoking:
                    while _echoes(anna):
                        pass
                    took = time.perf_counter() - began
                    if revoking.wait(60):
                        raise Broken("hardline revoke failed")
                if not _echoes(ben):
                    raise Broken("another guest was cut, too")
            if (status := curl(visitor.url_of(label)).status) != 403:
                raise Broken(f"who was thrown out is answered {status}")
            return took


def _ready(node: Quiet) -> float:
    began = time.perf_counter()
    node.start()
    return time.perf_counter() - began


def _switched(door: Door) -> socket.socket:
    connection = door.connect()
    connection.sendall(_SWITCH % door.host.encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if not (data := connection.recv(1)):
            raise Broken(f"no upgrade: {head!r}")
        head += data
    if not head.startswith(b"HTTP/1.1 101"):
        raise Broken(f"no upgrade: {head[:100]!r}")
    return connection


def _echoes(connection: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        connection.sendall(b"x")
        return connection.recv(1) == b"x"
    return False
