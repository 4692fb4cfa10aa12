"""A browser's connection, carried to the service that its first head names.

/path              ──▶ the head as it came, and those behind it as long as they are for the same service
                       (conversation.py); the first that is not is given back, to be routed anew
http://host/path   ──▶ one request, rewritten, and its answer (exchange.py)
CONNECT host:port  ──▶ 200, then bytes are opaque, both ways
"""

from __future__ import annotations

import asyncio

from hardline.door import pages
from hardline.door.asker import Uninvited, is_part_of_elsewhere
from hardline.door.conversation import Conversation
from hardline.door.exchange import exchange
from hardline.door.forwarding import body_of, origin_request
from hardline.door.lent import Lent
from hardline.door.ownuser import OwnUser
from hardline.errors import ConnectionLost, PeerError
from hardline.http.head import BadHead, Form, Head, HeadReader
from hardline.identity import Label
from hardline.session.gate import Gate
from hardline.session.joint import Joint
from hardline.session.stream import Stream
from hardline.transport.tcp import TcpStream
from hardline.tunnel.joining import join, open_visit
from hardline.tunnel.parting import part
from hardline.tunnel.pump import carry, joined
from hardline.tunnel.visit import Visit
from hardline.tunnel.visitor import Visitor

ANSWER_TIMEOUT = 25.0  # seconds: the dial, the host's own 10 s for its service, and a margin
_CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Carrier:
    """Carries connections.

    `max_head` bytes and `head_timeout` seconds bound every head behind the first; `idle_timeout` is the seconds
    without a byte after which a connection is cut, None for never.  `users` says whose programs are led where.
    """

    def __init__(
        self,
        visitor: Visitor,
        max_head: int,
        head_timeout: float,
        idle_timeout: float | None,
        users: OwnUser | None = None,
    ) -> None:
        self._visitor, self._users = visitor, users
        self._max_head, self._head_timeout = max_head, head_timeout
        self._idle_timeout = idle_timeout

    async def carry(
        self, browser: TcpStream, head: Head, label: Label, read: HeadReader, limit: asyncio.Timeout, *, again: bool
    ) -> bytes | None:
        """Carry what `read` has read, and what follows it, until both sides have ended or one broke off.

        Returns None then; or, with the browser's connection as if it was new, what it said that has to be routed anew.
        Lifts `limit` once the service was reached.  `again`: it was said once already, to a session that was dead.
        Raises a HardlineError while the browser can be told: mostly because the service could not be reached; Uninvited
        where nobody is to be looked for; AnotherUser where this one is led nowhere.
        """
        if self._users is not None:
            await self._users.check(browser, label)
        if not again and not self._visitor.is_warm(label) and is_part_of_elsewhere(read.raw[: read.size]):
            raise Uninvited("a part of another site's page")
        match head.form:
            case Form.ORIGIN:
                return await self._pass_on(browser, head, label, read, limit, again=again)
            case Form.ABSOLUTE:
                await self._proxy(browser, head, label, read, limit)
            case Form.AUTHORITY:
                await self._connect(browser, head, label, read.raw[read.size :], limit)
        return None

    async def _pass_on(
        self, browser: TcpStream, head: Head, label: Label, read: HeadReader, limit: asyncio.Timeout, *, again: bool
    ) -> bytes | None:
        talk = Conversation(label, self._max_head, self._head_timeout)
        first = bytes(talk.opened(head, read.raw, read.size))
        # What follows it may be of another method.
        repeatable = not again and head.repeatable and len(first) <= read.size
        visit, joint = await join(self._visitor, label, first, browser, talk, repeatable=repeatable)
        limit.reschedule(None)
        visit.record.status = "ok"
        in_order = False
        try:
            if joint is not None:
                await joined(joint, self._idle_timeout)
            else:
                silent = pages.problem_page(
                    pages.original_silent(label), html=head.accepts_html, door=browser.local.port
                )
                await carry(visit.pipe, Lent(browser, talk), self._idle_timeout, if_silent=silent)
                in_order = True
        except ConnectionLost as failure:
            if not talk.settled:
                visit.was_cut(failure)
        if joint is not None:
            if not joint.returned:
                return None
            in_order = joint.peer_ended
        return await part_or_go_on(browser, talk, in_order=in_order)

    async def _proxy(
        self, browser: TcpStream, head: Head, label: Label, read: HeadReader, limit: asyncio.Timeout
    ) -> None:
        body = body_of(head)
        try:
            first = origin_request(head, read.raw[: read.size]) + body.take(read.raw[read.size :])
        except PeerError as wrong:
            raise BadHead(400, wrong.message) from None
        visit, begun = await open_visit(self._visitor, label, first, repeatable=head.repeatable)
        visit.record.status = "ok"
        limit.reschedule(None)
        try:
            await exchange(visit.pipe, browser, body, begun, self._idle_timeout)
        except (ConnectionLost, PeerError) as failure:
            visit.was_cut(failure)
        finally:
            await visit.pipe.aclose()

    async def _connect(
        self, browser: TcpStream, head: Head, label: Label, early: bytes, limit: asyncio.Timeout
    ) -> None:
        await self.tunnel(browser, label, limit, early, _CONNECTED)

    async def tunnel(
        self,
        client: TcpStream,
        label: Label,
        limit: asyncio.Timeout,
        early: bytes = b"",
        news: bytes = b"",
        gate: Gate | None = None,
    ) -> None:
        """Carry whatever `client` says, which began with `early`, as far as the `gate` lets it pass; `news` is for it,
        once the service was reached.

        `limit` and what is raised are as in `carry`.
        """
        visit, begun = await open_visit(self._visitor, label, early, repeatable=not early)
        visit.record.status = "ok"
        limit.reschedule(None)
        try:
            if news or begun:
                await client.send(news + begun)
            whole = await self._tunnel(client, visit, gate)
        except ConnectionLost as failure:
            visit.was_cut(failure)
            whole = False
        finally:
            await visit.pipe.aclose()
        if whole is not None:
            await part(client, whole=whole)

    async def _tunnel(self, browser: TcpStream, visit: Visit, gate: Gate | None) -> bool | None:
        """Carry whatever is said.  Whether it ended in order; None when the browser's socket is done with.

        Raises ConnectionLost when the service broke off, and the socket is back.
        """
        if not isinstance(visit.pipe, Stream):
            await carry(visit.pipe, Lent(browser, gate), self._idle_timeout)
            return True
        joint = Joint(visit.pipe, browser, gate=gate, gives_back=True)
        try:
            await joined(joint, self._idle_timeout)
        except ConnectionLost as failure:
            visit.was_cut(failure)
        return joint.peer_ended if joint.returned else None


async def part_or_go_on(browser: TcpStream, talk: Conversation, *, in_order: bool) -> bytes | None:
    """A visit is over, the service has ended `in_order` or not, and the browser's socket is there.

    Returns as Carrier.carry.  Raises BadHead where what the browser said last is no request.
    """
    if talk.failure is not None and (talk.whole or talk.unanswered):
        raise talk.failure
    if talk.over:
        return talk.leftover
    await part(browser, whole=in_order or talk.whole)
    return None
