"""Hosts that no router lets in, reached by a relay: by record, by memory, beside addresses that nobody answers at."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reach.world import World, is_published, path, settings
from tests.support import needs
from tests.support.beats import beats
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until
from tests.upnp.home import LAN_6, PUBLIC, Box

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "curl", "dhtnode"),
]

RELAY, SECOND = "11.22.33.30", "11.22.33.31"


@contextlib.contextmanager
def relay_in(
    world: World, directory: Path, allow: str = "*", address: str = RELAY, more: str = ""
) -> Iterator[tuple[Box, Node, str]]:
    """A relay on the internet, and the line of `use` for it."""
    number = address.rpartition(".")[2]
    box = world.machine(f"relay{number}")
    world.plug(box, world.internet, int(number))
    more = f"[Relay]\nenabled = yes\nallow = {allow}\n{more}"
    node = Node(directory, at=box, settings=settings(dht=False, more=more))
    with node:
        yield box, node, f"{address}:7008#{node.status()['node']['key_hash']}"


def is_told(host: Node, names: int = 2) -> None:
    """Its services are registered and tested."""

    def tested() -> bool:
        return bool([one for one in host.status()["relays"]["used"] if one["tested"] >= names])

    wait_until(tested, f"the host was reached by the relay:\n{host.log[-3000:]}")


def test_a_host_that_nobody_can_reach_is_reached_by_its_relay(world: World, tmp_path: Path) -> None:
    world.keep_apart()
    with relay_in(world, tmp_path / "relay") as (_, relay, use), running_origin(world.host) as origin:
        host = Node(tmp_path / "host", at=world.host, settings=settings(more=f"[Relay]\nuse = {use}\n"))
        visitor = Node(tmp_path / "visitor", at=world.guest, settings=settings())
        host.share("site", origin.port)
        with host, visitor:
            is_told(host)
            wait_until(lambda: "relays=1" in host.log, "the record names the relay")
            label = host.label("site")
            answer = curl(visitor.url_of(label), at=world.guest)
            assert (answer.status, answer.text) == (200, "hello from the origin\n"), visitor.log
            assert path(visitor, label) == ("RELAY", "DHT", f"{RELAY}:7008")
            [session] = visitor.sessions("visiting")
            assert session["kind"] == "RELAYED"
            [guest] = host.sessions("hosting")
            assert (guest["kind"], guest["endpoint"].rpartition(":")[0]) == ("RELAYED", "11.22.33.102")
            served = relay.status()["relays"]["served"]
            assert (served["nodes"], served["names"], served["pairs"]) == (1, 2, 1)
            size = 5_000_000
            before = served["passed"]
            assert curl(visitor.url_of(label, f"bytes/{size}"), at=world.guest).status == 200
            assert relay.status()["relays"]["served"]["passed"] - before > size
            # What was learnt from the host's hello is enough without the DHT.
            visitor.stop()
            world.dht.ip("link set eth0 down")
            with visitor:
                assert curl(visitor.url_of(label), at=world.guest).status == 200, visitor.log
                assert path(visitor, label) == ("REMEMBERED", "remembered", f"{RELAY}:7008")


def test_the_relay_learns_nothing_by_which_it_could_visit(world: World, tmp_path: Path) -> None:
    with relay_in(world, tmp_path / "relay") as (_, relay, use), running_origin(world.host) as origin:
        host = Node(tmp_path / "host", at=world.host, settings=settings(more=f"[Relay]\nuse = {use}\n"))
        host.share("site", origin.port, title="A title that nobody knows")
        with host:
            is_told(host)
            label = host.label("site")
            everything = relay.log + str(relay.status())
            everything += "".join(
                file.read_bytes().decode("latin-1") for file in relay.data.rglob("*") if file.is_file()
            )
            assert label not in everything
            assert "A title that nobody knows" not in everything


def test_a_node_that_the_relay_does_not_serve_is_told_what_to_do(world: World, tmp_path: Path) -> None:
    with relay_in(world, tmp_path / "relay", allow="") as (_, relay, use), running_origin(world.host) as origin:
        host = Node(tmp_path / "host", at=world.host, settings=settings(dht=False, more=f"[Relay]\nuse = {use}\n"))
        host.share("site", origin.port)
        with host:
            wait_until(lambda: host.status()["relays"]["used"][0]["state"] == "refused", "it was refused", 5)
            node = host.status()["node"]["key_hash"]
            wait_until(lambda: f"[Relay] allow = {node}" in relay.log, "the relay's owner can paste the line")
            assert f"allow = {node}" in host.hardline("relay").stdout
            assert use in relay.hardline("relay").stdout.replace("YOUR-PUBLIC-ADDRESS", RELAY)


def host_at(world: World, directory: Path, use: str, *, dht: bool = True) -> Node:
    return Node(directory, at=world.host, settings=settings(dht=dht, more=f"[Relay]\nuse = {use}\n"))


@contextlib.contextmanager
def two_relays(world: World, directory: Path) -> Iterator[tuple[dict[str, tuple[Box, Node]], Node, Node, str]]:
    """By address, with a host that both lead to, a visitor, and the label of the host's site."""
    world.keep_apart()
    with (
        relay_in(world, directory / "first") as (box, first, use),
        relay_in(world, directory / "second", address=SECOND) as (other_box, second, also),
        running_origin(world.host) as origin,
    ):
        host = host_at(world, directory / "host", f"{use}, {also}")
        visitor = Node(directory / "visitor", at=world.guest, settings=settings())
        host.share("site", origin.port)
        with host, visitor:
            wait_until(lambda: sum(one["tested"] for one in host.status()["relays"]["used"]) == 4, "both are tested")
            wait_until(lambda: "relays=2" in host.log, "the record names both")
            yield {RELAY: (box, first), SECOND: (other_box, second)}, host, visitor, host.label("site")


