"""A site whose download limit is used up: small pages come, and what is given up costs nothing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from hardline.tasks import TaskSet
from tests.cache.proxied import Asked, Proxied, answer, proxied, request, until

FRESH = {"Cache_Control": "max-age=60"}
RATE = 3600 * 40_000  # bytes an hour
LARGE = 3_000_000


async def spend(site: Proxied) -> None:
    """Download as much as may be at once."""
    assert site.bucket is not None
    now = asyncio.get_running_loop().time()
    while not site.bucket.take(100_000, now):
        pass
    await until(lambda: not site.bucket.take(0, asyncio.get_running_loop().time()), "nothing is owed")


def test_a_small_page_that_is_not_stored_comes_while_others_ask_for_large_ones(tmp_path: Path) -> None:
    async def main() -> None:
        targets = {f"/{number}": answer(os.urandom(LARGE), **FRESH) for number in range(10)}
        targets |= {f"/page/{number}": answer(b"x" * 2000, **FRESH) for number in range(10)}
        async with proxied(tmp_path, targets, rate=RATE) as site:
            await spend(site)
            for number in range(10):
                (await site.visitor()).send(request("GET", f"/{number}"))
            await until(lambda: site.origin.count() == 10, "all are asked for")
            for number in range(10):
                async with asyncio.timeout(60):  # a tenth of a second each, where 10 times 75 s would be their turn
                    assert len((await site.get(f"/page/{number}")).body) == 2000

    asyncio.run(main())


def test_what_nobody_waits_for_is_given_up_once_the_limit_is_reached(tmp_path: Path) -> None:
    over = 0

    async def origin(asked: Asked) -> None:
        nonlocal over
        try:
            await asked.send(answer(b"", Content_Length=str(LARGE), **FRESH), *[b"x" * 10_000] * (LARGE // 10_000))
            assert not await asked.reader.read(1)
        finally:
            over += 1

    async def main() -> None:
        targets = {f"/{number}": origin for number in range(20)}
        async with proxied(tmp_path, {**targets, "/next": answer(b"x" * 100_000, **FRESH)}, rate=RATE) as site:
            await spend(site)
            visitors = [await site.visitor() for _ in range(20)]
            for number, visitor in enumerate(visitors):
                visitor.send(request("GET", f"/{number}"))
                await visitor.head()
            for visitor in visitors:
                visitor.writer.transport.abort()
            await until(lambda: over == 20, "they were given up")
            async with asyncio.timeout(60):  # 60 MB would be 25 minutes
                assert len((await site.get("/next")).body) == 100_000
            assert site.stored() == ["next@http"]
            assert site.drafts() == []

    asyncio.run(main())


@pytest.mark.full
def test_who_comes_later_takes_a_download_over_from_who_has_left(tmp_path: Path) -> None:
    async def main() -> None:
        body, visitors = os.urandom(200_000), TaskSet("visitors")
        async with proxied(tmp_path, {"/a": answer(body, **FRESH)}, rate=RATE) as site:
            await spend(site)
            first = await site.visitor()
            first.send(request("GET", "/a"))
            await first.head()
            second = visitors.start(site.get("/a"), "visitor")
            await asyncio.sleep(0)
            await until(lambda: len(site.writers) == 2, "the second one is there")
            got = visitors.start(site.get("/a"), "visitor")
            await until(lambda: len(site.writers) == 3, "the third one is there")
            first.writer.transport.abort()
            async with asyncio.timeout(60):
                assert (await second).body == (await got).body == body
            assert site.origin.count() == 1

    asyncio.run(main())
