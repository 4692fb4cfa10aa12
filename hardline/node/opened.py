"""A visit without a browser: a program's own pipe into somebody's service."""

from __future__ import annotations

from hardline.errors import BadKeyHash, BadLabel, ConnectionLost, WrongArgument
from hardline.identity import Label, label_of
from hardline.streams import DEFAULT_RECEIVE
from hardline.tunnel.joining import open_visit
from hardline.tunnel.visit import Visit
from hardline.tunnel.visitor import Visitor


class OpenedStream:
    """A ByteStream into a service that was reached.  `async with` closes it."""

    def __init__(self, visit: Visit, early: bytes) -> None:
        self._visit, self._pipe, self._early = visit, visit.pipe, early

    async def __aenter__(self) -> OpenedStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE) -> bytes:
        """As ByteStream.receive."""
        if self._early:
            data, self._early = self._early[:max_bytes], self._early[max_bytes:]
            return data
        try:
            return await self._pipe.receive(max_bytes)
        except ConnectionLost as failure:
            self._visit.was_cut(failure)
            raise

    async def send(self, data: bytes) -> None:
        """As ByteStream.send."""
        await self._pipe.send(data)

    async def send_eof(self) -> None:
        """As ByteStream.send_eof."""
        await self._pipe.send_eof()

    async def aclose(self) -> None:
        """As ByteStream.aclose."""
        await self._pipe.aclose()


async def open_stream(visitor: Visitor, address: str | Label) -> OpenedStream:
    """As Node.open."""
    try:
        label = address if isinstance(address, Label) else label_of(address)
    except (BadKeyHash, BadLabel) as wrong:
        raise WrongArgument(wrong.message, hint="give the address of the service, as its owner told it") from None
    visit, early = await open_visit(visitor, label, b"", repeatable=True)
    visit.record.status = "ok"
    return OpenedStream(visit, early)