@pytest.mark.slow
def test_where_one_relay_dies_or_falls_silent_the_other_is_used_and_one_that_is_back_is_registered_with(
    world: World, tmp_path: Path
) -> None:
    with two_relays(world, tmp_path) as (relays, host, visitor, label):

        def visited() -> str:
            answer = curl(visitor.url_of(label), at=world.guest, limit=30)
            assert answer.status == 200, visitor.log[-3000:]
            print(f"first byte {answer.first_byte:.2f} s")
            return path(visitor, label)[2].rpartition(":")[0]

        by = visited()
        relays[by][1].kill()
        now = visited()
        assert now == ({RELAY, SECOND} - {by}).pop()
        relays[by][1].start()
        states = {one["endpoint"].rpartition(":")[0]: one for one in host.status()["relays"]["used"]}
        wait_until(
            lambda: all(one["tested"] == 2 for one in host.status()["relays"]["used"]),
            f"it is registered again: {states}",
            12,
        )
        relays[now][0].ip("link set eth0 down")
        assert visited() == by, "the silent one was given up"
        wait_until(
            lambda: "fell silent" in str(host.status()["relays"]["used"]) or "no answer" in host.log,
            "the host says so",
            26,
        )


@pytest.mark.slow
def test_where_both_relays_die_and_one_comes_back_it_is_used(world: World, tmp_path: Path) -> None:
    with two_relays(world, tmp_path) as (relays, host, visitor, label):
        assert curl(visitor.url_of(label), at=world.guest).status == 200
        for _, relay in relays.values():
            relay.kill()
        answer = curl(visitor.url_of(label), at=world.guest, limit=30)
        assert answer.status in (502, 503, 504), "there is no way"
        wait_until(
            lambda: not [one for one in host.status()["relays"]["used"] if one["state"] == "registered"],
            "status says that it is reached nowhere",
            5,
        )
        _, second = relays[SECOND]
        second.start()
        began = beats()
        wait_until(lambda: curl(visitor.url_of(label), at=world.guest, limit=30).status == 200, visitor.log[-3000:])
        assert beats() - began < 15
        assert path(visitor, label)[2] == f"{SECOND}:7008"
        states = {one["endpoint"]: one["state"] for one in host.status()["relays"]["used"]}
        assert states == {f"{RELAY}:7008": "connecting", f"{SECOND}:7008": "registered"}
        before = second.status()["relays"]["served"]["passed"]
        assert curl(visitor.url_of(label, "bytes/1000000"), at=world.guest).status == 200
        assert second.status()["relays"]["served"]["passed"] - before > 1_000_000


