"""Servers that nobody here wrote, as processes on this computer: nginx and OpenSSH's."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import free_port
from tests.support.programs import curl
from tests.support.waiting import wait_until


@contextlib.contextmanager
def nginx(directory: Path, config: str, **words: int) -> Iterator[int]:
    """nginx as `config` says, in which {directory}, {user}, {port} and these `words` stand; yields the port."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        pytest.skip("needs nginx: see tests/support/install.sh")
    directory.mkdir()
    port, file = free_port(), directory / "nginx.conf"
    file.write_text(config.format(directory=directory, user="user root;", port=port, **words))
    command = [binary, "-p", str(directory), "-e", str(directory / "err"), "-c", str(file)]
    running = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: curl(f"http://127.0.0.1:{port}/").status, "nginx listens")
        yield port
    finally:
        running.terminate()
        running.wait(10)


@contextlib.contextmanager
def sshd(directory: Path) -> Iterator[int]:
    """sshd for whoever has the key `user_key`, which is made in `directory`; needs root.  Yields the port."""
    binary, port, told = shutil.which("sshd"), free_port(), directory / "sshd.log"
    assert binary is not None
    for key in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / key], check=True)
    (directory / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host_key\nStrictModes no\nPidFile none\n"
        f"AuthorizedKeysFile {directory}/user_key.pub\nPermitRootLogin yes\nUsePAM no\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    with told.open("wb") as log:
        server = subprocess.Popen([binary, "-D", "-e", "-f", directory / "sshd_config"], stderr=log)
    try:
        wait_until(lambda: "listening" in told.read_text(), "sshd listens")
        yield port
    finally:
        server.terminate()
        server.wait()
