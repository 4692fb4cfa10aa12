"""A running hardlined: the real program, as a process of its own, here or on a machine of the laboratory.

    with Node(tmp_path / "host", at=machine) as node:      waits for READY=1 (sd_notify), at the end SIGTERM and exit 0
        node.share("photos", 8000)                         writes the INI; the daemon takes it up by itself
        node.url("photos")                                 http://LABEL.localhost:7009/

Whatever the test was about, a node that wrote a traceback into its log or did not end in order fails it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from hardline import certificates
from tests.support.beats import beats
from tests.support.programs import Place, placed
from tests.support.waiting import wait_until

SCRIPTS = Path(sysconfig.get_path("scripts"))
_START_LIMIT = 30.0
_STOP_LIMIT = 120.0
_STOPS_WITHIN = 20.0  # seconds by beats.py: nothing is waited out


class DidNotStart(AssertionError):
    """The daemon ended before it was ready."""

    def __init__(self, code: int, log: str) -> None:
        super().__init__(f"hardlined ended with {code}:\n{log}")
        self.code, self.log = code, log


def _beyond_the_lan(settings: str) -> str:
    """A test that is not about the DHT or routers gets none: they ask the world, which is not there."""
    absent = [section for section in ("DHT", "UPnP") if f"[{section}]" not in settings]
    return settings + "".join(f"\n[{section}]\nenabled = no\n" for section in absent)


class Node:
    """Everything below `directory`: services/, data/, log.

    On this computer (no `at`) it listens on `bind` and on free ports; on a machine of the laboratory everywhere,
    on 7008 and 7009.
    """

    def __init__(
        self,
        directory: Path,
        *,
        at: Place | None = None,
        settings: str = "",
        env: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        bind: Sequence[str] = ("127.0.0.1",),
    ) -> None:
        self.services, self.data, self.log_file = directory / "services", directory / "data", directory / "log"
        self.at = at
        self.localport, self.p2pport = (7009, 7008) if at else (free_port(), free_port())
        self.services.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._config = directory / "hardline.ini"
        self._config.write_text(_beyond_the_lan(settings))
        self._env, self._before, self._bind = dict(env or {}), list(before), list(bind)
        self._process: subprocess.Popen[bytes] | None = None
        self._inbox: socket.socket | None = None
        self._inbox_directory: Path | None = None
        self.told: list[str] = []

    # Its life.

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
            return
        self.kill()
        print(f"----- {self.log_file}\n{self.log}")

    def start(self) -> None:
        """Start, and wait until it says that it is ready.  Raises DidNotStart."""
        self.launch()
        self.is_told("READY=1", _START_LIMIT)

    def launch(self) -> None:
        """Start, and wait for nothing."""
        assert self._process is None, "it runs already"
        self._inbox_directory = Path(tempfile.mkdtemp(prefix="hl-"))
        address = self._inbox_directory / "notify"
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inbox.bind(str(address))
        self._inbox.setblocking(False)
        self.told = []
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **self._env, "NOTIFY_SOCKET": str(address)}
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._before, *placed(self.at, self.command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    @property
    def command(self) -> list[str]:
        """How it is started."""
        words: list[str | Path] = [
            *(SCRIPTS / "hardlined", "--servicedir", self.services, "--datadir", self.data, "--config", self._config),
            *("--localport", str(self.localport), "--p2pport", str(self.p2pport), "--log-level", "debug"),
            *(() if self.at else (word for one in self._bind for word in ("--bind", one))),
        ]
        return [str(word) for word in words]

    def is_told(self, line: str, timeout: float = 10.0) -> None:
        """Wait for a line of sd_notify, such as READY=1."""

        def heard() -> bool:
            ended = self.process.poll()
            self._listen()
            if line in self.told:
                return True
            if ended is not None:
                self._forget()
                raise DidNotStart(ended, self.log)
            return False

        wait_until(heard, f"hardlined said {line}; its log:\n{self.log}", timeout)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, timeout: float = _STOP_LIMIT) -> int:
        """Wait for its end; returns the exit code."""
        code = self.process.wait(timeout)
        self._listen()
        self._forget()
        return code

    def stop(self) -> None:
        """SIGTERM; it must end in order, and must have had no trouble that it did not expect."""
        if self._process is not None:
            began = beats()
            self.signal(signal.SIGTERM)
            try:
                code = self.ended()
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"hardlined did not end {_STOP_LIMIT:g} s after SIGTERM:\n{self.log}") from None
            assert code == 0, f"hardlined ended with {code}:\n{self.log}"
            assert beats() - began < _STOPS_WITHIN, self.log
        for trouble in ("Traceback (most recent call last)", "was never retrieved", "was never awaited"):
            assert trouble not in self.log, self.log

    def kill(self) -> None:
        """As a power cut does it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()

    @property
    def running(self) -> bool:
        """It was started, and nobody has seen its end yet."""
        return self._process is not None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it does not run"
        return self._process

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def pss(self, part: str = "Pss") -> int:
        """Its memory: the proportional set size, in bytes; `Pss_Anon` is what of it no file is behind."""
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{part}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {part} in smaps_rollup")

    # What it shares.

    def write(self, name: str, text: str) -> Path:
        """Save an INI file whole, as a careful editor does."""
        draft, file = self.services / f".{name}.draft", self.services / f"{name}.ini"
        draft.write_text(text)
        draft.rename(file)
        return file

    def share(
        self, name: str, port: int, *, title: str | None = None, password: str | None = None, listed: bool = True
    ) -> None:
        """Offer 127.0.0.1:port; a running daemon has taken it up when this returns."""
        secret = f"password = {password}\n" if password is not None else ""
        self.write(
            name,
            f"[Service]\nservice = 127.0.0.1\nport = {port}\n{secret}"
            f"[Info]\ntitle = {title or name}\nlisted = {'yes' if listed else 'no'}\n",
        )
        if self._process is not None:
            self.serves(name)

    def serves(self, name: str) -> dict[str, Any]:
        """Wait until a service is offered; returns what status says of it."""
        return wait_until(lambda: self.service(name, state="serving"), f"{name} is served")

    # What it says.

    def hardline(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The `hardline` command, on this node's data directory."""
        command = [str(SCRIPTS / "hardline"), "--datadir", str(self.data), *arguments]
        return subprocess.run(placed(self.at, command), capture_output=True, text=True, timeout=100, check=False)

    def status(self) -> dict[str, Any]:
        done = self.hardline("status", "--json")
        assert done.returncode == 0, done.stderr
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def service(self, name: str, state: str | None = None) -> dict[str, Any] | None:
        """What status says of one service, if it is there (and in that state)."""
        for service in self.status()["services"]:
            if service["name"] == name and state in (None, service["state"]):
                found: dict[str, Any] = service
                return found
        return None

    def label(self, name: str) -> str:
        return str(self.serves(name)["label"])

    @property
    def key_hash(self) -> str:
        """Of the node itself, also before its first start."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(certificates.load_or_create(self.data / "node.cert").key_hash)

    def url(self, name: str, path: str = "") -> str:
        """The service's address as this node's own door serves it."""
        return self.url_of(self.label(name), path)

    def url_of(self, label: str, path: str = "") -> str:
        """The address of anybody's service at this node's door."""
        return f"http://{label}.localhost:{self.localport}/{path}"

    def last_visit(self, label: str) -> dict[str, Any]:
        """The newest visit to a label: which path it took, and how it ended."""
        visits = [visit for visit in self.status()["visits"] if visit["label"] == label]
        assert visits, f"nobody visited {label}"
        newest: dict[str, Any] = visits[-1]
        return newest

    def sessions(self, role: str) -> list[dict[str, Any]]:
        return [session for session in self.status()["sessions"] if session["role"] == role]

    def _listen(self) -> None:
        assert self._inbox is not None
        while True:
            try:
                self.told += self._inbox.recv(4096).decode().split("\n")
            except BlockingIOError:
                return

    def _forget(self) -> None:
        self._process = None
        if self._inbox is not None and self._inbox_directory is not None:
            self._inbox.close()
            shutil.rmtree(self._inbox_directory)
            self._inbox = None


_given = deque[int](maxlen=1000)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses: below those that the system gives to whoever connects, or one of them
    would have it before who asked for it listens there."""
    chance = random.SystemRandom()  # not one whose numbers come again, as hypothesis has it
    while True:
        port = chance.randrange(10_000, 20_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            if port not in _given:
                probe.bind(("127.0.0.1", port))
                _given.append(port)
                return port


def refused(node: Node) -> tuple[int, str]:
    """Start a node that must not come up; returns its exit code and what it said, which must not be a traceback."""
    with pytest.raises(DidNotStart) as failure:
        node.start()
    assert "Traceback" not in failure.value.log, failure.value.log
    return failure.value.code, failure.value.log


def free_range(count: int) -> range:
    """Ports in a row below those that the system gives to whoever connects, as an owner would choose them."""
    while True:
        first = random.randrange(20_000, 32_000)
        with contextlib.ExitStack() as bound, contextlib.suppress(OSError):
            for port in range(first, first + count):
                bound.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return range(first, first + count)
