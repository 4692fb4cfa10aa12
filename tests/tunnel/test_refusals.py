"""Where a visitor may be led by what others say: every notation of an address, by every finder, on every port."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import socket
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from hardline.addresses import Address, Kind, Way, kind_of, leads_to
from hardline.dht.endpoints import believable
from hardline.identity import KeyHash
from hardline.peers.remembered import Remembered
from hardline.routes import Candidate, Code, Endpoint, FoundBy, NoRoute, PathKind, Plain, Trust, parse_wan_hosts
from hardline.transport.tcp import Manner
from hardline.tunnel.dialer import Dialer
from tests.support.lying import Names

_numbers = itertools.count(1)
NAME = "rebind.attacker.example"

# How the visitor's computer sends; everything else goes by the default route.
WAYS = {
    "127.0.0.0/8": Way.HERE,
    "::1/128": Way.HERE,
    "192.168.7.2/32": Way.HERE,
    "2a0e:7::2/128": Way.HERE,
    "192.168.7.0/24": Way.ATTACHED,
    "fd00:7::/64": Way.ATTACHED,
    "10.8.0.0/16": Way.ROUTED,
    "fd00:8::/64": Way.ROUTED,
}

TOLD = ("hello", "record")  # the host's own words
NEAR = ("seen on the LAN", "visited on the LAN")
BEFORE = ("visited",)  # it worked, but not on the LAN
ALL = (*TOLD, "value", *NEAR, *BEFORE)
NOBODY: Sequence[str] = ()

# Who may lead a visitor there.
LITERALS = {
    "11.22.33.44": ALL,
    "2a0e:9::1": ALL,
    "200:6a4e::1": ALL,
    # By a route of its own: what is signed may name it; what nobody signed may not.
    "10.8.0.9": (*TOLD, *NEAR, *BEFORE),
    "fd00:8::9": (*TOLD, *NEAR, *BEFORE),
    # In an attached network, or by the default route: only what was seen there.
    "192.168.7.1": NEAR,
    "fd00:7::1": NEAR,
    "192.168.1.1": NEAR,
    "10.0.0.1": NEAR,
    "172.16.0.1": NEAR,
    "100.64.0.1": NEAR,
    "fd00:1::1": NEAR,
    "240.0.0.1": NEAR,
    "0.1.2.3": NEAR,
    "169.254.169.254": NEAR,
    "fe80::1%eth0": NEAR,
    # This computer, in all its clothes.
    "127.0.0.1": NEAR,
    "127.9.9.9": NEAR,
    "::1": NEAR,
    "192.168.7.2": NEAR,
    "2a0e:7::2": NEAR,
    "::127.0.0.1": NEAR,
    "::ffff:0:127.0.0.1": NEAR,
    "2002:7f00:1::": NEAR,
    "64:ff9b::127.0.0.1": NEAR,
    # Private ones, dressed.
    "::192.168.7.1": NEAR,
    "::ffff:0:10.8.0.9": NEAR,
    "2002:c0a8:701::1": NEAR,
    "2002:a08:9::": NEAR,
    "64:ff9b::10.8.0.9": NEAR,
    "64:ff9b::192.168.1.1": NEAR,
    "64:ff9b:1::192.168.1.1": NEAR,
    # Public ones, dressed: NAT64 is how some networks reach IPv4.
    "64:ff9b::11.22.33.44": ALL,
    "2002:b16:212c::1": ALL,
    # Never.
    "0.0.0.0": NOBODY,
    "::": NOBODY,
    "224.0.0.1": NOBODY,
    "ff02::1": NOBODY,
    "64:ff9b::224.0.0.1": NOBODY,
}
# Mapped ones are read as what is in them; resolvers answer with them as they are.
MAPPED = {f"::ffff:{text}": who for text, who in LITERALS.items() if ":" not in text}
# Never a name: it is not one, or it means this computer wherever one is.
NO_NAMES = ["127.1", "0x7f.1", "2130706433", "localhost", "localhost.", "x.localhost"]


def way_to(address: Address) -> Way:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    for network, way in WAYS.items():
        if address in ipaddress.ip_network(network):
            return way
    return Way.DEFAULT


class Found:
    """A search that has found these."""

    reasons: Sequence[str] = ()

    def __init__(self, found: Sequence[Candidate]) -> None:
        self._found = found

    def silent(self, better_than: PathKind) -> Sequence[str]:
        return ()

    async def candidates(self) -> AsyncIterator[Candidate]:
        for candidate in self._found:
            yield candidate


async def candidates(finder: str, text: str, memory: Remembered, target: KeyHash) -> list[Candidate]:
    """What the finder makes of it."""
    hosts = parse_wan_hosts(text)
    match finder:
        case "hello":
            await memory.learned(target, text, "")
        case "visited on the LAN":
            await memory.worked(target, hosts[0], PathKind.LAN, "hardline/2")
        case "visited":
            await memory.worked(target, hosts[0], PathKind.DIRECT, "hardline/2")
        case "seen on the LAN":
            return [Candidate(hosts[0], PathKind.LAN, FoundBy("LAN", Trust.HEARD))]
        case _:
            endpoints = believable(hosts, (), signed=finder == "record")
            trust, name = (Trust.UNSIGNED, Plain()) if finder == "value" else (Trust.SIGNED, Code())
            return [Candidate(endpoint, PathKind.DIRECT, FoundBy("DHT", trust), name) for endpoint in endpoints]
    return [candidate async for candidate in memory.find(target)]


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remembered]:
    made = asyncio.run(Remembered.open(tmp_path_factory.mktemp("memory") / "routes.db"))
    yield made
    asyncio.run(made.aclose())


@pytest.fixture
def dialled(memory: Remembered, monkeypatch: pytest.MonkeyPatch):
    """Where a whole dial connects to, in place of connecting."""

    def dial(finder: str, host: str, port: int = 7008, answers: Sequence[str] = ()) -> list[str]:
        tried, target = list[str](), KeyHash.parse(f"{next(_numbers):040x}")

        async def recorded(addresses: Sequence[Endpoint], manner: Manner) -> socket.socket:
            tried.extend(address.host for address in addresses)
            raise ConnectionRefusedError

        monkeypatch.setattr("hardline.transport.tcp.connected_socket", recorded)

        async def story() -> None:
            found = await candidates(finder, str(Endpoint(host, port)), memory, target)
            names = Names({NAME: answers} if answers else {})
            dialer = Dialer(
                lambda _: Found(found), clock=lambda: 0.0, resolver=names.resolver(), way_to=way_to, stagger=0.01
            )
            with pytest.raises(NoRoute):
                await dialer.dial(target)

        asyncio.run(story())
        return tried

    return dial


@pytest.mark.parametrize("finder", ALL)
@pytest.mark.parametrize(("address", "who"), LITERALS.items())
def test_an_address_is_dialled_where_it_means_the_same_machine_to_whoever_named_it(dialled, address, who, finder):
    assert bool(dialled(finder, address)) is (finder in who)


@pytest.mark.parametrize("finder", TOLD)
@pytest.mark.parametrize(("address", "who"), (LITERALS | MAPPED).items())
def test_a_name_leads_nowhere_that_an_address_may_not(dialled, address, who, finder):
    assert bool(dialled(finder, NAME, answers=[address])) is (finder in who)
    bare = address.removeprefix("::ffff:") if address in MAPPED else address
    assert kind_of(leads_to(ipaddress.ip_address(address))) is kind_of(leads_to(ipaddress.ip_address(bare)))


@pytest.mark.parametrize("finder", TOLD)
def test_of_the_addresses_of_a_name_each_is_judged_for_itself(dialled, finder):
    assert dialled(finder, NAME, answers=["127.0.0.1", "11.22.33.44", "::ffff:192.168.1.1"]) == ["11.22.33.44"]


def test_a_name_that_worked_once_may_not_lead_elsewhere_now(dialled):
    assert dialled("visited", NAME, answers=["11.22.33.44"])
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "192.168.7.1"):
        assert not dialled("visited", NAME, answers=[address])
        assert not dialled("visited on the LAN", NAME, answers=[address])


@pytest.mark.parametrize("host", NO_NAMES)
@pytest.mark.parametrize("finder", TOLD)
def test_names_of_this_computer_are_none(dialled, host, finder):
    assert dialled(finder, host, answers=["127.0.0.1"]) == []


@pytest.mark.parametrize(
    ("port", "who"),
    [(22, (*NEAR, *BEFORE)), (80, (*NEAR, *BEFORE)), (1023, (*NEAR, *BEFORE)), (443, ALL), (1024, ALL), (65_535, ALL)],
)
@pytest.mark.parametrize("finder", ALL)
@pytest.mark.parametrize("host", ["11.22.33.44", NAME])
def test_of_the_ports_of_other_servers_only_443_is_dialled_where_others_name_it(dialled, host, finder, port, who):
    expected = finder in who and not (finder == "value" and host == NAME)
    assert bool(dialled(finder, host, port, answers=["11.22.33.44"])) is expected


def test_the_table_has_each_kind_of_address():
    kinds = {kind_of(leads_to(ipaddress.ip_address(text))) for text in LITERALS}
    assert kinds >= set(Kind) - {Kind.DOCUMENTATION, Kind.NONSENSE}
