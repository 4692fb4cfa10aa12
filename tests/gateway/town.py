"""A gateway, and a host behind it: two services, a directory of files, one that does not run, one that nobody has.

curl ── Host: nas.example.org ──▶ gateway ══ hardline/2 ══ host ──▶ origins, files
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.node import SCRIPTS, Node
from tests.support.programs import Answer, RunningOrigin, curl
from tests.support.waiting import wait_until

PASSWORD = "correct horse"
NOBODY = "0f" * 20
DATA = bytes(range(256)) * 4
NAMES = ("a file.bin", "100%.txt", "one#two.txt", "ünï.txt", "<b>bold.txt")


def user(name: str) -> str:
    """The line of a user, as the command makes it."""
    done = subprocess.run(
        [SCRIPTS / "hardline", "gateway", "user", name],
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def pile(directory: Path) -> Path:
    """A directory to be shared: odd names, a Markdown text, a link that leads out."""
    (directory / "sub").mkdir(parents=True)
    for name in NAMES:
        (directory / name).write_bytes(DATA)
    (directory / "sub" / "deep.txt").write_text("deep\n")
    (directory / "notes.md").write_text("# A heading\n\nA text.\n")
    (directory / "out").symlink_to("/etc/passwd")
    (directory / ".hidden").write_text("nobody sees this\n")
    return directory


@dataclass
class Town:
    """`sections` are the gateway's [Gateway:NAME]."""

    port: int
    host: Node
    gateway: Node
    labels: dict[str, str]
    origin: RunningOrigin
    sections: Mapping[str, str] = field(default_factory=dict)

    @property
    def pile(self) -> Path:
        """The directory that is shared."""
        return self.host.services.parent.parent / "pile"

    def get(self, name: str, path: str = "/", *options: str | Path, limit: float = 60) -> Answer:
        """What curl gets of the service `name`, or of the gateway's own name for ""."""
        host = f"{name}.example.org" if name else "example.org"
        return curl(f"http://127.0.0.1:{self.port}{path}", "-H", f"Host: {host}", *options, limit=limit)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def first_line(self, request: bytes) -> bytes:
        with self.connect() as client:
            client.sendall(request)
            return client.makefile("rb").readline()

    def talk(self, request: bytes) -> bytes:
        """Send bytes, and read until the gateway ends."""
        with self.connect() as client:
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(65_536), b""))

    def asked(self) -> list[dict[str, Any]]:
        """The rows of the last requests."""
        rows: list[dict[str, Any]] = self.gateway.status()["gateway"]["requests"]
        return rows


def settings(port: int, sections: Mapping[str, str], more: str = "") -> str:
    """The gateway's hardline.ini."""
    named = "".join(f"[Gateway:{name}]\n{section}\n" for name, section in sections.items())
    return f"[Dial]\ntimeout = 3 s\n[Gateway]\nlisten = 127.0.0.1:{port}\ndomain = example.org\n{more}\n{named}"


def reload(node: Node, text: str) -> None:
    """Have a running node read these settings, and wait until it has."""
    read = node.log.count("settings.read")
    ended = "\n[DHT]\nenabled = no\n[UPnP]\nenabled = no\n"
    (node.services.parent / "hardline.ini").write_text(text + ended)
    node.signal(signal.SIGHUP)
    wait_until(lambda: node.log.count("settings.read") > read, f"the settings were read:\n{node.log[-2000:]}")
