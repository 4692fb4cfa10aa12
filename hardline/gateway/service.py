"""A client's way to its services: the stream that is kept for it, and what becomes of each request on it.

    asked ──▶ kept, and may be repeated? ──▶ that stream ──▶ dead? ──┐
                └──────────────────────────────────────────▶ a new one ──▶ exchange ──▶ kept, or closed
                     quick.py had asked the kept one already ──▶ go_on ──┘

A stream to a service is kept for this client and this name alone, as long as both want it: nothing is shared between
clients.  What cannot be repeated never goes by a kept stream, which may be dead without anybody knowing.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass

from hardline.deadlines import Limit
from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.gateway import pages
from hardline.gateway.answering import Answering
from hardline.gateway.answers import Answer, Last, for_client
from hardline.gateway.exchange import TOO_EARLY, Carrying
from hardline.gateway.judging import Asked, Refused, Shared
from hardline.gateway.requests import Tells, behind_first, first_line, upgrade_of
from hardline.session.legacy import LegacyPipe
from hardline.session.stream import Stream
from hardline.settings.gateway import GatewaySection, NamedSection
from hardline.streams import ByteStream
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream
from hardline.tunnel.joining import open_visit
from hardline.tunnel.pump import carry
from hardline.tunnel.visit import Visit

_UNANSWERED = 499  # as nginx logs it
_OPEN_TIMEOUT = 25.0  # seconds: the dial, the host's own 10 s for its service, and a margin
# Of an origin that services share: what one has set there, another must not get.
_OF_AN_ORIGIN = frozenset((b"cookie", b"cookie2", b"authorization"))
_OF_A_SCRAPER = _OF_AN_ORIGIN | {b"x-apikey"}
_OF_A_USER, _NOTHING = frozenset((b"authorization",)), frozenset[bytes]()


@dataclass(slots=True)
class Asking:
    """One exchange: `first` is what the service gets first, `said` what it has said, `given` what of an answer that was
    looked at the client has not got."""

    asked: Asked
    upgrade: bytes
    first: bytes
    answering: Answering
    said: bytes = b""
    given: bytes = b""

    @property
    def repeatable(self) -> bool:
        """It may be asked twice, and all of it is in `first`."""
        head = self.asked.head
        return head.repeatable and head.content_length is None and not head.chunked


class Services:
    """Those of `client`, whose task's time is in `limit`.  `answered` is told of each request, its status and how many
    bytes its answer's body had.

    `kept` is a stream and the name of its service; `closes` says whether the client's connection ends with the answer.
    """

    def __init__(self, client: TcpStream, limit: Limit, answered: Callable[[Asked, int, int], None]) -> None:
        self._client, self._limit, self._answered = client, limit, answered
        self.kept: tuple[str, Visit] | None = None
        self.closes = False
        self._last = Last()
        self._open: Stream | None = None  # that a client waits for

    def asking(self, asked: Asked) -> Asking:
        """The exchange that begins with `asked`."""
        upgrade = b"" if asked.apart or not asked.head.upgrades else upgrade_of(asked.head, asked.fields)
        written = functools.partial(self._written, asked, upgrade)
        return Asking(asked, upgrade, _first(asked, upgrade), Answering(asked.head.method, written, self._last))

    async def serve(self, shared: Shared, asked: Asked) -> bool:
        """Pass a request on and its answer back; whether the client may ask for more.

        Raises Refused where nothing of an answer came, and whatever cuts one that has begun.
        """
        asking = self.asking(asked)
        try:
            asking.first += asked.sent.begin()
        except PeerError as failure:
            raise Refused(pages.bad_head(400, failure.message)) from None
        visit = self.take_kept(asked.place.name, asked.section) if asking.repeatable else None
        await self.aclose()
        if visit is not None:
            try:
                await visit.pipe.send(asking.first)
            except ConnectionLost:
                await visit.pipe.aclose()
                visit = None
        return await self.go_on(shared, asking, visit)

    async def go_on(
        self, shared: Shared, asking: Asking, visit: Visit | None, failure: Exception | None = None
    ) -> bool:
        """The same for what a kept stream, `visit`, was asked already; `failure` is why it says nothing more."""
        name, section = asking.asked.place.name, asking.asked.section
        assert section is not None, "it was judged, and leads to a service"
        assert section.label is not None, "the settings were checked"
        if visit is not None:
            try:
                return await self._exchanged(shared, asking, visit, failure, again=True)
            except _Dead:
                pass  # nothing of an answer came: it is asked once more
        try:
            with self._limit(_OPEN_TIMEOUT):
                visit, asking.said = await open_visit(
                    shared.visitor, section.label, asking.first, repeatable=asking.repeatable
                )
        except (HardlineError, TimeoutError) as why:
            raise Refused(pages.why_not(name, why)) from None
        shared.listing.reached(name)
        return await self._exchanged(shared, asking, visit, None)

    def take_kept(self, name: str, section: NamedSection | None) -> Visit | None:
        """The stream that is kept, where it may be asked for that service; it is the caller's.

        What came behind the answer before would be taken for the next one, which may be for somebody else.
        """
        if self.kept is None or self.kept[0] != name or section is None or self.kept[1].record.label != section.label:
            return None
        visit = self.kept[1]
        if not (isinstance(visit.pipe, Stream | LegacyPipe) and visit.pipe.silent):
            return None
        self.kept = None
        return visit

    async def aclose(self) -> None:
        """Nothing is kept any more."""
        kept, self.kept = self.kept, None
        if kept is not None:
            await kept[1].pipe.aclose()

    async def _exchanged(
        self, shared: Shared, asking: Asking, visit: Visit, failure: Exception | None, *, again: bool = False
    ) -> bool:
        """Carry the rest of a request and its answer.  Raises _Dead with `again`, where a kept stream says nothing."""
        asked, answering, client = asking.asked, asking.answering, self._client
        sent, keep = asked.sent, False
        try:
            if failure is not None:
                raise failure
            await self._carried(shared.settings, asking, visit.pipe)
            visit.record.status = "ok"
            if keep := answering.keeps and sent.body.done:
                self.kept = asked.place.name, visit
            return not self.closes
        except (HardlineError, TimeoutError) as why:
            gone = client.transport.is_closing() or client.ended
            if again and not (answering.heard or gone) and isinstance(why, ConnectionLost):
                raise _Dead("nobody answers there any more") from None
            if answering.begun or gone:
                if not answering.status:
                    self._answered(asked, _UNANSWERED, 0)
                if isinstance(why, HardlineError):
                    visit.was_cut(why)
                raise
            visit.failed(why)
            page = pages.bad_head(400, sent.wrong.message) if sent.wrong else pages.why_not(asked.place.name, why)
            raise Refused(page) from None
        finally:
            self._open = None
            if not keep:
                await visit.pipe.aclose()
            if answering.status:
                self._answered(asked, answering.status, answering.count)

    async def _carried(self, limits: GatewaySection, asking: Asking, pipe: ByteStream) -> None:
        asked, answering = asking.asked, asking.answering
        sent, client, uploads = asked.sent, self._client, TaskSet("gateway")
        given = asking.given + (answering.take(asking.said) if asking.said else b"")
        asking.said = asking.given = b""
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
            elif not answering.whole and isinstance(pipe, Stream):
                self._open = None
                await _joined(Carrying(pipe, client, sent, answering), answering, limits)
            elif not answering.whole:
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

    def _written(self, asked: Asked, upgrade: bytes, answer: Answer, ends: bool) -> bytes:
        """The head as the client gets it."""
        if answer.interim:
            return _for(asked, answer, close=False) if asked.head.version == "1.1" else b""
        if answer.status == 101 and not (upgrade and asked.sent.body.done):
            raise PeerError("it switched without being asked to")
        self.closes = ends or not asked.sent.body.done or asked.known.closes
        return _for(asked, answer, close=self.closes)

    def _heard(self, client: TcpStream) -> None:
        """While it waits for an answer, the client has said more, or has gone: then nobody answers for it any more."""
        if self._open is not None:
            if client.ended:
                self._open.abort()
            else:
                client.when_heard(self._heard, client.heard_size)


class _Dead(HardlineError):
    """A kept stream, as it turned out."""


def _first(asked: Asked, upgrade: bytes) -> bytes:
    """The head as its service gets it."""
    head, asker, place, section = asked.head, asked.asker, asked.place, asked.section
    dropped = (
        _OF_A_SCRAPER
        if place.scraper
        else _OF_AN_ORIGIN
        if asked.apart
        else _OF_A_USER
        if section is not None and section.users
        else _NOTHING
    )
    made_with = place.prefix, upgrade, asker.user, asker.trusted, dropped
    behind = asked.known.written.get(made_with)
    if behind is None:
        behind = behind_first(head.host, asked.fields, asker, prefix=place.prefix, upgrade=upgrade, dropped=dropped)
        asked.known.written.clear()
        asked.known.written[made_with] = behind
    return first_line(head, place.target) + behind


def _for(asked: Asked, answer: Answer, *, close: bool) -> bytes:
    hosts = (asked.head.host.lower(),) if asked.place.prefix else ()
    domains = asked.asker.tells is not Tells.ALL
    return for_client(answer, close=close, prefix=asked.place.prefix, shared=asked.apart, hosts=hosts, domains=domains)


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
