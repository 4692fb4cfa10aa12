"""Who is told what beyond the LAN, and in which order: the parts are made up, and write down what happens to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from hardline import reach as module
from hardline.discovery.interfaces import InterfaceAddress
from hardline.discovery.reached import Reached
from hardline.reach import Reach
from hardline.routes import Endpoint
from tests.support import clock

EVERYWHERE, HERE = Endpoint("0.0.0.0", 7008), Endpoint("127.0.0.1", 7008)
MAPPED, OTHER = Endpoint("198.51.100.7", 7008), Endpoint("203.0.113.9", 9000)
LAN = InterfaceAddress("eth0", 2, "192.168.1.7", 24)
PUBLIC_4 = InterfaceAddress("eth0", 2, "11.22.33.7", 24)
PUBLIC_6 = InterfaceAddress("eth0", 2, "2a01:db::7", 64)
BY_6, BY_4 = Endpoint("2a01:db::7", 7008), Endpoint("11.22.33.7", 7008)
WIKI = SimpleNamespace(identity="wiki", legacy=True, settings=SimpleNamespace(access=SimpleNamespace(use_dht=True)))
HIDDEN = SimpleNamespace(identity="diary", legacy=True, settings=SimpleNamespace(access=SimpleNamespace(use_dht=False)))
FORWARD = (
    "forward TCP port 7008 on the router to this computer, "
    "then write [Node] public = YOUR-PUBLIC-ADDRESS:7008 into hardline.ini"
)


class Part:
    """One of them: `run` lasts until it is cancelled, everything goes into the journal."""

    def __init__(self, name: str, journal: list[str]) -> None:
        self._name, self._journal = name, journal

    def note(self, what: str) -> None:
        self._journal.append(f"{self._name}.{what}")

    async def run(self) -> None:
        self.note("run")
        try:
            await asyncio.Event().wait()
        finally:
            self.note("ended")

    async def aclose(self) -> None:
        self.note("aclose")

    def refresh(self) -> None:
        self.note("refresh")

    def describe(self) -> dict[str, Any]:
        return {}


class Watch(Part):
    """As NetworkWatch; `happens` is its word."""

    def __init__(self, journal: list[str], happened: Callable[[bool], None]) -> None:
        super().__init__("watch", journal)
        self.addresses: frozenset[InterfaceAddress] = frozenset()
        self._happened, self._followers = happened, list[Callable[[frozenset[InterfaceAddress]], None]]()

    async def look(self) -> bool:
        self.note("look")
        return True

    def follow(self, follower: Callable[[frozenset[InterfaceAddress]], None]) -> None:
        self._followers.append(follower)

    def tells(self) -> None:
        for follower in self._followers:
            follower(self.addresses)

    def happens(self, *addresses: InterfaceAddress, others: bool = True) -> None:
        self.addresses = frozenset(addresses)
        self._happened(others)


class Mappings(Part):
    advice = "ask the provider"

    def __init__(self, journal: list[str], changed: Callable[[], None], needed: Callable[[], bool]) -> None:
        super().__init__("mappings", journal)
        self.endpoints: tuple[Endpoint, ...] = ()
        self.needed, self._changed = needed, changed

    def follow(self) -> None:
        self.note("follow")

    def have(self, *endpoints: Endpoint) -> None:
        self.endpoints = endpoints
        self._changed()


class Asked(Part):
    endpoints: tuple[Endpoint, ...] = ()


class Table(Part):
    def network_changed(self) -> None:
        self.note("network_changed")


class Publisher(Part):
    """Writes down where it would say that this node is, too."""

    def __init__(self, journal: list[str], services: Callable[[], Any], hosts: Callable[[], Sequence[Endpoint]]):
        super().__init__("publisher", journal)
        self.services, self.hosts = services, hosts
        self.said: list[tuple[Endpoint, ...]] = []

    def changed(self) -> None:
        self.note("changed")
        self.said.append(tuple(self.hosts()))


class Words(Reached):
    def __init__(self, journal: list[str]) -> None:
        super().__init__(lambda: 0.0)
        self._journal = journal

    def forget(self) -> None:
        self._journal.append("reached.forget")
        super().forget()


class Made:
    """The parts of one Reach, and what surrounds it."""

    def __init__(self, *, upnp: bool = True, asking: bool = True, dht: bool = True) -> None:
        self.journal: list[str] = []
        self.told: list[frozenset[InterfaceAddress]] = []
        self.services: list[Any] = []
        self.listening: list[Endpoint] = [EVERYWHERE]
        self._upnp, self._asking, self._dht = upnp, asking, dht

    def watch(self, happened: Callable[[bool], None]) -> Watch:
        self.watched = Watch(self.journal, happened)
        return self.watched

    def reached(self) -> Reached:
        return Words(self.journal)

    def mappings(
        self, port: Callable[[], int], changed: Callable[[], None], needed: Callable[[], bool]
    ) -> Mappings | None:
        self.routers = Mappings(self.journal, changed, needed)
        return self.routers if self._upnp else None

    def asked(self, port: Callable[[], int], changed: Callable[[], None]) -> Asked | None:
        self.web = Asked("asked", self.journal)
        return self.web if self._asking else None

    def table(self) -> Table | None:
        return Table("table", self.journal) if self._dht else None

    def finder(self, table: Table, ours: Callable[[], frozenset[Endpoint]]) -> Part:
        self.ours = ours
        return Part("finder", self.journal)

    def publisher(self, table: Table, services: Callable[[], Any], hosts: Callable[[], Sequence[Endpoint]]) -> Part:
        self.published = Publisher(self.journal, services, hosts)
        return self.published

    def build(self, *, public: Sequence[Endpoint] = (), bind: Sequence[str] = ()) -> Reach:
        return Reach(
            self,
            public=public,
            bind=bind,
            services=lambda: self.services,
            listening=lambda: self.listening,
            moved=lambda others: self.journal.append(f"moved({others})"),
            told_otherwise=lambda: self.told.append(self.watched.addresses),
        )

    @property
    def ran(self) -> set[str]:
        return {line.partition(".")[0] for line in self.journal if line.endswith(".run")}


@asynccontextmanager
async def started(made: Made, *addresses: InterfaceAddress, **options: Any) -> AsyncIterator[Reach]:
    """A Reach on a machine with these addresses."""
    reach = made.build(**options)
    made.watched.addresses = frozenset(addresses)
    await reach.look()
    await reach.start()
    await asyncio.sleep(0)
    try:
        yield reach
    finally:
        await reach.aclose()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# ── the wait for routers ─────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_published_before_routers_had_their_time() -> None:
    """Not even by IPv6: what was published once stays, and is all that some read."""

    async def story() -> None:
        made = Made()
        made.services = [WIKI]
        async with started(made, LAN, PUBLIC_6) as reach:
            assert reach.whereabouts.current() == (BY_6,)
            assert made.published.hosts() == ()
            await asyncio.sleep(module.ROUTERS_FIRST - 0.5)
            assert not any(made.published.said)
            await asyncio.sleep(1)
            assert made.published.said[-1] == (BY_6,)
            assert made.published.hosts() == (BY_6,)

    clock.run(story)


def test_what_the_routers_open_is_published_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUTERS_FIRST", 1000.0)

    async def story() -> None:
        made = Made()
        made.services = [WIKI]
        async with started(made, LAN, PUBLIC_6):
            made.routers.have(BY_6)
            await turns()
            assert not any(made.published.said), "a way by IPv6 is not what it waits for"
            made.routers.have(MAPPED, BY_6)
            await turns()
            assert made.published.said[-1] == (MAPPED, BY_6)

    asyncio.run(story())


@pytest.mark.parametrize("known", ["its own address", "[Node] public", "no routers are asked"])
def test_a_node_that_is_known_by_ipv4_or_asks_no_router_waits_for_none(
    monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    monkeypatch.setattr(module, "ROUTERS_FIRST", 1000.0)

    async def story() -> None:
        made = Made(upnp=known != "no routers are asked")
        made.services = [WIKI]
        at = [PUBLIC_4] if known == "its own address" else [PUBLIC_6]
        public = [OTHER] if known == "[Node] public" else []
        async with started(made, *at, public=public) as reach:
            assert made.published.hosts() == reach.whereabouts.current() != ()

    asyncio.run(story())


# ── what a person is advised ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ({}, "ask the provider"),
        ({"services": []}, None),
        ({"listening": [HERE]}, None),
        ({"addresses": [PUBLIC_4]}, None),
        ({"public": [OTHER]}, None),
        ({"mapped": [MAPPED]}, None),
        ({"addresses": [PUBLIC_6]}, "for visitors without IPv6: ask the provider"),
        ({"advised": ""}, None),
        ({"upnp": False}, FORWARD),
        ({"upnp": False, "services": []}, None),
        ({"upnp": False, "listening": [HERE]}, None),
        ({"upnp": False, "addresses": [PUBLIC_4]}, None),
        ({"upnp": False, "addresses": [PUBLIC_6]}, f"for visitors without IPv6: {FORWARD}"),
    ],
)
def test_advice_is_given_where_others_cannot_come_by_ipv4(state: dict[str, Any], advice: str | None) -> None:
    async def story() -> None:
        made = Made(upnp=state.get("upnp", True))
        made.services = state.get("services", [WIKI])
        made.listening = state.get("listening", [EVERYWHERE])
        async with started(made, *state.get("addresses", [LAN]), public=state.get("public", ())) as reach:
            made.routers.advice = state.get("advised", "ask the provider")
            made.routers.endpoints = tuple(state.get("mapped", ()))
            assert reach.describe().advice == advice

    asyncio.run(story())


def test_routers_have_no_advice_to_give_while_they_are_not_asked() -> None:
    async def story() -> None:
        made = Made()
        async with started(made, LAN) as reach:
            made.services = [WIKI]  # and nobody said so yet
            assert reach.describe().advice is None
            assert reach.describe().upnp is None
            reach.services_changed()
            assert reach.describe().advice == "ask the provider"
            assert reach.describe().upnp == {}

    asyncio.run(story())


def test_a_person_is_needed_while_the_world_has_no_way_by_ipv4() -> None:
    async def story() -> None:
        made = Made()
        async with started(made, PUBLIC_6):
            assert made.routers.needed()
            made.watched.happens(PUBLIC_4)
            assert not made.routers.needed()

    asyncio.run(story())


# ── another network ──────────────────────────────────────────────────────────────────────────────────────────


def test_in_another_network_what_was_said_is_forgotten_first_and_what_is_known_is_told_last() -> None:
    async def story() -> None:
        made = Made()
        made.services = [WIKI]
        async with started(made, PUBLIC_4):
            await turns()
            made.journal.clear()
            made.watched.happens(PUBLIC_6)
            assert made.journal == [
                "reached.forget",
                "mappings.refresh",
                "asked.refresh",
                "table.network_changed",
                "moved(True)",
                "publisher.changed",
            ]
            assert made.published.said[-1] == (BY_6,)

    asyncio.run(story())


def test_where_the_addresses_are_the_same_only_connections_are_looked_at() -> None:
    async def story() -> None:
        made = Made()
        made.services = [WIKI]
        async with started(made, PUBLIC_4):
            await turns()
            made.watched.happens(PUBLIC_4)
            made.journal.clear()
            made.watched.happens(PUBLIC_4, others=False)
            assert made.journal == ["moved(False)"]

    asyncio.run(story())


def test_what_is_switched_off_is_told_nothing() -> None:
    async def story() -> None:
        made = Made(upnp=False, asking=False, dht=False)
        made.services = [WIKI]
        async with started(made, LAN) as reach:
            made.journal.clear()
            made.watched.happens(PUBLIC_4)
            assert made.journal == ["reached.forget", "moved(True)"]
            assert reach.finder is None
            assert reach.describe().dht is reach.describe().upnp is None

    asyncio.run(story())


def test_what_two_visitors_say_is_told_and_is_forgotten_in_another_network() -> None:
    async def story() -> None:
        made = Made()
        made.services = [WIKI]
        async with started(made, PUBLIC_6) as reach:
            for source in ("11.1.1.1", "12.1.1.1"):
                reach.said(Endpoint(source, 5000), "11.22.33.9:7008")
            seen = Endpoint("11.22.33.9", 7008)
            await turns()
            assert made.published.said[-1] == (seen, BY_6)
            made.watched.happens(PUBLIC_6)
            assert made.published.said[-1] == (BY_6,)

    asyncio.run(story())


# ── routers ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_routers_are_asked_from_the_first_service_on_and_once() -> None:
    async def story() -> None:
        made = Made()
        async with started(made, LAN) as reach:
            await turns()
            assert made.ran == {"watch", "asked", "publisher"}
            for services in ([WIKI], [], [WIKI, HIDDEN]):
                made.services = services
                reach.services_changed()
                await turns()
            assert made.journal.count("mappings.run") == 1

    asyncio.run(story())


def test_a_node_that_listens_for_this_machine_alone_asks_no_router() -> None:
    async def story() -> None:
        made = Made()
        made.services, made.listening = [WIKI], [HERE, Endpoint("::1", 7008)]
        async with started(made, LAN) as reach:
            await turns()
            assert "mappings" not in made.ran
            assert reach.describe().only_here

    asyncio.run(story())


def test_routers_are_told_of_every_difference_while_they_are_asked() -> None:
    async def story() -> None:
        made = Made()
        async with started(made, LAN) as reach:
            made.watched.tells()
            assert "mappings.follow" not in made.journal
            made.services = [WIKI]
            reach.services_changed()
            made.watched.tells()
            assert made.journal.count("mappings.follow") == 1

    asyncio.run(story())


# ── what is published ────────────────────────────────────────────────────────────────────────────────────────


def test_the_publisher_is_told_when_what_it_publishes_is_another() -> None:
    async def story() -> None:
        made = Made()
        async with started(made, PUBLIC_4) as reach:
            made.services = [WIKI, HIDDEN]
            reach.services_changed()
            assert [one.identity for one in made.published.services()] == ["wiki"]
            told = len(made.published.said)
            made.services = [WIKI]
            reach.services_changed()
            assert len(made.published.said) == told, "that one is not announced in the DHT"
            made.services = []
            reach.services_changed()
            assert len(made.published.said) == told + 1

    asyncio.run(story())


def test_where_this_node_is_known_is_told_only_when_it_is_another_place() -> None:
    async def story() -> None:
        made = Made()
        made.services = [WIKI]
        async with started(made, PUBLIC_4):
            made.routers.have(MAPPED)
            told = len(made.published.said)
            made.routers.have(MAPPED)
            assert len(made.published.said) == told
            made.routers.have()
            assert made.published.said[-1] == (BY_4,)

    asyncio.run(story())


def test_visitors_are_told_after_all_that_may_have_it_known_elsewhere() -> None:
    """By IPv6 and by a relay's dial, too, which nobody else needs to hear of."""

    async def story() -> None:
        made = Made()
        made.services = [WIKI]
        async with started(made, PUBLIC_4) as reach:
            for count, happens in enumerate(
                (
                    lambda: made.routers.have(MAPPED),
                    lambda: made.watched.happens(PUBLIC_6),
                    made.watched.happens,
                    reach.dialled_changed,
                ),
                start=1,
            ):
                happens()
                assert len(made.told) == count
                assert made.told[-1] == made.watched.addresses, "after it is known here"

    asyncio.run(story())


