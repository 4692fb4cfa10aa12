"""`--reach`: how long it takes to find a host that is anywhere, and what being found costs while nobody comes.

    visitor ── NAT ── a small internet with a DHT ── router with UPnP ── host, origin       needs root, and what
                                                                                            tests/reach needs

Whole daemons in the network namespaces of tests/reach/world.py; the other contestant is nginx on the host, visited by
TLS 1.3 through a forwarded port of the same router.  `python bench/reach.py` measures only this.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import load
import table
from daemons import Broken
from measures import Row

_ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(_ROOT))

from hardline import certificates  # noqa: E402
from hardline.dht.record import days, plain_key, record_key  # noqa: E402
from tests.dht.hosting import HERE, Host, first, node  # noqa: E402
from tests.dht.island import dht  # noqa: E402
from tests.dht.keys import boxed_record  # noqa: E402
from tests.reach.world import World, is_published, path, settings  # noqa: E402
from tests.support.node import Node  # noqa: E402
from tests.support.programs import curl, running_origin  # noqa: E402
from tests.support.waiting import wait_until  # noqa: E402
from tests.upnp.home import OTHER_PUBLIC, PUBLIC, Box  # noqa: E402

IDLE_SECONDS = 60.0
LINK = 0.04  # seconds, the round trip
_FORGED = 200
_SERVICES = 50
_SETTLED = 20.0  # seconds that a new DHT has
_REPEATS = 7

ROWS = (
    Row("cold", "found through the DHT, daemon started for it", "s", "less", "figure", 3.0),
    Row("warm", "  by a daemon that runs", "s", "less", "figure", 0.5),
    Row("flood", "  more beside 400 forged values", "s", "less", "figure", 1.0),
    Row("dead", "  more after three dead candidates", "s", "less", "figure", 0.9),
    Row("far", f"remembered host, {LINK * 1e3:g} ms link, first byte", "ms", "less", "ratio", 1.3),
    Row("router", "router's new address: visited there after", "s", "less", "figure", 10.0),
    Row("host", "host in another network: visited there after", "s", "less", "figure", 10.0),
    Row("killed", "DHT process killed: back after", "s", "less", "figure", 5.0),
    Row("stopped", "DHT process stopped: back after", "s", "less", "figure", 10.0),
    Row("thinned", "slowest of 50 services, 20 of 60 DHT nodes killed", "s", "less", "figure", 10.0),
    Row("idle", "idle host sends", "B/s", "less", "figure", 2000),
    Row("idle_visitor", "idle visitor sends", "B/s", "less"),
)

_NGINX = """
daemon off; worker_processes 1; pid {place}/nginx.pid; error_log {place}/nginx.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f;
  uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
  server {{
    listen 8443 ssl; ssl_protocols TLSv1.3; ssl_certificate {place}/tls.cert; ssl_certificate_key {place}/tls.key;
    location / {{ proxy_pass http://127.0.0.1:{port}; }}
  }}
}}
"""


def run(
    place: Path, stack: contextlib.ExitStack, rounds: int, idle: float = IDLE_SECONDS
) -> tuple[Sequence[Row], dict[str, dict[str, list[float | None]]], list[str]]:
    """All rounds; figures as the loopback's.  For `idle` seconds of the last one nobody does anything."""
    if os.geteuid() != 0 or shutil.which("dhtnode") is None:
        raise SystemExit("--reach needs root, and the programs that tests/support/install.sh installs")
    figures: dict[str, dict[str, list[float | None]]] = {"nginx": {}, "hardline": {}}
    errors: list[str] = []
    for number in range(rounds):
        seen: dict[str, dict[str, float]] = {"nginx": {}, "hardline": {}}
        measures = [("found", _found), ("moved", _moved), ("thinned", _thinned)]
        if number == rounds - 1 and idle:
            measures.append(("idle", lambda here, seen: _idle(here, seen, idle)))
        for name, measure in measures:
            here = place / f"{name}{number}"
            here.mkdir()
            try:
                measure(here, seen)
            except (Broken, OSError, AssertionError) as failure:
                errors.append(f"{name}, round {number + 1}: {str(failure)[:500]}")
        for contestant, values in seen.items():
            for key, value in values.items():
                figures[contestant].setdefault(key, [None] * rounds)[number] = value
        print(f"round {number + 1} of {rounds}", flush=True)
    return ROWS, figures, errors


