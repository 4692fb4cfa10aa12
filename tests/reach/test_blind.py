"""A relay's owner looks at all that it holds, and visits nobody; where he is told the services' names, he visits them.

relay: memory, data, log, status, packets ──curious.py──▶ guesses ──▶ visits by the relay and directly, records
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hardline.dht.record import Record, open_record, seal
from hardline.errors import PeerError
from hardline.identity import KeyHash, utc_day
from hardline.routes import Endpoint
from tests.reach.curious import Offered, has_anywhere, memory_of, names_in, offered_in
from tests.reach.test_relayed import RELAY, host_at, is_told, relay_in
from tests.reach.world import World, settings
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.support.size import FULL
from tests.support.waiting import wait_until
from tests.upnp.home import PUBLIC, Box

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "curl", "dhtnode"),
]

SERVICES = 100 if FULL else 8
VISITED = 3
_ANNOUNCED = re.compile(r"dht.announced +service=(\w+) .*relays=[12]")
_HERE = Path(__file__).parent
LIMITS = "max_names = 250\nnew_pairs = 10000\nmax_pairs = 10000\nmax_pairs_per_source = 10000\n"


@dataclass(frozen=True, slots=True)
class Looked:
    """What the relay's owner has: `guesses` at key hashes, by the visitors' first flights, in what he `held`."""

    world: World
    box: Box
    host: Node
    names: frozenset[KeyHash]  # of the services, which he wants
    held: bytes
    guesses: frozenset[KeyHash]
    flights: tuple[Offered, ...]

    @property
    def handles(self) -> list[str]:
        return sorted({flight.name.hex() for flight in self.flights})

    def visits(self, names: frozenset[KeyHash]) -> frozenset[KeyHash]:
        """Those by which he gets into a service, by the relay or directly."""
        told = {
            "names": [str(name) for name in names],
            "handles": self.handles,
            "day": utc_day(time.time()),
            "at": [f"{RELAY}:7008", f"{PUBLIC}:7008"],
        }
        command = self.box.wrap([sys.executable, "-m", "tests.reach.curious"])
        done = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, timeout=250, check=True)
        return frozenset(KeyHash.parse(name) for name in json.loads(done.stdout))

    def reads(self, names: frozenset[KeyHash]) -> int:
        """How many of the services' records in the DHT he could read."""
        return sum(_opens(record, name) for record in self._records() for name in names)

    def recognizes(self, names: frozenset[KeyHash]) -> set[bytes]:
        """The handles of which he could say whose they are."""
        return {flight.name for flight in self.flights for name in names if flight.opens(name)}

    def _records(self) -> Iterator[bytes]:
        for file in self.host.data.parent.rglob("*.private"):
            der = subprocess.run(
                ["openssl", "x509", "-in", file.with_suffix(""), "-outform", "DER"], capture_output=True, check=True
            ).stdout
            if KeyHash.of_certificate(der) in self.names:
                record = Record("one", int(time.time() * 1000), (Endpoint(PUBLIC, 7008),), (), der)
                yield seal(record, file.read_bytes(), os.urandom(24))


def _opens(record: bytes, name: KeyHash) -> bool:
    with contextlib.suppress(PeerError):
        open_record(record, name, time.time())
        return True
    return False


def _told_of(host: Node) -> set[str]:
    """The services whose records name the relay, by the first 8 digits."""
    return set(_ANNOUNCED.findall(host.log))


def _names_of(relay: Node) -> set[str]:
    """What its nodes say who want to register: its own key hash is no secret of theirs."""
    today, own = utc_day(time.time()), KeyHash.parse(relay.status()["node"]["key_hash"])
    return {own.rolling(today + off) for off in (-1, 0, 1)}


@contextlib.contextmanager
def captured(box: Box, file: Path) -> Iterator[Path]:
    program = box.start([sys.executable, _HERE / "capturing.py", file], subprocess.PIPE)
    assert program.stdout is not None
    try:
        assert program.stdout.readline()
        yield file
    finally:
        program.kill()
        program.communicate()


@contextlib.contextmanager
def looked(world: World, directory: Path, how: str, services: int) -> Iterator[Looked]:
    """A host has registered its services, and some are visited; `how` is what it writes behind the relay's key hash."""
    with (
        relay_in(world, directory / "relay", more=LIMITS) as (box, relay, use),
        captured(box, directory / "packets") as capture,
        running_origin(world.host) as origin,
    ):
        host = host_at(world, directory / "host", use + how)
        visitor = Node(directory / "visitor", at=world.guest, settings=settings())
        for number in range(services):
            host.share(f"site{number}", origin.port, title=f"Nobody's business {number}")
        with host, visitor:
            is_told(host, names=2 * services)
            labels = {one["name"]: one["label"] for one in host.status()["services"]}
            wait_until(lambda: len(_told_of(host)) >= VISITED, "records name the relay")
            for label in [label for label in labels.values() if label[:8] in _told_of(host)][:VISITED]:
                answer = curl(visitor.url_of(label), at=world.guest)
                assert (answer.status, answer.text) == (200, "hello from the origin\n"), visitor.log
            served = relay.status()["relays"]["served"]
            assert served["names"] >= 2 * services
            assert served["passed"] > 1000 * services, "the host's own visits, and others'"
            files = [file.read_bytes() for file in relay.data.parent.rglob("*") if file.is_file()]
            held = b"\n".join([*memory_of(relay.process.pid), *files, json.dumps(relay.status()).encode()])
            held += b"\n" + capture.read_bytes()
            world.forward(7008)  # now it is reached directly, too
            names = frozenset(KeyHash.parse(label) for label in labels.values())
            yield Looked(
                world,
                box,
                host,
                names,
                held,
                frozenset(KeyHash(name) for name in names_in(held)),
                tuple(flight for flight in offered_in(capture) if flight.name.hex() not in _names_of(relay)),
            )


def test_who_has_everything_that_a_relay_holds_visits_nobody(world: World, tmp_path: Path) -> None:
    with looked(world, tmp_path, "", SERVICES) as it:
        assert len(it.names) == SERVICES
        handles = {bytes.fromhex(handle) for handle in it.handles}
        assert handles <= {guess.digest for guess in it.guesses}, "what is in there, is found"
        print(f"{len(it.held):,} bytes, {len(it.guesses)} guesses, {len(it.flights)} first flights")
        assert len(it.guesses) > 2 * SERVICES
        assert not it.names & it.guesses
        assert b"hello from the origin" not in it.held, "row 65: what was fetched is in no packet, and nowhere else"
        assert b"Nobody's business" not in it.held
        assert not [name for name in it.names if has_anywhere(it.held, name)]
        assert not it.names & it.visits(it.guesses)
        assert not it.recognizes(it.guesses)
        assert it.reads(it.guesses) == 0
        # It is only the key hashes that he lacks.
        assert it.visits(it.names) == it.names
        assert len(it.recognizes(it.names)) >= SERVICES
        assert it.reads(it.names) == SERVICES


@pytest.mark.full
def test_who_is_told_the_names_of_services_visits_them(world: World, tmp_path: Path) -> None:
    """So what looks for names in the other test can find them."""
    with looked(world, tmp_path, " named", VISITED) as it:
        assert it.names <= it.guesses
        assert it.names <= it.visits(it.guesses)
        assert it.recognizes(it.guesses)
        assert it.reads(it.guesses) == VISITED
