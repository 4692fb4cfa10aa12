"""Who is measured.  Each carries the same two services from a visitor's port to the origin, through TLS 1.3.

    load ── TCP ──▶ visitor daemon ══ TLS 1.3, certificate pinned ══▶ host daemon ── TCP ──▶ origin

The other programs are in others.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from daemons import Broken, Daemon, ReadySocket, free_port
from load import Door, first_byte, wait_served
from origin import Origin
from sites import Site

_QUIET = 0.002  # seconds of processor time in one look
_QUIET_LOOK = 0.05
_QUIET_LIMIT = 3.0
_BACK_LIMIT = 30.0


class Contestant:
    """A way from the visitor to the origin.  `files` and `sink` are where its visitor is asked for each service."""

    name: str
    optional = False  # whether the bench goes on without a word of error when it cannot run
    unable: frozenset[str] = frozenset()  # measures that it cannot take part in
    files: Door
    sink: Door

    def __init__(self, origin: Origin, site: Site, directory: Path) -> None:
        directory.mkdir()
        self.origin, self.site, self.directory = origin, site, directory
        self.daemons: list[Daemon] = []

    def start(self) -> None:
        """Bring it up; returns when a request went through."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it; idempotent."""
        for daemon in reversed(self.daemons):
            daemon.stop()

    def cpu(self) -> float:
        """Seconds of processor time of all its daemons so far."""
        return sum(daemon.cpu() for daemon in self.daemons)

    def pss(self) -> list[float]:
        """MB of each daemon."""
        return [daemon.pss() for daemon in self.daemons]

    def settle(self) -> None:
        """Wait until it is done with what came before, so that the next measurement does not pay for it."""
        deadline = time.monotonic() + _QUIET_LIMIT
        before = self.cpu()
        while time.monotonic() < deadline:
            time.sleep(_QUIET_LOOK)
            now = self.cpu()
            if now - before < _QUIET:
                return
            before = now

    def _run(self, name: str, argv: list[str], env: dict[str, str] | None = None) -> Daemon:
        daemon = Daemon(f"{self.name} {name}", argv, self.directory / f"{name}.log", env)
        self.daemons.append(daemon)
        return daemon

    def _wait(self) -> None:
        with self.site.at_visitor():
            wait_served(self.files)


class Direct(Contestant):
    """No proxy at all: what "added" is counted from."""

    name = "direct"
    unable = frozenset({"cold", "memory"})

    def start(self) -> None:
        """Nothing runs."""
        self.files = Door(self.origin.files_port, "direct")
        self.sink = Door(self.origin.sink_port, "direct")


