"""A client's way to its services: the stream that is kept for it, and what becomes of each request on it.

    asked ──▶ kept, and may be repeated? ──▶ that stream ──▶ dead? ──┐
                └──────────────────────────────────────────▶ a new one ──▶ exchange ──▶ kept, or closed

A stream to a service is kept for this client and this name alone, as long as both want it: nothing is shared between
clients.  What cannot be repeated never goes by a kept stream, which may be dead without anybody knowing.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

from hardline.deadlines import Limit
from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.gateway import pages
from hardline.gateway.answering import Answering
from hardline.gateway.answers import Answer, for_client
from hardline.gateway.exchange import TOO_EARLY, Carrying
from hardline.gateway.judging import Asked, Refused, Shared
from hardline.gateway.requests import behind_first, upgrade_of, wants_close
from hardline.session.stream import Stream
from hardline.settings.gateway import GatewaySection
from hardline.streams import ByteStream
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream
from hardline.tunnel.joining import open_visit
from hardline.tunnel.pump import carry
from hardline.tunnel.visit import Visit

_OPEN_TIMEOUT = 25.0  # seconds: the dial, the host's own 10 s for its service, and a margin
# Of an origin that services share: what one has set there, another must not get.
_OF_AN_ORIGIN = frozenset((b"cookie", b"cookie2", b"authorization"))
_OF_A_USER, _NOTHING = frozenset((b"authorization",)), frozenset[bytes]()


class Services:
    """Those of `client`, whose task's time is in `limit`.  `answered` is told of each request, its status and how many
    bytes its answer's body had."""

    def __init__(self, client: TcpStream, limit: Limit, answered: Callable[[Asked, int, int], None]) -> None:
        self._client, self._limit, self._answered = client, limit, answered
        self._kept: tuple[str, Visit] | None = None
        self._open: Stream | None = None  # that a client waits for
        self._closes = False  # the client's connection ends with the answer

    async def serve(self, shared: Shared, asked: Asked) -> bool:
        """Pass a request on and its answer back; whether the client may ask for more.

        Raises Refused where nothing of an answer came, and whatever cuts one that has begun.
        """
        head, sent, section = asked.head, asked.sent, asked.section
        assert section is not None, "it was judged, and leads to a service"
        assert section.label is not None, "the settings were checked"
        upgrade = b"" if asked.apart else upgrade_of(head, asked.fields)
        first = _first(asked, upgrade)
        try:
            first += sent.begin()
        except PeerError as failure:
            raise Refused(pages.bad_head(400, failure.message)) from None
        repeatable = head.repeatable and sent.body.done and head.content_length is None and not head.chunked
        visit = self._take_kept(asked.place.name) if repeatable else None
        if self._kept is not None:
            await self.aclose()
        if visit is not None:
            try:
                await _send(visit, first)
                return await self._exchanged(shared.settings, asked, visit, b"", upgrade, again=True)
            except _Dead:
                pass  # nothing of an answer came: it is asked once more
        try:
            with self._limit(_OPEN_TIMEOUT):
                visit, said = await open_visit(shared.visitor, section.label, first, repeatable=repeatable)
        except (HardlineError, TimeoutError) as failure:
            raise Refused(pages.why_not(asked.place.name, failure)) from None
        shared.listing.reached(asked.place.name)
        return await self._exchanged(shared.settings, asked, visit, said, upgrade)

    async def aclose(self) -> None:
        """Nothing is kept any more."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept[1].pipe.aclose()

    async def _exchanged(
        self, limits: GatewaySection, asked: Asked, visit: Visit, said: bytes, upgrade: bytes, *, again: bool = False
    ) -> bool:
        """Carry the rest of a request and its answer.  Raises _Dead with `again`, where a kept stream says nothing."""
        sent, client = asked.sent, self._client
        answering = Answering(asked.head.method, functools.partial(self._written, asked, upgrade))
        keep = False
        try:
            await self._carried(limits, asked, visit.pipe, answering, said)
            visit.record.status = "ok"
            if keep := answering.keeps and sent.body.done:
                self._kept = asked.place.name, visit
            return not self._closes
        except (HardlineError, TimeoutError) as failure:
            gone = client.transport.is_closing() or client.ended
            if again and not (answering.heard or gone) and isinstance(failure, ConnectionLost):
                raise _Dead("nobody answers there any more") from None
            if answering.begun or gone:
                if isinstance(failure, HardlineError):
                    visit.was_cut(failure)
                raise
            visit.failed(failure)
            page = pages.bad_head(400, sent.wrong.message) if sent.wrong else pages.why_not(asked.place.name, failure)
            raise Refused(page) from None
        finally:
            self._open = None
            if not keep:
                await visit.pipe.aclose()
            if answering.status:
                self._answered(asked, answering.status, answering.count)

    async def _carried(
        self, limits: GatewaySection, asked: Asked, pipe: ByteStream, answering: Answering, said: bytes
    ) -> None:
        sent, client, uploads = asked.sent, self._client, TaskSet("gateway")
        given = answering.take(said) if said else b""
        if isinstance(pipe, Stream):
            if sent.body.done:
                self._open = pipe
                client.when_heard(self._heard, client.heard_size)
        elif not sent.body.done:
            uploads.start(sent.pump(client, pipe), "request")
        try:
            while not answering.status and (sent.body.done or not isinstance(pipe, Stream)):
                if given:
                    await self._give(given, limits)
                given = answering.take(await self._said(pipe, asked, limits))
            if given:
                await self._give(given, limits)
            if answering.status == 101:
                self._open, early = None, sent.leftover
                if early:
                    await pipe.send(early)
                await carry(pipe, client, limits.idle_timeout)
            elif answering.whole:
                return
            elif isinstance(pipe, Stream):
                self._open = None
                await _joined(Carrying(pipe, client, sent, answering), answering, limits)
            else:
                await self._copied(pipe, answering, limits)
        finally:
            if len(uploads):
                await uploads.aclose()

    async def _said(self, pipe: ByteStream, asked: Asked, limits: GatewaySection) -> bytes:
        """What comes next in front of an answer.  Raises TimeoutError after a time in which nothing moved."""
        while True:
            moved = asked.sent.moved
            try:
                with self._limit(limits.answer_timeout):
                    data = await pipe.receive()
            except TimeoutError:
                if asked.sent.moved == moved:
                    raise
                continue
            if not data:
                raise ConnectionLost(TOO_EARLY)
            return data

    async def _copied(self, pipe: ByteStream, answering: Answering, limits: GatewaySection) -> None:
        """The rest of an answer by a pipe that is no stream: an original's."""
        while not answering.whole:
            with self._limit(limits.idle_timeout):
                data = await pipe.receive()
            if data:
                await self._give(data[: answering.skip(data)], limits)
            elif not answering.ended():
                raise ConnectionLost("the service ended in the middle of its answer")

    async def _give(self, data: bytes, limits: GatewaySection) -> None:
        with self._limit(limits.idle_timeout):
            await self._client.send(data)

    def _written(self, asked: Asked, upgrade: bytes, answer: Answer) -> bytes:
        """The head as the client gets it."""
        if answer.interim:
            return _for(asked, answer, close=False) if asked.head.version == "1.1" else b""
        if answer.status == 101 and not (upgrade and asked.sent.body.done):
            raise PeerError("it switched without being asked to")
        ends = answer.status == 101 or answer.body(asked.head.method) is None
        self._closes = ends or not asked.sent.body.done or wants_close(asked.head, asked.fields)
        return _for(asked, answer, close=self._closes)

    def _heard(self, client: TcpStream) -> None:
        """While it waits for an answer, the client has said more, or has gone: then nobody answers for it any more."""
        if self._open is not None:
            if client.ended:
                self._open.abort()
            else:
                client.when_heard(self._heard, client.heard_size)

    def _take_kept(self, name: str) -> Visit | None:
        if self._kept is None or self._kept[0] != name:
            return None
        visit = self._kept[1]
        if isinstance(visit.pipe, Stream) and (visit.pipe.gone or visit.pipe.ended):
            return None
        self._kept = None
        return visit


