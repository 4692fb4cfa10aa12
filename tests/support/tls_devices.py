"""Certificates, and TLS servers as old devices have them: `openssl s_server`."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.node import free_port
from tests.support.waiting import wait_until


def certificate(directory: Path, *kind: str, name: str = "device", days: int = 1) -> tuple[Path, Path]:
    """A certificate of its own making, and its key; `kind` is for `openssl req -newkey`."""
    key, cert = directory / f"{name}.key", directory / f"{name}.cert"
    made = ["openssl", "req", "-x509", "-newkey", *(kind or ("rsa:2048",)), "-nodes", "-days", str(days)]
    subprocess.run([*made, "-subj", f"/CN={name}", "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@contextlib.contextmanager
def device(cert: Path, key: Path, *options: str | Path) -> Iterator[int]:
    """One that answers with a page of its own; yields its port."""
    port = free_port()
    command: Sequence[str | Path] = ["openssl", "s_server", "-accept", str(port), "-cert", cert, "-key", key, "-www"]
    process = subprocess.Popen(
        [*command, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )

    def listens() -> bool:
        if process.poll() is not None:
            assert process.stderr is not None
            raise AssertionError(process.stderr.read().decode())
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        wait_until(listens, "the device listens")
        yield port
    finally:
        process.kill()
        process.communicate()
