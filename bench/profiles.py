"""`make bench PROFILE=1`: where both daemons spend their time on each hot path, by py-spy.

A pass of its own after the rounds: a profiler costs time that no figure should show.  The results are speedscope files
(https://www.speedscope.app) in bench/profiles/.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import load
from contestants import Contestant
from measures import Sizes

PLACE = Path(__file__).with_name("profiles")
_REPEATS = 5
_NEW = 3000


def record(contestant: Contestant, sizes: Sizes) -> None:
    """Profile each daemon of the contestant on each hot path."""
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if spy is None:
        print("no profile: py-spy is not installed")
        return
    PLACE.mkdir(exist_ok=True)
    with _watched(spy, contestant, "download"):
        for _ in range(_REPEATS):
            load.download(contestant.files, sizes.bulk_bytes)
    with _watched(spy, contestant, "upload"):
        for _ in range(_REPEATS):
            load.upload(contestant.sink, contestant.origin.bulk)
    with _watched(spy, contestant, "new"):
        for _ in range(_NEW):
            load.first_byte(contestant.files)
    with _watched(spy, contestant, "ka32"):
        load.many_kept_alive(contestant.files, 32, 4)


@contextlib.contextmanager
def _watched(spy: str, contestant: Contestant, what: str) -> Iterator[None]:
    watchers = []
    for daemon in contestant.daemons:
        file = PLACE / f"{daemon.name.replace(' ', '-')}-{what}.speedscope.json"
        argv = [spy, "record", "--pid", str(daemon.pid), "--rate", "250", "--duration", "600", "--format", "speedscope"]
        watchers.append(
            (file, subprocess.Popen([*argv, "--output", str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        )
    time.sleep(0.5)  # py-spy reads the symbols of its target first and says nothing when it has
    try:
        yield
    finally:
        for file, watcher in watchers:
            watcher.send_signal(signal.SIGINT)
            said, _ = watcher.communicate()
            print(f"profile: {file}" if file.exists() else f"no profile: {said.decode(errors='replace')[-300:]}")