def _found(place: Path, seen: dict[str, dict[str, float]]) -> None:
    """A host at home behind its router, a visitor behind another's."""
    ours = seen["hardline"]
    with World() as world, running_origin(world.host) as origin:
        world.start_upnpd()
        host = Node(place / "host", at=world.host, settings=settings(upnp=True))
        visitor = Node(place / "visitor", at=world.guest, settings=settings(more="[Session]\nkeepwarm = 1\n"))
        names = ("cold", "warm", "flooded")
        for name in names:
            host.share(name, origin.port)
        with host:
            for name in names:
                is_published(host, name, at=f"{PUBLIC}:7008")
            _flood(world, host, "flooded")
            began = time.monotonic()
            with visitor:
                _visit(visitor, host.label("cold"), "DHT")
                ours["cold"] = time.monotonic() - began
                ours["warm"] = _visit(visitor, host.label("warm"), "DHT")
                ours["flood"] = _visit(visitor, host.label("flooded"), "DHT") - ours["warm"]
                for number, row in ((signal.SIGKILL, "killed"), (signal.SIGSTOP, "stopped")):
                    ours[row] = _back(visitor, number)
                with _tls_server(world, place, origin.port):
                    world.lengthen(LINK)
                    label = host.label("warm")
                    wait_until(lambda: curl(visitor.url_of(label), at=world.guest).status == 200, "the link carries")
                    url, direct, remembered = f"https://{PUBLIC}:8443/", list[float](), list[float]()
                    for _ in range(_REPEATS):
                        direct.append(curl(url, "-k", at=world.guest).first_byte)
                        wait_until(lambda: not visitor.sessions("visiting"), "the session was given up")
                        remembered.append(_visit(visitor, label, "remembered"))
                seen["nginx"]["far"], ours["far"] = load.median(direct) * 1e3, load.median(remembered) * 1e3


def _moved(place: Path, seen: dict[str, dict[str, float]]) -> None:
    """The same host: with three dead addresses before the good one; its router's address changes; it moves itself."""
    ours = seen["hardline"]
    with World() as world, running_origin(world.host) as origin:
        world.forward(7008)
        dead = ", ".join(f"11.50.0.{number}:7008" for number in (1, 2, 3))
        public = f"[Node]\npublic = {dead}, {PUBLIC}:7008\n"
        host = Node(place / "host", at=world.host, settings=settings(more=public))
        visitor = Node(place / "visitor", at=world.guest, settings=settings())
        host.share("dead", origin.port)
        with visitor:
            with host:
                is_published(host, "dead", at=f"{PUBLIC}:7008")
                curl(visitor.url_of("00" * 20), at=world.guest)  # its DHT is up now
                ours["dead"] = _visit(visitor, host.label("dead"), "DHT") - ours.get("warm", 0.0)
            world.nft("flush chain inet home mapped_in")
            world.start_upnpd()
            (host.services / "dead.ini").unlink()
            host = Node(place / "host", at=world.host, settings=settings(upnp=True))
            host.share("site", origin.port)
            with host:
                is_published(host, "site", at=f"{PUBLIC}:7008")
                label = host.label("site")
                _visit(visitor, label, "DHT")
                world.new_address()
                ours["router"] = _again(visitor, label, f"{OTHER_PUBLIC}:7008")
                world.plug(world.host, world.internet, 30, six=False)
                ours["host"] = _again(visitor, label, "11.22.33.30:7008")


def _visit(visitor: Node, label: str, found_by: str) -> float:
    """Seconds to the first byte, by that path."""
    answer = curl(visitor.url_of(label), at=visitor.at)
    if answer.status != 200 or path(visitor, label)[1] != found_by:
        raise Broken(f"answered {answer.status}, found by {path(visitor, label)}:\n{visitor.log[-1500:]}")
    return answer.first_byte


def _again(visitor: Node, label: str, at: str) -> float:
    """Seconds until it is visited at another endpoint."""
    began = time.monotonic()
    wait_until(lambda: curl(visitor.url_of(label), at=visitor.at).status == 200, "visited", 30)
    if path(visitor, label)[2] != at:
        raise Broken(f"visited at {path(visitor, label)}, not at {at}")
    return time.monotonic() - began


