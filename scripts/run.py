"""`make run`: the example web server and a node that shares it, from a checkout, ended together by Ctrl-C.

    run.py ──▶ python -m http.server (scripts/example, on the port that services.d/example.ini names)
           ──▶ hardlined --servicedir services.d --datadir run …  ── READY=1 (sd_notify) ──▶ prints the URL

Each child has a process group of its own, so that Ctrl-C reaches it through this program only, and dies with this
program however that ends.  Arguments are handed on to hardlined.  Exit code: hardlined's.
"""

from __future__ import annotations

import configparser
import contextlib
import ctypes
import json
import os
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
SCRIPTS = Path(sys.executable).parent

_PR_SET_PDEATHSIG = 1  # prctl(2)
_START_LIMIT = 30.0  # seconds


def main(arguments: Sequence[str]) -> int:
    """Run until a signal, or until one of the two ends."""
    told: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: told.append(number))
    port = _example_port()
    if not _is_free(port):
        say(f"error: port {port} is taken, and services.d/example.ini wants its web server there")
        say("hint: stop what listens there, or write another port into services.d/example.ini")
        return 1
    site_command: list[str | Path] = [
        sys.executable,
        "-m",
        "http.server",
        str(port),
        "--bind",
        "127.0.0.1",
        "--directory",
        EXAMPLE,
    ]
    node_command: list[str | Path] = [SCRIPTS / "hardlined", "--servicedir", SERVICES, "--datadir", DATA, *arguments]
    with _inbox() as inbox, _child(site_command, quiet=True) as site, _child(node_command) as node:
        signals_passed_on = 0
        deadline, shown = time.monotonic() + _START_LIMIT, False
        while (code := node.poll()) is None:
            for received in told[signals_passed_on:]:
                node.send_signal(received)
                signals_passed_on += 1
            if site.poll() is not None and not told:
                say(f"error: the example web server ended with {site.returncode}")
                return 1
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


def _example_port() -> int:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(SERVICES / "example.ini", encoding="utf-8")
    return settings.getint("Service", "port")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


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
def _child(command: Sequence[str | Path], *, quiet: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not outlive this one."""
    output = subprocess.DEVNULL if quiet else None
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )
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
        say("the example service is at")
        say(f"    {example['url']}")
        say("Ctrl-C ends it")
    else:
        say(f"error: services.d/example.ini is {example['state']}: {example['problem']}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
