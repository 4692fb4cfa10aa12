"""The most ordinary request, passed on and answered in the callbacks that bring its bytes, without a task.

    client ── a head whose fields are known ──▶ Quick ──▶ the stream that is kept for it
    client ◀── an answer that is whole ──────── Quick ◀──┘
    anything else ──▶ `until_odd` returns, and the connection's task goes on from there

It decides nothing: what was judged of the same fields before, by the same settings, is true of these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from hardline.deadlines import Limit
from hardline.errors import ConnectionLost, HardlineError
from hardline.gateway.exchange import Sent
from hardline.gateway.heads import Heads, Known
from hardline.gateway.judging import Asked, Shared
from hardline.gateway.names import Place
from hardline.gateway.requests import Asker
from hardline.gateway.service import Asking, Services
from hardline.http.bodies import Body
from hardline.http.head import Head
from hardline.session.stream import Stream
from hardline.settings.gateway import NamedSection
from hardline.transport.outlet import push
from hardline.transport.tcp import TcpStream
from hardline.tunnel.visit import Visit

_NO_BODY = Body(0)  # nothing is ever taken from it


@dataclass(frozen=True, slots=True)
class Judged:
    """What is true of every request with the same fields on a connection, as long as all have `shared` in common."""

    shared: Shared
    asker: Asker
    name: str
    section: NamedSection


@dataclass(frozen=True, slots=True)
class Odd:
    """An exchange that is under way and needs a task: `failure` is why its stream says nothing more, if it does not."""

    asking: Asking
    visit: Visit
    failure: Exception | None = None


def note(shared: Shared, asked: Asked) -> None:
    """Remember what was judged, where the same is true of whatever is asked with these fields."""
    head, place, section = asked.head, asked.place, asked.section
    if (
        section is not None
        and not (place.prefix or section.users or head.upgrades or head.chunked)
        and head.content_length is None
        and not asked.known.closes
    ):
        asked.known.judged = Judged(shared, asked.asker, place.name, section)


class Quick:
    """Of `client`, whose task's time is in `limit`; `current` is what all have in common now, and `answered` is told of
    each request as Services tells it."""

    def __init__(
        self,
        current: Callable[[], Shared],
        client: TcpStream,
        heads: Heads,
        services: Services,
        limit: Limit,
        answered: Callable[[Asked, int, int], None],
    ) -> None:
        self._current = current
        self._client, self._heads, self._services = client, heads, services
        self._limit, self._answered = limit, answered
        raw = client.transport.get_extra_info("socket")
        self._fd = raw.fileno() if raw is not None else -1
        self._loop = asyncio.get_running_loop()
        self._woken: asyncio.Future[None] | None = None
        self._asking: Asking | None = None
        self._visit: Visit | None = None
        self._stream: Stream | None = None  # that tells us what it gets
        self._failure: Exception | None = None

    @property
    def asked(self) -> Asked | None:
        """The request that waits for its answer."""
        return self._asking.asked if self._asking is not None else None

    async def until_odd(self) -> Odd | None:
        """Serve requests as long as they are ordinary; then what is under way, or None: whatever the client says next
        is still there to be received.

        Raises TimeoutError when the client says nothing for its time.
        """
        self._failure = None
        self._woken = self._loop.create_future()
        try:
            with self._limit(self._current().settings.keepalive):
                self._listen()
                await self._woken
        except TimeoutError as failure:
            if self._asking is None:
                raise
            self._failure = failure
        except BaseException:
            if self._stream is not None and self._asking is not None:
                self._stream.abort()
            raise
        finally:
            self._woken = None
            self._let_go()
        asking, visit, self._asking, self._visit = self._asking, self._visit, None, None
        return Odd(asking, visit, self._failure) if asking is not None and visit is not None else None

    # What the client's socket tells.

    def _listen(self) -> None:
        self._client.when_heard(self._heard)

    def _heard(self, client: TcpStream) -> None:
        if self._woken is None or self._woken.done():
            return
        if self._asking is None:
            if client.ended or not self._ask(client.heard):
                self._wake()
        elif client.ended:
            self._wake(ConnectionLost("the client has gone"))
        else:
            client.when_heard(self._heard, client.heard_size)  # what it asks next waits

    def _ask(self, said: bytes) -> bool:
        """Pass on `said`, where it is one ordinary request; else nothing was done."""
        if said.find(b"\r\n\r\n") != len(said) - 4 or (found := self._heads.known(said, len(said))) is None:
            return False
        head, known = found
        judged, shared = known.judged, self._current()
        if not isinstance(judged, Judged) or judged.shared is not shared or not head.repeatable:
            return False
        if (visit := self._services.take_kept(judged.name, judged.section)) is None:
            return False
        stream = visit.pipe
        asking = self._services.asking(self._asked(head, known, judged))
        first = memoryview(asking.first)
        count = stream.session.put(stream, first) if isinstance(stream, Stream) else 0
        if not isinstance(stream, Stream) or not count:
            self._services.kept = judged.name, visit
            return False
        if count < len(first):
            stream.abort()  # there is room for no more of it now, and another is opened
            return False
        self._client.forget_heard()
        self._asking, self._visit = asking, visit
        if self._stream is not stream:
            self._let_go()
            self._stream = stream
            stream.attach(self)
        self._limit(shared.settings.answer_timeout)
        self._client.when_heard(self._heard)
        return True

    def _asked(self, head: Head, known: Known, judged: Judged) -> Asked:
        place, sent = Place(head.target, judged.name), Sent(_NO_BODY, b"")
        return Asked(head, known, judged.asker, sent, place, self._loop.time(), judged.section)

    # What the stream tells.

    def data_received(self, data: memoryview) -> None:
        asking, stream = self._asking, self._stream
        assert stream is not None, "only called by it"
        stream.session.consumed(stream, len(data))
        if asking is None:
            stream.abort()  # it answers what nobody asked
            return
        answering = asking.answering
        try:
            given = answering.take(bytes(data))
        except HardlineError as failure:
            self._wake(failure)
            return
        if not answering.whole or self._client.congested or not answering.keeps or self._services.closes:
            asking.given += given
            self._wake()
            return
        transport = self._client.transport
        at_once = not (transport.is_closing() or transport.get_write_buffer_size())
        try:
            push(self._fd if at_once else -1, transport, memoryview(given))
        except OSError as failure:
            self._wake(ConnectionLost(str(failure)))
            return
        self._done(asking)

    def ended(self) -> None:
        self._wake_if_asked()

    def was_reset(self, failure: Exception) -> None:
        self._wake_if_asked()

    def room_made(self) -> None:
        pass

    # How it works.

    def _done(self, asking: Asking) -> None:
        visit, answering = self._visit, asking.answering
        assert visit is not None, "it was asked"
        visit.record.status = "ok"
        self._services.kept = asking.asked.place.name, visit
        self._asking = self._visit = None
        self._answered(asking.asked, answering.status, answering.count)
        self._limit(self._current().settings.keepalive)
        self._listen()

    def _wake_if_asked(self) -> None:
        if self._asking is not None:
            self._wake()

    def _wake(self, failure: Exception | None = None) -> None:
        """The task goes on."""
        self._failure = failure
        self._let_go()
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def _let_go(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.take_back()
