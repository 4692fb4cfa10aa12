"""The API of this node's page: JSON over HTTP, one request a connection; docs/API.md.

    head ── judging ──▶ token ──▶ rows: which action ──▶ body ──▶ the action ──▶ {…}  or  {"error", "hint", "code"}
                                                                          └──▶ events, as long as the page is open

Bounded: bodies in bytes and seconds, streams of events in number, and a page that takes nothing is cut.
Source: docs/API.md; HTML, section 9.2 (server-sent events).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from hardline import log
from hardline.control import Handler, Held
from hardline.door.own import Asked
from hardline.door.responses import opening, response
from hardline.errors import AccessRefused, ConnectionLost, HardlineError, NotKnown, WrongArgument
from hardline.http.head import Form
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream
from hardline.web import judging, rows
from hardline.web.judging import Refused
from hardline.web.taking import give
from hardline.web.tokens import WRONG_EVERY, Tokens

MAX_BODY = 65_536
BODY_WITHIN = 10.0  # seconds
MAX_STREAMS = 16  # of events; the oldest gives way
BEAT = 15.0  # seconds without news after which something is sent all the same
_SCRAP = 4096  # bytes of what is said behind a request, and dropped
_WAITS, _GO_ON = b"\r\nexpect: 100-continue\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"  # RFC 9110, section 10.1.1
_JSON, _EVENTS = "application/json; charset=utf-8", "text/event-stream"

Tell = Callable[[str], None]


class Unowned(AccessRefused):
    """The system says whose a connection is, and this one is nobody's (any more)."""


class _Bad(Exception):
    """A request that goes no further."""

    def __init__(self, refused: Refused, *fields: str) -> None:
        super().__init__(refused.error)
        self.refused, self.fields = refused, fields


@dataclass(eq=False, slots=True)
class _Stream:
    """Somebody who watches, by the token of `digest`."""

    browser: TcpStream
    digest: str
    over: asyncio.Event


