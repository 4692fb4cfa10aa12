"""A browser's connection, carried to the service that its first head names.

/path              ──▶ the head as it came; from then on bytes are opaque, both ways
http://host/path   ──▶ one request, rewritten, and its answer (exchange.py)
CONNECT host:port  ──▶ 200, then bytes are opaque, both ways
"""

from __future__ import annotations

import asyncio

from hardline import log
from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.identity import Label
from hardline.proxy import pages
from hardline.proxy.asker import Uninvited, is_part_of_elsewhere
from hardline.proxy.exchange import exchange
from hardline.proxy.forwarding import RequestBody, origin_request
from hardline.proxy.head import BadHead, Form, Head, HeadReader
from hardline.session.joint import Joint
from hardline.session.stream import Stream
from hardline.transport.tcp import TcpStream
from hardline.tunnel.pump import carry, joined
from hardline.tunnel.visitor import Visit, Visitor

ANSWER_TIMEOUT = 25.0  # seconds: the dial, the host's own 10 s for its service, and a margin
REPEATABLE = ("GET", "HEAD", "OPTIONS")  # methods that may be sent twice: RFC 9110, 9.2.2
_CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Carrier:
    """Carries connections.  `idle_timeout` is the seconds without a byte after which one is cut, None for never."""

    def __init__(self, visitor: Visitor, idle_timeout: float | None) -> None:
        self._visitor = visitor
        self._idle_timeout = idle_timeout

    async def carry(
        self, browser: TcpStream, head: Head, label: Label, read: HeadReader, limit: asyncio.Timeout
    ) -> None:
        """Carry what `read` has read, and what follows it, until both sides have ended or one broke off.

        Lifts `limit` once the service was reached.  Raises a HardlineError before that, while the browser has got
        nothing yet, so that it can be told; Uninvited where nobody is to be looked for.
        """
        if not self._visitor.is_warm(label) and is_part_of_elsewhere(read.raw[: read.size]):
            raise Uninvited("a part of another site's page")
        match head.form:
            case Form.ORIGIN:
                await self._pass_on(browser, head, label, read.raw, limit)
            case Form.ABSOLUTE:
                await self._proxy(browser, head, label, read, limit)
            case Form.AUTHORITY:
                await self._connect(browser, head, label, read.raw[read.size :], limit)

    async def _pass_on(self, browser: TcpStream, head: Head, label: Label, raw: bytes, limit: asyncio.Timeout) -> None:
        visit, joint = await self._join(browser, head, label, raw)
        limit.reschedule(None)
        visit.record.status = "ok"
        try:
            if joint is not None:
                await joined(joint, self._idle_timeout)
            else:
                silent = pages.problem_page(pages.original_silent(label), html=head.accepts_html)
                await carry(visit.pipe, browser, self._idle_timeout, if_silent=silent)
        except ConnectionLost as failure:
            _was_cut(visit, failure)
        finally:
            del joint  # its failure holds this frame, which would hold it

    async def _join(self, browser: TcpStream, head: Head, label: Label, raw: bytes) -> tuple[Visit, Joint | None]:
        """Join the browser with a visit whose local service was reached; None for an original, which does not tell.

        A warm session can turn out to be dead only when it is used.  Then a request that changes nothing and of
        which no byte of an answer came is sent once more, through a fresh session.
        """
        again = head.method in REPEATABLE
        while True:
            visit = await self._visitor.visit(label, raw)
            if not isinstance(visit.pipe, Stream):
                return visit, None
            joint = Joint(visit.pipe, browser, visit.read_status)
            try:
                await joint.answered
            except ConnectionLost:
                if not (again and visit.reused and joint.untouched):
                    raise
                again = False
            except BaseException:
                joint.abort(ConnectionLost("nobody waits any more"))
                raise
            else:
                return visit, joint
            finally:
                del joint  # as above

    async def _proxy(
        self, browser: TcpStream, head: Head, label: Label, read: HeadReader, limit: asyncio.Timeout
    ) -> None:
        body = RequestBody(head)
        try:
            first = origin_request(head, read.raw[: read.size]) + body.take(read.raw[read.size :])
        except PeerError as wrong:
            raise BadHead(400, wrong.message) from None
        visit, begun = await self._open(head, label, first)
        limit.reschedule(None)
        try:
            await exchange(visit.pipe, browser, body, begun, self._idle_timeout)
        except (ConnectionLost, PeerError) as failure:
            _was_cut(visit, failure)
        finally:
            await visit.pipe.aclose()

    async def _connect(
        self, browser: TcpStream, head: Head, label: Label, early: bytes, limit: asyncio.Timeout
    ) -> None:
        visit, begun = await self._open(head, label, early)
        limit.reschedule(None)
        try:
            await browser.send(_CONNECTED + begun)
            await carry(visit.pipe, browser, self._idle_timeout)
        except ConnectionLost as failure:
            _was_cut(visit, failure)
        finally:
            await visit.pipe.aclose()

    async def _open(self, head: Head, label: Label, first: bytes) -> tuple[Visit, bytes]:
        """As `_join`, but for who has more to do than to join: the payload that came with the news is returned."""
        again = head.method in REPEATABLE or not first
        while True:
            visit = await self._visitor.visit(label, first)
            try:
                begun = await visit.answered()
            except ConnectionLost:
                await visit.pipe.aclose()
                if not (again and visit.reused):
                    raise
                again = False
            except BaseException:
                await visit.pipe.aclose()
                raise
            else:
                visit.record.status = "ok"
                return visit, begun


def _was_cut(visit: Visit, failure: HardlineError) -> None:
    visit.record.status = "cut"
    log.debug("visit.cut", service=visit.record.label.key_hash.short, reason=failure.message)
