"""What answers for this node's own name: its page, the API, and what watches it.

    /  /accept            the page (page.py), or the same as plain text
    /api/v1/…             api.py
    /healthz              200 while it serves, 503 before and after: no token, nothing of what it is
    /metrics              only with [Node] metrics = yes (metrics.py)
    any, for a worker     leftover.py

Everything else is the door's: what was tried, proxy.pac.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from hardline.control import Handler
from hardline.door import pages
from hardline.door.own import Asked
from hardline.door.responses import page_kind, response
from hardline.transport.owner import is_told, owner
from hardline.transport.tcp import TcpStream
from hardline.web import home, leftover, rows
from hardline.web.api import Api, Tell, Unowned
from hardline.web.assets import assets
from hardline.web.taking import give
from hardline.web.tokens import Tokens

# Makes the page: (html wanted, head only, whether what is this node's own may be seen) → a whole response.
Home = Callable[[bool, bool, bool], Awaitable[bytes]]
# What Prometheus reads: a type and a text.
Metrics = Callable[[], Awaitable[tuple[str, str]]]

_TEXT = page_kind(False)


class Web:
    """Answers what the door hands over; `is_ready` says whether the node serves."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        tokens: Tokens,
        home: Home,
        *,
        metrics: Metrics | None,
        is_ready: Callable[[], bool],
        tell: Tell,
    ) -> None:
        self._home, self._metrics, self._is_ready, self._tell = home, metrics, is_ready, tell
        self._api = Api(handlers, tokens, user_of=_user_of, tell=tell)

    async def aclose(self) -> None:
        """Nobody watches any more."""
        await self._api.aclose()

    def end_streams(self) -> None:
        """Whoever watches has to ask again."""
        self._api.end_streams()

    async def serve(self, asked: Asked) -> bool:
        """As door.own.Own."""
        is_read = asked.head.method in ("GET", "HEAD")
        if is_read and leftover.is_asked_for(asked.raw):
            self._tell(leftover.TOLD)
            answer: bytes | None = leftover.last_worker(head_only=asked.head.method == "HEAD")
        elif asked.head.target.startswith(rows.PREFIX):
            await self._api.serve(asked)
            return True
        else:
            answer = await self._answer(asked) if is_read else None
        if answer is not None:
            await give(asked.browser, answer)
        return answer is not None

    async def _answer(self, asked: Asked) -> bytes | None:
        html, head_only = asked.head.accepts_html, asked.head.method == "HEAD"
        match asked.path:
            case "/":
                return await self._home(html, head_only, await asked.is_ours())
            case pages.ACCEPT if html:
                return home.accept_page(assets(), head_only=head_only)
            case pages.ACCEPT:
                return pages.problem_page(pages.invitation(), html=False, head_only=head_only)
            case "/healthz":
                ready = self._is_ready()
                said = "ready\n" if ready else "not ready\n"
                return response(200 if ready else 503, said, kind=_TEXT, head_only=head_only)
            case "/metrics" if self._metrics is not None:
                kind, text = await self._metrics()
                return response(200, text, kind=kind, head_only=head_only)
            case _:
                return None


async def _user_of(browser: TcpStream) -> int | None:
    user = await asyncio.to_thread(owner, browser.local, browser.peer)
    if user is None and is_told():
        raise Unowned("whose program asks cannot be found out: its connection is closed already")
    return user
