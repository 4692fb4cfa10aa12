"""Carrying a request to the local service and its answer back, both as they come.

visitor ── body ──▶ Origin.ask ──▶ the local service         nothing is kept, and nothing waits but for the slower side
visitor ◀── body ── Reply.read ◀── the local service
visitor ◀═══ raw, both ways ═══▶ the local service           after 101 (WebSocket, or whatever they agreed upon)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from aiohttp import web

from hardline.cache.caching.answers import ExactAnswer, interim_to
from hardline.cache.caching.origin import Origin, Reply
from hardline.cache.caching.upgraded import Handover, UpgradedEnd
from hardline.cache.policy.cacherequest import CacheRequest
from hardline.cache.policy.cachestatus import CacheStatus
from hardline.errors import ConnectionLost
from hardline.http.fields import Fields, combined, end_to_end, first

Judge = Callable[[Reply], Awaitable[None]]


async def carry(
    request: web.BaseRequest,
    seen: CacheRequest,
    origin: Origin,
    status: CacheStatus,
    clock: Callable[[], float],
    judge: Judge,
) -> web.StreamResponse:
    """Ask the local service and send what it answers; `judge` hears of the answer before the visitor does.

    Raises OriginDown when there is no answer.  One that breaks off is cut for the visitor too.
    """
    body = _upload(request, seen) if request.body_exists else None
    fields = seen.fields
    if seen.upgrade:
        fields += (("Connection", "Upgrade"), ("Upgrade", seen.upgrade))
    reply = await origin.ask(seen.method, seen.target, fields, body, interim_to(request))
    try:
        await judge(reply)
        if reply.status == 101:
            return await _switch(request, reply, clock())
        return await send_reply(request, reply, replace(status, status=reply.status), clock())
    finally:
        reply.close()


async def send_reply(request: web.BaseRequest, reply: Reply, status: CacheStatus, now: float) -> web.StreamResponse:
    """Send an answer on while it comes."""
    fields = (*end_to_end(reply.fields), ("Cache-Status", str(status)))
    answer = ExactAnswer(reply.status, reply.reason, fields, length_of(reply.fields), now)
    await answer.prepare(request)
    try:
        while data := await reply.read():
            await answer.write(data)
    except ConnectionLost:
        answer.cut()
    await answer.write_eof()
    return answer


def length_of(fields: Fields) -> int | None:
    """How long a body is by its head; None when only its end tells."""
    length = first(fields, "content-length")
    if length is None or first(fields, "transfer-encoding") is not None or not length.strip().isdecimal():
        return None
    return int(length)


async def _upload(request: web.BaseRequest, seen: CacheRequest) -> AsyncIterator[bytes]:
    """The request's body, asked for when the local service is there to take it."""
    yield b""  # the head goes out now, not with the first piece: there may be no piece before the answer
    if seen.expects_continue and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    async for data in request.content.iter_any():
        yield data


async def _switch(request: web.BaseRequest, reply: Reply, now: float) -> web.StreamResponse:
    """Join both connections until one of them ends."""
    upgrade = combined(reply.fields, "upgrade") or ""
    fields = (*end_to_end(reply.fields), ("Connection", "Upgrade"), ("Upgrade", upgrade))
    answer = ExactAnswer(101, reply.reason, fields, None, now)
    await answer.prepare(request)
    if request.transport is None:
        raise ConnectionResetError("the visitor has left")
    visitor, service = UpgradedEnd(), UpgradedEnd()
    # aiohttp expects a WebSocketReader.  It uses only what a Handover has, to give it what has arrived already.
    request.protocol.set_parser(Handover(visitor))  # type: ignore[arg-type]
    visitor.take_over(request.transport)
    reply.hand_over(service)
    await visitor.join(service)
    await answer.write_eof()
    return answer
