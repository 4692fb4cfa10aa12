"""A directory on a disk that stops answering: a FUSE mount whose server is stopped, as a network disk is that is away.

with hung_disk(tmp_path) as disk:     disk.root is what disk.source is, seen through bindfs
    disk.hang()                       whoever touches it now waits
    disk.answer()
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support import needs
from tests.support.waiting import wait_until


@dataclass(slots=True)
class HungDisk:
    """`root` is the mount, `source` what is mounted."""

    root: Path
    source: Path
    server: subprocess.Popen[bytes]

    def hang(self) -> None:
        self.server.send_signal(signal.SIGSTOP)

    def answer(self) -> None:
        self.server.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def hung_disk(directory: Path, name: str = "photos") -> Iterator[HungDisk]:
    """Mount `directory`/source at `directory`/NAME; in the end it is away, whoever waits for it."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        needs.cannot("FUSE")
    source, root = directory / "source", directory / name
    source.mkdir()
    root.mkdir()
    # Nothing is remembered: each look asks the server.
    command = ["bindfs", "-f", "-o", "attr_timeout=0,entry_timeout=0,negative_timeout=0", source, root]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: server.poll() is not None or os.path.ismount(root), "it is mounted")
        if server.poll() is not None:
            needs.cannot("FUSE mounts")
        yield HungDisk(root, source, server)
    finally:
        server.send_signal(signal.SIGCONT)
        server.kill()
        server.communicate()
        subprocess.run(["umount", "-l", root], check=False, capture_output=True)
