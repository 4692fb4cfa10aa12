"""Whoever brings a connection: it counts for its true source, and is served as what it was brought for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from hardline.errors import PasswordRefused, ServiceFailed
from hardline.identity import KeyHash, Label
from hardline.outcome import Outcome
from hardline.routes import Endpoint, NoRoute
from hardline.transport.listener import Listener
from hardline.transport.tcp import connect_any
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


def test_whom_a_try_brings_takes_no_place_from_those_who_really_are_there(tmp_path):
    """It may name anybody's open port: a host that connects there must not take him for somebody who floods it."""

    async def story():
        async with pair(tmp_path, echo) as both:
            sources = list[str]()
            real = both.host._newcomers.come
            both.host._newcomers.come = lambda tcp, source: (sources.append(source), real(tcp, source))[1]

            def arrived(tcp):
                key_hash = both.service.key_hash
                arrival = Arrival(tcp, tcp.peer, By.PUNCH, key_hash, once=Outcome(), for_whom="relay 203.0.113.7")
                both.host.arrived(arrival)

            listener = await Listener.open(["127.0.0.1"], 0, arrived, what="punched")
            silent = [await connect_any([Endpoint("127.0.0.1", listener.port)]) for _ in range(40)]
            await asyncio.sleep(0.1)
            assert sources == []
            visit = await both.visitor.visit(both.service.label, b"x")
            await visit.answered()
            assert sources == ["127.0.0.1"]
            for one in silent:
                one.abort()
            await listener.aclose()

    run(story)
