"""One request of a client that takes us for a proxy, carried to its service, and the answer back.

    client ── head, body ──▶ origin_request, Body ──▶ pipe ──▶ the service
    client ◀── AnswerHead ◀──────────────────────────────── pipe ◀── the service

What comes behind the request's body is thrown away: the client was told that the connection ends with the answer.
"""

from __future__ import annotations

import asyncio

from hardline.door.forwarding import AnswerHead
from hardline.errors import ConnectionLost, HardlineError
from hardline.http.bodies import Body
from hardline.streams import ByteStream
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream
from hardline.tunnel.parting import LINGER, part


async def exchange(pipe: ByteStream, client: TcpStream, body: Body, begun: bytes, idle_timeout: float | None) -> None:
    """Carry the rest of one request and its whole answer; `begun` is the beginning of the answer that is there already.

    Raises ConnectionLost when one side broke off, PeerError for a body that cannot be delimited; the client then
    sees a cut.  The pipe stays the caller's to close.
    """
    tasks = TaskSet("exchange")
    outward = tasks.start(_request(client, pipe, body), "request", expects=HardlineError)
    inward = tasks.start(_answer(pipe, client, begun, idle_timeout), "answer", expects=HardlineError)
    try:
        await asyncio.wait([outward, inward], return_when=asyncio.FIRST_COMPLETED)
        if outward.done():
            outward.result()
        await inward
        await client.send_eof()
        await asyncio.wait([outward], timeout=LINGER)
    except HardlineError:
        await tasks.aclose()
        await part(client, whole=False)
        raise
    except BaseException:
        client.abort()
        raise
    finally:
        await tasks.aclose()


async def _request(client: TcpStream, pipe: ByteStream, body: Body) -> None:
    wanted = True
    while data := await client.receive():
        part = b"" if body.done else body.take(data)
        if part and wanted:
            try:
                await pipe.send(part)
            except ConnectionLost:
                wanted = False  # a service may answer and close before it has read all: the answer counts
    if not body.done:
        raise ConnectionLost("the client ended in the middle of its request")
    if wanted:
        await pipe.send_eof()


async def _answer(pipe: ByteStream, client: TcpStream, begun: bytes, idle_timeout: float | None) -> None:
    head, data = AnswerHead(), begun
    while True:
        if ready := head.take(data):
            await client.send(ready)
        try:
            async with asyncio.timeout(idle_timeout):
                data = await pipe.receive()
        except TimeoutError:
            raise ConnectionLost(f"idle for {idle_timeout:g} s") from None
        if not data:
            break
    await client.send(head.rest())
