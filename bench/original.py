"""The original hardline 0.0.16 from PyPI, unmodified, in an environment of its own (bench/.original): `--original`.

It searches on whatever interface the multicast route names and knows no way to be kept on the loopback, so it runs in a
network namespace of its own, with an origin of its own beside it: root and iproute2.  original_daemon.py starts it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from contestants import Contestant
from daemons import Broken, Daemon, free_port
from lab import inside, ip
from load import Door, wait_served

_HERE = Path(__file__).parent
_ENVIRONMENT = _HERE / ".original"
_KEY_LIMIT = 60.0  # seconds: it makes an RSA key of 4096 bits for each service


class Alone:
    """A machine without a network: a Site."""

    visitor_address = "127.0.0.1"
    host_address = "127.0.0.1"

    def __init__(self) -> None:
        self._space = f"hlb{os.getpid()}o"

    def up(self) -> None:
        """Make it."""
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise Broken("needs root and iproute2")
        ip("netns", "add", self._space)
        ip("-n", self._space, "link", "set", "lo", "up", "multicast", "on")
        ip("-n", self._space, "route", "add", "224.0.0.0/4", "dev", "lo", "src", "127.0.0.1")

    def down(self) -> None:
        """Remove it; idempotent."""
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(["ip", "netns", "del", self._space], check=False, capture_output=True)

    def at_visitor(self) -> contextlib.AbstractContextManager[None]:
        """Inside."""
        return inside(self._space)

    def at_host(self) -> contextlib.AbstractContextManager[None]:
        """Inside."""
        return inside(self._space)


class Original(Contestant):
    """Two of them.  At most 320 connections, so a thousand are not asked of it."""

    name = "original"
    optional = True
    unable = frozenset({"cold", "memory"})

    def start(self) -> None:
        python = _install()
        services, nothing = self.directory / "services", self.directory / "none"
        services.mkdir()
        nothing.mkdir()
        for name, port in (("files", self.origin.files_port), ("sink", self.origin.sink_port)):
            text = f"[Service]\nservice=127.0.0.1\nport={port}\n[Info]\ntitle={name}\n"
            (services / f"{name}.ini").write_text(text)
        with self.site.at_host():
            p2p = free_port()
            self._original(python, "host", services, free_port(), p2p)
        labels = {name: self._label(services / f"{name}.ini.cert.hash") for name in ("files", "sink")}
        with self.site.at_host():
            self.daemons[0].wait_listening("127.0.0.1", p2p)
        with self.site.at_visitor():
            port = free_port()
            self._original(python, "visitor", nothing, port, free_port()).wait_listening("127.0.0.1", port)
            self.files, self.sink = (Door(port, f"{labels[name]}.localhost:{port}") for name in ("files", "sink"))
            wait_served(self.files)

    def _original(self, python: Path, name: str, services: Path, door: int, p2p: int) -> Daemon:
        home = self.directory / f"{name}-home"
        home.mkdir()
        argv = [str(python), str(_HERE / "original_daemon.py"), str(services), str(door), str(p2p)]
        return self._run(name, argv, {"HOME": str(home), "PYTHONUNBUFFERED": "1"})

    def _label(self, file: Path) -> str:
        deadline = time.monotonic() + _KEY_LIMIT
        while not (file.exists() and file.read_text()):
            self.daemons[0].check()
            if time.monotonic() > deadline:
                raise Broken(f"made no certificate: {self.daemons[0].last_words()}")
            time.sleep(0.1)
        return file.read_text().strip()


def _install() -> Path:
    """Its environment's Python; installed on first use."""
    python = _ENVIRONMENT / "bin" / "python"
    done = _ENVIRONMENT / "installed"
    if not done.exists():
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        # Its package declares neither all that it imports nor how it is built.
        needs = ["pyOpenSSL", "pynacl", "requests", "lxml", "six", "python-dateutil", "mako", "ifaddr"]
        for argv in (
            [sys.executable, "-m", "venv", "--clear", str(_ENVIRONMENT)],
            [*pip, *needs, "setuptools", "wheel"],
            [*pip, "--no-deps", "--no-build-isolation", "hardline==0.0.16"],
        ):
            ended = subprocess.run(argv, capture_output=True, text=True, check=False)
            if ended.returncode:
                raise Broken(f"{argv[-1]} could not be installed: {ended.stderr.strip()[-300:]}")
            (_ENVIRONMENT / ".gitignore").write_text("*\n")  # others' code must never slip into a commit
        done.touch()
    return python
