"""`--gateway`: plain browsers at the gateway, beside nginx in front of the same door, and the door itself.

What passes and how much at once: gateway_ways.py says by which ways.  What stays open: live.py is its service.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import load
from daemons import Broken, Daemon
from gateway_ways import Nginx, Town
from load import Door
from measures import Row, Sizes
from origin import Origin
from sites import Loopback

_EVENTS = 20
_SOCKETS = 1000
_SWITCH = b"GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

ROWS = (
    Row("small", "keep-alive, 32 connections", "req/s", "more", "ratio", 0.5, 1.0),
    Row("of_straight", "  of nginx's straight at the service", "×", "more"),
    Row("cost", "  processor time of one, without the host's", "µs", "less"),
    Row("one", "keep-alive, 1 connection, p50", "ms", "less"),
    Row("new", "new connection, first byte", "ms", "less"),
    Row("down", "download", "MB/s", "more"),
    Row("down_share", "  that download of the door's", "×", "more", "figure", 0.9),
    Row("up", "upload", "MB/s", "more"),
    Row("up_share", "  that upload of the door's", "×", "more", "figure", 0.9),
    Row("event", "an event, from its writing to its reader, longest", "s", "less", "figure", 0.2),
    Row("flat", "1 GB down and up beside a 1 kB/s reader, change", "MB PSS", "less", "figure", 20),
    Row("sockets", "1 000 idle WebSockets add", "MB PSS", "less", "figure", 20),
)


class Way:
    """Where a browser connects for each service, and whose processor time counts."""

    def __init__(self, doors: Mapping[str, Door], *daemons: Daemon) -> None:
        self.doors, self._daemons = doors, daemons

    def cpu(self) -> float:
        """Seconds so far."""
        return sum(daemon.cpu() for daemon in self._daemons)


def run(
    place: Path, stack: contextlib.ExitStack, sizes: Sizes, rounds: int
) -> tuple[Sequence[Row], dict[str, dict[str, list[float | None]]], list[str]]:
    """All rounds; figures as the loopback's: hardline is the gateway, nginx the one in front of the door."""
    origin = Origin(place / "origin", sizes.bulk_bytes)
    stack.callback(origin.stop)
    town = Town(origin, Loopback(), place / "town")
    stack.callback(town.stop)
    town.start()
    straight = {name: Door(port, "straight") for name, port in town.ports.items()}
    proxies = [Nginx(name, place / name, doors) for name, doors in (("nginx", town.door), ("straight", straight))]
    for proxy in proxies:
        stack.callback(proxy.daemon.stop)
    ways = {
        "hardline": Way(town.gateway, town.visitor),
        "nginx": Way(proxies[0].doors, proxies[0].daemon, town.visitor),
        "door": Way(town.door, town.visitor),
        "straight": Way(proxies[1].doors, proxies[1].daemon),
    }
    figures: dict[str, dict[str, list[float | None]]] = {name: {} for name in ways}
    errors: list[str] = []

    def note(name: str, key: str, number: int, value: float) -> None:
        figures[name].setdefault(key, [None] * rounds)[number] = value

    for way in ways.values():
        load.verify(way.doors["files"], way.doors["sink"], origin.bulk)
    names = list(ways)
    for number in range(rounds):
        turn = number % len(names)
        for measure in (_small, _one, _new, _bulk, _event):
            for name in names[turn:] + names[:turn]:
                town.settle()
                try:
                    for key, value in measure(ways[name], origin, sizes).items():
                        note(name, key, number, value)
                except (Broken, OSError) as failure:
                    errors.append(f"{name}, round {number + 1}: {measure.__name__.strip('_')}: {failure}")
        for key, of, share in (
            ("down", "door", "down_share"),
            ("up", "door", "up_share"),
            ("small", "straight", "of_straight"),
        ):
            ours, theirs = (figures[name].get(key, [None] * rounds)[number] for name in ("hardline", of))
            if ours and theirs:
                note("hardline", share, number, ours / theirs)
        print(f"round {number + 1} of {rounds}", flush=True)
    for proxy in proxies:
        proxy.daemon.stop()  # what it keeps would count against what the door may have
    for name in ("hardline", "door"):
        try:
            note(name, "flat", 0, _flat(town, ways[name], sizes))
            if name == "hardline":  # the others would find room in what these have left
                note(name, "sockets", 0, _sockets(town, ways[name].doors["live"]))
        except (Broken, OSError) as failure:
            errors.append(f"{name}: memory: {failure}")
    return ROWS, figures, errors


