"""One client's connection: its requests, one after the other, each judged by itself.

    head ──▶ place ──▶ may this client? ──▶ stream to the service ──▶ exchange ──▶ access log

A stream to a service is kept for this client and this name alone, as long as both want it: nothing is shared between
clients.  What cannot be repeated never goes by a kept stream, which may be dead without anybody knowing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hardline import log
from hardline.errors import ConnectionLost, HardlineError, LimitReached, PeerError
from hardline.gateway import pages
from hardline.gateway.answers import Answer, for_client
from hardline.gateway.clients import client_of, is_in
from hardline.gateway.exchange import Received, Sent
from hardline.gateway.listing import Listing
from hardline.gateway.names import Elsewhere, Names, Place
from hardline.gateway.pages import Page
from hardline.gateway.requests import Asker, Field, fields_of, for_service, upgrade_of, values, wants_close
from hardline.gateway.users import Users
from hardline.http.bodies import Body
from hardline.http.head import BadHead, Form, Head, HeadReader
from hardline.identity import Label
from hardline.session.stream import Stream
from hardline.settings.gateway import GatewaySection, NamedSection
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream
from hardline.tunnel.joining import open_visit
from hardline.tunnel.parting import part
from hardline.tunnel.visit import Visit
from hardline.tunnel.visitor import Visitor

_OPEN_TIMEOUT = 25.0  # seconds: the dial, the host's own 10 s for its service, and a margin
# Of an origin that services share: what one has set there, another must not get.
_OF_AN_ORIGIN = frozenset((b"cookie", b"cookie2", b"authorization"))


@dataclass(frozen=True, slots=True)
class Shared:
    """What all connections of a gateway have in common."""

    settings: GatewaySection
    named: Mapping[str, NamedSection]
    names: Names
    visitor: Visitor
    users: Users
    listing: Listing


class Refused(HardlineError):
    """This gateway answers itself, with `page`."""

    def __init__(self, page: Page) -> None:
        super().__init__(page.text)
        self.page = page


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, and what became of it."""

    head: Head
    fields: list[Field]
    asker: Asker
    sent: Sent
    place: Place
    began: float


