"""An application behind streams of a real session, and what a visitor says to it byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from hardline.apps.kinds import kind_of
from hardline.apps.site import AppSite
from hardline.errors import ConnectionLost
from hardline.session.session import SessionLimits
from hardline.session.stream import Stream
from tests.support.pairs import session_pair

Open = Callable[[], Stream]


@contextlib.asynccontextmanager
async def served(
    app: Any, limits: SessionLimits | None = None, interface: str = ""
) -> AsyncIterator[tuple[Open, AppSite]]:
    """(what opens a stream to `app`, its site).  At the end no stream and no task of it is left."""
    before = asyncio.all_tasks()
    site = AppSite("test", app, kind_of(app, interface), threads=4)
    await site.start()
    async with session_pair(limits) as (visitor, host, opened):

        async def serve(stream: Stream) -> None:
            with contextlib.suppress(ConnectionLost):
                await site.serve(stream)
            await stream.aclose()

        async def accept(group: asyncio.TaskGroup) -> None:
            while True:
                group.create_task(serve(await opened.get()))

        async with asyncio.TaskGroup() as group:
            accepting = group.create_task(accept(group))
            yield visitor.open_stream, site
            await site.aclose()
            await until(lambda: not host.open_streams and not visitor.open_streams)
            accepting.cancel()
    await until(lambda: asyncio.all_tasks() <= before)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def answer(stream: Stream, early: bytes = b"") -> tuple[bytes, bytes, bytes]:
    """(head, body, what came behind it) of the next answer, whose length is told or which is in chunks."""
    data = await more(stream, early, lambda data: b"\r\n\r\n" in data)
    head, _, rest = data.partition(b"\r\n\r\n")
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        body = b""
        while True:
            rest = await more(stream, rest, lambda data: b"\r\n" in data)
            line, _, rest = rest.partition(b"\r\n")
            size = int(line, 16)
            rest = await more(stream, rest, lambda data, size=size: len(data) >= size + 2)
            body, rest = body + rest[:size], rest[size + 2 :]
            if not size:
                return head, body, rest
    length = int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
    rest = await more(stream, rest, lambda data: len(data) >= length)
    return head, rest[:length], rest[length:]


async def cut(stream: Stream) -> bytes:
    """What comes before the cut, which there must be."""
    got = b""
    try:
        while True:
            data = await stream.receive()
            assert data, f"a cut looks like the end, behind {got[-200:]!r}"
            got += data
    except ConnectionLost:
        return got


async def more(stream: Stream, data: bytes, enough: Callable[[bytes], bool]) -> bytes:
    while not enough(data):
        came = await stream.receive()
        assert came, f"it ended behind {data[-200:]!r}"
        data += came
    return data


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(100):
            await story()

    asyncio.run(whole())