def _small(way: Way, origin: Origin, sizes: Sizes) -> dict[str, float]:
    before = way.cpu()
    rate = load.many_kept_alive(way.doors["files"], 32, sizes.many_seconds)
    return {"small": rate, "cost": 1e6 * (way.cpu() - before) / (rate * sizes.many_seconds)}


def _one(way: Way, origin: Origin, sizes: Sizes) -> dict[str, float]:
    return {"one": 1e3 * load.median(load.kept_alive(way.doors["files"], sizes.kept_requests))}


def _new(way: Way, origin: Origin, sizes: Sizes) -> dict[str, float]:
    return {"new": 1e3 * load.median([load.first_byte(way.doors["files"]) for _ in range(sizes.new_connections)])}


def _bulk(way: Way, origin: Origin, sizes: Sizes) -> dict[str, float]:
    size, repeats = sizes.bulk_bytes, sizes.bulk_repeats
    down = sum(load.download(way.doors["files"], size) for _ in range(repeats))
    up = sum(load.upload(way.doors["sink"], origin.bulk) for _ in range(repeats))
    return {"down": repeats * size / 1e6 / down, "up": repeats * size / 1e6 / up}


def _event(way: Way, origin: Origin, sizes: Sizes) -> dict[str, float]:
    """Several readers, each of an event of its own; the longest that one was on its way."""
    took = []
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(way.doors["live"].connect()) for _ in range(_EVENTS)]
        for reader in readers:
            reader.sendall(way.doors["live"].get("/events"))
        for reader in readers:
            data = b""
            while not data.endswith(b"\n\n\r\n"):
                if not (piece := reader.recv(65_536)):
                    raise Broken(f"ended before its event: {data!r}")
                data += piece
            took.append(time.monotonic() - float(data.rpartition(b"data: ")[2].split()[0]))
    return {"event": max(took)}


def _flat(town: Town, way: Way, sizes: Sizes) -> float:
    files, sink, bulk = way.doors["files"], way.doors["sink"], town.origin.bulk
    load.download(files, sizes.bulk_bytes)  # buffers that are made once are not growth
    load.upload(sink, bulk)
    with load.slow_reader(files):
        town.settle()  # what the slow one has room for is there
        before = town.visitor.pss()
        for _ in range(sizes.volume_repeats):
            load.download(files, sizes.bulk_bytes)
            load.upload(sink, bulk)
        return abs(town.visitor.pss() - before)


def _sockets(town: Town, door: Door) -> float:
    town.settle()
    before = town.visitor.pss()
    with _switched(door, _SOCKETS):
        town.settle()
        return town.visitor.pss() - before


@contextlib.contextmanager
def _switched(door: Door, count: int) -> Iterator[None]:
    """So many connections that became something else, and are that still at the end."""
    with contextlib.ExitStack() as stack:
        made = []
        for number in range(count):
            one = stack.enter_context(door.connect())
            one.sendall(_SWITCH % door.host.encode())
            data = b""
            while b"\r\n\r\n" not in data and (piece := one.recv(65_536)):
                data += piece
            if not data.startswith(b"HTTP/1.1 101 "):
                raise Broken(f"WebSocket {number + 1} of {count}: {data[:200]!r}")
            made.append(one)
        yield
        for number, one in enumerate(made):
            said = b"%d of %d" % (number, count)
            one.sendall(said)
            if one.recv(65_536) != said:
                raise Broken(f"WebSocket {number + 1} of {count} did not answer in the end")
