"""What is remembered of visitors' requests takes so many bytes, not so many entries, however long what they send is."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hardline.cache.caching.origin import Origin
from hardline.cache.caching.proxy import CachingProxy
from hardline.cache.kept import layout
from hardline.cache.kept.heads import StoredHead
from hardline.cache.kept.ledger import Ledger
from hardline.cache.kept.store import Store
from hardline.cache.policy.freshness import freshness
from hardline.cache.recent import Recent
from hardline.settings.local import LocalService

LONGEST = 32_000  # bytes of a target
MUCH = 24 << 20  # bytes
COUNT = 3000  # entries, 96 MB of targets


def targets() -> Iterator[str]:
    for number in range(COUNT):
        yield f"/{number}" + "x" * LONGEST


def a_proxy(root: Path) -> CachingProxy:
    return CachingProxy(Store(root, max_size=1 << 20), Origin(LocalService("tcp", "127.0.0.1", 1)), max_age=60)


def hints(proxy: CachingProxy) -> object:
    for target in targets():
        proxy._sharing.learn(
            target, StoredHead(200, "", (("Vary", "x" * 10_000 + ", y" * 3000), ("Cache-Control", "max-age=60")), 0, 0)
        )
    return proxy


def outdated(proxy: CachingProxy) -> object:
    for target in targets():
        proxy._outdated.put(target, 1.0)
        proxy._sharing.learn(target, None)
    return proxy


def found_a_moment_ago(_: CachingProxy) -> object:
    recent: Recent[str] = Recent(len)
    for target in targets():
        with recent.looking(target, 0.0) as keep:
            keep("")
    return recent


def changed_while_somebody_looks(_: CachingProxy) -> object:
    recent: Recent[str] = Recent(len)
    looks = recent.looking("/", 0.0)
    looks.__enter__()
    for target in targets():
        recent.drop(target)
    return recent, looks


def names_of_files(_: CachingProxy) -> object:
    for target in targets():
        layout.names(target)
        layout.names(target[:1024])
        layout.names(target[:340].replace("x", "ü"))
    return None


def heads(_: CachingProxy) -> object:
    for number in range(COUNT):
        fields = tuple((f"A{number}-{field}", "") for field in range(300))
        freshness(StoredHead(200, "", fields, 0, 0), 0, 0)
    return None


def what_is_stored(_: CachingProxy) -> object:
    ledger = Ledger(1 << 50, most_names=MUCH // 2)
    for number in range(20_000):
        ledger.put(f"{number}/" + "x" * 250 + "/" + "y" * 250 + "/" + "z" * 250, 1)
        while ledger.lacks(0) > 0:
            ledger.put(ledger.oldest() or "", 0)
    return ledger


@pytest.mark.parametrize(
    "fill",
    [hints, outdated, found_a_moment_ago, changed_while_somebody_looks, names_of_files, heads, what_is_stored],
    ids=lambda fill: fill.__name__,
)
def test_what_is_remembered_takes_no_more_memory_than_it_may(
    tmp_path: Path, fill: Callable[[CachingProxy], object]
) -> None:
    async def main() -> None:
        proxy = a_proxy(tmp_path)
        gc.collect()
        tracemalloc.start()
        try:
            kept = fill(proxy)
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] < MUCH
            del kept
        finally:
            tracemalloc.stop()
        await proxy.aclose()

    asyncio.run(main())
