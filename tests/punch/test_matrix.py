"""Whole daemons behind routers of every two kinds: the page is there by the relay, and directly where that can be.

    visitor: b, behind rb ──┐                        ┌── host: a, behind ra
                            ├── relay p, "named" ────┤
                            └──── punched ───────────┘

Both know the relay and nothing else: no DHT, no UPnP.  Rows are named HOST'S-VISITOR'S router.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.punch.lab import Lab
from tests.punch.nat import TYPES
from tests.punch.test_lab import meets
from tests.reach.world import settings
from tests.support import needs
from tests.support.node import Node
from tests.support.origin import digest_of_bytes
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "nft", "conntrack", "sysctl", "curl"),
]

SIZE = 2_000_000
BESIDE = 100_000  # bytes that may pass the relay meanwhile, none of them the download's
LONG = 8.0  # seconds by which a try has come and gone, the first one starts with the session
BY_DEFAULT = {("port", "port"), ("full", "symm"), ("port+rst", "port+rst")}
OTHERS = (("remap+icmp", "port+rst"), ("port", "port+icmp"), ("addr+rst", "symm+rst"))


@dataclass(frozen=True, slots=True)
class Three:
    """What runs in a laboratory, and how its page is visited."""

    lab: Lab
    relay: Node
    host: Node
    visitor: Node
    label: str

    def visit(self) -> None:
        """The page's bytes, by whatever path."""
        answer = curl(self.visitor.url_of(self.label), at=self.lab.b, limit=60)
        assert (answer.status, answer.text) == (200, "hello from the origin\n"), self.logs

    def session(self) -> dict[str, Any]:
        """The one that new visits go by."""
        visits = [one for one in self.visitor.sessions("visiting") if not one["draining"]]
        assert visits, self.logs
        return min(visits, key=lambda one: ("LAN", "DIRECT", "PUNCHED", "RELAYED").index(one["kind"]))

    def is_visited(self, *kinds: str) -> None:
        """Visit until it is by one of these kinds of path, and by no other."""

        def by_it() -> bool:
            self.visit()
            now = {one["kind"] for one in self.visitor.sessions("visiting") if not one["draining"]}
            return len(now) == 1 and now <= set(kinds)

        try:
            wait_until(by_it, f"it is visited by {' or '.join(kinds)}", every=0.2)
        except AssertionError:
            print(self.session())
            raise

    def passed(self) -> int:
        """Bytes that the relay has carried."""
        return int(self.relay.status()["relays"]["served"]["passed"])

    def downloads(self) -> int:
        """Fetch SIZE bytes, as they are; returns how many passed the relay meanwhile."""
        before = self.passed()
        answer = curl(self.visitor.url_of(self.label, f"bytes/{SIZE}"), at=self.lab.b, limit=120)
        assert (answer.status, hashlib.sha256(answer.body).hexdigest()) == (200, digest_of_bytes(SIZE)), self.logs
        return self.passed() - before

    @property
    def logs(self) -> str:
        return f"host:\n{self.host.log[-3000:]}\nvisitor:\n{self.visitor.log[-3000:]}"


@contextlib.contextmanager
def three(
    lab: Lab,
    directory: Path,
    visitor_has: str = "",
    *,
    port: int = 7008,
    hosts_env: Mapping[str, str] | None = None,
    visitors_env: Mapping[str, str] | None = None,
) -> Iterator[Three]:
    """A relay on p, a host on a that is registered there, a visitor on b with these settings of [Relay] besides.

    The relay is used by `port`, where it listens besides 7008.
    """
    also = f"ports = {port}\n" if port != 7008 else ""
    relay = Node(
        directory / "relay", at=lab.p, settings=settings(dht=False, more=f"[Relay]\nenabled = yes\nallow = *\n{also}")
    )
    with relay, running_origin(lab.a) as origin:
        use = f"11.22.33.10:{port}#{relay.status()['node']['key_hash']}"
        more = f"[Relay]\nuse = {use} named\n"
        host = Node(directory / "host", at=lab.a, settings=settings(dht=False, more=more), env=hosts_env)
        visitor = Node(
            directory / "visitor",
            at=lab.b,
            settings=settings(dht=False, more=more + visitor_has),
            env=visitors_env,
        )
        host.share("site", origin.port)
        with host, visitor:
            wait_until(
                lambda: [one for one in host.status()["relays"]["used"] if one["tested"] >= 3],
                f"the host was reached by the relay:\n{host.log[-3000:]}",
            )
            yield Three(lab, relay, host, visitor, host.label("site"))


def rows() -> Iterator[object]:
    plain = itertools.product(TYPES, TYPES)
    refusing = ((f"{one}+rst", f"{other}+rst") for one, other in itertools.combinations_with_replacement(TYPES, 2))
    for row in (*plain, *refusing, *OTHERS):
        yield pytest.param(*row, marks=() if row in BY_DEFAULT else pytest.mark.full, id="-".join(row))


@pytest.mark.parametrize(("hosts", "visitors"), list(rows()))
def test_two_daemons_meet_where_their_routers_can(tmp_path: Path, hosts: str, visitors: str) -> None:
    with Lab() as lab:
        lab.nat(lab.ra, hosts)
        lab.nat(lab.rb, visitors)
        with three(lab, tmp_path) as all_three:
            if meets(hosts, visitors):
                # Who has a public address is reached there, too; the first one wins.
                goes_directly(all_three, *(["DIRECT"] if hosts.startswith("none") else []), "PUNCHED")
            else:
                stays_relayed(all_three)


def goes_directly(all_three: Three, *kinds: str) -> None:
    all_three.is_visited(*kinds)
    assert all_three.downloads() < BESIDE


def stays_relayed(all_three: Three) -> None:
    def for_long() -> bool:
        all_three.visit()
        session = all_three.session()
        assert session["kind"] == "RELAYED", session
        return bool(session["since_s"] > LONG)

    wait_until(for_long, "the session by the relay goes on", every=0.5)
    assert all_three.downloads() > SIZE


@pytest.mark.full
def test_behind_firewalls_of_ipv6_they_meet_by_it(tmp_path: Path) -> None:
    with Lab(six=True) as lab:
        lab.nat(lab.ra, "symm")
        lab.nat(lab.rb, "symm")
        with three(lab, tmp_path) as all_three:
            goes_directly(all_three, "PUNCHED")
            assert all_three.session()["endpoint"].startswith("[2a0e:b107:77:1::10]:")


@pytest.mark.full
@pytest.mark.parametrize(("carriers", "met"), [("port", False), ("port+hairpin", True)])
def test_behind_one_carrier_they_meet_where_it_lets_them_out_and_in_again(
    tmp_path: Path, carriers: str, met: bool
) -> None:
    with Lab("carrier") as lab:
        lab.nat(lab.cg, carriers)
        with three(lab, tmp_path) as all_three:
            if met:
                goes_directly(all_three, "PUNCHED")
            else:
                stays_relayed(all_three)


@pytest.mark.full
def test_behind_one_router_they_meet_inside(tmp_path: Path) -> None:
    with Lab("one") as lab, three(lab, tmp_path) as all_three:
        goes_directly(all_three, "LAN")
