"""The browser's door on 127.0.0.1 and ::1.

    browser ── head ──▶ hostname ──▶ label ──▶ tunnel.visitor ──▶ the service; from then on bytes are opaque
                                └──▶ this node's own page
                                └──▶ a page that says what is wrong, and tries again when that can help

The first head routes the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from hardline import log
from hardline.errors import (
    ConnectionLost,
    HardlineError,
    LimitReached,
    NoRoute,
    PasswordRefused,
    PeerError,
    ServiceFailed,
)
from hardline.identity import Label
from hardline.proxy import pages
from hardline.proxy.head import BadHead, Head, HeadReader
from hardline.proxy.hostname import Misdirected, route_host
from hardline.session.legacy import LegacyPipe
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream
from hardline.tunnel.pump import carry
from hardline.tunnel.visitor import Visit, Visitor

_ANSWER_TIMEOUT = 25.0  # seconds: the dial, the host's own 10 s for its service, and a margin
_LINGER = 2.0  # seconds that a client may go on sending after its page
_REPEATABLE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """The [Door] settings: seconds and bytes."""

    head_timeout: float = 10.0
    max_head: int = 32_768
    idle_timeout: float | None = None


class Door:
    """Serves browsers.  `home` makes this node's own page: (html wanted, head only) → a whole response."""

    def __init__(self, visitor: Visitor, limits: DoorLimits, home: Callable[[bool, bool], Awaitable[bytes]]) -> None:
        self._visitor = visitor
        self._limits = limits
        self._home = home
        self._tasks = TaskSet("door")

    def accepted(self, browser: TcpStream) -> None:
        """A browser connected: the listener's callback."""
        self._tasks.start(self._serve(browser), "browser")

    @property
    def connections(self) -> int:
        """How many browser connections are open."""
        return len(self._tasks)

    async def aclose(self) -> None:
        """End every connection."""
        await self._tasks.aclose()

    async def _serve(self, browser: TcpStream) -> None:
        try:
            await self._route(browser)
        except ConnectionLost as failure:
            log.debug("browser.lost", reason=failure.message)
        finally:
            await browser.aclose()

    async def _route(self, browser: TcpStream) -> None:
        reader = HeadReader(self._limits.max_head)
        try:
            async with asyncio.timeout(self._limits.head_timeout):
                head = await _read_head(browser, reader)
        except TimeoutError:
            if reader.raw:
                await _answer(browser, pages.problem_page(pages.head_timeout(self._limits.head_timeout), html=False))
            return
        except BadHead as bad:
            await _answer(browser, pages.problem_page(pages.bad_head(bad), html=False))
            return
        if head is None:
            return
        try:
            label = route_host(head.host)
        except Misdirected as wrong:
            await self._refuse(browser, head, pages.misdirected(wrong))
            return
        if label is None:
            await self._own_page(browser, head)
        else:
            await self._visit(browser, head, label, reader.raw)

    async def _own_page(self, browser: TcpStream, head: Head) -> None:
        if head.target.split("?")[0] != "/" or head.method not in ("GET", "HEAD"):
            await self._refuse(browser, head, pages.not_found(head.target))
            return
        await _answer(browser, await self._home(head.accepts_html, head.method == "HEAD"))

    async def _visit(self, browser: TcpStream, head: Head, label: Label, raw: bytes) -> None:
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT):
                visit, payload = await self._open(browser, head, label, raw)
        except TimeoutError:
            await self._refuse(browser, head, pages.too_slow(label, _ANSWER_TIMEOUT))
            return
        except HardlineError as failure:
            await self._refuse(browser, head, _problem(label, failure))
            return
        visit.record.status = "ok"
        silent = b""
        if isinstance(visit.pipe, LegacyPipe):
            silent = pages.problem_page(pages.original_silent(label), html=head.accepts_html)
        try:
            if payload:
                await browser.send(payload)
            await carry(visit.pipe, browser, self._limits.idle_timeout, if_silent=silent)
        except ConnectionLost as failure:
            visit.record.status = "cut"
            log.debug("visit.cut", service=label.key_hash.short, reason=failure.message)
        finally:
            await visit.pipe.aclose()

    async def _open(self, browser: TcpStream, head: Head, label: Label, raw: bytes) -> tuple[Visit, bytes]:
        """A visit whose local service was reached, and the payload that came with that news.

        A warm session can turn out to be dead only when it is used.  Then a request that changes nothing and of
        which no byte of an answer came is sent once more, through a fresh session.
        """
        visit = await self._visitor.visit(label, raw)
        try:
            try:
                return visit, await visit.answered()
            except ConnectionLost:
                await visit.pipe.aclose()
                if not (visit.reused and head.method in _REPEATABLE):
                    raise
            visit = await self._visitor.visit(label, raw)
            return visit, await visit.answered()
        except BaseException:
            await visit.pipe.aclose()
            raise

    async def _refuse(self, browser: TcpStream, head: Head, problem: pages.Problem) -> None:
        log.debug("browser.refused", status=problem.status, reason=problem.title)
        if head.method not in _REPEATABLE:
            problem = replace(problem, retry_after=None)  # a page that reloads itself would turn it into a GET
        page = pages.problem_page(problem, html=head.accepts_html, head_only=head.method == "HEAD")
        await _answer(browser, page)


async def _read_head(browser: TcpStream, reader: HeadReader) -> Head | None:
    while True:
        data = await browser.receive()
        if not data:
            return None
        head = reader.feed(data)
        if head is not None:
            return head


async def _answer(browser: TcpStream, response: bytes) -> None:
    """Send a whole response and close; what the client still sends is read for a moment, or it would see a reset."""
    await browser.send(response)
    await browser.send_eof()
    try:
        async with asyncio.timeout(_LINGER):
            while await browser.receive():
                pass
    except TimeoutError:
        pass


def _problem(label: Label, failure: HardlineError) -> pages.Problem:
    match failure:
        case NoRoute():
            return pages.absent(label, failure)
        case PasswordRefused():
            return pages.wrong_password(label)
        case ServiceFailed():
            return pages.service_failed(label, failure)
        case LimitReached():
            return pages.limit_reached(label, failure)
        case PeerError() | ConnectionLost():
            return pages.host_failed(label, failure)
        case _:
            return pages.host_failed(label, failure)