@pytest.mark.slow
def test_a_relay_that_drains_fails_no_request(world: World, tmp_path: Path) -> None:
    with two_relays(world, tmp_path) as (relays, host, visitor, label):
        first = relays[RELAY][1]
        assert curl(visitor.url_of(label), at=world.guest).status == 200
        assert "takes nobody new" in first.hardline("relay", "--drain").stdout
        for _ in range(20):
            assert curl(visitor.url_of(label), at=world.guest).status == 200, visitor.log[-3000:]
        assert path(visitor, label)[2] == f"{SECOND}:7008"
        assert [one["state"] for one in host.status()["relays"]["used"]] == ["draining", "registered"]


@pytest.mark.slow
def test_dead_direct_addresses_do_not_hold_a_relay_up(world: World, tmp_path: Path) -> None:
    """The record names an address that swallows everything; the relay is one stagger later."""
    world.keep_apart()
    with relay_in(world, tmp_path / "relay") as (_, _, use), running_origin(world.host) as origin:
        dead = ", ".join(f"11.22.33.{number}:7008" for number in range(200, 204))
        more = f"[Node]\npublic = {dead}\n[Relay]\nuse = {use}\n"
        host = Node(tmp_path / "host", at=world.host, settings=settings(more=more))
        visitor = Node(tmp_path / "visitor", at=world.guest, settings=settings())
        host.share("site", origin.port)
        with host, visitor:
            is_told(host)
            wait_until(lambda: "relays=1" in host.log, "the record names the relay")
            label = host.label("site")
            answer = curl(visitor.url_of(label), at=world.guest)
            assert answer.status == 200, visitor.log[-3000:]
            assert path(visitor, label)[2] == f"{RELAY}:7008"
            [session] = visitor.sessions("visiting")
            assert any("11.22.33.200" in why for why in session["passed_over"])
            assert session["next_look_s"] is not None


@pytest.mark.slow
@pytest.mark.interop
def test_an_original_visits_by_a_relay_that_knows_the_services_own_name(world: World, tmp_path: Path) -> None:
    from tests.interop import original
    from tests.interop.original import Original
    from tests.reach.test_original import Desk

    with relay_in(world, tmp_path / "relay") as (_, relay, use), running_origin(world.host) as origin:
        host = host_at(world, tmp_path / "host", f"{use} named")
        host.share("site", origin.port)
        with host:
            is_told(host, names=3)
            label = host.label("site")
            wait_until(lambda: "relays=2" in host.log, "the record names the relay")
            visitor = Original(
                tmp_path / "visitor", original.environment(), at=Desk(world.guest), dht_proxy=f"{world.proxy()}/key/"
            )
            with visitor:
                answer = curl(visitor.url_of(label), at=world.guest, limit=30)
                assert (answer.status, answer.text) == (200, "hello from the origin\n")
            assert "protocol=hardline/1" in host.log
            assert relay.status()["relays"]["served"]["passed"] > 1000


def remembered_relays(visitor: Node) -> str:
    """What it would go by without asking anybody."""
    with contextlib.closing(sqlite3.connect(f"file:{visitor.data / 'routes.db'}?mode=ro", uri=True)) as database:
        return str(database.execute("SELECT relayed FROM routes").fetchall())


