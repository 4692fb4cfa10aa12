"""The browser's door on 127.0.0.1 and ::1.

    browser ── head ──▶ hostname ──▶ label ──▶ tunnel.visitor ──▶ the service, until a head names another one
                                └──▶ this node's own page, proxy.pac
                                └──▶ a page that says what is wrong, and tries again when that can help

A head routes the connection, and whatever follows for the same service goes there, too: at once, where a session is
there already (warm.py), else in a task that can wait (carrier.py); `_heard` is where the ways part.  Whoever takes the
door for a proxy asks with a whole URL, for one request, or with CONNECT, for a tunnel: to names below .localhost
and to nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from hardline import log
from hardline.deadlines import Deadlines
from hardline.door import pac, pages
from hardline.door.asker import Uninvited, is_opened, is_opened_here, is_part_of_elsewhere
from hardline.door.carrier import ANSWER_TIMEOUT, Carrier, part_or_go_on
from hardline.door.evidence import judge
from hardline.door.hostname import Misdirected, Named, check_own_port, route_host
from hardline.door.own import Asked, Own
from hardline.door.ownuser import AnotherUser, OwnUser
from hardline.door.responses import response
from hardline.door.warm import WarmVisit, WarmVisits
from hardline.door.which import NAMED, goes_on, which_one
from hardline.errors import AccessRefused, ConnectionLost, HardlineError, LimitReached, PasswordRefused, ServiceFailed
from hardline.http.head import BadHead, Form, Head, HeadReader
from hardline.identity import Label
from hardline.routes import NoRoute
from hardline.tasks import TaskSet
from hardline.transport.owner import is_same_user
from hardline.transport.tcp import TcpStream
from hardline.tunnel.parting import part
from hardline.tunnel.visitor import Visitor


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """The [Door] settings: seconds and bytes."""

    head_timeout: float = 10.0
    max_head: int = 32_768
    idle_timeout: float | None = None


_TRIED_KEPT = 50  # visits that reached nobody
_SAME_ABSENCE = 60.0  # seconds between two of them that are one: pages ask again by themselves

# What a word before .localhost may mean that is no address: rows of a snapshot.Match; one that is `named` is sure.
Meant = Callable[[str], Awaitable[Sequence[Mapping[str, object]]]]


class Door:
    """Serves browsers.

    `own` answers for this node's own pages, `meant` says what names of the user's stand for, and `unreached` is told of
    a visit that reached nobody, and which side failed; `called` says what is known of a host, `users`
    whose programs are led where, None for all everywhere.
    """

    def __init__(
        self,
        visitor: Visitor,
        limits: DoorLimits,
        own: Own,
        meant: Meant | None = None,
        unreached: Callable[[Label, str], None] = lambda label, why: None,
        called: Callable[[Label], Awaitable[pages.Called]] | None = None,
        users: OwnUser | None = None,
    ) -> None:
        users = users or OwnUser(lambda host: False)
        self._carrier = Carrier(visitor, limits.max_head, limits.head_timeout, limits.idle_timeout, users)
        self._warm = WarmVisits(
            visitor,
            max_head=limits.max_head,
            patience=limits.head_timeout,
            answer_timeout=ANSWER_TIMEOUT,
            idle_timeout=limits.idle_timeout,
            failed=self._was_not_reached,
            over=self._goes_on,
            users=users,
        )
        self._limits = limits
        self._own, self._meant, self._unreached = own, meant or _nothing_meant, unreached
        self._called = called or _nothing_known
        self._tried: OrderedDict[Label, pages.Tried] = OrderedDict()
        self._tasks = TaskSet("door")
        self._served: set[TcpStream] = set()  # by a task
        self._silent = Deadlines[TcpStream](limits.head_timeout, self._said_nothing)

    def accepted(self, browser: TcpStream) -> None:
        """A browser connected: the listener's callback."""
        self._silent.add(browser)
        browser.when_heard(self._heard)

    @property
    def connections(self) -> int:
        """How many browser connections are open."""
        return len(self._silent) + len(self._warm) + len(self._tasks)

    @property
    def tried(self) -> Mapping[Label, pages.Tried]:
        """What was tried for the last visits that reached nobody."""
        return MappingProxyType(self._tried)

    async def aclose(self) -> None:
        """End every connection."""
        for browser in self._silent.close():
            browser.close()
        self._warm.abort(ConnectionLost("the node is stopping"))
        await self._tasks.aclose()
        for browser in self._served:
            browser.abort()  # its task had not begun yet

    # Which way a connection takes.

    def _heard(self, browser: TcpStream) -> None:
        until = self._silent.discard(browser)
        if until is not None and not self._warm.begin(browser):
            self._start(browser, partial(self._route, browser, b"", until))

    def _said_nothing(self, browser: TcpStream) -> None:
        browser.close()

    def _was_not_reached(self, one: WarmVisit, failure: Exception) -> None:
        if one.again and isinstance(failure, ConnectionLost):
            self._start(one.browser, partial(self._route, one.browser, one.again, again=True))
        else:
            self._start(one.browser, partial(self._explain, one.browser, one.head, one.label, failure))

    def _goes_on(self, one: WarmVisit, in_order: bool) -> None:
        self._start(one.browser, partial(self._part_or_go_on, one, in_order))

    # What takes time.

    def _start(self, browser: TcpStream, first: Callable[[], Awaitable[bytes | None]]) -> None:
        self._served.add(browser)
        self._tasks.start(self._serve(browser, first), "browser")

    async def _serve(self, browser: TcpStream, first: Callable[[], Awaitable[bytes | None]]) -> None:
        try:
            said = await first()
            while said is not None:
                said = await self._route(browser, said)
        except ConnectionLost as failure:
            log.debug("browser.lost", reason=failure.message)
        except asyncio.CancelledError:
            if not browser.eof_sent:
                browser.abort()  # the node ends: what was sent so far must not look like the whole
            raise
        finally:
            self._served.discard(browser)
            await browser.aclose()

    async def _route(
        self, browser: TcpStream, said: bytes, until: float | None = None, *, again: bool = False
    ) -> bytes | None:
        """Serve a browser that has `said` something already, until it has said what is for somebody else: that.

        Its head is to be whole by the loop's time `until`; `again` as in Carrier.carry.
        """
        reader = HeadReader(self._limits.max_head)
        head: Head | None = None
        label: Label | None = None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(until or loop.time() + self._limits.head_timeout) as limit:
                head = await _read_head(browser, reader, said)
                if head is None:
                    return None
                label = route_host(head.host)
                if label is not None:
                    limit.reschedule(loop.time() + ANSWER_TIMEOUT)
                    return await self._carrier.carry(browser, head, label, reader, limit, again=again)
                check_own_port(head.host, browser.local.port)
                if is_part_of_elsewhere(reader.raw[: reader.size]):
                    raise Uninvited("a part of another site's page")
        except TimeoutError as failure:
            if head is not None:
                await self._explain(browser, head, label, failure)
            elif reader.raw:
                await _answer(browser, pages.problem_page(pages.head_timeout(self._limits.head_timeout), html=False))
        except BadHead as bad:
            await _refuse_head(browser, bad)
        except Named as named:
            assert head is not None, "its host was looked at"
            await self._by_name(browser, head, reader.raw[: reader.size], named)
        except HardlineError as failure:
            if head is None:
                raise
            await self._explain(browser, head, label, failure)
        else:
            await self._own_page(browser, head, reader)
        return None

    async def _part_or_go_on(self, one: WarmVisit, in_order: bool) -> bytes | None:
        try:
            return await part_or_go_on(one.browser, one.talk, in_order=in_order)
        except BadHead as bad:
            await _refuse_head(one.browser, bad)
            return None

    async def _explain(self, browser: TcpStream, head: Head, label: Label | None, failure: Exception) -> None:
        """Say why a request was not carried."""
        if isinstance(failure, HardlineError):
            problem = await self._problem(label, failure, browser.local.port)
        else:
            assert label is not None, "only who visits somebody has to wait"
            problem = pages.too_slow(label, ANSWER_TIMEOUT)
        await self._refuse(browser, head, problem)

    async def _own_page(self, browser: TcpStream, head: Head, read: HeadReader) -> None:
        if head.form is Form.AUTHORITY:
            await self._refuse(browser, head, pages.no_tunnel())
            return
        raw, early = read.raw[: read.size], read.raw[read.size :]
        asked = Asked(browser, head, raw, early, partial(self._is_ours, browser))
        path = asked.path
        if await self._own(asked):
            await part(browser, whole=True)
        elif head.method not in ("GET", "HEAD"):
            await self._refuse(browser, head, pages.not_found(head.target))
        elif path.startswith(pages.TRIED):
            page = await self._what_was_tried(browser, path.removeprefix(pages.TRIED))
            html, head_only = head.accepts_html, head.method == "HEAD"
            door = browser.local.port
            await _answer(browser, pages.problem_page(page, html=html, head_only=head_only, door=door))
        elif path == pac.PATH:
            script = pac.script(str(browser.local))
            await _answer(browser, response(200, script, kind=pac.TYPE, head_only=head.method == "HEAD"))
        else:
            await self._refuse(browser, head, pages.not_found(head.target))

    async def _by_name(self, browser: TcpStream, head: Head, raw: bytes, named: Named) -> None:
        """Go where the user's name leads, or show what there is; who is no user of this node learns nothing."""
        asks = head.method in ("GET", "HEAD") and head.form is not Form.AUTHORITY
        meant: Sequence[Mapping[str, object]] = ()
        if asks and is_opened(raw) and await self._is_ours(browser):
            meant = await self._meant(named.name)
        target, head_only = head.target, head.method == "HEAD"
        if not meant:
            await self._explain(browser, head, None, named)
        elif len(meant) == 1 and meant[0]["how"] == NAMED and is_opened_here(raw):
            await _answer(browser, goes_on(str(meant[0]["url"]), target, head_only=head_only))
        else:
            page = which_one(named.name, meant, target, html=head.accepts_html, head_only=head_only)
            await _answer(browser, page)

    async def _problem(self, label: Label | None, failure: HardlineError, door: int) -> pages.Problem:
        match failure:
            case Misdirected():
                return pages.misdirected(failure)
            case Uninvited():
                return pages.uninvited()
        assert label is not None, "nobody is visited without one"
        match failure:
            case NoRoute():
                self._keep(label, failure)
                return pages.absent(label, door, await self._called(label), time.time())
            case AnotherUser():
                return pages.another_user()
            case AccessRefused():
                return pages.not_let_in(failure)
            case PasswordRefused():
                return pages.wrong_password(label)
            case ServiceFailed():
                return pages.service_failed(label, failure)
            case LimitReached():
                return pages.limit_reached(label, failure)
            case _:
                return pages.host_failed(label, failure)

    def _keep(self, label: Label, failure: NoRoute) -> None:
        now, before = time.time(), self._tried.get(label)
        again = before is not None and now - before.when < _SAME_ABSENCE
        since = before.since if before is not None and again else now
        self._tried[label] = pages.Tried(failure.attempts, failure.reasons, now, since)
        self._tried.move_to_end(label)
        if not again:
            self._unreached(label, judge(failure.attempts).sentence)
        while len(self._tried) > _TRIED_KEPT:
            self._tried.popitem(last=False)

    async def _is_ours(self, browser: TcpStream) -> bool:
        return await asyncio.to_thread(is_same_user, browser.local, browser.peer)

    async def _what_was_tried(self, browser: TcpStream, text: str) -> pages.Problem:
        found = next((one for one in self._tried.items() if str(one[0]) == text), None)
        if found is None or not await self._is_ours(browser):
            return pages.nothing_tried()
        return pages.what_was_tried(*found, browser.local.port, await self._called(found[0]), time.time())

    async def _refuse(self, browser: TcpStream, head: Head, problem: pages.Problem) -> None:
        log.debug("browser.refused", status=problem.status, reason=problem.title)
        if head.wants_events and problem.retry_after is not None:
            browser.abort()  # after an answer with an error an EventSource never asks again; after a cut it does
            return
        if not head.repeatable:
            problem = replace(problem, retry_after=None)  # a page that reloads itself would turn it into a GET
        html, head_only = head.accepts_html, head.method == "HEAD"
        await _answer(browser, pages.problem_page(problem, html=html, head_only=head_only, door=browser.local.port))


async def _nothing_known(_: Label) -> pages.Called:
    return pages.Called()


async def _nothing_meant(_: str) -> Sequence[Mapping[str, object]]:
    return ()


async def _read_head(browser: TcpStream, reader: HeadReader, said: bytes) -> Head | None:
    data = said or await browser.receive()
    while data:
        head = reader.feed(data)
        if head is not None:
            return head
        data = await browser.receive()
    return None


async def _refuse_head(browser: TcpStream, bad: BadHead) -> None:
    await _answer(browser, pages.problem_page(pages.bad_head(bad), html=False))


async def _answer(browser: TcpStream, response: bytes) -> None:
    """Send a whole response and close."""
    await browser.send(response)
    await part(browser, whole=True)
