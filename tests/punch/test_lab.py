"""The laboratory's routers are what they are called: what they let in, and whether two machines can meet."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from tests.punch.lab import Lab, Shape
from tests.punch.nat import TYPES
from tests.punch.punching import OUTSIDE, OUTSIDE_6, PORTS, knocks, line, program, punch, rendezvous
from tests.support import needs
from tests.upnp.home import Box

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "nft", "conntrack", "sysctl"),
]

ALWAYS_OPEN = {"none", "full", "addr"}
BY_DEFAULT = {("port", "port"), ("full", "symm"), ("port", "symm"), ("addr", "remap"), ("port+rst", "port+rst")}


def meets(one: str, other: str) -> bool:
    """Whether two types can: one with another port for each connection needs one that does not look at ports."""
    types = {one.partition("+")[0], other.partition("+")[0]}
    return "symm" not in types or bool(types & ALWAYS_OPEN)


def pairs() -> Iterator[object]:
    for option in ("", "+rst"):
        for one, other in itertools.combinations_with_replacement(TYPES, 2):
            pair = one + option, other + option
            yield pytest.param(*pair, marks=() if pair in BY_DEFAULT else pytest.mark.full, id="-".join(pair))
    yield pytest.param("port+icmp", "port+icmp", marks=pytest.mark.full, id="port+icmp-port+icmp")
    yield pytest.param("remap+icmp", "port+rst", marks=pytest.mark.full, id="remap+icmp-port+rst")
    yield pytest.param("port", "port+rst", marks=pytest.mark.full, id="port-port+rst")


@pytest.mark.parametrize(("ra", "rb"), list(pairs()))
def test_two_homes_meet_where_their_routers_can(homes: Lab, ra: str, rb: str) -> None:
    homes.nat(homes.ra, ra)
    homes.nat(homes.rb, rb)
    a, b = punch(homes, meets=meets(ra, rb))
    print(a, b, sep="\n")
    if a.ok and rb.startswith("symm"):
        assert b.how == "connect"
        if not ra.startswith("none"):
            assert a.how == "accept", "where it dials to, nobody is"


@pytest.mark.parametrize(("ra", "rb", "met"), [("port", "port", True), ("full", "symm", False)])
def test_without_a_listener_only_those_meet_whose_ports_are_known(homes: Lab, ra: str, rb: str, met: bool) -> None:
    homes.nat(homes.ra, ra)
    homes.nat(homes.rb, rb)
    punch(homes, meets=met, which="deaf")


@pytest.fixture(scope="module")
def stranger(homes: Lab) -> Box:
    return homes.machine("q")


@pytest.mark.parametrize(
    ("kind", "kept", "one_for_all", "lets_in"),
    [
        ("none", True, True, "pq"),
        ("full", True, True, "pq"),
        ("full+rst", True, True, "pq"),
        ("addr", True, True, "p"),
        ("port", True, True, ""),
        ("port+rst", True, True, ""),
        ("port+icmp", True, True, ""),
        ("remap", False, True, ""),
        ("symm", False, False, ""),
    ],
)
def test_a_router_gives_ports_and_lets_in(
    homes: Lab, stranger: Box, kind: str, kept: bool, one_for_all: bool, lets_in: str
) -> None:
    """One from whom something was asked comes from another port, and one from whom nothing was."""
    homes.nat(homes.ra, kind)
    with rendezvous(homes.p), program(homes.a, "seen", OUTSIDE, *PORTS) as inside:
        told = json.loads(line(inside))
        endpoints = {tuple(one) for one in told["seen"]}
        address = "11.22.41.10" if kind == "none" else homes.ra.wan
        assert {one[0] for one in endpoints} == {address}
        assert (endpoints == {(address, told["local"])}) == kept
        assert (len(endpoints) == 1) == one_for_all
        for box, name in ((homes.p, "p"), (stranger, "q")):
            knocks(box, told["seen"][0], gets_in=name in lets_in)
            if name in lets_in:
                assert line(inside) == name
        known = homes.ra.run(["conntrack", "-L", "-s", "11.22.33.11"])
        assert bool(known) == ("q" in lets_in), "what was refused is not remembered"


@pytest.mark.parametrize("kind", ["port", pytest.param("port+rst", marks=pytest.mark.full)])
def test_firewalls_of_ipv6_let_those_meet_who_ask_each_other(kind: str) -> None:
    with Lab(six=True) as lab:
        lab.nat(lab.ra, kind)
        lab.nat(lab.rb, kind)
        a, _ = punch(lab, meets=True, six=True)
        assert a.seen == a.local
        with rendezvous(lab.p), program(lab.a, "seen", OUTSIDE_6, PORTS[0]) as inside:
            knocks(lab.p, json.loads(line(inside))["seen"][0], gets_in=False)


@pytest.mark.parametrize(
    ("shape", "kind", "which", "met"),
    [
        ("one", "port", "local", True),
        ("one", "port", "public", False),
        pytest.param("one", "port+hairpin", "public", True, marks=pytest.mark.full),
        pytest.param("one", "full+hairpin", "public", True, marks=pytest.mark.full),
        pytest.param("one", "remap+hairpin", "public", True, marks=pytest.mark.full),
        pytest.param("carrier", "port", "public", False, marks=pytest.mark.full),
        pytest.param("carrier", "remap", "public", False, marks=pytest.mark.full),
        ("carrier", "port+hairpin", "public", True),
        pytest.param("carrier", "full+hairpin", "public", True, marks=pytest.mark.full),
        pytest.param("carrier", "remap+hairpin+rst", "public", True, marks=pytest.mark.full),
    ],
)
def test_behind_one_router(shape: Shape, kind: str, which: str, met: bool) -> None:
    """They meet by what is theirs in its network, or where it lets them out and in again."""
    with Lab(shape) as lab:
        lab.nat(lab.ra if shape == "one" else lab.cg, kind)
        punch(lab, meets=met, which=which)


@pytest.mark.parametrize(("then", "met"), [("stays", True), ("closes", False)])
def test_a_dial_that_ends_too_early_spoils_its_two_endpoints(homes: Lab, then: str, met: bool) -> None:
    """Its router remembers the sequence number of its SYN, and lets nothing else out that answers the other side."""
    homes.nat(homes.ra, "port")
    homes.nat(homes.rb, "port")
    with program(homes.a, "dial", "5000", homes.rb.wan, "6000", then) as dialling:
        assert line(dialling) == "dialled"
        knocks(homes.b, [homes.ra.wan, 5000], own=6000, gets_in=met)


def test_what_is_mute_is_so_one_way_and_silently(homes: Lab) -> None:
    homes.nat(homes.ra, "port")
    homes.nat(homes.rb, "port")
    for pair in ((homes.ra, homes.rb), (homes.rb, homes.ra)):
        homes.mute(*pair)
        a, b = punch(homes, meets=False)
        assert (a.tries, b.tries) == (1, 1), "nobody was told that it was in vain"
        homes.unmute()
        homes.nat(homes.ra, "port")  # or it remembers that try
        homes.nat(homes.rb, "port")
    punch(homes, meets=True)


def test_a_router_has_another_address_and_forgets(homes: Lab) -> None:
    homes.nat(homes.ra, "full")
    with rendezvous(homes.p):
        with program(homes.a, "seen", OUTSIDE, PORTS[0]) as inside:
            old = json.loads(line(inside))["seen"][0]
            knocks(homes.p, old, gets_in=True)
            new = [homes.new_address(homes.ra), old[1]]
            knocks(homes.p, new, gets_in=True)
            knocks(homes.p, old, gets_in=False)
            homes.ra.flush()
            knocks(homes.p, new, gets_in=False)
        with program(homes.a, "seen", OUTSIDE, PORTS[0]) as inside:
            assert json.loads(line(inside))["seen"][0][0] == new[0]


def test_a_machine_moves(homes: Lab) -> None:
    box = homes.machine("roamer", homes.rb)

    def address() -> str:
        with rendezvous(homes.p), program(box, "seen", OUTSIDE, PORTS[0]) as inside:
            return str(json.loads(line(inside))["seen"][0][0])

    homes.nat(homes.rb, "port")
    assert address() == homes.rb.wan
    homes.plug(box)
    assert address().startswith("11.22.33.1")
    homes.plug(box, homes.ra)
    assert address() == homes.ra.wan