class Api:
    """Answers by `handlers`, the actions by name, to who has one of `tokens`.

    `user_of` says whose a connection is, None where the system does not, or raises Unowned; `tell` is for what the
    owner should read.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        tokens: Tokens,
        *,
        user_of: Callable[[TcpStream], Awaitable[int | None]],
        tell: Tell,
        table: Sequence[rows.Row] = rows.ROWS,
    ) -> None:
        self._handlers, self._tokens, self._table = handlers, tokens, table
        self._user_of, self._tell = user_of, tell
        self._streams: list[_Stream] = []
        self._tasks = TaskSet("page")

    async def aclose(self) -> None:
        """Nobody watches any more."""
        await self._tasks.aclose()

    async def serve(self, asked: Asked) -> None:
        """Answer one request."""
        head_only = asked.head.method == "HEAD"
        try:
            answer = await self._answer(asked)
        except _Bad as bad:
            told = {"error": bad.refused.error, "hint": bad.refused.hint, "code": 1}
            await _send(asked.browser, bad.refused.status, told, head_only, bad.fields)
        except HardlineError as failure:
            told = {"error": failure.message, "hint": failure.hint, "code": failure.code}
            await _send(asked.browser, _status_of(failure), told, head_only)
        else:
            if answer is not None:
                await _send(asked.browser, 200, answer, head_only)

    def end_streams(self) -> None:
        """Whoever watches has to ask again."""
        for stream in self._streams:
            stream.over.set()

    async def _answer(self, asked: Asked) -> object | None:
        """What is to be sent; None where it was."""
        head = asked.head
        fields = judging.fields_of(asked.raw)
        refused = fields if isinstance(fields, Refused) else judging.judge(head.method, head.host, fields)
        if refused is not None or isinstance(fields, Refused):
            raise _Bad(refused or Refused(400, "a request that cannot be read"))
        if head.form is not Form.ORIGIN:
            raise _Bad(Refused(400, "this is no proxy for its own page"))
        try:
            row = rows.find(head.method, head.target, self._table)
        except rows.BadQuery as bad:
            raise _Bad(Refused(400, str(bad))) from None
        digest = "" if self._is_login(row) else await self._who(asked.browser, fields)
        if isinstance(row, rows.NoRow):
            if row.allowed:
                raise _Bad(Refused(405, f"this is for {', '.join(row.allowed)}"), f"Allow: {', '.join(row.allowed)}")
            raise _Bad(Refused(404, "there is no such row", "docs/API.md has them all"))
        try:
            user = await self._user_of(asked.browser)
        except Unowned as unowned:
            raise _Bad(Refused(403, unowned.message)) from None
        if digest and not await self._tokens.is_of(digest, user):
            raise _Bad(Refused(403, "the token belongs to another user of this computer", judging.HINT))
        body = await _body(asked)
        request = {**({} if row.alone else body), **row.arguments}
        if self._is_login(row):
            return await self._login(request, user)
        answer = await self._do(row.do, request)
        if not isinstance(answer, Held):
            return answer
        await self._hold(asked.browser, answer, digest, head_only=head.method == "HEAD")
        return None

    def _is_login(self, row: rows.Asked | rows.NoRow) -> bool:
        return isinstance(row, rows.Asked) and row.do == rows.LOGIN

    async def _who(self, browser: TcpStream, fields: Mapping[str, str]) -> str:
        """The digest of the token that is shown."""
        token = judging.bearer(fields)
        if token is None:
            raise _Bad(Refused(401, "no token was shown", judging.HINT), "WWW-Authenticate: Bearer")
        if (digest := await self._tokens.digest_of(token)) is None:
            raise self._wrong("the token is not known, or not any more")
        return digest

    def _wrong(self, what: str) -> _Bad:
        self._tell("a wrong token was refused at this page's API")
        if self._tokens.wrong():
            return _Bad(Refused(429, "too many wrong tokens", judging.HINT), f"Retry-After: {WRONG_EVERY:.0f}")
        return _Bad(Refused(401, what, judging.HINT), 'WWW-Authenticate: Bearer error="invalid_token"')

    async def _login(self, request: Mapping[str, object], user: int | None) -> object:
        once = request.get("once")
        token = await self._tokens.login(once, user) if isinstance(once, str) else None
        if token is None:
            raise self._wrong("this address was used already, or is older than a minute")
        self._tell("this page was opened by hardline open")
        return {"token": token}

    async def _do(self, do: str, request: Mapping[str, object]) -> object:
        try:
            return await self._handlers[do](request)
        except HardlineError:
            raise
        except Exception as failure:
            log.warning("page.failed", do=do, reason=repr(failure))
            raise _Bad(Refused(500, "the daemon could not do this", "look at its log")) from None

    # Events.

    async def _hold(self, browser: TcpStream, held: Held, digest: str, *, head_only: bool) -> None:
        """Tell the news until whoever watches has gone, or may watch no more, or there are none."""
        stream = _Stream(browser, digest, asyncio.Event())
        self._streams.append(stream)
        while len(self._streams) > MAX_STREAMS:
            self._streams.pop(0).over.set()
        work = list[asyncio.Task[None]]()
        try:
            await _give(browser, opening(_EVENTS))
            if head_only:
                return
            await _say(browser, "answer", held.answer)
            work = [
                self._tasks.start(one, name, expects=_Over)
                for one, name in (
                    (self._tell_news(stream, held), "news"),
                    (self._beat(stream), "beat"),
                    (_until_gone(browser), "reading"),
                    (_until(stream.over), "over"),
                )
            ]
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        except _Over:
            browser.abort()
        finally:
            for task in work:
                task.cancel()
            if work:
                await asyncio.wait(work)
            await held.close()
            if stream in self._streams:
                self._streams.remove(stream)

    async def _tell_news(self, stream: _Stream, held: Held) -> None:
        with contextlib.suppress(HardlineError):  # the node is stopping, or what was watched is gone
            async for news in held.news:
                await _say(stream.browser, "news", news)

    async def _beat(self, stream: _Stream) -> None:
        """Find out who has gone without a word, and whose token holds no more."""
        while await self._tokens.holds(stream.digest):
            await _give(stream.browser, b":\n\n")
            await asyncio.sleep(BEAT)


class _Over(Exception):
    """Whoever watched is gone, or takes nothing."""


async def _give(browser: TcpStream, data: bytes) -> None:
    try:
        await give(browser, data)
    except ConnectionLost:
        raise _Over from None


async def _say(browser: TcpStream, event: str, what: object) -> None:
    # JSON has no line of its own in it, so one data line holds it.
    await _give(browser, f"event: {event}\ndata: {json.dumps(what)}\n\n".encode())


async def _until(over: asyncio.Event) -> None:
    await over.wait()


async def _until_gone(browser: TcpStream) -> None:
    """What comes behind the request is dropped."""
    with contextlib.suppress(ConnectionLost):
        while await browser.receive(_SCRAP):
            pass


async def _body(asked: Asked) -> dict[str, object]:
    """The JSON object that was sent, {} for nothing."""
    head = asked.head
    if head.chunked:
        raise _Bad(Refused(411, "the length of the body is not told"))
    length = head.content_length or 0
    if length > MAX_BODY:
        raise _Bad(Refused(413, f"the body has more than {MAX_BODY} bytes"))
    data = asked.early[:length]
    try:
        async with asyncio.timeout(BODY_WITHIN):
            if not data and length and _WAITS in asked.raw.lower():
                await asked.browser.send(_GO_ON)
            while len(data) < length:
                if not (more := await asked.browser.receive(length - len(data))):
                    raise _Bad(Refused(400, "the body ends before its length"))
                data += more
    except TimeoutError:
        raise _Bad(Refused(408, f"the body was not whole after {BODY_WITHIN:g} seconds")) from None
    if not data:
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _Bad(Refused(400, "the body is no JSON object"))
    return found


def _status_of(failure: HardlineError) -> int:
    match failure:
        case NotKnown():
            return 404
        case WrongArgument():
            return 400
        case _:
            return 409


async def _send(browser: TcpStream, status: int, answer: object, head_only: bool, fields: Sequence[str] = ()) -> None:
    extra = "".join(f"{field}\r\n" for field in fields)
    body = json.dumps(answer) + "\n"
    await give(browser, response(status, body, kind=_JSON, head_only=head_only, extra=extra))
