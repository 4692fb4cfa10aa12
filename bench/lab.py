"""`--lab`: the same contestants over a link of 20 and of 100 ms, between two network namespaces; and over none.

    visitor ── veth ── wire(20 ms) ── veth ── host, origin          needs root and iproute2

The wire is a program that forwards Ethernet frames between two interfaces, each after half the round trip, because
not every kernel has netem.  It knows nothing of TCP and keeps the order.  Run as `python lab.py IF IF SECONDS`.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import load
from contestants import Contestant, Hardline, HardlineAlone
from daemons import Broken, Daemon
from measures import Row
from origin import Origin
from others import Nginx
from sites import Loopback

ROUND_TRIPS = (20, 100)  # ms
_BULK_BYTES = 400_000_000
_CONNECTIONS = 15
_SECONDS = 4.0
_REPEATS = 5  # without a link, where a download is soon complete
_FILE, _COUNTED = 50_000_000, 8.0  # bytes; seconds
_WARM = {20: 12.0, 100: 40.0}  # seconds, by the round trip: some files for each session more
_MUST = {20: 1.5, 100: 3.0}
_NO_SLOWER = {20: None, 100: 1.0}  # at 20 ms the processors are full, and whatever is asked for waits for them
_CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)

_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_ETH_P_ALL = 3

ROWS = (
    *(
        row
        for ms in ROUND_TRIPS
        for row in (
            Row(f"link{ms}", f"{ms} ms link, TCP connect through it", "ms", "less"),
            Row(f"new{ms}", "  new connection, first byte", "ms", "less"),
            Row(f"trips{ms}", "    in round trips", "RTT", "less"),
            Row(f"over{ms}", f"    over one round trip ({ms} ms)", "ms", "less", "figure", 5.0),
            Row(f"one{ms}", "  1 download", "MB/s", "more"),
            Row(f"rate{ms}", "  8 downloads at once", "MB/s", "more"),
            Row(f"jain{ms}", f"    Jain index ({ms} ms)", "", "more", "figure", 0.9),
            Row(f"stalled{ms}", "    rate beside a stalled ninth, of that without", "×", "more"),
            Row(f"files{ms}", "  8 at once, file after file", "MB/s", "more"),
            Row(f"bundle{ms}", f"    of that of one session ({ms} ms)", "×", "more", "figure", _MUST[ms]),
            Row(f"filejain{ms}", f"    Jain index, file after file ({ms} ms)", "", "more", "figure", 0.9),
            Row(f"small{ms}", "    small requests beside them", "ms", "less"),
            Row(f"slower{ms}", f"    of those beside one session ({ms} ms)", "×", "less", "figure", _NO_SLOWER[ms]),
        )
    ),
    Row("rate0", "no link, 8 downloads at once", "MB/s", "more"),
    Row("bundle0", "  of that of one session (no link)", "×", "more", "figure", 0.95),
)


class Link:
    """Two machines with a wire between them: a Site."""

    visitor_address = "10.77.0.1"
    host_address = "10.77.0.2"

    def __init__(self, directory: Path, round_trip: float) -> None:
        directory.mkdir()
        self._log = directory / "wire.log"
        name = f"hlb{os.getpid()}"
        self._visitor, self._host, self._middle = (f"{name}{letter}" for letter in "vhm")
        self._round_trip = round_trip
        self._wire: Daemon | None = None

    def up(self) -> None:
        """Lay it."""
        for space in (self._visitor, self._host, self._middle):
            ip("netns", "add", space)
            ip("-n", space, "link", "set", "lo", "up")
        for space, address in ((self._visitor, self.visitor_address), (self._host, self.host_address)):
            other = "tov" if space == self._visitor else "toh"
            ip("-n", self._middle, "link", "add", other, "type", "veth", "peer", "name", "lan0", "netns", space)
            ip("-n", self._middle, "link", "set", other, "up")
            ip("-n", space, "address", "add", f"{address}/24", "broadcast", "+", "dev", "lan0")
            ip("-n", space, "link", "set", "lan0", "up")
            ip("-n", space, "route", "add", "default", "dev", "lan0")
        argv = [sys.executable, __file__, "tov", "toh", str(self._round_trip / 2)]
        with inside(self._middle):
            self._wire = Daemon("wire", argv, self._log)

    def down(self) -> None:
        """Remove it; idempotent."""
        if self._wire is not None:
            self._wire.stop()
        for space in (self._visitor, self._host, self._middle):
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)

    def at_visitor(self) -> contextlib.AbstractContextManager[None]:
        """On the visitor's machine."""
        return inside(self._visitor)

    def at_host(self) -> contextlib.AbstractContextManager[None]:
        """On the host's machine."""
        return inside(self._host)