@pytest.mark.full
def test_who_has_a_session_hears_of_another_relay_and_comes_by_it_when_the_only_one_is_gone(
    world: World, tmp_path: Path
) -> None:
    """Nobody else could tell: there is no DHT, and the visitor knows the first relay alone."""
    world.keep_apart()
    with (
        relay_in(world, tmp_path / "first") as (_, first, use),
        relay_in(world, tmp_path / "second", address=SECOND) as (_, second, also),
        running_origin(world.host) as origin,
    ):
        second.stop()
        host = host_at(world, tmp_path / "host", f"{use} named, {also}", dht=False)
        more = f"[Relay]\nuse = {use} named\npunch = no\n"
        visitor = Node(tmp_path / "visitor", at=world.guest, settings=settings(dht=False, more=more))
        host.share("site", origin.port)
        with host, visitor:
            is_told(host, names=3)
            label = host.label("site")
            assert curl(visitor.url_of(label), at=world.guest).status == 200, visitor.log
            assert path(visitor, label)[::2] == ("RELAY", f"{RELAY}:7008")
            [before] = visitor.sessions("visiting")
            assert SECOND not in remembered_relays(visitor)
            second.start()
            wait_until(lambda: SECOND in remembered_relays(visitor), f"it was heard of:\n{host.log[-3000:]}", 30)
            host.hardline("change", "site", "--title", "Another title")
            wait_until(lambda: visitor.sessions("visiting")[0]["title"] == "Another title", "and of its title")
            assert visitor.status()["peers"][0]["title"] == "Another title"
            [session] = visitor.sessions("visiting")
            assert (session["kind"], session["endpoint"]) == ("RELAYED", f"{RELAY}:7008")
            assert session["since_s"] > before["since_s"], "in the session that was there all the time"
            visitor.stop()
            first.kill()
            with visitor:
                passed = second.status()["relays"]["served"]["passed"]
                answer = curl(visitor.url_of(label, "bytes/1000000"), at=world.guest, limit=30)
                assert answer.status == 200, visitor.log[-3000:]
                assert path(visitor, label) == ("REMEMBERED", "remembered", f"{SECOND}:7008")
                assert second.status()["relays"]["served"]["passed"] - passed > 1_000_000


@pytest.mark.slow
def test_a_slow_relay_cuts_nothing_and_one_at_two_ports_is_one(world: World, tmp_path: Path) -> None:
    world.keep_apart()
    with (
        relay_in(world, tmp_path / "relay", more="rate = 20KB\nports = 443\n") as (_, _, use),
        running_origin(world.host) as origin,
    ):
        host = host_at(world, tmp_path / "host", f"{use}, {use.replace(':7008', ':443')}")
        visitor = Node(tmp_path / "visitor", at=world.guest, settings=settings())
        host.share("site", origin.port)
        with host, visitor:
            is_told(host)
            wait_until(lambda: "relays=2" in host.log, "the record names both ports")
            assert len(host.status()["relays"]["used"]) == 1
            label = host.label("site")
            for size in (100_000, 200_000):
                answer = curl(visitor.url_of(label, f"bytes/{size}"), at=world.guest, limit=60)
                assert (answer.code, answer.status) == (0, 200), host.log[-2000:] + visitor.log[-2000:]


@contextlib.contextmanager
def relay_if_needed(world: World, directory: Path) -> Iterator[tuple[Node, Node, Node, str]]:
    """A relay elsewhere, a host that uses it when it must, a visitor, and the label of the host's site."""
    with relay_in(world, directory / "relay") as (box, relay, use), running_origin(world.host) as origin:
        # By dialling a neighbour a relay would prove nothing.
        box.ip(f"route replace {PUBLIC} via {PUBLIC} dev eth0 onlink")
        host = Node(directory / "host", at=world.host, settings=settings(more=f"[Relay]\nuse = {use}\nwhen = needed\n"))
        visitor = Node(directory / "visitor", at=world.guest, settings=settings())
        host.share("site", origin.port)
        with host, visitor:
            yield relay, host, visitor, host.label("site")


def is_not_needed(host: Node, limit: float) -> None:
    """Its relay has reached it, and it tells where."""

    def said() -> bool:
        return [one["state"] for one in host.status()["relays"]["used"]] == ["not needed"]

    wait_until(said, f"the host was reached directly:\n{host.log[-3000:]}", limit, every=0.2)
    told = {"endpoint": f"{PUBLIC}:7008", "by": "a relay that was asked to dial here"}
    assert told in host.status()["outside"]["endpoints"]
    assert "not needed" in host.hardline("relay").stdout


def directly(world: World, visitor: Node, label: str) -> bool:
    """Whether a visit, which must not fail, went directly."""
    answer = curl(visitor.url_of(label), at=world.guest)
    assert (answer.status, answer.text) == (200, "hello from the origin\n"), visitor.log[-3000:]
    if path(visitor, label)[2] != f"{PUBLIC}:7008":
        return False
    return "DIRECT" in [session["kind"] for session in visitor.sessions("visiting")]