class Hardline(Contestant):
    """Two hardlined that find each other as they would on any LAN.

    `tree` is the origin's files without the origin, `cached_sink` the sink behind the caching proxy.
    """

    name = "hardline"
    tree: Door
    cached_sink: Door
    env: Mapping[str, str] = MappingProxyType({})
    settings = ""

    def start(self) -> None:
        services = self.directory / "services"
        services.mkdir()
        self._data = self.directory / "host"
        for name, port in (("files", self.origin.files_port), ("sink", self.origin.sink_port)):
            (services / f"{name}.ini").write_text(f"[Service]\nservice = 127.0.0.1\nport = {port}\n")
        tree = f"[Service]\nservice =\n[Cache]\ndirectory = {self.origin.bulk.parent}\nallowListing = yes\n"
        (services / "tree.ini").write_text(tree)
        site = f"[Service]\nservice = 127.0.0.1\nport = {self.origin.sink_port}\n[Cache]\ndirectory = kept\n"
        (services / "site.ini").write_text(site)
        with self.site.at_host():
            self._node("host", services, self.site.host_address, door=False)[1]()
        self._labels = self._shared()
        with self.site.at_visitor():
            port, ready = self._node("visitor", self._nothing(), self.site.visitor_address, door=True)
            ready()
        self.files, self.sink, self.tree, self.cached_sink = (
            Door(port, f"{self._labels[name]}.localhost:{port}") for name in ("files", "sink", "tree", "site")
        )
        self._wait()
        with self.site.at_visitor():
            wait_served(self.tree)
            wait_served_sink(self.cached_sink)
            wait_served_sink(self.sink)

    def cached_files(self) -> Door:
        """The origin's files behind the caching proxy; the service begins when this is first asked for."""
        text = f"[Service]\nservice = 127.0.0.1\nport = {self.origin.files_port}\n[Cache]\ndirectory = cached\n"
        door = Door(self.files.port, f"{self.share('cached', text)}.localhost:{self.files.port}")
        with self.site.at_visitor():
            wait_served(door)
        return door

    def share(self, name: str, text: str) -> str:
        """The label of one more service, once it is offered."""
        (self.directory / "services" / f"{name}.ini").write_text(text)
        deadline = time.monotonic() + _BACK_LIMIT
        while name not in self._labels:
            if time.monotonic() > deadline:
                raise Broken(f"the host does not offer {name}.ini")
            time.sleep(0.1)
            self._labels = self._shared()
        return self._labels[name]

    def _shared(self) -> dict[str, str]:
        """The labels of the host's services."""
        status = subprocess.run(
            [sys.executable, "-m", "hardline.cli", "--datadir", str(self._data), "status", "--json"],
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return {service["name"]: service["label"] for service in json.loads(status)["services"]}

    def command(self) -> float:
        """Seconds that `hardline --help` takes."""
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "hardline.cli", "--help"], stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - began

    def cold_visit(self, number: int) -> tuple[float, float]:
        """Seconds until a visitor that knows nobody is ready, and from a request then to its first byte."""
        with self.site.at_visitor():
            began = time.perf_counter()
            port, ready = self._node(f"cold{number}", self._nothing(), self.site.visitor_address, door=True)
            daemon = self.daemons.pop()
            try:
                ready()
                came = time.perf_counter() - began
                return came, first_byte(Door(port, f"{self._labels['files']}.localhost:{port}"))
            finally:
                daemon.stop()

    def host_restart(self, number: int) -> float:
        """Kill the host with -9, let a visit fail, start it again; seconds from its being ready to a first byte."""
        host = next(daemon for daemon in self.daemons if "host" in daemon.name)
        os.kill(host.pid, signal.SIGKILL)
        self.daemons.remove(host)
        host.stop()
        with self.site.at_visitor(), contextlib.suppress(Broken):
            first_byte(self.files)
        with self.site.at_host():
            self._data = self.directory / f"host{number}"
            self._node(self._data.name, self.directory / "services", self.site.host_address, door=False)[1]()
        back = time.perf_counter()
        with self.site.at_visitor():
            while True:
                try:
                    first_byte(self.files)
                    took = time.perf_counter() - back
                    wait_served_sink(self.sink)
                    return took
                except Broken:
                    if time.perf_counter() - back > _BACK_LIMIT:
                        raise
                    time.sleep(0.02)

    def _nothing(self) -> Path:
        empty = self.directory / "none"
        empty.mkdir(exist_ok=True)
        return empty

    def _node(self, name: str, services: Path, bind: str, *, door: bool) -> tuple[int, Callable[[], None]]:
        """Start one; its door's port, and what waits until it is ready."""
        config = self.directory / "hardline.ini"
        config.write_text(f"[DHT]\nenabled = no\n[UPnP]\nenabled = no\n{self.settings}")
        port = free_port() if door else 0
        # A path of a unix socket is at most 107 bytes long.
        notified = ReadySocket(self.directory / f"{name}.ready")
        flags = {
            "--config": config,
            "--servicedir": services,
            "--datadir": self.directory / name,
            "--localport": port,
            "--p2pport": free_port(),
            "--bind": bind,
        }
        argv = [sys.executable, "-m", "hardline.hardlined", *(str(part) for flag in flags.items() for part in flag)]
        daemon = self._run(name, argv, {**notified.env, **self.env})
        return port, lambda: notified.wait(daemon)


class HardlineAlone(Hardline):
    """The same with one session, however long the way is."""

    name = "one session"
    settings = "[Session]\nbundle = 1\n"


class HardlinePython(Hardline):
    """The same without its part in C."""

    name = "hardline-python"
    unable = frozenset({"tree", "site", "scp", "suite"})  # which are about something else
    env = MappingProxyType({"HARDLINE_NATIVE": "0"})


def wait_served_sink(sink: Door) -> None:
    """Return when the sink was reached once: its session is warm then, as that of the files is."""
    with sink.connect() as connection:
        connection.sendall(sink.post("/count", 0))
        with contextlib.suppress(TimeoutError):
            connection.settimeout(10)
            if not connection.recv(65_536).startswith(b"HTTP/1.1 200 "):
                raise Broken("the sink was not reached")
