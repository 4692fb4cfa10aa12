"""Visitors that lie about where they reached a host, and a DHT full of lies about where a host is."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from hardline import certificates
from hardline.certificates import Identity
from hardline.dht.record import days, plain_key, record_key
from hardline.identity import KeyHash, Label
from tests.dht.keys import boxed, boxed_record
from tests.reach.world import World, is_published, path, settings
from tests.support import needs
from tests.support.beats import beats
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.upnp.home import PUBLIC, VISITOR, Box

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "curl", "miniupnpd", "dhtnode"),
]

FORGED = 200
FLOOD_LIMIT = 1.0  # seconds that a flood may cost
MARGIN = 1.0
_ROOT = Path(__file__).parents[2]

# Every address that something on this machine begins to connect with.
_TRAP = """
table inet trap {
  set tried { type ipv4_addr . inet_service; size 2000; }
  chain output {
    type filter hook output priority filter;
    tcp flags & (syn | ack) == syn add @tried { ip daddr . tcp dport }
  }
}
"""


def signed(identity: Identity, hosts: Sequence[str], now: float) -> bytes:
    """A record as its owner could write it against all rules."""
    body = {
        "v": 2,
        "instance": "liar",
        "issued": int(now * 1000),
        "hosts": list(hosts),
        "relays": [],
        "cert": base64.b64encode(identity.der).decode(),
    }
    key = serialization.load_pem_private_key(identity.private_key_pem, None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    signature = key.sign(b"hardline/2 record\0" + _canonical(body))
    text = _canonical({"body": body, "sig": base64.b64encode(signature).decode()})
    return boxed(text, identity.key_hash, os.urandom(24))


def _canonical(fields: object) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def tried(box: Box) -> list[str]:
    """What was connected with since the trap was laid."""
    listed = json.loads(box.run(["nft", "-j", "list", "set", "inet", "trap", "tried"]))["nftables"]
    found = next(each["set"] for each in listed if "set" in each).get("elem", [])
    return ["{}:{}".format(*element["concat"]) for element in found]


def tell(box: Box, name: KeyHash, *texts: str) -> int:
    """Visit and say so; returns how often the host was content."""
    command = box.wrap([sys.executable, "-m", "tests.reach.telling", f"{PUBLIC}:7008", str(name)])
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, cwd=_ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.count('"instance"')


def test_what_one_network_says_of_where_a_host_is_changes_nothing(world: World, tmp_path: Path) -> None:
    world.plug(world.host, world.home, 10, six=False)
    world.forward(7008)
    far = world.machine("far")
    world.plug_far(far, 40)
    host = Node(tmp_path / "host", at=world.host, settings=settings())
    with running_origin(world.host) as origin:
        host.share("site", origin.port)
        with host:
            name = Label.parse(host.label("site")).key_hash
            for box in (world.visitor, world.guest, world.dht):  # three addresses of one provider
                assert tell(box, name, "11.66.66.66:7008", "11.66.66.66:7008") == 2
            nonsense = ("127.0.0.1:22", "192.168.1.1:80", "evil.example:7008", "[::1]:1", "junk", "x" * 8000, "")
            for box in (world.visitor, far):
                assert tell(box, name, *nonsense) == len(nonsense)
            outside = host.status()["outside"]
            assert (outside["endpoints"], outside["reached"]) == ([], ["11.66.66.66:7008"])
            assert "reached.agreed" not in host.log
            assert host.service("site")["dht"]["announced"] is None


@pytest.mark.full
def test_lies_in_the_dht_lead_to_no_connection_that_should_not_be(world: World, tmp_path: Path) -> None:
    """Signed by the owner itself, and by nobody; one with a thousand addresses, too."""
    owner, other = (certificates.load_or_create(tmp_path / f"{name}.cert") for name in ("owner", "other"))
    junk = ["127.0.0.1:4444", "[::1]:4444", "localhost:4444", "0.0.0.0:4444"]
    itself = [f"{VISITOR}:7008", "169.254.1.1:4444x", "224.0.0.1:4444", "[fe80::1]:4444"]
    many = [f"11.{40 + number // 250}.0.{number % 250 + 1}:4444" for number in range(1000)]
    values: dict[str, list[bytes]] = {}
    now = time.time()
    for day in days(now):
        values[record_key(owner.key_hash, day)] = [signed(owner, some, now) for some in (junk, itself, many)]
        plain = [",".join(some).encode() for some in (junk, itself, many, *(many[at::50] for at in range(50)))]
        values[plain_key(other.key_hash, day)] = plain
    world.put(values)
    world.visitor.run(["nft", "-f", "-"], _TRAP)
    wanted = settings().replace("[DHT]\n", "[DHT]\noriginals = yes\n")
    visitor = Node(tmp_path / "visitor", at=world.visitor, settings=wanted)
    with visitor:
        for name, most in ((owner.key_hash, 0), (other.key_hash, 8)):
            began = beats()
            assert curl(visitor.url_of(str(name)), at=world.visitor).status == 503
            assert beats() - began < 30
            led = [at for at in tried(world.visitor) if not at.endswith(":7009")]
            assert len(led) <= most, led
            assert not [at for at in led if not at.startswith("11.4")]
        counts = visitor.status()["outside"]["dht"]
        assert counts["lookups"] == 2
        assert counts["dropped"] > 0
        assert counts["records"] == 2 * len(days(now))  # of the owner's three, on each of the days


@pytest.mark.slow
def test_a_flood_of_forged_records_costs_less_than_a_second(world: World, tmp_path: Path) -> None:
    world.start_upnpd()
    host = Node(tmp_path / "host", at=world.host, settings=settings(upnp=True))
    visitor = Node(tmp_path / "visitor", at=world.guest, settings=settings())
    with running_origin(world.host) as origin:
        for service in ("first", "quiet", "flooded"):
            host.share(service, origin.port)
        with host:
            now = time.time()
            identity = certificates.load_or_create(host.services / "flooded.ini.cert")
            name = identity.key_hash
            values = {}
            for day in days(now):
                lie = (identity.der, name, int(now), ("11.40.0.1:1",))
                values[record_key(name, day)] = [boxed_record(*lie, os.urandom(24)) for _ in range(FORGED)]
                values[plain_key(name, day)] = [f"11.41.0.{number}:1".encode() for number in range(FORGED)]
            world.put(values)
            for service in ("first", "quiet", "flooded"):
                is_published(host, service, at=f"{PUBLIC}:7008")
            with visitor:
                took = {}
                for service in ("first", "quiet", "flooded"):
                    label = host.label(service)
                    answer = curl(visitor.url_of(label), at=world.guest)
                    assert answer.status == 200
                    assert path(visitor, label) == ("DIRECT", "DHT", f"{PUBLIC}:7008")
                    took[service] = answer.first_byte
                dropped = visitor.status()["outside"]["dht"]["dropped"]
                print(f"first byte: {took['quiet']:.3f} s, beside {dropped} lies {took['flooded']:.3f} s")
                assert dropped > 0
                assert took["flooded"] < took["quiet"] + FLOOD_LIMIT + MARGIN
