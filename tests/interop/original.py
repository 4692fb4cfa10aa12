"""The original hardline 0.0.16 from PyPI as a process on a machine of the laboratory.

environment()                          its own virtual environment, made once per user (it has our package's name)
with Original(directory, environment, at=machine) as host:
    host.share("site", port)           before the start; its first start makes RSA-4096 keys: some seconds
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from tests.support.alone import fetching
from tests.support.waiting import wait_until

VERSION = "0.0.16"
LOCALPORT, P2PPORT = 7009, 7008
_DECLARED_AND_NOT = ("pyOpenSSL", "pynacl", "requests", "lxml", "six", "python-dateutil", "mako", "setuptools", "wheel")
_MAIN = Path(__file__).with_name("original_main.py")
_KEYS_LIMIT = 90.0  # seconds


def environment() -> Path:
    """The directory of a virtual environment that holds it; made when it is not there (needs the network)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hardline-tests"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    ready = cache / f"original-{VERSION}-python{python}"
    with fetching(cache):
        if not ready.exists():
            _make(ready)
    return ready


def _make(ready: Path) -> None:
    # A virtual environment holds its own path, so it is made in place; a marker beside it says that it is whole.
    made = ready.with_name(f".{ready.name}")
    shutil.rmtree(made, ignore_errors=True)
    commands: list[list[str | Path]] = [
        [sys.executable, "-m", "venv", made],
        [made / "bin" / "pip", "install", "-q", *_DECLARED_AND_NOT],
        [made / "bin" / "pip", "install", "-q", "--no-deps", "--no-build-isolation", f"hardline=={VERSION}"],
    ]
    for command in commands:
        subprocess.run(command, check=True, timeout=300)
    ready.symlink_to(made.name)


class Desk(Protocol):
    """Where it can run: a machine of a laboratory."""

    def wrap(self, command: Sequence[str | Path]) -> list[str]: ...

    def start(
        self, command: Sequence[str | Path], *, output: IO[Any] | int | None, env: Mapping[str, str] | None
    ) -> subprocess.Popen[bytes]: ...


class Original:
    """One running original; `kill` is the only way to end it that it knows.

    `external` is the address that its router reports, `dht_proxy` what it asks for hosts beyond the LAN, `modules` a
    directory of modules that it finds besides those of its environment.
    """

    def __init__(
        self,
        directory: Path,
        environment: Path,
        *,
        at: Desk,
        external: str | None = None,
        dht_proxy: str | None = None,
        modules: Path | None = None,
    ) -> None:
        self.services, self.home, self.log_file = directory / "services", directory / "home", directory / "log"
        self.at = at
        self._python = environment / "bin" / "python"
        self._external, self._dht_proxy, self._modules = external, dht_proxy, modules
        self._process: subprocess.Popen[bytes] | None = None
        self.services.mkdir(parents=True)
        self.home.mkdir()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if kind is not None:
            print(f"----- {self.log_file}\n{self.log_file.read_text(errors='replace')[-4000:]}")

    def share(self, name: str, port: int, *, title: str | None = None) -> None:
        """Offer 127.0.0.1:port, with the password that it makes up."""
        text = f"[Service]\nservice=127.0.0.1\nport={port}\n[Info]\ntitle={title or name}\n"
        (self.services / f"{name}.ini").write_text(text)

    def start(self) -> None:
        """Start, and wait until it listens."""
        serves: list[str | Path] = ["--servicedir", self.services] if list(self.services.glob("*.ini")) else []
        reported = ["--external", self._external] if self._external else []
        asked = ["--dht-proxy", self._dht_proxy] if self._dht_proxy else []
        command = self._command("serve", *serves, *reported, *asked, "--p2pport", P2PPORT, "--localport", LOCALPORT)
        with self.log_file.open("ab") as log:
            self._process = self.at.start(command, output=log, env=self._environment)
        wait_until(self._listens, "the original listens", _KEYS_LIMIT, every=0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove_password(self, name: str) -> None:
        """As its documentation says: edit the .hash file; takes effect at its next start."""
        file = self.services / f"{name}.ini.cert.hash"
        file.write_text(file.read_text().rpartition("-")[2])

    def label(self, name: str) -> str:
        return (self.services / f"{name}.ini.cert.hash").read_text()

    def url_of(self, label: str, path: str = "") -> str:
        """The address of a service at this node's door."""
        return f"http://{label}.localhost:{LOCALPORT}/{path}"

    def offers(self) -> list[dict[str, Any]]:
        """What its LAN browser shows, in a process of its own."""
        wrapped = self.at.wrap(self._command("browse"))
        done = subprocess.run(wrapped, capture_output=True, text=True, timeout=100, env=self._environment, check=True)
        found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
        return found

    def _command(self, *words: str | int | Path) -> Sequence[str]:
        return [str(word) for word in (self._python, _MAIN, *words)]

    @property
    def _environment(self) -> dict[str, str]:
        modules = {"PYTHONPATH": str(self._modules)} if self._modules else {}
        return {**os.environ, **modules, "HOME": str(self.home), "PYTHONUNBUFFERED": "1"}

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log_file.read_text(errors="replace")
        listening = Path(f"/proc/{self._process.pid}/net/tcp").read_text().split()
        return f"00000000:{P2PPORT:04X}" in listening and f"0100007F:{LOCALPORT:04X}" in listening
