"""For `--relay`: a relay at its cap, whether it is fair, keeps it and counts right; and beside a silent crowd.

    50 bulk ─ 127.0.1.1 ─┐
     1 bulk ─ 127.0.2.1 ─┼─ relay, CAP bytes/s ── host        10 000 silent ─ 127.1.…  ─┬─ relay ── host
      1 small ─ 127.0.3.1 ─┘                                     1 visitor ─ 127.0.0.1 ─┘

Each address is a source of its own to the relay.
"""

from __future__ import annotations

import collections
import contextlib
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field

from daemons import Broken
from load import jain, median, percentile
from measures import Row
from relay_host import ANSWER, ASKED
from relay_ways import Proxied

from hardline.asking import ask

CAP = 20_000_000
LIMIT = f"rate = {CAP}\n"
_MANY, _ALONE, _SMALL = "127.0.1.1", "127.0.2.1", "127.0.3.1"
_BULKS = 50
_BEFORE, _SECONDS = 1.0, 4.0  # all of them must be there
_ENDLESS = 1 << 40
_COUNTED = 30_000_000
_SILENT, _OF_AN_ADDRESS, _A_SECOND = 10_000, 40, 2000
_VISITS = 100
_PATIENCE = 20.0  # seconds

ROWS = (
    Row("fair", f"{CAP / 1e6:g} MB/s for {_BULKS} pairs of one source, 1 of another: Jain", "", "more", "figure", 0.95),
    Row("busy", "  small requests of a third, p99", "ms", "less", "figure", 50.0),
    Row("over", "  the largest second, of the cap", "×", "less", "figure", 1.05),
    Row("counted", "  off in what is counted for the month", "%", "less", "figure", 1.0),
    Row(
        "coming",
        "the longest of many new pairs: more while 10 000 silent ones come in 5 s",
        "ms",
        "less",
        "figure",
        50.0,
    ),
    Row("silent", "  more when they are there", "ms", "less", "figure", 50.0),
)


@dataclass
class _Seen:
    """What came, when; and how long each small request took."""

    of_source: collections.Counter[str] = field(default_factory=collections.Counter)
    arrived: list[tuple[float, int]] = field(default_factory=list)
    took: list[float] = field(default_factory=list)


def capped(way: Proxied) -> dict[str, float]:
    """By a relay with LIMIT."""
    with contextlib.ExitStack() as stack:
        bulks = {way.begin("D", _ENDLESS, _MANY): _MANY for _ in range(_BULKS)}
        bulks[way.begin("D", _ENDLESS, _ALONE)] = _ALONE
        small = way.begin("R", 0, _SMALL)
        for one in (*bulks, small):
            stack.callback(one.close)
            one.setblocking(False)
        seen = _watch(bulks, small)
    return {
        "fair": jain([seen.of_source[_MANY], seen.of_source[_ALONE]]),
        "busy": 1e3 * percentile(seen.took, 0.99),
        "over": _largest_second(seen.arrived) / CAP,
        "counted": _off(way),
    }


def _watch(bulks: dict[socket.socket, str], small: socket.socket) -> _Seen:
    seen, buffer = _Seen(), bytearray(1 << 18)
    with selectors.DefaultSelector() as ready:
        for one in (*bulks, small):
            ready.register(one, selectors.EVENT_READ)
        asked, left = time.perf_counter(), 1 + len(ANSWER)
        small.send(bytes(ASKED))
        begins, until = asked + _BEFORE, asked + _BEFORE + _SECONDS
        while time.perf_counter() < until:
            for key, _ in ready.select(1):
                one = key.fileobj
                assert isinstance(one, socket.socket)
                if not (count := one.recv_into(buffer)):
                    raise Broken("a connection ended")
                now = time.perf_counter()
                if one is small and not (left := left - count):
                    if asked > begins:
                        seen.took.append(now - asked)
                    asked, left = now, len(ANSWER)
                    small.send(bytes(ASKED))
                if now > begins:
                    seen.arrived.append((now, count))
                    seen.of_source[bulks.get(one, _SMALL)] += count
    return seen


def _largest_second(arrived: list[tuple[float, int]]) -> int:
    """Bytes of the second in which most came, whenever it began."""
    most = within = 0
    window = collections.deque[tuple[float, int]]()
    for at, count in arrived:
        window.append((at, count))
        within += count
        while at - window[0][0] > 1.0:
            within -= window.popleft()[1]
        most = max(most, within)
    return most


def _off(way: Proxied) -> float:
    """Per cent between what passes and what is said to have passed, after all that came before."""
    before = _settled(way)
    with way.connect("D", _COUNTED) as made:
        left = _COUNTED
        while left:
            if not (count := len(made.recv(1 << 20))):
                raise Broken(f"ended {left} bytes too early")
            left -= count
    passed = _COUNTED + way.opening
    return 100 * abs(_settled(way) - before - passed) / passed


def _settled(way: Proxied) -> int:
    """What a relay says that it has passed this month, once nothing passes any more."""
    before = -1
    while (passed := int(ask(way.data, "status")["relays"]["served"]["this_month"])) != before:
        before = passed
        time.sleep(0.3)
    return passed


def beside_silent(way: Proxied) -> dict[str, float]:
    """How many ms the longest of many visits takes, more than one does without them."""
    alone = median(_visits(way, _VISITS))
    with subprocess.Popen([sys.executable, __file__, str(way.port)], stdout=subprocess.PIPE) as coming:
        try:
            assert coming.stdout is not None
            longest = 0.0
            while not select.select([coming.stdout], [], [], 0)[0]:
                longest = max(longest, *_visits(way, 2))
            if not coming.stdout.readline():
                raise Broken("silent connections were not taken")
            there = max(_visits(way, _VISITS))
        finally:
            coming.kill()
    return {"coming": 1e3 * (longest - alone), "silent": 1e3 * (there - alone)}


def _visits(way: Proxied, count: int) -> list[float]:
    """Seconds that each takes; one that is refused comes again, as a browser does."""
    took = list[float]()
    while len(took) < count:
        began = time.perf_counter()
        while True:
            with contextlib.suppress(Broken, ConnectionError):
                way.connect("D").close()
                break
            if time.perf_counter() - began > _PATIENCE:
                raise Broken(f"nobody was let in beside silent connections in {_PATIENCE:g} s")
        took.append(time.perf_counter() - began)
    return took


def _come(port: int) -> None:
    """Be all the silent ones, say so once all are there, and wait to be killed.  What the relay ends stays here, too:
    nobody reads it."""
    silent, began = list[socket.socket](), time.perf_counter()
    for number in range(_SILENT):
        time.sleep(max(0.0, began + number / _A_SECOND - time.perf_counter()))
        of = number // _OF_AN_ADDRESS
        source = f"127.1.{1 + of // 200}.{1 + of % 200}", 0
        silent.append(socket.create_connection(("127.0.0.1", port), timeout=30, source_address=source))
    print("there", flush=True)
    signal.pause()


if __name__ == "__main__":
    _come(int(sys.argv[1]))
