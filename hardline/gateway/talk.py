"""One client's connection: its requests, one after the other, each judged by itself.

head ──▶ place ──▶ may this client? ──▶ its service ──▶ access log
            └──────────── no ─────────▶ a page ────────────▲
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from hardline import log
from hardline.deadlines import Limit
from hardline.errors import HardlineError
from hardline.gateway import pages
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


class Talk:
    """The connection `client`."""

    def __init__(self, shared: Shared, client: TcpStream) -> None:
        self._shared, self._client, self._limits = shared, client, shared.settings
        self._peer = client.peer
        self._heads = Heads()
        self._held = b""

    async def run(self) -> None:
        """Serve it to its end.  Never raises but when it is cancelled."""
        client, self._limit = self._client, Limit()
        self._services = Services(client, self._limit, self._log)
        self._quick = Quick(lambda: self._shared, client, self._heads, self._services, self._limit, self._log)
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
            self._limit.close()
            await self._services.aclose()
            await client.aclose()

    async def _one(self, patience: float) -> bool:
        """Serve one request; whether another may follow."""
        if self._services.kept is not None and not self._held:
            try:
                odd = await self._quick.until_odd()
            except TimeoutError:
                return False
            if odd is not None:
                going_on = self._services.go_on(self._shared, odd.asking, odd.visit, odd.failure)
                return await self._passed(odd.asking.asked, going_on)
        try:
            read = await self._head(patience)
        except BadHead as bad:
            await self._client.send(self._page(None, pages.bad_head(bad.status, bad.message), close=True))
            return False
        if read is None:
            return False
        asked = self._asked(*read)
        try:
            await judge(self._shared, asked)
        except Refused as refused:
            return await self._answer(asked, refused.page, refused.page.status)
        if asked.section is None:
            return await self._answer(asked, await self._list(asked), 200)
        note(self._shared, asked)
        return await self._passed(asked, self._services.serve(self._shared, asked))

    async def _passed(self, asked: Asked, passing: Awaitable[bool]) -> bool:
        """What its service answers, or why it did not."""
        try:
            again = await passing
        except Refused as refused:
            return await self._answer(asked, refused.page, refused.page.status)
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
                    if not (more := await self._client.receive()):
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
        began = asyncio.get_running_loop().time()
        return Asked(head, known, Asker(peer, client, trusted), sent, Place(head.target), began)

    # What this gateway answers itself.

    async def _list(self, asked: Asked) -> bytes:
        head, client = asked.head, asked.asker.client
        found = await self._shared.listing.look(head.host, client)
        close = self._closes(asked)
        return pages.the_list(found, html=head.accepts_html, head_only=head.method == "HEAD", close=close)

    async def _answer(self, asked: Asked, said: Page | bytes, status: int) -> bool:
        close = self._closes(asked)
        answer = said if isinstance(said, bytes) else self._page(asked.head, said, close=close)
        await self._client.send(answer)
        self._log(asked, status, 0)
        self._held = asked.sent.leftover
        return not close

    def _page(self, head: Head | None, page: Page, *, close: bool) -> bytes:
        html = head is not None and head.accepts_html
        return pages.rendered(page, html=html, head_only=head is not None and head.method == "HEAD", close=close)

    def _closes(self, asked: Asked) -> bool:
        return not asked.sent.body.done or asked.known.closes

    def _log(self, asked: Asked, status: int, count: int) -> None:
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
