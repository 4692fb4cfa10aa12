"""A person who uses a site all the time and wants nothing bad.  A program, for the visitor's machine.

    kept    ── GET / ──▶ door          the same connection again and again (keep-alive)
    new     ── GET / ──▶ door          a new connection for every request
    bare    ── GET / ──▶ the origin    past both daemons, over the LAN: how long this machine makes anybody wait

    speed   ── a loop of TURNS turns           no request: how fast this machine is at that moment

Every request is a line on stdout, once its answer is whole: the moment it began (CLOCK_MONOTONIC, which all
namespaces of a computer share), the seconds it took, the seconds that the daemons' event loops computed meanwhile, over
which kind of connection, and "ok" or what went wrong.  Each thread sends its next request PACE seconds after the last
answer: it measures how long people wait, and a daemon that stands still shows as one long wait.

Of `speed` it is the loop that computes: the same takes longer where others use the same caches, or the same core.

    python wellbehaved.py LABEL PORT ORIGIN_ADDRESS ORIGIN_PORT DAEMON_PID …
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time

PACE = 0.01
TURNS, SOMETIMES = 5000, 0.05  # of the loop, and seconds between two of them
LIMIT = 60.0  # seconds; after that a request has failed, on the busiest machine


class Asker:
    """Asks for one page, over one connection as long as it lasts."""

    def __init__(self, label: str, address: tuple[str, int]) -> None:
        self._request = f"GET / HTTP/1.1\r\nHost: {label}.localhost:{address[1]}\r\n\r\n".encode()
        self._address = address
        self._socket: socket.socket | None = None

    def ask(self) -> str:
        """One request; returns "ok" or what went wrong."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, LIMIT)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(self._request)
            answer = b""
            while not answer.endswith(b"hello from the origin\n"):
                piece = self._socket.recv(65_536)
                if not piece:
                    raise ConnectionError(f"ended after {answer[:60]!r}")
                answer += piece
                if not answer.startswith(b"HTTP/1.1 200"[: len(answer)]):
                    raise ConnectionError(f"answered {answer[:60]!r}")
        except OSError as failure:
            self.hang_up()
            return repr(failure).replace("\n", " ")
        return "ok"

    def hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def computed(daemons: list[str]) -> float:
    """Seconds of processor time that the daemons' event loops have had."""
    total = 0
    for daemon in daemons:
        with open(f"/proc/{daemon}/task/{daemon}/schedstat") as statistics:
            total += int(statistics.read().split()[0])
    return total / 1e9


def go_on(asker: Asker, kind: str, daemons: list[str]) -> None:
    while True:
        began, before = time.monotonic(), computed(daemons)
        outcome = asker.ask()
        work, took = computed(daemons) - before, time.monotonic() - began
        # print writes in two parts, and other threads between them
        sys.stdout.write(f"{began:.6f} {took:.6f} {work:.6f} {kind} {outcome}\n")
        sys.stdout.flush()
        if kind != "kept":
            asker.hang_up()
        time.sleep(PACE)


def count_turns() -> None:
    while True:
        began, before = time.monotonic(), time.thread_time()
        for _ in range(TURNS):
            pass
        work, took = time.thread_time() - before, time.monotonic() - began
        sys.stdout.write(f"{began:.6f} {took:.6f} {work:.6f} speed ok\n")
        sys.stdout.flush()
        time.sleep(SOMETIMES)


def main() -> None:
    label, door, address, port, *daemons = sys.argv[1:]
    with contextlib.suppress(OSError):  # before everybody else, for an answer that lies there makes nobody wait
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    places = {"new": ("127.0.0.1", int(door)), "bare": (address, int(port))}
    for kind, place in places.items():
        threading.Thread(target=go_on, args=(Asker(label, place), kind, daemons), daemon=True).start()
    threading.Thread(target=count_turns, daemon=True).start()
    go_on(Asker(label, ("127.0.0.1", int(door))), "kept", daemons)


if __name__ == "__main__":
    main()
