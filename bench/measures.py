"""What is measured, and what must be reached.

A measure takes a contestant and returns one figure for each of its rows.  `ROWS` says how each figure is read: as a
ratio to nginx in the same round, or by itself.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import load
from awake import awake
from contestants import Contestant, Hardline
from daemons import Broken


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much work one round is."""

    bulk_bytes: int = 200_000_000
    bulk_repeats: int = 2
    new_connections: int = 300
    kept_requests: int = 2000
    many_seconds: int = 2
    beside_requests: int = 200
    beside_seconds: float = 3.0
    streams_seconds: float = 1.5
    idle_connections: int = 1000
    volume_repeats: int = 5  # of bulk_bytes, each way
    entries: int = 100_000  # of one directory
    cold_bytes: int = 50_000_000  # that a hundred ask for at once
    crowd_repeats: int = 5
    copied_bytes: int = 100_000_000  # by scp
    copies: int = 11  # by each
    suite: bool = True  # whether there is time for the public cache suite


QUICK = Sizes(
    bulk_bytes=100_000_000,
    bulk_repeats=1,
    new_connections=100,
    kept_requests=500,
    many_seconds=1,
    beside_requests=100,
    beside_seconds=1.5,
    streams_seconds=0.7,
    volume_repeats=1,
    cold_bytes=10_000_000,
    crowd_repeats=3,
    copied_bytes=20_000_000,
    copies=1,
    suite=False,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.  `must` and `goal` are ratios to nginx or figures, as `judged` says."""

    key: str
    title: str
    unit: str
    better: Literal["more", "less"]
    judged: Literal["ratio", "figure", "not"] = "not"
    must: float | None = None
    goal: float | None = None


def aes() -> str:
    """How the processor computes AES: "vector AES" (VAES), "AES" or "no AES"; "" where the system does not tell."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next(line for line in lines if line.startswith(("flags", "Features"))).split()
        return "vector AES" if "vaes" in flags else "AES" if "aes" in flags else "no AES"
    return ""


# (must, goal).  With vector AES the wheel's OpenSSL has a lead over the system's; elsewhere both have the same.
_BY_PROCESSOR: dict[str, tuple[float, float]] = (
    {"bulk": (1.6, 2.0), "cpu": (0.6, 0.5), "new": (0.55, 0.4), "ka1": (1.1, 1.0), "ka32": (1.5, 1.8)}
    if aes() == "vector AES"
    else {"bulk": (1.1, 1.3), "cpu": (0.97, 0.8), "new": (0.7, 0.45), "ka1": (1.35, 1.05), "ka32": (1.02, 1.4)}
)

ROWS = (
    Row("down", "download", "MB/s", "more", "ratio", *_BY_PROCESSOR["bulk"]),
    Row("up", "upload", "MB/s", "more", "ratio", *_BY_PROCESSOR["bulk"]),
    Row("cpu", "processor per GB, both daemons", "s/GB", "less", "ratio", *_BY_PROCESSOR["cpu"]),
    Row("cpu_down", "  of a download", "s/GB", "less"),
    Row("cpu_up", "  of an upload", "s/GB", "less"),
    Row("new", "new connection, first byte", "ms", "less", "ratio", *_BY_PROCESSOR["new"]),
    Row("new_cpu", "  processor time of one, both daemons", "µs", "less"),
    Row("ka1", "keep-alive, 1 connection, p50", "ms", "less", "ratio", *_BY_PROCESSOR["ka1"]),
    Row("ka1_awake", "  processors kept awake", "ms", "less"),
    Row("ka32", "keep-alive, 32 connections", "req/s", "more", "ratio", *_BY_PROCESSOR["ka32"]),
    Row("beside", "small request beside 4 downloads, p99", "ms", "less", "figure", 10, None),
    Row("beside_p50", "  p50", "ms", "less"),
    Row("beside_bulk", "  the downloads meanwhile", "MB/s", "more"),
    Row("streams8", "8 downloads at once", "MB/s", "more"),
    Row("jain8", "  Jain index", "", "more", "figure", 0.98, None),
    Row("idle", "idle, both daemons", "MB PSS", "less", "figure", 100, None),
    Row("idle1000", "1 000 idle connections add, to each", "MB PSS", "less", "figure", 8, None),
    Row("flat", "1 GB down and up beside a 1 kB/s reader, change of each", "MB PSS", "less", "figure", 20, None),
    Row("after", "both daemons after all rounds", "MB PSS", "less"),
    Row("added", "warm visit, added to direct", "ms", "less", "figure", 2.0, None),
    Row("tree_down", "file service: download, of that through nginx", "×", "more", "figure", 0.75, 1.0),
    Row("tree_32", "  keep-alive, 32 connections, of nginx's", "×", "more", "figure", 0.25, 0.5),
    Row("listing", "  100 000 entries, first row", "s", "less", "figure", 0.5, None),
    Row("tree_flat", "  1 GB down, and up through a cached site, change of each", "MB PSS", "less", "figure", 20, None),
    Row("beside_slow", "  49 downloads beside a 1 kB/s reader, of those without", "×", "more", "figure", 0.9, 1.0),
    Row("cold_asked", "cached site: 100 ask for a cold 50 MB, the origin is asked", "times", "less", "figure", 1, None),
    Row("cold_rate", "  all of them together", "MB/s", "more"),
    Row("hit_asked", "  10 hits, the origin is asked", "times", "less", "figure", 0, None),
    Row("site_flat", "  1 GB fetched, then 1 GB kept, most change of each", "MB PSS", "less", "figure", 20, None),
    Row("scp", "scp of 100 MB by hardline nc, of that by a TLS pair of socat", "×", "less", "figure", 1.1, None),
    Row("scp_nc", "  by hardline nc", "s", "less"),
    Row("scp_socat", "  by socat", "s", "less"),
    Row("scp_passed", "  ssh has the connection itself (nc --fdpass), of socat's", "×", "less", "figure", 1.1, None),
    Row("scp_fdpass", "    seconds", "s", "less"),
    Row("suite_required", "public cache suite: required cases passed", "cases", "more"),
    Row("suite_required_missed", "  required cases not passed", "cases", "less", "figure", 0, None),
    Row("suite_optimal", "  optimal cases passed", "cases", "more", "figure", 75, None),
    Row("suite_optimal_missed", "  optimal cases not passed", "cases", "less"),
    Row("help", "hardline --help", "s", "less", "figure", 0.06, None),
    Row("ready", "started, ready", "s", "less"),
    Row("cold", "cold visit, first byte", "s", "less", "figure", 0.15, None),
    Row("back", "host killed -9, ready again to first byte", "s", "less", "figure", 2.0, None),
)


class Beside:
    """Downloads in another process, while something else is measured."""

    def __init__(self, door: load.Door, count: int, size: int) -> None:
        script = str(Path(__file__).with_name("drain.py"))
        argv = [sys.executable, script, door.address, str(door.port), door.host, str(count), str(size)]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Beside:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "flowing\n":
            _, said = self._process.communicate()
            raise Broken(f"the background downloads did not start: {said.strip()[-300:]}")
        self._since = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def end(self) -> float:
        """Stop them; MB/s that they had."""
        took = time.perf_counter() - self._since
        out, said = self._process.communicate(timeout=10)
        if self._process.returncode:
            raise Broken(f"the background downloads failed: {said.strip()[-300:]}")
        return int(out) / 1e6 / took


def bulk(contestant: Contestant, sizes: Sizes) -> dict[str, float]:
    """Large downloads, then uploads; what they cost."""
    size = sizes.bulk_bytes
    total = size * sizes.bulk_repeats
    start = contestant.cpu()
    down = sum(load.download(contestant.files, size) for _ in range(sizes.bulk_repeats))
    middle = contestant.cpu()
    up = sum(load.upload(contestant.sink, contestant.origin.bulk) for _ in range(sizes.bulk_repeats))
    end = contestant.cpu()
    return {
        "down": total / 1e6 / down,
        "up": total / 1e6 / up,
        "cpu": (end - start) / (2 * total / 1e9),
        "cpu_down": (middle - start) / (total / 1e9),
        "cpu_up": (end - middle) / (total / 1e9),
    }


def new(contestant: Contestant, sizes: Sizes) -> dict[str, float]:
    """A connection per request."""
    began = contestant.cpu()
    seen = {"new": 1e3 * load.median([load.first_byte(contestant.files) for _ in range(sizes.new_connections)])}
    if contestant.daemons:
        contestant.settle()  # what is left to do after the answer is counted
        seen["new_cpu"] = 1e6 * (contestant.cpu() - began) / sizes.new_connections
    return seen


def ka1(contestant: Contestant, sizes: Sizes) -> dict[str, float]:
    """One connection, one request after the other."""
    seen = {"ka1": 1e3 * load.median(load.kept_alive(contestant.files, sizes.kept_requests))}
    with awake():
        seen["ka1_awake"] = 1e3 * load.median(load.kept_alive(contestant.files, sizes.kept_requests))
    return seen


def ka32(contestant: Contestant, sizes: Sizes) -> dict[str, float]:
    """32 connections, each with a request under way."""
    return {"ka32": load.many_kept_alive(contestant.files, 32, sizes.many_seconds)}


def beside(contestant: Contestant, sizes: Sizes) -> dict[str, float]:
    """Small requests, each on a connection of its own, while four downloads take all there is."""
    times: list[float] = []
    with Beside(contestant.files, 4, sizes.bulk_bytes) as downloads:
        until = time.perf_counter() + sizes.beside_seconds
        while len(times) < sizes.beside_requests and time.perf_counter() < until:
            times.append(load.whole_request(contestant.files))
        rate = downloads.end()
    return {
        "beside": 1e3 * load.percentile(times, 0.99),
        "beside_p50": 1e3 * load.median(times),
        "beside_bulk": rate,
    }


def streams8(contestant: Contestant, sizes: Sizes) -> dict[str, float]:
    """Eight downloads, counted when the first has all or the time is up."""
    seen = load.streams(contestant.files, 8, sizes.streams_seconds)
    return {"streams8": seen.rate, "jain8": load.jain(seen.received)}


def tree(contestant: Contestant, sizes: Sizes) -> dict[str, float]:
    """The same files: by nginx through the tunnel, and by the host itself."""
    if not isinstance(contestant, Hardline):
        return {}
    size = sizes.bulk_bytes
    ours = load.download(contestant.tree, size)
    theirs = load.download(contestant.files, size) + load.download(contestant.files, size)
    ours += load.download(contestant.tree, size)
    ours_32 = load.many_kept_alive(contestant.tree, 32, sizes.many_seconds)
    theirs_32 = load.many_kept_alive(contestant.files, 32, sizes.many_seconds)
    return {"tree_down": theirs / ours, "tree_32": ours_32 / theirs_32}


def cold(contestant: Contestant, sizes: Sizes) -> dict[str, float]:
    """A visitor that knows nobody, and a host that was killed and is back; only hardline has to find."""
    if not isinstance(contestant, Hardline):
        return {}
    number = time.monotonic_ns()
    ready, visit = contestant.cold_visit(number)
    back = contestant.host_restart(number)
    return {"help": contestant.command(), "ready": ready, "cold": visit, "back": back}


def memory(contestant: Contestant, sizes: Sizes) -> dict[str, float]:
    """Once, before any work: idle, and with a thousand connections that had one answer each."""
    contestant.settle()
    before = contestant.pss()
    with load.idle_connections(contestant.files, sizes.idle_connections):
        contestant.settle()
        grown = max(now - then for now, then in zip(contestant.pss(), before, strict=True))
    figures = {"idle": sum(before), "idle1000": grown * 1000 / sizes.idle_connections}
    load.download(contestant.files, sizes.bulk_bytes)  # buffers that are made once are not growth
    load.upload(contestant.sink, contestant.origin.bulk)
    contestant.settle()
    before = contestant.pss()
    with load.slow_reader(contestant.files):
        for _ in range(sizes.volume_repeats):
            load.download(contestant.files, sizes.bulk_bytes)
            load.upload(contestant.sink, contestant.origin.bulk)
        figures["flat"] = max(abs(now - then) for now, then in zip(contestant.pss(), before, strict=True))
    if isinstance(contestant, Hardline):
        figures["listing"] = _listing(contestant, sizes)
        figures["tree_flat"] = _tree_flat(contestant, sizes)
    return figures


def _listing(contestant: Hardline, sizes: Sizes) -> float:
    many = contestant.origin.bulk.with_name("many")
    many.mkdir(exist_ok=True)  # another hardline was measured with this origin
    for number in range(sizes.entries):
        (many / f"file-{number}").touch()
    return load.listing(contestant.tree, sizes.entries)


def _tree_flat(contestant: Hardline, sizes: Sizes) -> float:
    load.download(contestant.tree, sizes.bulk_bytes)
    load.upload(contestant.cached_sink, contestant.origin.bulk)
    contestant.settle()
    before = contestant.pss()
    for _ in range(sizes.volume_repeats):
        load.download(contestant.tree, sizes.bulk_bytes)
        load.upload(contestant.cached_sink, contestant.origin.bulk)
    return max(abs(now - then) for now, then in zip(contestant.pss(), before, strict=True))


Measure = Callable[[Contestant, Sizes], dict[str, float]]
EACH_ROUND: dict[str, Measure] = {
    "bulk": bulk,
    "new": new,
    "ka1": ka1,
    "ka32": ka32,
    "beside": beside,
    "streams8": streams8,
    "tree": tree,
    "cold": cold,
}
