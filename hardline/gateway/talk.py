"""One client's connection: its requests, one after the other, each judged by itself.

head ──▶ place ──▶ may this client? ──▶ its service ──▶ access log
            └──────────── no ─────────▶ a page ────────────▲
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from hardline import log
from hardline.deadlines import Limit
from hardline.errors import HardlineError
from hardline.gateway import own, pages
from hardline.gateway.accesses import Access
from hardline.gateway.clients import client_of, is_in
from hardline.gateway.exchange import Sent
from hardline.gateway.heads import Heads, Known
from hardline.gateway.judging import Asked, Refused, Shared, judge
from hardline.gateway.names import Place
from hardline.gateway.pages import Page
from hardline.gateway.quick import Quick, note
from hardline.gateway.requests import Asker, values
from hardline.gateway.service import Services
from hardline.http.bodies import Body
from hardline.http.head import BadHead, Head, head_end
from hardline.transport.tcp import TcpStream
from hardline.tunnel.parting import part

# Bytes that are taken of what a client says, which is cut anew for each request in it.
_AT_ONCE = 8192


class Talk:
    """The connection `client`; `current` is what all have in common at the moment, `clients` how many there are."""

    def __init__(self, current: Callable[[], Shared], client: TcpStream, clients: Callable[[], int]) -> None:
        self._current, self._client, self._clients = current, client, clients
        self._shared = current()
        self._limits = self._shared.settings
        self._passing: Asked | None = None
        self._quick: Quick | None = None
        self._peer = client.peer
        self._heads = Heads()
        self._held = b""

    @property
    def served(self) -> Asked | None:
        """The request that a service answers now."""
        return self._passing or (self._quick.asked if self._quick is not None else None)

    async def run(self) -> None:
        """Serve it to its end.  Never raises but when it is cancelled."""
        client, self._limit = self._client, Limit()
        self._services = Services(client, self._limit, self._log)
        self._quick = quick = Quick(self._current, client, self._heads, self._services, self._limit, self._log)
        try:
            patience = self._limits.head_timeout
            while await self._one(quick, patience):
                patience = self._limits.keepalive
            await part(client, whole=True)
        except (HardlineError, TimeoutError) as failure:
            log.debug("gateway.cut", reason=str(failure))
            client.abort()
        except BaseException:
            client.abort()
            raise
        finally:
            self._limit.close()
            await self._services.aclose()
            await client.aclose()

    async def _one(self, quick: Quick, patience: float) -> bool:
        """Serve one request; whether another may follow."""
        if self._services.kept is not None and not self._held:
            try:
                odd = await quick.until_odd()
            except TimeoutError:
                return False
            if odd is not None:
                going_on = self._services.go_on(self._shared, odd.asking, odd.visit, odd.failure)
                return await self._passed(odd.asking.asked, going_on)
        try:
            read = await self._head(patience)
        except BadHead as bad:
            await self._client.send(self._page(None, pages.bad_head(bad.status, bad.message), close=True))
            self._note(Access(time.time(), self._peer.host, "", "", "", "", "", bad.status, 0, 0.0))
            return False
        if read is None:
            return False
        self._take_up()
        asked = self._asked(*read)
        try:
            await judge(self._shared, asked)
            while self._shared is not self._current():  # it took a while, such as a password does
                self._take_up()
                await judge(self._shared, asked)
        except Refused as refused:
            return await self._answer(asked, refused.page, refused.page.status)
        if asked.section is None:
            page = await own.page(self._shared, asked, self._clients(), close=self._closes(asked))
            return await self._answer(asked, page, 200)
        note(self._shared, asked)
        with self._shared.scrapers.held(asked.key) if asked.key else contextlib.nullcontext():
            return await self._passed(asked, self._services.serve(self._shared, asked))

    def _take_up(self) -> None:
        """Hold to the settings of this moment."""
        self._shared = self._current()
        self._limits = self._shared.settings

    async def _passed(self, asked: Asked, passing: Awaitable[bool]) -> bool:
        """What its service answers, or why it did not."""
        self._passing = asked
        try:
            again = await passing
        except Refused as refused:
            return await self._answer(asked, refused.page, refused.page.status)
        finally:
            self._passing = None
        self._held = asked.sent.leftover
        return again

    async def _head(self, patience: float) -> tuple[Head, Known] | None:
        """The next head; None where the client has ended, or says nothing for `patience` seconds.

        What came behind it is held.
        """
        data, searched = self._held.lstrip(b"\r\n"), 0
        self._held = b""
        try:
            with self._limit(patience):
                while True:
                    if data:
                        if (end := head_end(data, 0, searched, self._limits.max_head)) > 0:
                            self._held = data[end:]
                            return self._heads.read(data, end)
                        if not searched:
                            self._limit.at_most(self._limits.head_timeout)
                        searched = max(len(data) - 3, 0)
                    if not (more := await self._client.receive(_AT_ONCE)):
                        return None
                    data = data + more if data else more.lstrip(b"\r\n")
        except TimeoutError:
            if data:
                raise BadHead(408, "the head of the request did not come in time") from None
            return None

    def _asked(self, head: Head, known: Known) -> Asked:
        peer, behind = self._peer, self._held
        trusted = is_in(peer.host, self._limits.trusted)
        forwarded_for = values(known.fields, b"x-forwarded-for") if trusted else ()
        client = client_of(peer.host, forwarded_for, self._limits.trusted) if forwarded_for else peer.host
        sent = Sent(Body(head.content_length or 0, chunked=head.chunked), behind)
        hides = self._shared.guard.hides if self._shared.guard is not None else b""
        asker = Asker(peer, client, trusted, tells=self._shared.tells, hides=hides)
        began = asyncio.get_running_loop().time()
        return Asked(head, known, asker, sent, Place(head.target), began)

    # What this gateway answers itself.

    async def _answer(self, asked: Asked, said: Page | bytes, status: int) -> bool:
        close = self._closes(asked)
        answer = said if isinstance(said, bytes) else self._page(asked, said, close=close)
        self._log(asked, status, len(answer.partition(b"\r\n\r\n")[2]))
        await self._client.send(answer)
        self._held = asked.sent.leftover
        return not close

    def _page(self, asked: Asked | None, page: Page, *, close: bool) -> bytes:
        html = asked is not None and asked.head.accepts_html and not asked.place.scraper
        head_only = asked is not None and asked.head.method == "HEAD"
        page = replace(page, side=self._shared.side) if page.side == pages.GATEWAY else page
        return pages.rendered(page, html=html, head_only=head_only, close=close)

    def _closes(self, asked: Asked) -> bool:
        return not asked.sent.body.done or asked.known.closes

    def _log(self, asked: Asked, status: int, count: int) -> None:
        now = asyncio.get_running_loop().time()
        key, service, user = asked.key.name if asked.key else "", asked.place.name, asked.asker.user
        client, method, target = asked.asker.client, asked.head.method, asked.head.target.partition("?")[0]
        self._note(Access(time.time(), client, user, key, service, method, target, status, count, now - asked.began))

    def _note(self, one: Access) -> None:
        self._shared.accesses.add(one)
        if self._limits.access_log:
            log.access(
                client=one.client,
                user=one.user or None,
                key=one.key or None,
                service=one.service or None,
                method=one.method or None,
                target=one.target or None,
                status=one.status,
                bytes=one.sent,
                took_s=one.took,
            )
