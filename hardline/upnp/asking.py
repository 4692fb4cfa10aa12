"""One question over UDP to one router, asked again until it is answered.

    ask ── packet ──▶ router:5351      again after 0.25 s, 0.5 s, 1 s …
        ◀── the first answer that `accept` takes ──

Only what comes from the router's own address and port is read.  Source: RFC 6886, section 3.1, with fewer repetitions.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Generic, TypeVar

from hardline.errors import PeerError
from hardline.upnp.grants import Broken, Silent

PORT = 5351
WAITS = (0.25, 0.5, 1.0, 1.5)  # seconds
_MAX_WRONG = 16

T = TypeVar("T")


class _Question(asyncio.DatagramProtocol, Generic[T]):
    def __init__(self, accept: Callable[[bytes], T | None]) -> None:
        self.answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._accept = accept
        self._wrong = 0

    def datagram_received(self, data: bytes, _: object) -> None:
        if self.answer.done():
            return
        try:
            answer = self._accept(data)
        except PeerError as failure:
            self._wrong += 1
            if self._wrong >= _MAX_WRONG:
                self.answer.set_exception(Broken(failure.message))
            return
        if answer is not None:
            self.answer.set_result(answer)

    def error_received(self, failure: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(Silent(f"it cannot be asked: {getattr(failure, 'strerror', failure)}"))


async def ask(router: str, own: str, packet: bytes, accept: Callable[[bytes], T | None]) -> T:
    """Send `packet` from `own` to `router`, again and again, until `accept` returns something for an answer.

    `accept` returns None for an answer to another question and raises PeerError for what is none.  Raises Silent
    after sum(WAITS) seconds, or at once when nobody listens there, and Broken when nothing but rubbish comes.
    """
    transport, question = await _open(router, own, accept)
    try:
        for wait in WAITS:
            transport.sendto(packet)
            done, _ = await asyncio.wait([question.answer], timeout=wait)
            if done:
                return question.answer.result()
        raise Silent("no answer")
    finally:
        transport.close()
        if not question.answer.done():
            question.answer.cancel()
        elif not question.answer.cancelled():
            question.answer.exception()  # it is raised above, or nobody waits for it any more


async def _open(
    router: str, own: str, accept: Callable[[bytes], T | None]
) -> tuple[asyncio.DatagramTransport, _Question[T]]:
    family = socket.AF_INET6 if ":" in router else socket.AF_INET
    asking = socket.socket(family, socket.SOCK_DGRAM)
    try:
        asking.setblocking(False)
        asking.bind((own, 0))
        numeric = socket.getaddrinfo(router, PORT, family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
        asking.connect(numeric[0][4])
        return await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Question(accept), sock=asking)
    except OSError as failure:
        asking.close()
        raise Silent(f"it cannot be asked: {failure.strerror}") from None
    except BaseException:
        asking.close()
        raise
