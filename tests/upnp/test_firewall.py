"""IPv6 pinholes by UPnP with one router: routers that are odd, and routers that are hostile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hardline.upnp import pinhole
from hardline.upnp.firewall import HOLD_LIMIT, LONGEST, OPEN, Firewall, candidates, offers
from hardline.upnp.grants import Broken, Grant, Refused, RouterFailed, Silent
from hardline.upnp.ssdp import HttpPlace
from tests.support.beats import beats
from tests.support.size import FULL
from tests.upnp.fake_firewall import FORBIDDEN, HERE, NO_SUCH, NOT_YOU, OFF, FakeFirewall, Opened
from tests.upnp.fake_igd import FakeIgd, Spoilt, Writer
from tests.upnp.in_time import fails_in_time
from tests.upnp.spoilt import EACH, QUICK, drop_by_drop, nothing

SPOILT = EACH if FULL else (*QUICK, nothing)  # test_gateway.py has one that takes all of its time
Work = Callable[[Firewall], Awaitable[None]]


def with_router(router: FakeFirewall, work: Work, address: str = HERE, own: str = HERE) -> None:
    async def whole() -> None:
        async with router.running(address):
            place = router.place(address)
            await work(Firewall("the router", own, [place], HttpPlace(address, router.port, "/control", address)))

    asyncio.run(whole())


def hold_once(router: FakeFirewall, lease: float = 1800) -> Grant:
    found: list[Grant] = []

    async def work(way: Firewall) -> None:
        found.append(await way.hold(7008, 7008, lease))

    with_router(router, work)
    return found[0]


def failure_of(router: FakeFirewall) -> RouterFailed:
    with pytest.raises(RouterFailed) as caught:
        hold_once(router)
    return caught.value


def found_by(router: FakeIgd, places: Callable[[], list[HttpPlace]]) -> Firewall | None:
    async def whole() -> Firewall | None:
        async with router.running(HERE):
            return await offers("the router", HERE, places())

    return asyncio.run(whole())


# ── routers as they are ──────────────────────────────────────────────────────────────────────────────────────


def test_a_pinhole_is_opened_for_the_lease_renewed_by_its_id_and_deleted():
    router = FakeFirewall()

    async def work(way: Firewall) -> None:
        assert await way.hold(7008, 7008, 1800) == Grant(HERE, 7008, 1800.0, HERE)
        assert router.pinholes == {700: Opened(HERE, 7008, 1800)}
        router.pinholes[700].lease = 3
        router.asked.clear()
        assert await way.hold(7008, 7008, 1800) == Grant(HERE, 7008, 1800.0, HERE)
        assert router.pinholes == {700: Opened(HERE, 7008, 1800)}
        assert router.asked == ["UpdatePinhole"]
        await way.release(7008, 7008)
        assert router.pinholes == {}

    with_router(router, work)


def test_a_router_that_forgot_it_is_asked_anew_and_has_restarted():
    router = FakeFirewall()

    async def work(way: Firewall) -> None:
        assert not (await way.hold(7008, 7008, 1800)).restarted
        router.pinholes.clear()
        assert (await way.hold(7008, 7008, 1800)).restarted
        assert list(router.pinholes) == [701]
        await way.release(7008, 7008)
        assert router.pinholes == {}

    with_router(router, work)


@pytest.mark.parametrize("code", [401, NOT_YOU, NO_SUCH])
def test_a_router_that_cannot_renew_is_asked_anew(code: int):
    router = FakeFirewall(refused={"UpdatePinhole": code})

    async def work(way: Firewall) -> None:
        await way.hold(7008, 7008, 60)
        router.pinholes[700].lease = 5
        await way.hold(7008, 7008, 60)
        assert router.pinholes == {700: Opened(HERE, 7008, 60)}

    with_router(router, work)


def test_what_an_earlier_life_left_is_taken_up_and_deleted_at_the_end():
    router = FakeFirewall(pinholes={30: Opened(HERE, 7008, 900), 31: Opened(HERE, 6666, 900)})

    async def work(way: Firewall) -> None:
        await way.hold(7008, 7008, 60)
        assert router.pinholes == {30: Opened(HERE, 7008, 60), 31: Opened(HERE, 6666, 900)}
        await way.release(7008, 7008)
        assert list(router.pinholes) == [31]

    with_router(router, work)


def test_a_pinhole_whose_id_never_came_is_deleted_all_the_same():
    router = FakeFirewall(slow={"UpdatePinhole": 60})

    async def work(way: Firewall) -> None:
        holding = asyncio.get_running_loop().create_task(way.hold(7008, 7008, 1800))
        async with asyncio.timeout(100):
            while not router.pinholes:
                await asyncio.sleep(0.01)
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        await way.release(7008, 7008)
        assert router.pinholes == {}

    with_router(router, work)


def test_where_nothing_was_opened_nothing_is_asked_at_the_end():
    router = FakeFirewall(refused={"AddPinhole": NOT_YOU})

    async def work(way: Firewall) -> None:
        with pytest.raises(Refused):
            await way.hold(7008, 7008, 1800)
        router.asked.clear()
        await way.release(7008, 7008)
        assert router.asked == []

    with_router(router, work)


def test_one_that_cannot_be_deleted_is_made_to_end_soon():
    router = FakeFirewall(refused={"DeletePinhole": NOT_YOU})

    async def work(way: Firewall) -> None:
        await way.hold(7008, 7008, 1800)
        await way.release(7008, 7008)
        assert router.pinholes == {700: Opened(HERE, 7008, 1)}

    with_router(router, work)


@pytest.mark.parametrize(("lease", "wished"), [(0.2, 1), (10_000_000, LONGEST)])
def test_a_lease_is_always_bounded(lease: float, wished: int):
    router = FakeFirewall()
    assert hold_once(router, lease).lifetime == wished
    assert router.wished == [str(wished)]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (NOT_YOU, "does not allow pinholes (606)"),
        (701, "no room"),
        (FORBIDDEN, "settings forbid"),
        (706, "every port or none"),
        (708, "only for one known visitor"),
        (501, "failed"),
        (799, "799"),
    ],
)
def test_a_refusal_is_told_in_words(code: int, words: str):
    failure = failure_of(FakeFirewall(refused={"AddPinhole": code}))
    assert isinstance(failure, Refused)
    assert words in failure.message


def test_where_its_settings_forbid_pinholes_none_is_asked_for():
    router = FakeFirewall(allowed="0")
    failure = failure_of(router)
    assert isinstance(failure, Refused)
    assert "703" in failure.message
    assert router.asked == ["GetFirewallStatus"]


@pytest.mark.parametrize("how", [{"enabled": "0"}, {"refused": {"AddPinhole": OFF}}])
def test_where_the_firewall_is_off_nothing_is_needed_and_that_is_said(how: dict[str, object]):
    router = FakeFirewall(**how)  # type: ignore[arg-type]

    async def work(way: Firewall) -> None:
        assert await way.hold(7008, 7008, 1800) == Grant(HERE, 7008, None, HERE, note=OPEN)
        await way.release(7008, 7008)
        assert "DeletePinhole" not in router.asked

    with_router(router, work)


def test_a_firewall_that_is_turned_on_later_is_opened():
    router = FakeFirewall(enabled="0")

    async def work(way: Firewall) -> None:
        await way.hold(7008, 7008, 1800)
        router.enabled = "1"
        assert await way.hold(7008, 7008, 1800) == Grant(HERE, 7008, 1800.0, HERE)
        assert list(router.pinholes) == [700]
        router.refused = {"UpdatePinhole": OFF}
        assert (await way.hold(7008, 7008, 1800)).note == OPEN

    with_router(router, work)


def test_without_a_status_the_pinhole_is_opened_all_the_same():
    assert hold_once(FakeFirewall(refused={"GetFirewallStatus": 401})).port == 7008


def test_a_router_that_is_asked_from_another_address_is_told_for_whom():
    router = FakeFirewall(for_anybody=True)

    async def work(way: Firewall) -> None:
        assert (await way.hold(7008, 7008, 1800)).external == "2a0e:b107:77::9"
        assert router.pinholes == {700: Opened("2a0e:b107:77::9", 7008, 1800)}

    with_router(router, work, "127.0.0.1", "2a0e:b107:77::9")


def test_the_place_whose_description_offers_pinholes_is_asked():
    router = FakeFirewall()

    async def whole() -> None:
        async with FakeIgd().running(HERE) as other, router.running(HERE):
            port = int(other.urls[0].split(":")[2].split("/")[0])
            way = await offers("the router", HERE, [HttpPlace(HERE, port, "/root.xml", HERE), router.place()])
            assert way
            assert (await way.hold(7008, 7008, 1800)).port == 7008

    asyncio.run(whole())
    assert router.pinholes


def test_a_router_without_the_service_offers_nothing():
    router = FakeIgd()
    assert found_by(router, lambda: [HttpPlace(HERE, router.port, "/root.xml", HERE)]) is None
    assert router.asked == ["description"]


def test_a_router_whose_description_moved_is_asked_there():
    first, second = FakeFirewall(), FakeFirewall(control="/elsewhere")

    async def whole() -> None:
        async with second.running(HERE):
            async with first.running(HERE):
                way = await offers("the router", HERE, [first.place()])
                assert way
                await way.hold(7008, 7008, 1800)
            with pytest.raises(Silent):
                await way.hold(7008, 7008, 1800)
            assert not way.moved([first.place()])
            assert way.moved([second.place()])
            assert (await way.hold(7008, 7008, 1800)).restarted

    asyncio.run(whole())
    assert second.pinholes


def test_the_router_of_the_kernel_is_asked_first_and_the_list_is_bounded():
    heard = [HttpPlace("2a0e::1", 5000 + n, "/d.xml", "2a0e::9") for n in range(9)]
    places = candidates([("fe80::1%eth0", "2a0e::9")], [*heard[:2], heard[0]])
    assert [(place.host, place.port) for place in places] == [
        *[("fe80::1%eth0", 5000), ("fe80::1%eth0", 5001)],
        *[("2a0e::1", 5000), ("2a0e::1", 5001)],
    ]
    assert len(candidates([("fe80::1%eth0", "2a0e::9")], heard)) == 5
    assert candidates([("fe80::1%eth0", "2a0e::9")], []) == []


# ── hostile routers ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("spoilt", SPOILT, ids=lambda spoilt: spoilt.__name__)
def test_a_router_that_answers_anything_else_fails_in_time_and_blocks_nothing(spoilt: Spoilt):
    router = FakeFirewall(spoilt=spoilt)
    with_router(router, lambda way: fails_in_time(way.hold(7008, 7008, 1800), HOLD_LIMIT + 5))


@pytest.mark.parametrize("spoilt", EACH if FULL else QUICK, ids=lambda spoilt: spoilt.__name__)
def test_a_description_that_is_none_offers_nothing(spoilt: Spoilt):
    router = FakeFirewall(spoilt_description=spoilt)
    assert found_by(router, lambda: [router.place()]) is None


def test_an_answer_without_end_is_read_to_a_limit():
    router = FakeFirewall()

    async def endless(writer: Writer) -> None:
        await router.send(writer, b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await router.send(writer, b"<a/>" * 65_536)

    router.spoilt_description = endless
    assert found_by(router, lambda: [router.place()]) is None
    assert router.sent < 8 << 20  # what the kernel's buffers take


@pytest.mark.parametrize(
    "control", ["http://127.0.0.2:{port}/control", "http://192.0.2.1:{port}/control", "//[::2]:{port}/control"]
)
def test_commands_go_only_to_the_router_itself(control: str):
    router = FakeFirewall()

    async def whole() -> None:
        async with router.running(HERE):
            router.control = control.format(port=router.port)
            way = await offers("the router", HERE, [router.place()])
            assert way
            await way.hold(7008, 7008, 1800)

    asyncio.run(whole())
    assert router.pinholes


@pytest.mark.parametrize(
    "control", ["https://[::1]/control", "http://[::1", "http://[::1]:99999/c", "/" + "x" * 600, "ä"]
)
def test_a_description_that_leads_nowhere_offers_nothing(control: str):
    router = FakeFirewall(control=control)
    assert found_by(router, lambda: [router.place()]) is None


@pytest.mark.parametrize("number", ["", "-1", "65536", "1e3", "9" * 5000, "٣"])
def test_an_id_that_cannot_be_is_no_pinhole(number: str):
    assert isinstance(failure_of(FakeFirewall(number=number)), Broken)


def test_cancelling_ends_the_process_at_once():
    router = FakeFirewall(spoilt=drop_by_drop)

    async def work(way: Firewall) -> None:
        for ask in (way.hold(7008, 7008, 1800), way.release(7008, 7008)):
            began = beats()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await ask
            assert beats() - began < 2

    with_router(router, work)


def test_the_service_of_the_program_is_the_one_that_is_found():
    assert FakeFirewall().service == pinhole.SERVICE
