"""How long somebody who wants a list of the LAN waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from hardline.discovery.looking import SOONEST, Looking, waited
from hardline.discovery.offers import LIFETIME, Offer, Offers
from hardline.identity import KeyHash, Label
from hardline.routes import Endpoint
from tests.support import clock
from tests.support.clock import since

WAIT = 0.5
STEP = 0.01


def label(number: int) -> Label:
    return Label(KeyHash(bytes([number]) * 20), "")


class Network:
    """A way to ask, and who answers it how many seconds later."""

    def __init__(self, **answers: float) -> None:
        self.answers = answers
        self._heard = Offers()

    @property
    def offers(self) -> list[Offer]:
        return self._heard.current(asyncio.get_running_loop().time())

    async def browse(self, wait: float, enough: Callable[[], bool] = lambda: False) -> Sequence[Offer]:
        loop = asyncio.get_running_loop()
        for number, (name, after) in enumerate(sorted(self.answers.items())):
            loop.call_later(after, self._hears, label(ord(name[0])), name, f"192.0.2.{number}")
        await waited(wait, enough)
        return self.offers

    def _hears(self, who: Label, title: str, source: str) -> None:
        self._heard.heard(who, title, source, Endpoint(source, 7008), asyncio.get_running_loop().time())


async def looked(looking: Looking, *, soon: bool = True) -> tuple[str, float]:
    """Who is there, by the first letters, and how long that took."""
    began = asyncio.get_running_loop().time()
    heard = await looking.look(WAIT, soon=soon)
    return "".join(sorted({offer.title[0] for offers in heard for offer in offers})), since(began)


@pytest.mark.parametrize("idle", [1.0, LIFETIME + 1, 3600.0])
def test_a_list_is_there_when_all_have_answered_who_were_there(idle: float) -> None:
    async def story() -> None:
        packets, dnssd = Network(anna=0.002, ben=0.1), Network(ben=0.12, carl=0.09)
        looking = Looking(lambda: (packets, dnssd))
        assert await looked(looking) == ("abc", WAIT), "nobody was known"
        await asyncio.sleep(idle)
        who, took = await looked(looking)
        assert who == "abc"
        assert took <= (SOONEST if idle < LIFETIME else 0.1 + STEP)
        assert took >= SOONEST, "who is new has a chance"

    clock.run(story, limit=7200)


def test_who_is_silent_is_waited_for_once() -> None:
    async def story() -> None:
        network = Network(anna=0.002, ben=0.002)
        looking = Looking(lambda: (network,))
        await looked(looking)
        await asyncio.sleep(LIFETIME)
        del network.answers["ben"]
        assert await looked(looking) == ("a", WAIT)
        assert await looked(looking) == ("a", SOONEST)
        await asyncio.sleep(LIFETIME)
        network.answers["carl"] = 0.02
        assert await looked(looking) == ("ac", SOONEST), "who is new is heard beside the others"

    clock.run(story)


def test_whoever_wants_all_waits_and_a_glance_does_not_count_as_a_look() -> None:
    async def story() -> None:
        network = Network(anna=0.2)
        looking = Looking(lambda: (network,))
        assert await looking.look(0) == [[]]
        assert await looked(looking) == ("a", WAIT)
        assert await looked(looking, soon=False) == ("a", WAIT)
        await asyncio.sleep(LIFETIME + 1)
        assert await looking.look(0) == [[]]
        who, took = await looked(looking)
        assert (who, took < 0.2 + 2 * STEP) == ("a", True)

    clock.run(story)


def test_where_nothing_hears_the_lan_nobody_waits() -> None:
    async def story() -> None:
        assert await looked(Looking(lambda: ())) == ("", 0.0)

    clock.run(story)