class Talk:
    """The connection `client`."""

    def __init__(self, shared: Shared, client: TcpStream) -> None:
        self._shared, self._client, self._limits = shared, client, shared.settings
        self._held = b""
        self._kept: tuple[str, Visit] | None = None
        self._open: Stream | None = None  # that a client waits for

    async def run(self) -> None:
        """Serve it to its end.  Never raises but when it is cancelled."""
        client = self._client
        try:
            patience = self._limits.head_timeout
            while await self._one(patience):
                patience = self._limits.keepalive
            await part(client, whole=True)
        except (HardlineError, TimeoutError) as failure:
            log.debug("gateway.cut", reason=str(failure))
            client.abort()
        except BaseException:
            client.abort()
            raise
        finally:
            await self._drop_kept()
            await client.aclose()

    async def _one(self, patience: float) -> bool:
        """Serve one request; whether another may follow."""
        reader = HeadReader(self._limits.max_head)
        try:
            head = await self._head(reader, patience)
        except BadHead as bad:
            await self._client.send(self._page(None, pages.bad_head(bad.status, bad.message), close=True))
            return False
        if head is None:
            return False
        raw, loop = reader.raw, asyncio.get_running_loop()
        fields = fields_of(raw[: reader.size])
        peer = self._client.peer
        trusted = is_in(peer.host, self._limits.trusted)
        client = client_of(peer.host, values(fields, b"x-forwarded-for"), self._limits.trusted)
        sent = Sent(self._client, Body(head.content_length or 0, chunked=head.chunked), raw[reader.size :])
        asked = _Asked(head, fields, Asker(peer, client, trusted), sent, Place(head.target), loop.time())
        try:
            asked = await self._judged(asked)
            if not asked.place.name:
                return await self._answer(asked, await self._list(asked), 200)
            return await self._served(asked)
        except Refused as refused:
            return await self._answer(asked, refused.page, refused.page.status)

    async def _head(self, reader: HeadReader, patience: float) -> Head | None:
        """The next head; None where the client has ended, or says nothing for `patience` seconds."""
        loop = asyncio.get_running_loop()
        data, self._held = self._held.lstrip(b"\r\n"), b""
        try:
            async with asyncio.timeout(patience) as limit:
                while True:
                    if data:
                        if (head := reader.feed(data)) is not None:
                            return head
                        limit.reschedule(min(limit.when() or 0.0, loop.time() + self._limits.head_timeout))
                    if not (data := await self._client.receive()):
                        return None
                    if not reader.raw:
                        data = data.lstrip(b"\r\n")
        except TimeoutError:
            if reader.raw:
                raise BadHead(408, "the head of the request did not come in time") from None
            return None

    # What may be asked.

    async def _judged(self, asked: _Asked) -> _Asked:
        """The same with its place and its user.  Raises Refused."""
        head, asker = asked.head, asked.asker
        if head.form is Form.AUTHORITY:
            raise Refused(Page(405, "This is no proxy.", fields=("Allow: GET, HEAD",)))
        try:
            place = self._shared.names.place(head.host, head.target)
        except Elsewhere:
            raise Refused(Page(421, "This host is none of this gateway's.")) from None
        if place is None or (not place.name and place.target.partition("?")[0] != "/"):
            raise Refused(Page(404, "There is nothing here."))
        if not place.name:
            if head.method not in ("GET", "HEAD"):
                raise Refused(Page(405, "This is a list.", fields=("Allow: GET, HEAD",)))
            return _with(asked, asker, place)
        section = self._shared.named[place.name]
        if section.addresses and not is_in(asker.client, section.addresses):
            raise Refused(Page(403, f"{place.name} is not for this address."))
        if section.users:
            asker = Asker(asker.peer, asker.client, asker.trusted, await self._user(place.name, section, asked))
        if not place.target:
            raise Refused(Page(308, "It is behind a slash.", fields=(f"Location: {place.prefix}/",)))
        if place.prefix and not section.mixed and head.method not in ("GET", "HEAD"):
            text = f"{place.name} can only be read here, where services share an address ([Gateway:NAME] mixed)."
            raise Refused(Page(405, text, fields=("Allow: GET, HEAD",)))
        return _with(asked, asker, place)

    async def _user(self, name: str, section: NamedSection, asked: _Asked) -> str:
        said = values(asked.fields, b"authorization")
        try:
            user = await self._shared.users.user(name, section.users, said, asked.asker.client)
        except LimitReached as failure:
            text = f"{failure.message[:1].upper()}{failure.message[1:]}."
            raise Refused(Page(429, text, fields=("Retry-After: 60",))) from None
        if not user:
            ask = f'WWW-Authenticate: Basic realm="{name}", charset="UTF-8"'
            raise Refused(Page(401, f"{name} wants a name and a password.", fields=(ask,)))
        return user

    # What this gateway answers itself.

    async def _list(self, asked: _Asked) -> bytes:
        head, client = asked.head, asked.asker.client
        found = await self._shared.listing.look(head.host, client)
        close = self._closes(asked)
        return pages.the_list(found, html=head.accepts_html, head_only=head.method == "HEAD", close=close)

    async def _answer(self, asked: _Asked, said: Page | bytes, status: int) -> bool:
        close = self._closes(asked)
        answer = said if isinstance(said, bytes) else self._page(asked.head, said, close=close)
        await self._client.send(answer)
        self._log(asked, status, 0)
        self._held = asked.sent.leftover
        return not close

    def _page(self, head: Head | None, page: Page, *, close: bool) -> bytes:
        html = head is not None and head.accepts_html
        return pages.rendered(page, html=html, head_only=head is not None and head.method == "HEAD", close=close)

    def _closes(self, asked: _Asked) -> bool:
        return not asked.sent.body.done or wants_close(asked.head, asked.fields)

    # What its service answers.

    async def _served(self, asked: _Asked) -> bool:
        head, place, sent = asked.head, asked.place, asked.sent
        section = self._shared.named[place.name]
        shared = bool(place.prefix) and not section.mixed
        upgrade = b"" if shared else upgrade_of(head, asked.fields)
        dropped = _OF_AN_ORIGIN if shared else frozenset((b"authorization",)) if section.users else frozenset()
        first = for_service(
            head,
            asked.fields,
            asked.asker,
            target=place.target,
            prefix=place.prefix,
            upgrade=upgrade,
            dropped=dropped,
        )
        try:
            first += sent.begin()
        except PeerError as failure:
            raise Refused(pages.bad_head(400, failure.message)) from None
        repeatable = head.repeatable and sent.body.done and head.content_length is None and not head.chunked
        assert section.label is not None, "the settings were checked"
        visit = self._take_kept(place.name) if repeatable else None
        await self._drop_kept()
        if visit is not None:
            try:
                await _send(visit, first)
                return await self._exchanged(asked, visit, b"", upgrade, again=True)
            except _Dead:
                pass  # nothing of an answer came: it is asked once more
        visit, said = await self._opened(place.name, section.label, first, repeatable)
        return await self._exchanged(asked, visit, said, upgrade)

    async def _opened(self, name: str, label: Label, first: bytes, repeatable: bool) -> tuple[Visit, bytes]:
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT):
                opened = await open_visit(self._shared.visitor, label, first, repeatable=repeatable)
        except (HardlineError, TimeoutError) as failure:
            raise Refused(pages.why_not(name, failure)) from None
        self._shared.listing.reached(name)
        return opened

    async def _exchanged(
        self, asked: _Asked, visit: Visit, said: bytes, upgrade: bytes, *, again: bool = False
    ) -> bool:
        """Carry the rest of a request and its answer.  Raises _Dead with `again`, where a kept stream says nothing."""
        pipe, sent, client = visit.pipe, asked.sent, self._client
        received, tasks, status = Received(pipe, client, sent, self._limits.idle_timeout), TaskSet("gateway"), 0
        keep = False
        try:
            if not sent.body.done:
                tasks.start(sent.pump(pipe), "request")
            elif isinstance(pipe, Stream):
                self._open = pipe
                client.when_heard(self._heard, client.heard_size)
            try:
                answer = await received.head(said, self._limits.answer_timeout, self._interim(asked))
                body = answer.body(asked.head.method)
                if answer.status == 101 and not (upgrade and sent.body.done):
                    raise PeerError("it switched without being asked to")
            except (HardlineError, TimeoutError) as failure:
                gone = client.transport.is_closing() or client.ended
                if again and not (received.heard or gone) and isinstance(failure, ConnectionLost):
                    raise _Dead("nobody answers there any more") from None
                if received.begun or gone:
                    raise
                visit.failed(failure)
                raise Refused(pages.why_not(asked.place.name, failure)) from None
            status = answer.status
            close = self._closes(asked) or (body is None)
            head = self._client_head(asked, answer, close=close)
            self._open = None if answer.status == 101 else self._open
            if answer.status == 101:
                await received.switched(head, sent.leftover)
                visit.record.status = "ok"
                return False
            keep = await received.body(head, body) and not answer.closes and sent.body.done
            visit.record.status = "ok"
            if keep:
                self._kept = asked.place.name, visit
            self._held = sent.leftover
            return not close
        except (HardlineError, TimeoutError) as failure:
            if isinstance(failure, HardlineError):
                visit.was_cut(failure)
            raise
        finally:
            self._open = None
            await tasks.aclose()
            if not keep:
                await pipe.aclose()
            if status:
                self._log(asked, status, received.count)

    def _client_head(self, asked: _Asked, answer: Answer, *, close: bool) -> bytes:
        place = asked.place
        shared = bool(place.prefix) and not self._shared.named[place.name].mixed
        return for_client(answer, close=close, prefix=place.prefix, shared=shared, hosts=(asked.head.host.lower(),))

    def _interim(self, asked: _Asked) -> Callable[[Answer], bytes]:
        return lambda answer: self._client_head(asked, answer, close=False) if asked.head.version == "1.1" else b""

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

    async def _drop_kept(self) -> None:
        if self._kept is not None:
            await self._kept[1].pipe.aclose()
            self._kept = None

    def _log(self, asked: _Asked, status: int, count: int) -> None:
        if self._limits.access_log:
            took = asyncio.get_running_loop().time() - asked.began
            log.access(
                client=asked.asker.client,
                user=asked.asker.user or None,
                service=asked.place.name or None,
                method=asked.head.method,
                target=asked.head.target,
                status=status,
                bytes=count,
                took_s=took,
            )


class _Dead(HardlineError):
    """A kept stream, as it turned out."""


async def _send(visit: Visit, first: bytes) -> None:
    try:
        await visit.pipe.send(first)
    except ConnectionLost as failure:
        await visit.pipe.aclose()
        raise _Dead(failure.message) from None


def _with(asked: _Asked, asker: Asker, place: Place) -> _Asked:
    return _Asked(asked.head, asked.fields, asker, asked.sent, place, asked.began)