class _Dead(HardlineError):
    """A kept stream, as it turned out."""


def _first(asked: Asked, upgrade: bytes) -> bytes:
    """The head as its service gets it."""
    head, asker, place, section = asked.head, asked.asker, asked.place, asked.section
    dropped = _OF_AN_ORIGIN if asked.apart else _OF_A_USER if section is not None and section.users else _NOTHING
    made_with = place.prefix, upgrade, asker.user, asker.trusted, dropped
    behind = asked.written.get(made_with)
    if behind is None:
        behind = behind_first(head.host, asked.fields, asker, prefix=place.prefix, upgrade=upgrade, dropped=dropped)
        asked.written.clear()
        asked.written[made_with] = behind
    return f"{head.method} {place.target} HTTP/{head.version}\r\n".encode("latin-1") + behind


def _for(asked: Asked, answer: Answer, *, close: bool) -> bytes:
    hosts = (asked.head.host.lower(),) if asked.place.prefix else ()
    return for_client(answer, close=close, prefix=asked.place.prefix, shared=asked.apart, hosts=hosts)


async def _send(visit: Visit, first: bytes) -> None:
    try:
        await visit.pipe.send(first)
    except ConnectionLost as failure:
        await visit.pipe.aclose()
        raise _Dead(failure.message) from None


async def _joined(carrying: Carrying, answering: Answering, limits: GatewaySection) -> None:
    """Wait until it has carried everything.  Raises TimeoutError after a time in which nothing moved."""
    try:
        before: tuple[int, int] | None = None
        while not carrying.done.done() and carrying.progress != before:
            before = carrying.progress
            await carrying.done.within(limits.idle_timeout if answering.status else limits.answer_timeout)
        if not carrying.done.done():
            carrying.abort(TimeoutError())
        await carrying.done
    except asyncio.CancelledError:
        carrying.abort(ConnectionLost("the gateway is stopping"))
        raise
