"""A file system of 1 MB, which can be full or read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SmallDisk:
    """Mounted at `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def mount(self, options: str) -> None:
        """Mount it, or once more with other options."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.place], check=True)

    def fill(self) -> Path:
        """Leave no room; the file that takes it."""
        filler = self.place / "filler"
        left = os.statvfs(self.place)
        filler.write_bytes(b"x" * (left.f_bavail * left.f_frsize))
        return filler


@contextmanager
def small_disk(place: Path) -> Iterator[SmallDisk]:
    """One that lasts as long as the block.  Needs root, and Linux."""
    place.mkdir()
    disk = SmallDisk(place)
    disk.mount("size=1m")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", place], check=True)
