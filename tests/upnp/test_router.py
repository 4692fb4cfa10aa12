"""UPnP with one router through miniupnpc: routers that are odd, and routers that are hostile."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable

import pytest

from hardline.upnp import igd
from hardline.upnp import router as igd_owner
from hardline.upnp.grants import PORTS_TRIED, Broken, Grant, Refused, RouterFailed, Silent
from hardline.upnp.router import HOLD_LIMIT, RELEASE_LIMIT, Igd
from tests.support.beats import beats
from tests.support.size import FULL
from tests.upnp.fake_igd import NAME, Entry, FakeIgd, Spoilt, Writer
from tests.upnp.in_time import fails_in_time
from tests.upnp.sample import each
from tests.upnp.spoilt import EACH, drop_by_drop, html

SELF = "127.0.0.1"
OTHER = "192.0.2.77"


def with_router(router: FakeIgd, work: Callable[[Igd], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with router.running() as way:
            await work(way)

    asyncio.run(whole())


def hold_once(router: FakeIgd, wished: int = 7008, lease: float = 1800) -> Grant:
    found: list[Grant] = []

    async def work(way: Igd) -> None:
        found.append(await way.hold(7008, wished, lease))

    with_router(router, work)
    return found[0]


def failure_of(router: FakeIgd) -> RouterFailed:
    with pytest.raises(RouterFailed) as caught:
        hold_once(router)
    return caught.value


# ── routers as they are ──────────────────────────────────────────────────────────────────────────────────────


def test_a_port_is_mapped_under_our_name_for_the_lease_and_released():
    router = FakeIgd()

    async def work(way: Igd) -> None:
        assert await way.hold(7008, 7008, 1800) == Grant("203.0.114.9", 7008, 1800.0, SELF)
        assert router.table == {7008: Entry(SELF, 7008, NAME, 1800)}
        await way.release(7008, 7008)
        assert router.table == {}

    with_router(router, work)


def test_a_port_of_another_computer_is_left_alone_and_the_next_one_taken():
    router = FakeIgd(table={7008: Entry(OTHER, 7008, "a game", 0)})
    assert hold_once(router).port == 7009
    assert router.table[7008] == Entry(OTHER, 7008, "a game", 0)


def test_a_conflict_that_the_table_does_not_show_leads_to_the_next_port():
    assert hold_once(FakeIgd(taken={7008, 7009})).port == 7010


def test_when_every_port_is_taken_the_router_is_not_asked_for_ever():
    router = FakeIgd(taken=set(range(1024, 65536)))
    failure = failure_of(router)
    assert isinstance(failure, Refused)
    assert "718" in failure.message
    assert router.asked.count("AddPortMapping") == PORTS_TRIED


def test_a_router_that_cannot_renew_is_asked_anew():
    router = FakeIgd(renews=False)

    async def work(way: Igd) -> None:
        await way.hold(7008, 7008, 60)
        router.table[7008].lease = 5
        assert (await way.hold(7008, 7008, 60)).port == 7008
        assert router.table[7008].lease == 60

    with_router(router, work)


def test_a_router_that_knows_only_permanent_mappings_gives_one_and_it_is_deleted_at_the_end():
    router = FakeIgd(permanent_only=True)

    async def work(way: Igd) -> None:
        assert (await way.hold(7008, 7008, 60)).lifetime is None
        assert router.table == {7008: Entry(SELF, 7008, NAME, 0)}
        await way.release(7008, 7008)
        assert router.table == {}

    with_router(router, work)


def test_a_router_that_gives_only_the_same_port_is_asked_for_that():
    assert hold_once(FakeIgd(same_port_only=True), wished=9000).port == 7008


def test_a_router_that_changes_names_still_renews_and_releases():
    router = FakeIgd(renamed="upnp", renews=False)

    async def work(way: Igd) -> None:
        await way.hold(7008, 7008, 60)
        assert (await way.hold(7008, 7008, 60)).port == 7008
        await way.release(7008, 7008)
        assert router.table == {}

    with_router(router, work)


def test_what_a_person_mapped_to_our_port_is_used_and_never_removed():
    by_hand = Entry(SELF, 7008, "by hand", 0)
    router = FakeIgd(table={7008: by_hand})

    async def work(way: Igd) -> None:
        assert await way.hold(7008, 7008, 60) == Grant("203.0.114.9", 7008, None, SELF)
        await way.release(7008, 7008)
        assert router.table == {7008: by_hand}

    with_router(router, work)


def test_what_an_earlier_run_left_behind_is_removed_and_nothing_else():
    router = FakeIgd(
        table={
            7008: Entry(SELF, 6666, NAME, 900),
            7011: Entry(SELF, 7008, NAME, 900),
            7012: Entry(SELF, 6666, NAME, 0),
            7013: Entry(OTHER, 7008, NAME, 0),
            7014: Entry(SELF, 7008, "hardline other", 0),
        }
    )
    assert hold_once(router).port == 7008
    assert sorted(router.table) == [7008, 7013, 7014]
    assert router.table[7008] == Entry(SELF, 7008, NAME, 1800)


def test_a_mapping_whose_answer_was_lost_is_released_all_the_same():
    router = FakeIgd()

    async def work(way: Igd) -> None:
        router.table[7010] = Entry(SELF, 7008, NAME, 1800)
        await way.release(7008, 0)
        assert router.table == {}

    with_router(router, work)


def test_a_table_without_end_is_read_to_a_limit():
    table = {port: Entry(OTHER, port, "x", 0) for port in range(20_000, 21_000)}
    router = FakeIgd(table=table)
    assert hold_once(router).port == 7008
    assert router.asked.count("GetGenericPortMappingEntry") == igd.MAX_ENTRIES


def test_a_router_without_an_address_says_so_in_its_refusal():
    failure = failure_of(FakeIgd(external="", refused={"AddPortMapping": 501}))
    assert isinstance(failure, Refused)
    assert failure.external == ""


@pytest.mark.parametrize(("code", "words"), [(606, "does not allow"), (728, "no room"), (501, "failed"), (402, "Args")])
def test_a_refusal_is_told_in_words(code: int, words: str):
    failure = failure_of(FakeIgd(refused={"AddPortMapping": code}))
    assert isinstance(failure, Refused)
    assert words in failure.message


def test_without_a_table_to_look_at_the_port_is_mapped_all_the_same():
    router = FakeIgd(refused={"GetGenericPortMappingEntry": 602, "GetSpecificPortMappingEntry": 401})
    assert hold_once(router).port == 7008


def test_a_router_that_is_slow_with_its_table_still_maps_the_port():
    table = {port: Entry(OTHER, port, "x", 0) for port in range(20_000, 20_060)}
    router = FakeIgd(table=table, slow={"GetGenericPortMappingEntry": 0.3})
    began = beats()
    assert hold_once(router).port == 7008
    assert beats() - began < HOLD_LIMIT


def test_without_miniupnpc_that_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "miniupnpc", None)
    assert igd.answer({})["failed"] == "missing"


# ── hostile routers ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("part", each("spoilt_description", "spoilt"))
@pytest.mark.parametrize("spoilt", EACH, ids=lambda spoilt: spoilt.__name__)
def test_a_router_that_answers_anything_else_fails_in_time_and_blocks_nothing(
    monkeypatch: pytest.MonkeyPatch, spoilt: Spoilt, part: str
):
    if not FULL:
        monkeypatch.setattr(igd_owner, "HOLD_LIMIT", 2.0)
    router = FakeIgd()
    setattr(router, part, spoilt)
    with_router(router, lambda way: fails_in_time(way.hold(7008, 7008, 1800), igd_owner.HOLD_LIMIT + 5))


def test_an_answer_without_end_costs_a_bounded_amount_of_memory():
    router = FakeIgd()

    async def endless(writer: Writer) -> None:
        await router.send(writer, b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await router.send(writer, b"<a/>" * 65_536)

    router.spoilt_description = endless
    assert isinstance(failure_of(router), Broken | Silent)
    assert router.sent < 2 * igd.MEMORY


@pytest.mark.parametrize(
    "control",
    ["http://127.0.0.2:9/", "http://localhost:{port}/control", "http://127.0.0.1.evil/", "http://192.0.2.1/"],
)
def test_commands_are_sent_only_to_the_router_itself(control: str):
    router = FakeIgd()

    async def work(way: Igd) -> None:
        router.control = control.format(port=router.port)
        with pytest.raises(Broken):
            await way.hold(7008, 7008, 1800)
        assert set(router.asked) <= {"description", "GetExternalIPAddress"}

    with_router(router, work)


def test_a_router_that_says_yes_and_gives_the_port_to_somebody_else_is_found_out():
    failure = failure_of(FakeIgd(stolen_by=OTHER))
    assert isinstance(failure, Broken)
    assert OTHER in failure.message


@pytest.mark.parametrize("external", ["x" * 5000, "<b>", "1.2.3.4.5", "\x00\x01", "ÿÿÿ", "127.0.0.1", "::1"])
def test_an_odd_address_is_handed_on_for_judgement_or_refused_as_none(external: str):
    with contextlib.suppress(Broken, Refused):
        assert len(hold_once(FakeIgd(external=external)).external) < 64


def test_cancelling_ends_the_process_at_once():
    router = FakeIgd(spoilt_description=drop_by_drop)

    async def work(way: Igd) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await way.hold(7008, 7008, 1800)
        began = beats()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await way.release(7008, 7008)
        assert beats() - began < RELEASE_LIMIT - 0.5

    with_router(router, work)


def test_another_description_is_tried_after_one_that_leads_nowhere():
    router = FakeIgd()

    async def work(way: Igd) -> None:
        way = Igd([f"http://127.0.0.1:{router.port}/control-not-found", router.url], SELF, SELF, NAME)
        router.spoilt_description = html
        with pytest.raises(Broken):
            await way.hold(7008, 7008, 1800)
        router.spoilt_description = None
        assert (await way.hold(7008, 7008, 1800)).port == 7008

    with_router(router, work)
