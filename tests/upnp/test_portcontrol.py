"""NAT-PMP and PCP with one router: honest, odd and hostile ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from hardline.upnp import asking
from hardline.upnp.asking import WAITS
from hardline.upnp.grants import Broken, Grant, Refused, RouterFailed, Silent, Way
from hardline.upnp.portcontrol import NatPmp, Pcp, speaks
from tests.support import needs
from tests.support.beats import beats
from tests.support.size import FULL
from tests.upnp.fake_router import FakeRouter
from tests.upnp.sample import at_full_size, each

pytestmark = needs.linux()  # every address of 127.0.0.0/8 is its own there

OWN = "127.0.0.1"
WAYS = ["NAT-PMP", "PCP"]
LIMIT = 2 * sum(WAITS) + 1


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question is over soon."""
    if not FULL:
        monkeypatch.setattr(asking, "WAITS", (0.05, 0.1, 0.2))


def way_to(kind: str, router: str, owner: str = "owner") -> NatPmp | Pcp:
    return NatPmp(router, OWN, time.monotonic) if kind == "NAT-PMP" else Pcp(router, OWN, owner, time.monotonic)


def with_router(router: FakeRouter, work: Callable[[str], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with router.running() as address:
            await work(address)

    asyncio.run(whole())


def hold_once(router: FakeRouter, kind: str, lease: float = 1800) -> Grant:
    found: list[Grant] = []

    async def work(address: str) -> None:
        found.append(await way_to(kind, address).hold(7008, 7008, lease))

    with_router(router, work)
    return found[0]


def failure_of(router: FakeRouter, kind: str) -> RouterFailed:
    with pytest.raises(RouterFailed) as caught:
        hold_once(router, kind)
    return caught.value


@pytest.mark.parametrize("kind", WAYS)
def test_a_port_is_mapped_for_the_lease_and_released(kind: str):
    router = FakeRouter()

    async def work(address: str) -> None:
        way = way_to(kind, address)
        assert await way.hold(7008, 7010, 1800) == Grant("203.0.114.9", 7010, 1800.0, OWN)
        assert router.mapped == {7008: 7010}
        await way.release(7008, 7010)
        assert router.mapped == {}

    with_router(router, work)


@pytest.mark.parametrize("kind", WAYS)
def test_another_port_than_the_wished_one_is_taken(kind: str):
    assert hold_once(FakeRouter(port=40_000), kind).port == 40_000


@pytest.mark.parametrize("kind", WAYS)
def test_lost_packets_are_asked_again(kind: str):
    assert hold_once(FakeRouter(lost=2), kind).port == 7008


@at_full_size
@pytest.mark.parametrize("kind", WAYS)
def test_a_router_that_says_nothing_is_given_up_in_time(kind: str):
    router = FakeRouter(lost=1000)
    began = beats()
    assert isinstance(failure_of(router, kind), Silent)
    assert beats() - began < LIMIT
    assert len(router.asked) == len(WAITS)


@pytest.mark.parametrize("kind", WAYS)
def test_where_nobody_listens_that_is_known_at_once(kind: str):
    async def work() -> None:
        began = beats()
        with pytest.raises(Silent):
            await way_to(kind, "127.0.77.200").hold(7008, 7008, 1800)
        assert beats() - began < sum(WAITS) / 2

    asyncio.run(work())


@pytest.mark.parametrize("kind", WAYS)
def test_a_lifetime_is_never_longer_than_what_was_asked_for(kind: str):
    assert hold_once(FakeRouter(lifetime=2**32 - 1), kind, lease=600).lifetime == 600


@pytest.mark.parametrize("kind", WAYS)
@pytest.mark.parametrize("lie", [{"port": 0, "lifetime": 0}, {"lifetime": 0}])
def test_a_grant_of_no_time_is_none(kind: str, lie: dict[str, int]):
    assert isinstance(failure_of(FakeRouter(**lie), kind), Broken)


@pytest.mark.parametrize("kind", WAYS)
def test_port_0_is_no_port(kind: str):
    honest = FakeRouter()

    def without_port(data: bytes) -> list[bytes]:
        (packet,) = honest._honest(data)
        at = 10 if data[0] == 0 else 42
        return [packet if data[:2] == b"\0\0" else packet[:at] + b"\0\0" + packet[at + 2 :]]

    assert isinstance(failure_of(FakeRouter(answer=without_port), kind), Broken)


@pytest.mark.parametrize("kind", WAYS)
def test_a_refusal_is_told_in_words(kind: str):
    failure = failure_of(FakeRouter(result=2), kind)
    assert isinstance(failure, Refused)
    assert failure.message == "it does not allow mappings"


def test_a_router_without_an_address_says_so():
    assert failure_of(FakeRouter(result=3), "NAT-PMP").external == ""
    assert failure_of(FakeRouter(result=7), "PCP").external == ""


@pytest.mark.parametrize("kind", WAYS)
def test_rubbish_is_no_answer(impatient: None, kind: str):
    rubbish = [b"", b"\0", b"<html>", bytes(1500), b"\xff" * 100, b"\x02\x81" + bytes(58)]
    assert isinstance(failure_of(FakeRouter(answer=lambda _: rubbish), kind), Silent | Broken)


@pytest.mark.parametrize("kind", WAYS)
def test_a_flood_of_rubbish_ends_the_question_early(kind: str):
    began = beats()
    assert isinstance(failure_of(FakeRouter(answer=lambda _: [b"rubbish"] * 500), kind), Broken)
    assert beats() - began < 3


def test_an_answer_for_another_port_or_with_another_nonce_is_not_ours(impatient: None):
    honest = FakeRouter()

    def for_another(data: bytes) -> list[bytes]:
        (packet,) = honest._honest(data)
        return [packet[:24] + bytes(12) + packet[36:]] if data[0] == 2 else [packet[:8] + b"\0\1" + packet[10:]]

    assert isinstance(failure_of(FakeRouter(answer=for_another), "PCP"), Silent)


def test_only_the_router_is_heard(impatient: None):
    router = FakeRouter(lost=1000)

    async def work(address: str) -> None:
        async def forge() -> None:
            while not router.askers:
                await asyncio.sleep(0.01)
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=("127.0.77.9", 5351)
            )
            transport.sendto(FakeRouter()._honest(b"\0\0")[0], router.askers[0])
            transport.close()

        async with asyncio.TaskGroup() as group:
            group.create_task(forge())
            with pytest.raises(Silent):
                await NatPmp(address, OWN, time.monotonic).external()

    with_router(router, work)


def test_a_crash_does_not_change_the_nonce_and_another_owner_does():
    router = FakeRouter(versions=(2,))

    async def work(address: str) -> None:
        for owner in ("one", "one", "other"):
            await way_to("PCP", address, owner).hold(7008, 7008, 60)
        nonces = [packet[24:36] for packet in router.asked]
        assert nonces[0] == nonces[1] != nonces[2]

    with_router(router, work)


@pytest.mark.parametrize("kind", WAYS)
def test_a_restart_of_the_router_is_seen_in_its_clock(kind: str):
    router = FakeRouter()

    async def work(address: str) -> None:
        way = way_to(kind, address)
        assert not (await way.hold(7008, 7008, 60)).restarted
        assert not (await way.hold(7008, 7008, 60)).restarted
        router.epoch = 2
        assert (await way.hold(7008, 7008, 60)).restarted

    with_router(router, work)


def test_a_pinhole_whose_owner_the_router_forgot_is_shortened():
    honest, asked = FakeRouter(), []

    def forgetful(data: bytes) -> list[bytes]:
        lifetime = int.from_bytes(data[4:8], "big")
        asked.append(lifetime)
        honest.result = 0 if lifetime else 2
        return honest._honest(data)

    async def work(address: str) -> None:
        await way_to("PCP", address).release(7008, 7008)

    with_router(FakeRouter(answer=forgetful), work)
    assert asked == [0, 1]


# ── what is spoken ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("versions", "kind"), [((2,), "PCP"), ((0,), "NAT-PMP"), *each(((0, 2), "PCP"), ((), None))])
def test_pcp_is_preferred_then_natpmp_then_nothing(versions: tuple[int, ...], kind: str | None):
    found: list[Way | None] = []
    began = beats()

    async def work(address: str) -> None:
        found.append(await speaks(address, OWN, "owner", time.monotonic))

    with_router(FakeRouter(versions=versions), work)
    assert (found[0].kind if found[0] else None) == kind
    assert beats() - began < (3 if kind else LIMIT)


@pytest.mark.parametrize("deaf_to", [0, 2])
def test_a_router_that_is_silent_in_one_of_them_is_known_soon(deaf_to: int):
    honest = FakeRouter()
    found: list[Way | None] = []
    began = beats()

    async def work(address: str) -> None:
        found.append(await speaks(address, OWN, "owner", time.monotonic))

    with_router(FakeRouter(answer=lambda data: [] if data[0] == deaf_to else honest._honest(data)), work)
    assert found[0]
    assert found[0].kind == ("PCP" if deaf_to == 0 else "NAT-PMP")
    assert beats() - began < 3
