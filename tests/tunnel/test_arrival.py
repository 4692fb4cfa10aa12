"""Whoever brings a connection: it counts for its true source, and is served as what it was brought for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from hardline.errors import PasswordRefused, ServiceFailed
from hardline.identity import KeyHash, Label
from hardline.routes import Endpoint, NoRoute
from hardline.transport.listener import Listener
from hardline.tunnel.arrival import Arrival, By
from hardline.tunnel.guesses import ALLOWED
from tests.tunnel.pair import Pair, echo, pair

FAR = Endpoint("203.0.113.7", 40_112)


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(100):
            await story()

    asyncio.run(whole())


@contextlib.asynccontextmanager
async def brought(
    directory: Path, by: By, password: str = "", only: KeyHash | None = None
) -> AsyncIterator[tuple[Pair, list[Endpoint]]]:
    """A host that is reached by somebody who brings connections in the name of the source that is first in the list."""
    async with pair(directory, echo, password=password) as both:
        sources, told = [FAR], list[str]()
        both.host._reached = lambda source, endpoint: told.append(endpoint)
        both.told = told  # type: ignore[attr-defined]

        listener = await Listener.open(
            ["127.0.0.1"], 0, lambda tcp: both.host.arrived(Arrival(tcp, sources[0], by, only)), what="relay"
        )
        both.finding.endpoints = [Endpoint("127.0.0.1", listener.port)]
        try:
            yield both, sources
        finally:
            await listener.aclose()


@pytest.mark.parametrize(("by", "believed"), [(By.LISTENER, True), (By.RELAY, False), (By.PUNCH, False)])
def test_what_a_visitor_says_of_how_it_reached_us_is_believed_at_our_own_port_only(tmp_path, by, believed):
    """It names the relay's endpoint: believed, the host would publish that as its own."""

    async def story():
        async with brought(tmp_path, by) as (both, _):
            visit = await both.visitor.visit(both.service.label, b"x")
            await visit.answered()
            assert both.told == ([str(both.finding.endpoints[0])] if believed else [])
            [guest] = both.host.guests
            assert (guest.source, guest.by) == (FAR, by)

    run(story)


async def guess(both: Pair, word: str) -> str:
    visit = await both.visitor.visit(Label(both.service.key_hash, word), b"x")
    try:
        await visit.answered()
    except PasswordRefused:
        return "password"
    except ServiceFailed as failure:
        return failure.kind
    return "in"


def test_guesses_count_for_their_source_and_not_for_who_brought_them(tmp_path):
    async def story():
        async with brought(tmp_path, By.RELAY, password="sesame") as (both, sources):
            said = [await guess(both, f"wrong{number}") for number in range(ALLOWED[0][0] + 1)]
            assert said == ["password"] * ALLOWED[0][0] + ["wait"]
            sources[0] = Endpoint("198.51.100.9", 1)
            assert await guess(both, "sesame") == "in"

    run(story)


def test_what_was_brought_for_one_service_is_served_as_that_or_not_at_all(tmp_path):
    async def story():
        async with brought(tmp_path, By.RELAY, only=KeyHash(bytes(20))) as (both, _):
            for plain in (False, True):
                both.finding.plain = plain
                with pytest.raises(NoRoute):
                    await both.visitor.visit(both.service.label, b"x")
            assert not len(both.host.guests)

    run(story)
    (tmp_path / "again").mkdir()

    async def right():
        async with pair(tmp_path / "again", echo) as known:
            only = known.service.key_hash
        async with brought(tmp_path / "again", By.RELAY, only=only) as (both, _):
            visit = await both.visitor.visit(both.service.label, b"x")
            await visit.answered()

    run(right)
