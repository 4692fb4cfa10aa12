"""Carrying bytes between a tunnel's pipe and a local socket, whatever the pipe is."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from hardline.errors import ConnectionLost
from hardline.session.legacy import LegacyPipe
from hardline.tunnel.pump import carry
from tests.support.check_byte_stream import read_all, read_exactly
from tests.support.clock import run, since
from tests.support.pairs import session_pair, tcp_pair, tls_pair


def now():
    return asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def pipes(kind):
    """(the carried pipe, its far end)."""
    if kind == "hardline/2":
        async with session_pair() as (visitor, _, opened):
            ours = visitor.open_stream()
            yield ours, await opened.get()
    else:
        async with tls_pair() as (client, server):
            yield LegacyPipe(client), LegacyPipe(server)


@pytest.mark.parametrize("kind", ["hardline/2", "hardline/1"])
def test_bytes_go_both_ways_and_the_far_ends_end_is_the_browsers(kind):
    async def story():
        async with pipes(kind) as (pipe, far), tcp_pair() as (browser, local):
            carrying = asyncio.get_running_loop().create_task(carry(pipe, local))
            await browser.send(b"question")
            assert await read_exactly(far, 8) == b"question"
            await far.send(b"answer")
            if kind == "hardline/2":
                await far.send_eof()
            else:
                await far.aclose()
            assert await read_all(browser) == b"answer"
            await browser.send_eof()
            await carrying

    run(story)


@pytest.mark.parametrize("kind", ["hardline/2", "hardline/1"])
def test_a_connection_without_a_byte_for_the_idle_time_is_cut_and_a_busy_one_is_not(kind):
    async def story():
        async with pipes(kind) as (pipe, far), tcp_pair() as (browser, local):
            carrying = asyncio.get_running_loop().create_task(carry(pipe, local, idle_timeout=60))
            for _ in range(5):
                await asyncio.sleep(50)
                await browser.send(b"x")
                assert await read_exactly(far, 1) == b"x"
            assert not carrying.done()
            last = now()
            with pytest.raises(ConnectionLost, match="idle for 60 s"):
                await carrying
            # What is joined is looked at once in that time only: 60, 120 and so on from its beginning.
            assert since(last) == (360 - 250 if kind == "hardline/2" else 60)
            with pytest.raises(ConnectionLost):
                await browser.receive()

    run(story)


def test_an_original_that_ends_without_a_byte_leaves_its_last_words_to_us():
    async def story():
        async with pipes("hardline/1") as (pipe, far), tcp_pair() as (browser, local):
            carrying = asyncio.get_running_loop().create_task(carry(pipe, local, if_silent=b"nothing came"))
            await far.aclose()
            assert await read_all(browser) == b"nothing came"
            await carrying

    run(story)


def test_a_local_service_that_ends_ends_an_originals_visit_at_once():
    async def story():
        async with pipes("hardline/1") as (pipe, far), tcp_pair() as (service, local):
            carrying = asyncio.get_running_loop().create_task(carry(pipe, local, ends_with_local=True))
            await service.send(b"all")
            await service.send_eof()
            began = now()
            assert await read_all(far) == b"all"
            await carrying
            assert since(began) == 0

    run(story)


@pytest.mark.parametrize("kind", ["hardline/2", "hardline/1"])
def test_cancelling_cuts_both_sides(kind):
    async def story():
        async with pipes(kind) as (pipe, far), tcp_pair() as (browser, local):
            carrying = asyncio.get_running_loop().create_task(carry(pipe, local))
            await browser.send(b"x")
            await read_exactly(far, 1)
            carrying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await carrying
            with contextlib.suppress(ConnectionLost):
                assert await browser.receive() == b""

    run(story)