def test_what_counts_as_ours_are_the_addresses_of_a_listener_for_all_and_that_of_another() -> None:
    async def story() -> None:
        made = Made()
        made.listening = [EVERYWHERE, Endpoint("::1", 9)]
        async with started(made, LAN, PUBLIC_4) as reach:
            ours = {Endpoint("192.168.1.7", 7008), BY_4, Endpoint("::1", 9)}
            assert made.ours() == ours
            assert all(map(reach.is_ours, ours))
            assert not reach.is_ours(MAPPED)

    asyncio.run(story())


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_in_the_end_all_work_ends_then_routers_get_back_what_they_opened_and_the_table_is_last() -> None:
    async def story() -> None:
        made = Made()
        made.services = [WIKI]
        async with started(made, LAN):
            await turns()
            made.journal.clear()
        assert {*made.journal[:-2]} == {"watch.ended", "mappings.ended", "asked.ended", "publisher.ended"}
        assert made.journal[-2:] == ["mappings.aclose", "table.aclose"]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(story())


def test_routers_that_were_never_asked_are_not_bothered_in_the_end() -> None:
    async def story() -> None:
        made = Made()
        async with started(made, LAN):
            await turns()
        assert "mappings.aclose" not in made.journal

    asyncio.run(story())


def test_a_node_that_never_started_can_be_closed() -> None:
    async def story() -> None:
        made = Made()
        await made.build().aclose()
        assert made.journal == ["table.aclose"]

    asyncio.run(story())
