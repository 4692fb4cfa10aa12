"""The little town in which it all happens: four machines on a LAN, with a router to a second segment.

    rock   a host that is never killed      wiki (two copies), secret (a word before its key hash), files (nginx)
    sand   a host that dies again and again blog (two copies), hidden (not listed), guest (comes and goes)
    root   a visitor that is never killed
    leaf   a visitor that dies again and again

Those that are never killed show whether memory stays flat; the others what a crash leaves behind.  Each daemon has a
clock of its own (libfaketime; the monotonic clock and the times of files stay the real ones).
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.netns.lab import Lab, Machine
from tests.soak.ledger import DOOR, Ledger, Window
from tests.soak.plan import FILE, Shared, file_of
from tests.support.faketime import Clock
from tests.support.node import Node
from tests.support.programs import RunningOrigin
from tests.support.waiting import wait_until

STOP_LIMIT = 40.0  # seconds: a daemon that stops lets what moves come to its end for 30 s
_NGINX_PORT = 8080


class Nginx:
    """The origin that others wrote: one big file, at any name of the machine."""

    def __init__(self, machine: Machine, directory: Path, service: str) -> None:
        directory.mkdir()
        self._machine, self._directory = machine, directory
        self.port = _NGINX_PORT
        self._process: subprocess.Popen[bytes] | None = None
        (directory / FILE).write_bytes(file_of(service))
        (directory / "nginx.conf").write_text(
            f"daemon off; pid {directory}/pid; error_log {directory}/error.log; user root; worker_processes 1;\n"
            "events { worker_connections 1024; }\n"
            f"http {{ access_log off; sendfile on; keepalive_timeout 300s;\n"
            f"  client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};\n"
            f"  uwsgi_temp_path {directory}; scgi_temp_path {directory};\n"
            f"  server {{ listen 127.0.0.1:{self.port} backlog=511; root {directory}; }} }}\n"
        )

    def start(self) -> None:
        config = self._directory / "nginx.conf"
        self._process = self._machine.start(
            ["nginx", "-p", self._directory, "-c", config, "-e", self._directory / "error.log"]
        )
        wait_until(lambda: self._machine.run(["ss", "-Hltn", f"sport = :{self.port}"]), "nginx listens")

    def kill(self) -> None:
        """Master and worker, as a crash of both."""
        if self._process is not None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            self._process.kill()
            subprocess.run(["kill", "-9", *children], check=False, capture_output=True)
            self._process.wait()
            self._process = None


class Resident:
    """A machine with a daemon and what it shares."""

    def __init__(self, machine: Machine, directory: Path, faketime: Path | None) -> None:
        self.name, self.machine = machine.name, machine
        self._clock = Clock(directory / "clock", faketime)
        self.node = Node(directory, at=machine, env=self._clock.env)
        self.set_clock("+0")
        self.origins: dict[str, list[RunningOrigin | Nginx]] = {}
        self.frozen = False

    @property
    def services(self) -> Sequence[str]:
        return list(self.origins)

    def set_clock(self, offset: str) -> None:
        """How far its clock is off, as libfaketime writes it; a running daemon sees it within a second."""
        self._clock.set(offset)

    def stop_in_order(self) -> None:
        """SIGTERM; AssertionError when it does not end well."""
        self.node.signal(signal.SIGTERM)
        try:
            code = self.node.ended(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name}: did not end {STOP_LIMIT:g} s after SIGTERM") from None
        assert code == 0, f"{self.name}: ended with {code} after SIGTERM"


class Town:
    """Everything that runs, and the ledger that judges it."""

    def __init__(self, lab: Lab, directory: Path, faketime: Path | None) -> None:
        self._lab, self._directory, self._faketime = lab, directory, faketime
        self.ledger, self.lock = Ledger(), threading.Lock()
        self.rock, self.sand, self.root, self.leaf = (self._resident(name) for name in ("rock", "sand", "root", "leaf"))
        self.hosts, self.visitors = (self.rock, self.sand), (self.root, self.leaf)
        self.residents = (*self.hosts, *self.visitors)
        self.shared: list[Shared] = []

    @property
    def has_clocks(self) -> bool:
        """Whether clocks can be set."""
        return self._faketime is not None

    @property
    def visitor_names(self) -> list[str]:
        return [visitor.name for visitor in self.visitors]

    @property
    def service_names(self) -> list[str]:
        return [service for host in self.hosts for service in host.services]

    @contextlib.contextmanager
    def living(self) -> Iterator[None]:
        """From all being up to all being gone."""
        try:
            self._settle()
            yield
        finally:
            for resident in self.residents:
                resident.node.kill()
                for origins in resident.origins.values():
                    for origin in origins:
                        origin.kill()

    def begin(
        self,
        fault: str,
        *,
        visitors: Sequence[str] = (),
        services: Sequence[str] = (),
        recovery: float = 0.0,
        ends_in_order: bool = False,
        delays: float = 0.0,
        detail: str = "",
    ) -> Window:
        """As Ledger.begin, at this moment."""
        with self.lock:
            return self.ledger.begin(
                fault,
                time.monotonic(),
                visitors=visitors,
                services=services,
                recovery=recovery,
                ends_in_order=ends_in_order,
                delays=delays,
                detail=detail,
            )

    def everything_of(self, resident: Resident, *, door: bool) -> dict[str, Sequence[str]]:
        """Whom it hurts when a machine or its daemon is not there; `door`: its own browsers cannot even connect."""
        if resident in self.hosts:
            return {"visitors": self.visitor_names, "services": resident.services}
        return {"visitors": [resident.name], "services": [*self.service_names, *([DOOR] if door else [])]}

    def share(self, host: Resident, name: str, *, title: str | None = None, copy: int = 0) -> None:
        """Write (again) the INI file of a service."""
        host.node.share(
            name,
            host.origins[name][copy].port,
            title=title or f"The {name}",
            password="sesame" if name == "secret" else None,
            listed=name != "hidden",
        )

    def let_events_happen(self) -> None:
        """A reader of events who closes has only ended its own direction.

        What the service says next is answered by a reset, which is seen when it speaks again: as without a tunnel.
        """
        for _ in range(2):
            for host in self.hosts:
                for origins in host.origins.values():
                    for origin in origins:
                        if isinstance(origin, RunningOrigin):
                            host.machine.run(["curl", "-sf", "-m", "5", f"http://127.0.0.1:{origin.port}/event"])

    def _resident(self, name: str) -> Resident:
        return Resident(self._lab.machine(name), self._directory / name, self._faketime)

    def _settle(self) -> None:
        self._open(self.rock, wiki=2, secret=1)
        self._open(self.sand, blog=2, hidden=1, guest=1)
        nginx = Nginx(self.rock.machine, self._directory / "nginx", "files")
        nginx.start()
        self.rock.origins["files"] = [nginx]
        for host in self.hosts:
            for name in host.services:
                self.share(host, name)
        for resident in self.residents:
            resident.node.start()
        for host in self.hosts:
            self.shared += [
                Shared(
                    name,
                    host.node.label(name),
                    "nginx" if name == "files" else "origin",
                    copies=len(host.origins.get(name, [])),
                )
                for name in host.services
            ]

    def _open(self, host: Resident, **copies: int) -> None:
        for name, count in copies.items():
            host.origins[name] = []
            for _ in range(count):
                origin = RunningOrigin(host.machine, name, 0)
                host.origins[name].append(origin)
                origin.start()
