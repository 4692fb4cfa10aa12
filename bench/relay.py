"""`--relay`: what passing bytes on costs a relay, beside nginx as a plain `stream` proxy; and visits by one.

    visitor ── relay ── host                   relay_host.py is the host, and reads a ClientHello in both cases

At the cap and beside a crowd: relay_crowd.py.  Whole daemons, as root: relay_whole.py, and far away: relay_far.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import relay_crowd
import relay_far
import relay_whole
from daemons import Broken
from measures import Row
from relay_host import ANSWER, ASKED
from relay_nodes import impossible
from relay_ways import Proxied, by_hardline, by_nginx

from hardline.identity import utc_day
from hardline.relay.handles import make_handle
from hardline.relay.messages import Hello, Kind, Register, encode
from hardline.relay.opening import CONTROL
from hardline.relay.proofs import NODE, prove_registration
from hardline.transport import tcp
from hardline.transport.contexts import visitor_context
from hardline.transport.tls import TlsStream

BULK = 2_000_000_000
SECONDS = 2.0
AT_ONCE = 32
NODES, NAMES = 2000, 5

ROWS = (
    Row("down", "2 GB to the visitor", "MB/s", "more", "ratio", 1.6),
    Row("up", "2 GB to the host", "MB/s", "more", "ratio", 1.6),
    Row("cpu", "  relay's processor time of both", "s/GB", "less", "ratio", 0.5),
    Row("limited", "2 GB with limits set and not reached", "MB/s", "more", "ratio", 1.3),
    Row("small", f"small requests on {AT_ONCE} connections", "1/s", "more", "ratio", 0.6, 0.85),
    Row("new", "a new pair, to the first byte", "ms", "less"),
    Row("pair", "memory for one of 1000 idle pairs", "kB", "less", "figure", 10.0),
    Row("node", f"memory for one of {NODES} nodes", "kB", "less", "figure", 60.0),
    Row("name", f"  and for each of {NAMES} names of theirs", "kB", "less", "figure", 3.0),
    *relay_crowd.ROWS,
    *relay_whole.ROWS,
    *relay_far.ROWS,
)


def run(
    place: Path, stack: contextlib.ExitStack, rounds: int
) -> tuple[Sequence[Row], dict[str, dict[str, list[float | None]]], list[str]]:
    """All rounds; figures as the loopback's."""
    nginx, direct = by_nginx(place, stack)
    ways = {"nginx": nginx, "hardline": by_hardline(place / "free", stack, "")}
    limited = by_hardline(place / "limited", stack, "rate = 100GB\nrate_per_source = 100GB\nrate_per_pair = 100GB\n")
    capped = by_hardline(place / "capped", stack, relay_crowd.LIMIT)
    figures: dict[str, dict[str, list[float | None]]] = {name: {} for name in (*ways, "direct")}
    errors: list[str] = []

    def note(name: str, key: str, number: int, value: float) -> None:
        figures[name].setdefault(key, [None] * rounds)[number] = value

    def ours(what: str, measure: Callable[[], Mapping[str, float]], number: int) -> None:
        try:
            for key, value in measure().items():
                note("hardline", key, number, value)
        except (Broken, OSError, AssertionError) as failure:
            errors.append(f"{what}, round {number + 1}: {str(failure)[:500]}")

    for number in range(rounds):
        for name, way in ways.items():
            try:
                began = way.daemon.cpu()
                note(name, "down", number, _download(way))
                note(name, "up", number, _upload(way))
                note(name, "cpu", number, (way.daemon.cpu() - began) / (2 * BULK / 1e9))
                note(name, "limited", number, _download(limited if name == "hardline" else way))
                note(name, "small", number, _small(way))
                note(name, "new", number, _new(way))
                if number == rounds - 1:
                    note(name, "pair", 0, _idle(way))
                if number == rounds - 1 and name == "hardline":
                    node, one = asyncio.run(_registered(limited))
                    note(name, "node", 0, node)
                    note(name, "name", 0, one)
            except (Broken, OSError) as failure:
                errors.append(f"{name}, round {number + 1}: {failure}")
        for key, measure in (("down", _download), ("up", _upload), ("small", _small), ("new", _new)):
            note("direct", key, number, measure(direct))
        ours("at the cap", lambda: relay_crowd.capped(capped), number)
        print(f"round {number + 1} of {rounds}", flush=True)
    ours("beside silent ones", lambda: relay_crowd.beside_silent(ways["hardline"]), 0)
    if why := impossible():
        print(f"whole daemons, and those far away: left out: {why}", flush=True)
        return ROWS, figures, errors
    with contextlib.ExitStack() as inner:
        whole = relay_whole.Whole(place / "whole", inner)
        for number in range(rounds):
            ours("whole daemons", whole.measure, number)
    with relay_far.Far(place / "far") as far:
        for number in range(rounds):
            ours("far away", lambda: far.measure(-(-relay_far.TRIES // rounds)), number)
            print(f"far away, round {number + 1} of {rounds}", flush=True)
        ours("tries", far.tried, 0)
    return ROWS, figures, errors


def _download(way: Proxied) -> float:
    buffer = bytearray(1 << 20)
    with way.connect("D", BULK) as made:
        began, left = time.perf_counter(), BULK
        while left:
            if not (count := made.recv_into(buffer)):
                raise Broken(f"ended {left} bytes too early")
            left -= count
        return BULK / (time.perf_counter() - began) / 1e6


def _upload(way: Proxied) -> float:
    piece = bytes(1 << 20)
    with way.connect("U", BULK) as made:
        began, left = time.perf_counter(), BULK
        while left:
            left -= made.send(piece[: min(left, len(piece))])
        if made.recv(1) != b"!":
            raise Broken("the upload was not taken")
        return BULK / (time.perf_counter() - began) / 1e6


def _small(way: Proxied) -> float:
    """Each of many connections asks again as soon as it was answered."""
    made = [way.connect("R") for _ in range(AT_ONCE)]
    left = {one: len(ANSWER) for one in made}
    done, until = 0, time.perf_counter() + SECONDS
    with selectors.DefaultSelector() as ready:
        for one in made:
            one.setblocking(False)
            ready.register(one, selectors.EVENT_READ)
            one.send(bytes(ASKED))
        while time.perf_counter() < until:
            for key, _ in ready.select(1):
                one = key.fileobj
                assert isinstance(one, socket.socket)
                got = len(one.recv(65_536))
                if not got:
                    raise Broken("a connection ended")
                left[one] -= got
                if not left[one]:
                    left[one], done = len(ANSWER), done + 1
                    one.send(bytes(ASKED))
    for one in made:
        one.close()
    return done / SECONDS


def _new(way: Proxied) -> float:
    took = []
    for _ in range(100):
        began = time.perf_counter()
        way.connect("D").close()
        took.append(time.perf_counter() - began)
    return 1e3 * sorted(took)[len(took) // 2]


def _idle(way: Proxied) -> float:
    before = way.daemon.pss()
    made = [way.connect("D") for _ in range(1000)]
    after = way.daemon.pss()
    for one in made:
        one.close()
    return (after - before) * 1e6 / len(made) / 1e3


async def _registered(way: Proxied) -> tuple[float, float]:
    """kB for a node, and for a name."""
    assert way.relay is not None
    context, protocol = visitor_context(protocol=CONTROL.encode()), CONTROL.encode()
    code, made = way.relay.key_hash.rolling(utc_day(time.time())), list[TlsStream]()
    before = way.daemon.pss()
    for number in range(NODES):
        source = f"127.0.{1 + number // 200}.{1 + number % 200}", 0  # what one may prove in a second is limited
        raw = socket.create_connection((way.relay.endpoint.host, way.relay.endpoint.port), source_address=source)
        raw.setblocking(False)
        stream = await tcp.over_socket(raw)
        made.append(await TlsStream.over(stream, context, code, target=way.relay.key_hash, protocol=protocol))
        made[-1].put(encode(Hello()))
    await asyncio.sleep(1)
    nodes = way.daemon.pss()
    for number, tls in enumerate(made):
        for name in range(NAMES):
            handle = make_handle(f"{number} {name}".encode(), "bench", way.relay.key_hash, 1)
            proof = prove_registration(handle, tls.exporter(NODE))
            await tls.send(encode(Register(name, Kind.HANDLE, proof)))
        while NAMES and b"registered" not in await tls.receive():
            pass
    await asyncio.sleep(3)
    names = way.daemon.pss()
    for tls in made:
        tls.abort()
    return (nodes - before) * 1e3 / NODES, (names - nodes) * 1e3 / NODES / NAMES
