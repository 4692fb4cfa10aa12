"""Answers whose frames come in several reads: however their bytes went, the end of each is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from hardline.door.conversation import Conversation
from hardline.routes import Endpoint
from hardline.session.joint import Joint
from hardline.transport import tcp
from hardline.transport.buffers import Buffers
from hardline.transport.engine import Scratch
from tests.door.test_conversation import MAX_HEAD, OURS
from tests.support.pairs import session_pair, tcp_pair
from tests.tunnel.pair import eventually

uvloop = pytest.importorskip("uvloop")

BODY = 60_000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY + b"x" * BODY
ASKED = b"GET / HTTP/1.1\r\nHost: %s.localhost\r\n\r\n"


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, OSError):
        writer.close()


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("reads", [4096, 16_384], ids=["reads of 4 KB", "reads of 16 KB"])
def test_every_answer_is_counted_and_what_is_for_another_service_is_handed_back(
    factory: Callable[[], asyncio.AbstractEventLoop], reads: int
) -> None:
    async def story() -> None:
        server = await asyncio.start_server(answers, "127.0.0.1", 0)
        at = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
        Buffers.of_this_loop().received = Scratch(reads)
        async with session_pair() as (visitor, _, opened), tcp_pair() as (browser, door):
            stream = visitor.open_stream()
            talk = Conversation(OURS, MAX_HEAD, 10.0)
            joint = Joint(stream, door, gate=talk, gives_back=True)
            host = Joint(await opened.get(), await tcp.connect(at))
            for number in range(80):  # more than may wait
                await browser.send(ASKED % str(OURS).encode())
                left = len(ANSWER)
                while left:
                    left -= len(await browser.receive(1 << 20))
                assert talk.whole, f"after answer {number}"
            await browser.send(ASKED % (b"7" * 40))
            await eventually(lambda: joint.returned, "it is handed back")
            assert talk.over
            assert not talk.astray
            host.abort(OSError("the end"))
        server.close()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(story(), 100))
