"""`make run`: a node that shares a directory, from a checkout, ended by Ctrl-C.

    run.py ──▶ scripts/example, copied to run/cache/example: the directory that services.d/example.ini names
           ──▶ hardlined --servicedir services.d --datadir run …  ── READY=1 (sd_notify) ──▶ prints the URL

The node has a process group of its own, so that Ctrl-C reaches it through this program only, and dies with this
program however that ends.  Arguments are handed on to hardlined.  Exit code: hardlined's.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
SERVICES, DATA, EXAMPLE = TREE / "services.d", TREE / "run", TREE / "scripts" / "example"
SHARED = DATA / "cache" / "example"
SCRIPTS = Path(sys.executable).parent

_PR_SET_PDEATHSIG = 1  # prctl(2)
_START_LIMIT = 30.0  # seconds


def main(arguments: Sequence[str]) -> int:
    """Run until a signal, or until the node ends."""
    told: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: told.append(number))
    signal.signal(signal.SIGHUP, lambda number, frame: told.append(signal.SIGTERM))  # the terminal was closed
    if not SHARED.exists():
        shutil.copytree(EXAMPLE, SHARED)
    command: list[str | Path] = [SCRIPTS / "hardlined", "--servicedir", SERVICES, "--datadir", DATA, *arguments]
    with _inbox() as inbox, _child(command) as node:
        signals_passed_on = 0
        deadline, shown = time.monotonic() + _START_LIMIT, False
        while (code := node.poll()) is None:
            for received in told[signals_passed_on:]:
                node.send_signal(received)
                signals_passed_on += 1
            if not shown and _is_ready(inbox):
                _show_url()
                shown = True
            elif not shown and time.monotonic() > deadline:
                say(f"error: hardlined was not ready after {_START_LIMIT:.0f} s")
                return 1
            time.sleep(0.05)
        return code


def say(text: str) -> None:
    """To the person at the terminal."""
    print(f"run: {text}", flush=True)  # noqa: T201


@contextlib.contextmanager
def _inbox() -> Iterator[socket.socket]:
    """Where hardlined says that it is ready: sd_notify(3)."""
    with (
        tempfile.TemporaryDirectory(prefix="hardline-") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox,
    ):
        address = os.path.join(directory, "notify")
        inbox.bind(address)
        inbox.setblocking(False)
        os.environ["NOTIFY_SOCKET"] = address
        yield inbox


def _is_ready(inbox: socket.socket) -> bool:
    try:
        return b"READY=1" in inbox.recv(4096).split(b"\n")
    except BlockingIOError:
        return False


@contextlib.contextmanager
def _child(command: Sequence[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not outlive this one."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_parent)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _show_url() -> None:
    asked = subprocess.run(
        [SCRIPTS / "hardline", "--datadir", DATA, "status", "--json"], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        say(asked.stderr.strip())
        return
    services = {service["name"]: service for service in json.loads(asked.stdout)["services"]}
    example = services.get("example", {"state": "missing", "problem": None})
    if example["state"] == "serving":
        say(f"what is in {SHARED} is now at")
        say(f"    {example['url']}")
        say(f"ask this node with  {SCRIPTS / 'hardline'} --datadir {DATA} ls")
        say("add files to it, and open the URL on any computer where hardlined runs; Ctrl-C ends it")
    else:
        say(f"error: services.d/example.ini is {example['state']}: {example['problem']}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