def run(
    place: Path, stack: contextlib.ExitStack, rounds: int
) -> tuple[Sequence[Row], dict[str, dict[str, list[float | None]]], list[str]]:
    """All round trips; figures as the loopback's."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise SystemExit("--lab needs root and iproute2")
    figures: dict[str, dict[str, list[float | None]]] = {kind.name: {} for kind in (Nginx, Hardline, HardlineAlone)}
    errors: list[str] = []
    for ms in ROUND_TRIPS:
        with contextlib.ExitStack() as inner:
            link = Link(place / f"link{ms}", ms / 1e3)
            inner.callback(link.down)
            link.up()
            with link.at_host():
                origin = Origin(place / f"origin{ms}", _BULK_BYTES)
            inner.callback(origin.stop)
            origin.make_cold(_FILE)
            contestants: list[Contestant] = []
            for kind in (Nginx, Hardline, HardlineAlone):
                contestant: Contestant = kind(origin, link, place / f"{kind.name}{ms}")
                inner.callback(contestant.stop)
                try:
                    contestant.start()
                    contestants.append(contestant)
                except (Broken, OSError) as failure:
                    errors.append(f"{kind.name}, {ms} ms: {failure}")
            for number in range(rounds):
                for contestant in contestants:
                    contestant.settle()
                    try:
                        with link.at_visitor():
                            seen = _measure(contestant, ms)
                    except (Broken, OSError) as failure:
                        errors.append(f"{contestant.name}, {ms} ms, round {number + 1}: {failure}")
                        continue
                    for key, value in seen.items():
                        figures[contestant.name].setdefault(f"{key}{ms}", [None] * rounds)[number] = value
                _compare(figures, ms, number, rounds)
                print(f"{ms} ms, round {number + 1} of {rounds}", flush=True)
    try:
        _without_link(place, rounds, figures)
    except (Broken, OSError) as failure:
        errors.append(f"no link: {failure}")
    return ROWS, figures, errors


def _measure(contestant: Contestant, ms: int) -> dict[str, float]:
    door = contestant.files
    link = load.median([connect(contestant.site.host_address) for _ in range(5)])
    new = load.median([load.first_byte(door) for _ in range(_CONNECTIONS)])
    one = load.streams(door, 1, _SECONDS)
    contestant.settle()
    alone = load.streams(door, 8, _SECONDS)
    contestant.settle()
    beside = load.streams(door, 8, _SECONDS, stalled=1)
    contestant.settle()
    files = load.in_turn(door, 8, "/cold", _WARM[ms], _COUNTED)
    return {
        "link": link * 1e3,
        "new": new * 1e3,
        "trips": new / link,
        "over": (new - link) * 1e3,
        "one": one.rate,
        "rate": alone.rate,
        "jain": load.jain(alone.received),
        "stalled": beside.rate / alone.rate,
        "files": files.rate,
        "filejain": load.jain(files.received),
        "small": load.median(files.small) * 1e3,
    }


def _compare(figures: dict[str, dict[str, list[float | None]]], ms: int, number: int, rounds: int) -> None:
    """A bundle with one session, in the same round."""
    mine, alone = figures[Hardline.name], figures[HardlineAlone.name]
    for key, of in ((f"bundle{ms}", f"files{ms}"), (f"slower{ms}", f"small{ms}")):
        ours, theirs = (each.get(of, [None] * rounds)[number] for each in (mine, alone))
        if ours and theirs:
            mine.setdefault(key, [None] * rounds)[number] = ours / theirs


def _without_link(place: Path, rounds: int, figures: dict[str, dict[str, list[float | None]]]) -> None:
    """The same two on 127.0.0.1, where one session is all that is wanted."""
    with contextlib.ExitStack() as inner:
        origin = Origin(place / "origin0", _BULK_BYTES)
        inner.callback(origin.stop)
        ways = [kind(origin, Loopback(), place / f"{kind.name}0") for kind in (Hardline, HardlineAlone)]
        for way in ways:
            inner.callback(way.stop)
            way.start()
        for number in range(rounds):
            for way in ways[:: -1 if number % 2 else 1]:
                way.settle()
                rates = [load.streams(way.files, 8, _SECONDS).rate for _ in range(_REPEATS)]
                figures[way.name].setdefault("rate0", [None] * rounds)[number] = load.median(rates)
            ours, alone = (figures[way.name]["rate0"][number] for way in ways)
            if ours and alone:
                figures[Hardline.name].setdefault("bundle0", [None] * rounds)[number] = ours / alone
            print(f"no link, round {number + 1} of {rounds}", flush=True)


def connect(address: str) -> float:
    """Seconds until a TCP connection is refused: one round trip."""
    start = time.perf_counter()
    with socket.socket() as caller:
        caller.connect_ex((address, 9))
    return time.perf_counter() - start


@contextlib.contextmanager
def inside(space: str) -> Iterator[None]:
    """Sockets and processes made inside belong to the namespace."""
    with open("/proc/thread-self/ns/net") as here, open(f"/run/netns/{space}") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(here.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Broken(f"ip {' '.join(words)}: {done.stderr.strip()}")


def wire(interfaces: Sequence[str], delay: float) -> None:
    """Forward frames between two interfaces, each `delay` seconds after it came, until killed."""
    ends = [_packet_socket(name) for name in interfaces]
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    waiting: dict[socket.socket, collections.deque[tuple[float, bytes]]] = {end: collections.deque() for end in ends}
    while True:
        soonest = min((queue[0][0] for queue in waiting.values() if queue), default=None)
        timeout = None if soonest is None else max(0.0, soonest - time.monotonic())
        for end in select.select(ends, [], [], timeout)[0]:
            queue = waiting[other[end]]
            with contextlib.suppress(BlockingIOError):
                for _ in range(64):  # then look at the clock again
                    frame = end.recv(70_000)
                    queue.append((time.monotonic() + delay, frame))
        now = time.monotonic()
        for end, queue in waiting.items():
            while queue and queue[0][0] <= now:
                # A full queue or a link that is down loses the frame, as a real one would.
                with contextlib.suppress(OSError):
                    end.send(queue.popleft()[1])


def _packet_socket(interface: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    # The header before each frame keeps segmentation and checksum offload: 64 KiB go through as one frame.
    end.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    end.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    for option in (32, 33):  # SO_SNDBUFFORCE, SO_RCVBUFFORCE: more than the system's limit
        end.setsockopt(socket.SOL_SOCKET, option, 16 << 20)
    end.bind((interface, _ETH_P_ALL))
    end.setblocking(False)
    return end


if __name__ == "__main__":
    wire(sys.argv[1:3], float(sys.argv[3]))
