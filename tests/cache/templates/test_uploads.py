"""What visitors send to pages is bounded for all of them together, and the longest gives way."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.cache.templates import dynamic
from hardline.cache.templates.uploads import Upload, Uploads
from tests.cache.pages_served import Asking, read_answer, served, template
from tests.support import needs

LIMIT = 1000


@pytest.mark.pure
def test_the_longest_that_is_not_whole_gives_way():
    uploads, gone = Uploads(LIMIT), []
    with (
        uploads.one(lambda: gone.append("long")) as long,
        uploads.one(lambda: gone.append("whole")) as whole,
        uploads.one(lambda: gone.append("short")) as short,
    ):
        long.add(bytes(400))
        whole.add(bytes(500))
        assert len(whole.finish()) == 500
        assert short.add(bytes(100)) == 100
        assert gone == []
        short.add(b"x")
        assert gone == ["long"]
        assert long.dropped
        assert long.add(b"more") == 0
        short.add(bytes(399))
        assert gone == ["long"]
        short.add(b"x")
        assert gone == ["long", "short"]


@pytest.mark.pure
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 400))))
def test_all_of_them_never_hold_more_than_the_limit_and_what_is_whole(steps):
    uploads = Uploads(LIMIT)
    open_now: dict[int, tuple[Upload, object]] = {}
    for who, size in steps:
        if who not in open_now:
            context = uploads.one(lambda: None)
            open_now[who] = context.__enter__(), context
        upload, context = open_now[who]
        upload.add(bytes(size))
        assert sum(len(each._data) for each, _ in open_now.values()) <= LIMIT
        if not size:
            context.__exit__(None, None, None)  # type: ignore[attr-defined]
            del open_now[who]


@needs.linux()
def test_bodies_that_do_not_end_cost_little_and_a_form_is_still_taken(tmp_path: Path) -> None:
    """A hundred visitors send nearly a megabyte each, and wait."""
    template(tmp_path, "form@mako", "${len(body)}")
    size = dynamic.MAX_BODY - 1

    async def story(asking: Asking) -> None:
        await asking.ask("/form", "POST", body=b"first")
        tracemalloc.start()
        head = f"POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: {dynamic.MAX_BODY}"
        answers = []
        for _ in range(100):
            reader, writer = await asking.connect(head, bytes(size))
            await writer.drain()
            answers.append(asyncio.get_running_loop().create_task(read_answer(reader)))
        done: set[asyncio.Future[object]] = set()
        while len(done) < 60:
            assert (await asking.ask("/form", "POST", body=b"a=1")).text == "3"
            done, _ = await asyncio.wait(answers, timeout=0.1)
        assert {answer.result().status for answer in done} == {503}
        assert tracemalloc.get_traced_memory()[0] < 48 << 20
        tracemalloc.stop()
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*answers, return_exceptions=True)

    served(tmp_path, story)


@needs.linux()
@pytest.mark.full
def test_a_body_that_does_not_come_to_its_end_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template(tmp_path, "form@mako", "${len(body)}")
    monkeypatch.setattr(dynamic, "BODY_TIME", 0.2)

    async def story(asking: Asking) -> None:
        reader, _ = await asking.connect("POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: 5", b"1234")
        async with asyncio.timeout(100):
            assert (await read_answer(reader)).status == 408
            assert await reader.read() == b""

    served(tmp_path, story)
