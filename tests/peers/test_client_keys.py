"""The keys by which hosts know a visitor: one for each, so that none can ask another whether it is he."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hardline.identity import KeyHash
from hardline.peers.keys import ClientKeys

ONE, TWO = KeyHash.parse("a" * 40), KeyHash.parse("b" * 40)


def test_row_12_two_hosts_see_two_keys_of_one_visitor_and_each_the_same_again(tmp_path: Path) -> None:
    async def keys() -> tuple[KeyHash, KeyHash]:
        known = ClientKeys(tmp_path / "keys")
        await known.load()
        return await known.make(ONE), await known.make(TWO)

    async def shown() -> list[object]:
        known = ClientKeys(tmp_path / "keys")
        await known.load()
        return [known.prover(ONE), known.prover(TWO), known.prover(KeyHash.parse("c" * 40))]

    first, second = asyncio.run(keys())
    assert first != second
    assert {str(first), str(second)}.isdisjoint({str(ONE), str(TWO)})
    assert asyncio.run(keys()) == (first, second)
    *to_these, to_another = asyncio.run(shown())
    assert all(to_these)
    assert to_another is None