def _back(node: Node, number: signal.Signals) -> float:
    """Seconds until the DHT's process is another one that knows good nodes."""

    def now() -> dict[str, Any]:
        found: dict[str, Any] = node.status()["outside"]["dht"]["node"]
        return found

    pid = now()["pid"]
    os.kill(pid, number)
    began = time.monotonic()
    wait_until(lambda: (said := now())["pid"] != pid and said["good"] > 0, "it was back", 30, every=0.1)
    return time.monotonic() - began


def _sent(box: Box) -> int:
    return int(box.run(["cat", "/sys/class/net/eth0/statistics/tx_bytes"]))


def _idle(place: Path, seen: dict[str, dict[str, float]], seconds: float) -> None:
    """What a host with three services and a visitor send who have a session that nobody uses, from the start on."""
    with World() as world, running_origin(world.host) as origin:
        world.start_upnpd()
        host = Node(place / "host", at=world.host, settings=settings(upnp=True))
        visitor = Node(place / "visitor", at=world.guest, settings=settings(more="[Session]\nkeepwarm = 1h\n"))
        for name in ("one", "two", "three"):
            host.share(name, origin.port)
        with host, visitor:
            is_published(host, "one", at=f"{PUBLIC}:7008")
            _visit(visitor, host.label("one"), "DHT")
            before, began = (_sent(world.host), _sent(world.guest)), time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - began
            seen["hardline"]["idle"] = (_sent(world.host) - before[0]) / took
            seen["hardline"]["idle_visitor"] = (_sent(world.guest) - before[1]) / took


def _thinned(place: Path, seen: dict[str, dict[str, float]]) -> None:
    """A DHT of twelve processes with five nodes each, four of which are killed once everything is announced."""
    identities = [certificates.load_or_create(place / f"{number}.cert") for number in range(_SERVICES)]
    with dht(12, 5) as (island, nodes):

        async def story() -> float:
            await asyncio.sleep(_SETTLED)
            async with node(nodes[0].endpoints) as hosting, node(nodes[1].endpoints) as visiting:
                host = Host(hosting, identities)
                async with host.announced():
                    for process in nodes[2:6]:
                        await asyncio.to_thread(process.kill)
                    found = [await first(visiting, name) for name in host.names]
            assert all(candidate and candidate.endpoint == HERE for candidate, _ in found), "not all were found"
            return max(took for _, took in found)

        seen["hardline"]["thinned"] = island.run(story)


def _flood(world: World, host: Node, name: str) -> None:
    """Lies at both keys of a service."""
    identity, now = certificates.load_or_create(host.services / f"{name}.ini.cert"), time.time()
    lie = (identity.der, identity.key_hash, int(now), ("11.40.0.1:1",))
    values: dict[str, list[bytes]] = {}
    for day in days(now):
        values[record_key(identity.key_hash, day)] = [boxed_record(*lie, os.urandom(24)) for _ in range(_FORGED)]
        values[plain_key(identity.key_hash, day)] = [f"11.41.0.{number}:1".encode() for number in range(_FORGED)]
    world.put(values)


@contextlib.contextmanager
def _tls_server(world: World, place: Path, port: int) -> Iterator[None]:
    kind = ("-newkey", "ed25519", "-nodes", "-subj", "/CN=x", "-out", place / "tls.cert", "-keyout", place / "tls.key")
    world.host.run(["openssl", "req", "-x509", *kind])
    (place / "nginx.conf").write_text(_NGINX.format(place=place, port=port))
    world.forward(8443)
    nginx = world.host.start(["nginx", "-p", place, "-c", place / "nginx.conf"])
    try:
        wait_until(lambda: ":8443 " in world.host.run(["ss", "-Hltn"]), "nginx listened")
        yield
    finally:
        nginx.terminate()
        nginx.wait()


def main() -> int:
    """This part of the bench alone."""
    import tempfile

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=float, default=IDLE_SECONDS, help="seconds; 600 for what docs/BENCH.md says")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hlb") as place, contextlib.ExitStack() as stack:
        rows, figures, errors = run(Path(place), stack, options.rounds, options.idle)
    print(f"\n{table.render(rows, figures, [])}\n\n{table.verdicts(rows, figures)}")
    for line in errors:
        print(f"error: {line}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
