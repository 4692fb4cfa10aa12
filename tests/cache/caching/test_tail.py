"""What is not stored comes to all that read it, and nobody waits forever for one of them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.cache.caching import tail as tails
from hardline.cache.caching.tail import Reader, Tail
from hardline.tasks import TaskSet
from tests.support import clock


@given(
    st.lists(st.binary(min_size=1, max_size=5), min_size=1),
    st.integers(0, 9),
    st.integers(0, 12),
    st.none() | st.integers(1, 40),
)
def test_a_reader_that_keeps_up_has_what_is_its_of_every_piece(pieces, begin: int, skip: int, count) -> None:
    async def main() -> None:
        tail, reader, got = Tail(), Reader(begin + skip), b""
        end = None if count is None else reader.position + count
        tail.begins_at(begin)
        for piece in pieces:
            tail.put(piece)
            if end is None or reader.position < end:
                got += (there := tail.there_for(reader, end))
                reader.position += len(there)
                assert not tail.has_passed(reader)
        assert got == b"".join(pieces)[skip : None if count is None else skip + count]

    asyncio.run(main())


def test_the_next_piece_comes_when_all_have_this_one() -> None:
    async def main() -> None:
        tail, quick, slow = Tail(), Reader(0), Reader(0)
        assert not tail
        assert not tail.is_read
        for reader in (quick, slow):
            tail.opened(reader)
        tail.put(b"abc")
        assert tail
        assert tail.is_read
        tasks = TaskSet("test")
        waiting = tasks.start(tail.all_have_it(), "tail")
        quick.position = 3
        quick.moved.set()
        await clock.settled()
        assert not waiting.done()
        tail.closed(slow)
        await waiting
        tail.put(b"d")
        assert (tail.there_for(quick, None), tail.there_for(slow, None)) == (b"d", b"")
        assert (tail.has_passed(quick), tail.has_passed(slow)) == (False, True)

    clock.run(main)


def test_who_is_too_slow_for_the_others_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "_BEHIND", 0.0)

    async def main() -> None:
        tail, quick, slow = Tail(), Reader(3), Reader(0)
        for reader in (quick, slow):
            tail.opened(reader)
        tail.put(b"abc")
        await tail.all_have_it()
        assert (quick.is_behind, slow.is_behind, tail.is_read) == (False, True, True)
        assert tail.there_for(slow, None) == b"abc", "it may still have what is there"
        assert tail.has_passed(slow)

    asyncio.run(main())


def test_nobody_is_left_behind_where_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "_BEHIND", 0.0)

    async def main() -> None:
        tail, alone = Tail(), Reader(0)
        tail.opened(alone)
        tail.put(b"abc")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(tail.all_have_it(), 0.1)
        assert not alone.is_behind

    asyncio.run(main())
