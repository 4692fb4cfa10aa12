"""Hosts that speak hardline/1: a connection for every visit, where others have streams.

Source: docs/PROTOCOL.md, section 3.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from hardline.errors import ConnectionLost
from hardline.identity import Label
from hardline.routes import Candidate
from hardline.session import hello
from hardline.session.legacy import LegacyPipe
from hardline.tunnel.attempts import Route
from hardline.tunnel.visit import Visit, VisitRecord

_CLOSED = "the host, an original, closed at once: its service is down, or it wants another word before the key hash"


@dataclass(eq=False, slots=True)
class OpenOriginal:
    """A visit to an original that is going on."""

    label: Label
    candidate: Candidate
    opened_at: float


class Greeted:
    """A greeted connection: good for one visit, whichever of those that waited for it takes it first."""

    def __init__(self, pipe: LegacyPipe, candidate: Candidate, wan_hosts: str) -> None:
        self.candidate, self.wan_hosts = candidate, wan_hosts
        self._pipe: LegacyPipe | None = pipe

    @property
    def waiting(self) -> bool:
        """It was not taken yet."""
        return self._pipe is not None

    def take(self) -> LegacyPipe | None:
        """The pipe, the first time."""
        pipe, self._pipe = self._pipe, None
        return pipe

    def discard(self) -> None:
        """Nobody came for it."""
        if (pipe := self.take()) is not None:
            pipe.tls.abort()


class Originals:
    """The labels whose hosts were originals when they were visited last, at most `most`, and the visits under way."""

    def __init__(self, most: int, hello_timeout: float) -> None:
        self._most, self._hello_timeout = most, hello_timeout
        self._known: OrderedDict[Label, Candidate] = OrderedDict()
        self.open: set[OpenOriginal] = set()

    def __contains__(self, label: Label) -> bool:
        return label in self._known

    def path(self, label: Label) -> Candidate | None:
        """Where it was."""
        return self._known.get(label)

    def forget(self, label: Label) -> None:
        """It is not there any more."""
        self._known.pop(label, None)

    async def greet(self, route: Route, label: Label) -> Greeted:
        """Exchange lines.  Raises ConnectionLost, PeerError."""
        pipe = LegacyPipe(route.tls)
        try:
            async with asyncio.timeout(self._hello_timeout):
                line = await pipe.exchange(hello.LegacyVisitorLine(label.password).encode())
        except TimeoutError:
            raise ConnectionLost(f"the host sent no line within {self._hello_timeout:g} s") from None
        self._known[label] = route.candidate
        self._known.move_to_end(label)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return Greeted(pipe, route.candidate, hello.LegacyHostLine.parse(line).wan_hosts)

    async def visit(self, greeted: Greeted, first: bytes, record: VisitRecord) -> Visit:
        """Use the connection.  Raises ConnectionLost."""
        pipe = greeted.take()
        if pipe is None:
            raise ConnectionLost("another visit took the connection")
        record.candidate, record.protocol = greeted.candidate, "hardline/1"
        going_on = OpenOriginal(record.label, greeted.candidate, asyncio.get_running_loop().time())
        self.open.add(going_on)
        pipe.tls.closed.add_done_callback(lambda _: self.open.discard(going_on))
        try:
            await pipe.send(first)
        except ConnectionLost:
            await pipe.aclose()
            raise ConnectionLost(_CLOSED) from None
        except BaseException:
            await pipe.aclose()
            raise
        return Visit(pipe, record, reused=False, status=None)