def test_a_relay_that_is_not_needed_finds_out_that_a_port_is_forwarded(world: World, tmp_path: Path) -> None:
    world.forward(7008)
    with relay_if_needed(world, tmp_path) as (relay, host, visitor, label):
        is_not_needed(host, 20)
        is_published(host, "site", f"{PUBLIC}:7008")
        assert directly(world, visitor, label)
        assert path(visitor, label)[:2] == ("DIRECT", "DHT")
        served = relay.status()["relays"]["served"]
        assert (served["nodes"], served["names"], served["passed"]) == (0, 0, 0)
        assert "relay.registered" not in host.log


@pytest.mark.slow
def test_a_relay_that_is_needed_no_more_is_left_and_visitors_come_directly(world: World, tmp_path: Path) -> None:
    with relay_if_needed(world, tmp_path) as (_, host, visitor, label):
        is_told(host)
        wait_until(lambda: "relays=1" in host.log, "the record names the relay")
        assert curl(visitor.url_of(label), at=world.guest).status == 200, visitor.log
        assert path(visitor, label) == ("RELAY", "DHT", f"{RELAY}:7008")
        world.forward(7008)
        # After a change the host asks once more, a minute after the last time at the earliest.
        world.host.ip(f"addr add {LAN_6}77/64 dev eth0")
        is_not_needed(host, 100)
        is_published(host, "site", f"{PUBLIC}:7008")
        # Who remembers the relay may still come by it, and hears of the new address there.
        wait_until(lambda: directly(world, visitor, label), f"visits are direct:\n{visitor.log[-3000:]}", every=0.2)


@pytest.mark.slow
def test_two_hosts_with_one_certificate_are_shared_out_by_a_relay_and_one_is_enough(
    world: World, tmp_path: Path
) -> None:
    """Both behind routers that let nobody in, known to the visitor by the relay alone."""
    world.keep_apart()
    with (
        relay_in(world, tmp_path / "relay") as (_, relay, use),
        running_origin(world.host, name="one") as one,
        running_origin(world.neighbour, name="two") as two,
    ):
        hosts = [
            Node(tmp_path / "one", at=world.host, settings=settings(dht=False, more=f"[Relay]\nuse = {use} named\n"))
        ]
        hosts[0].share("site", one.port)
        with hosts[0]:
            shutil.copytree(hosts[0].services, tmp_path / "two" / "services")
            hosts.append(
                Node(
                    tmp_path / "two",
                    at=world.neighbour,
                    settings=settings(dht=False, more=f"[Relay]\nuse = {use} named\n"),
                )
            )
            hosts[1].share("site", two.port)
            visitor = Node(
                tmp_path / "visitor", at=world.guest, settings=settings(dht=False, more=f"[Relay]\nuse = {use} named\n")
            )
            with hosts[1], visitor:
                for host in hosts:
                    is_told(host, names=3)
                label = hosts[0].label("site")
                assert hosts[1].label("site") == label

                def answered_by() -> str:
                    answer = curl(visitor.url_of(label), at=world.guest, limit=30)
                    assert answer.status == 200, visitor.log[-3000:]
                    return answer.text.strip().removeprefix("hello from ")

                answered: set[str] = set()
                wait_until(lambda: answered.add(answered_by()) or answered == {"one", "two"}, "both serve", every=0.3)
                counts = Counter(answered_by() for _ in range(40))
                assert min(counts["one"], counts["two"]) >= 10, counts
                before = relay.status()["relays"]["served"]["passed"]
                hosts[1].kill()
                wait_until(
                    lambda: len({one["instance"] for one in visitor.sessions("visiting")}) == 1,
                    "it is missed",
                    every=0.3,
                )
                assert Counter(answered_by() for _ in range(10)) == Counter({"one": 10})
                assert {session["kind"] for session in visitor.sessions("visiting")} == {"RELAYED"}
                assert relay.status()["relays"]["served"]["passed"] > before
