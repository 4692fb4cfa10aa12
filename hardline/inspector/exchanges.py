"""One connection's requests and answers, read as they pass; without I/O.

    what the service gets ─▶ asked ─┐
                                    ├─▶ Exchange: heads, sizes, times, the first 64 KB of each body
    what it says ───────────▶ heard ┘

Nothing here changes or holds up a byte.  What is no HTTP/1.1 that can be followed, and what follows a 101, is not read.
Source: RFC 9112, sections 2, 6 and 9.3.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hardline.errors import PeerError
from hardline.http.bodies import Body
from hardline.http.head import BadHead, plain_host, read_head
from hardline.inspector.secrets import target_without_secrets, without_secrets

MOST_OF_BODY = 65_536  # bytes that are kept of each
_MAX_HEAD = 65_536
_MOST_WAITING = 64  # requests without an answer
_LONGEST_TARGET = 500  # characters, of what is forgotten
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9][0-9])(?: |\r)")
_LENGTH = re.compile(rb"\n[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[Ll][Ee][Nn][Gg][Tt][Hh]:([^\r\n]*+)(?=\r\n)")
_CODED = re.compile(rb"\n[Tt][Rr][Aa][Nn][Ss][Ff][Ee][Rr]-[Ee][Nn][Cc][Oo][Dd][Ii][Nn][Gg]:")
_DIGITS = re.compile(rb"[0-9]{1,18}")
_CHUNKED = re.compile(rb"(?im)^transfer-encoding:[ \t]*chunked")
_NOTHING = frozenset((204, 304))


@dataclass(slots=True)
class Message:
    """A request or an answer: its `head` as it came, the beginning of its `body`, and how long that was."""

    head: bytes = b""
    body: bytes | bytearray = b""
    size: int = 0
    whole: bool = False
    forgotten: bool = False

    def add(self, data: bytes | memoryview) -> int:
        """More of its body; how many bytes of it are kept."""
        self.size += len(data)
        before = len(self.body)
        if self.forgotten or before >= MOST_OF_BODY:
            return 0
        more = data[: MOST_OF_BODY - before]
        if not before:
            self.body = bytes(more)
        elif isinstance(self.body, bytearray):
            self.body += more
        else:
            self.body = bytearray().join((self.body, more))
        return len(more)

    def forget(self) -> None:
        """Keep nothing of it, now or later."""
        self.head, self.body, self.forgotten = b"", b"", True

    @property
    def content(self) -> bytes:
        """What of the body was kept, out of its chunks."""
        return _unchunked(bytes(self.body)) if _CHUNKED.search(self.head) else bytes(self.body)

    def shown(self, *, secrets: bool) -> bytes:
        """Its head for a person: what lets somebody in is hidden, unless he asks for it."""
        return self.head if secrets else without_secrets(self.head)


@dataclass(slots=True)
class Exchange:
    """A request and its answer.  `at` is when it began by the clock of its reading, `began` the same in seconds since
    the epoch; the others are seconds since then, None for not yet.  `status` is 0 before there is one.  `note` says
    what was odd."""

    number: int
    at: float
    method: str
    target: str
    asked: Message
    heard: Message = field(default_factory=Message)
    status: int = 0
    first_byte_s: float | None = None
    took_s: float | None = None
    replay_of: int | None = None
    note: str = ""
    began: float = 0.0

    def shown_target(self, *, secrets: bool) -> str:
        """Its target for a person, as Message.shown."""
        return self.target if secrets else target_without_secrets(self.target)

    def forget(self) -> None:
        """Keep no more of it than a line says, whoever else still has it."""
        self.target = self.target[:_LONGEST_TARGET]
        self.asked.forget()
        self.heard.forget()

    @property
    def held(self) -> int:
        """Bytes that it takes."""
        asked, heard = self.asked, self.heard
        return 500 + len(asked.head) + len(asked.body) + len(heard.head) + len(heard.body) + len(self.target)


class Reading:
    """One connection to a service.  `number` gives each exchange its own, `began` and `over` are told of it, and `grew`
    of bytes that are kept of it later.  `now` is in seconds of any clock that is not set meanwhile."""

    def __init__(
        self,
        number: Callable[[], int],
        began: Callable[[Exchange], None],
        grew: Callable[[int], None],
        over: Callable[[Exchange], None],
        replay_of: int | None = None,
    ) -> None:
        self._number, self._began, self._grew, self._over = number, began, grew, over
        self._replay_of = replay_of
        self._waiting: deque[Exchange] = deque()
        self._head, self._answer = b"", b""
        self._request: tuple[Exchange, Body] | None = None
        self._body: Body | None = None  # of the answer that is under way; None: no answer, or to the end
        self._to_the_end = False
        self.lost = ""  # why nothing is read any more

    def asked(self, data: bytes | memoryview, now: float) -> None:
        """This goes to the service."""
        start = 0
        try:
            while start < len(data) and not self.lost:
                start = self._ask(data, start, now)
        except (BadHead, PeerError) as odd:
            self._lose(f"what follows is no request that can be read: {odd.message}")

    def heard(self, data: bytes | memoryview, now: float) -> None:
        """The service said this."""
        start = 0
        try:
            while start < len(data) and not self.lost:
                start = self._hear(data, start, now)
        except PeerError as odd:
            self._lose(f"what follows is no answer that can be read: {odd.message}")

    def ended(self, now: float, why: str = "") -> None:
        """Nothing more comes, in whichever direction."""
        while self._waiting:
            exchange = self._waiting[0]
            if self._to_the_end and not why:
                exchange.heard.whole = True
            elif not exchange.note:
                exchange.note = why or "the connection ended before the answer did"
            self._to_the_end = False
            self._finish(now)

    # Requests.

    def _ask(self, data: bytes | memoryview, start: int, now: float) -> int:
        if self._request is not None:
            exchange, body = self._request
            end = body.skip(data, start)
            self._add(exchange.asked, data[start:end])
            if body.done:
                exchange.asked.whole, self._request = True, None
            return end
        more = bytes(data[start:])
        head = self._head + more if self._head else more.lstrip(b"\r\n")
        if not head:
            return len(data)
        end = head.find(b"\r\n\r\n", max(len(self._head) - 3, 0)) + 4
        if end == 3:
            if len(head) > _MAX_HEAD:
                raise PeerError("a head without an end")
            self._head = head
            return len(data)
        self._head = b""
        if plain_host(head, 0, end) is not None:
            method, target, _ = head[:end].decode("latin-1").split(" ", 2)
            self._begin(method, target, head[:end], None, now)
        else:
            read = read_head(head, 0, end)
            body = Body(read.content_length or 0, chunked=read.chunked)
            self._begin(read.method, read.target, head[:end], None if body.done else body, now)
        return len(data) - (len(head) - end)

    def _begin(self, method: str, target: str, raw: bytes, body: Body | None, now: float) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            raise PeerError("more requests than can be followed")
        exchange = Exchange(self._number(), now, method, target, Message(raw, whole=body is None))
        exchange.replay_of = self._replay_of
        self._waiting.append(exchange)
        self._request = None if body is None else (exchange, body)
        self._began(exchange)

    # Answers.

    def _hear(self, data: bytes | memoryview, start: int, now: float) -> int:
        if self._to_the_end:
            self._add(self._waiting[0].heard, data[start:])
            return len(data)
        if self._body is not None:
            end = self._body.skip(data, start)
            self._add(self._waiting[0].heard, data[start:end])
            if self._body.done:
                self._body, self._waiting[0].heard.whole = None, True
                self._finish(now)
            return end
        if not self._waiting:
            raise PeerError("an answer to nothing")
        head = self._answer + bytes(data[start:])
        end = head.find(b"\r\n\r\n", max(len(self._answer) - 3, 0)) + 4
        if end == 3:
            if len(head) > _MAX_HEAD:
                raise PeerError("a head without an end")
            self._answer = head
            return len(data)
        self._answer = b""
        self._read_answer(head[:end], now)
        return len(data) - (len(head) - end)

    def _read_answer(self, head: bytes, now: float) -> None:
        exchange, found = self._waiting[0], _STATUS.match(head)
        if found is None:
            raise PeerError("no answer")
        status = int(found[1])
        if status < 200 and status != 101:
            return
        exchange.status, exchange.first_byte_s = status, now - exchange.at
        if not exchange.heard.forgotten:
            exchange.heard.head = head
            self._grew(len(head))
        if status == 101:
            exchange.note = "another protocol from here on"
            exchange.heard.whole = True
            self._finish(now)
            self._lose("")
            return
        if exchange.method == "HEAD" or status in _NOTHING:
            body = Body(0)
        elif _CODED.search(head):
            body = Body(0, chunked=True)
        elif lengths := {value.strip(b" \t") for value in _LENGTH.findall(head)}:
            length = lengths.pop()
            if lengths or not _DIGITS.fullmatch(length):
                raise PeerError("a length that is none, or two that differ")
            body = Body(int(length))
        else:
            self._to_the_end = True
            return
        if body.done:
            exchange.heard.whole = True
            self._finish(now)
        else:
            self._body = body

    def _finish(self, now: float) -> None:
        exchange = self._waiting.popleft()
        exchange.took_s = now - exchange.at
        self._over(exchange)

    def _add(self, message: Message, data: bytes | memoryview) -> None:
        if kept := message.add(data):
            self._grew(kept)

    def _lose(self, why: str) -> None:
        self.lost = why or "another protocol"
        self._head, self._answer, self._request, self._body = b"", b"", None, None
        for exchange in self._waiting:
            exchange.note = exchange.note or why


def changed(exchange: Exchange, method: str, target: str, fields: list[bytes], body: bytes | None) -> bytes:
    """The request of `exchange` once more: with another method, target or body where they are given, and with `fields`,
    whole lines, in place of those of the same names.

    Raises PeerError where its body was not kept whole, or nothing of it any more.
    """
    if exchange.asked.forgotten:
        raise PeerError("nothing of it is kept any more")
    if body is None:
        if not exchange.asked.whole or exchange.asked.size > len(exchange.asked.body):
            raise PeerError(f"its body was not kept whole, only the first {MOST_OF_BODY} bytes")
        body = exchange.asked.content
    first, _, rest = exchange.asked.head.partition(b"\r\n")
    words = first.split(b" ")
    asks = method.encode("ascii") or words[0]
    line = b" ".join((asks, target.encode("ascii") or words[1], b"HTTP/1.1"))
    gone = {one.partition(b":")[0].strip().lower() for one in fields}
    gone |= {b"connection", b"content-length", b"transfer-encoding", b"expect"}
    kept = [one for one in rest.split(b"\r\n") if one and one.partition(b":")[0].lower() not in gone]
    length = [b"Content-Length: %d" % len(body)] if body or asks in (b"POST", b"PUT", b"PATCH") else []
    return b"\r\n".join((line, *kept, *fields, *length, b"Connection: close", b"", b"")) + body


def _unchunked(data: bytes) -> bytes:
    """What is in chunks; the last one may be cut."""
    found, start = bytearray(), 0
    while (end := data.find(b"\r\n", start)) >= 0:
        size = int(data[start:end].partition(b";")[0], 16)  # Body has read them before
        if not size:
            break
        found += data[end + 2 : end + 2 + size]
        start = end + 2 + size + 2
    return bytes(found)
