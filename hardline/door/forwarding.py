"""What a proxy changes in one request and its answer, without I/O.

    GET http://a.localhost/x    ──▶  GET /x               whose body ends where its head says; then nothing
    Host: whatever                   Host: a.localhost
    Proxy-Connection: keep-alive     Connection: close
    HTTP/1.1 200 OK             ◀──  HTTP/1.1 200 OK      from then on bytes as they come
    Connection: close                Connection: keep-alive

A connection carries one request: who asks a proxy may name another host in the next, and a second head must never
reach the first one's service.  No `Via` is added: servers compress nothing for a request that has one, and this is
no cache that somebody would have to find.  Source: RFC 9112, sections 3.2.2 and 9.6; RFC 9110, section 7.6.1.
"""

from __future__ import annotations

import re

from hardline.http.bodies import Body
from hardline.http.fields import named_by_connection
from hardline.http.head import Head

MAX_ANSWER_HEAD = 65_536

_HOP_BY_HOP = frozenset((b"connection", b"proxy-connection", b"proxy-authorization", b"keep-alive", b"te", b"upgrade"))
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r\n]")
# In answers, which a client reads leniently: lines that end in a bare LF, and those that go on behind a space
# (RFC 9112, sections 2.2 and 5.2).
_END = re.compile(rb"\n\r?\n")
_LINE_END = re.compile(rb"\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")


def origin_request(head: Head, raw: bytes) -> bytes:
    """The head as the service gets it; `raw` is the head as it came."""
    _, *lines = raw.split(b"\r\n")[:-2]
    fields = [(line.partition(b":")[0].lower(), line) for line in lines]
    dropped = _HOP_BY_HOP | _named_by_connection(fields) | {b"host"}
    kept = [line for name, line in fields if name not in dropped]
    first = f"{head.method} {head.target} HTTP/{head.version}".encode("latin-1")
    return b"\r\n".join((first, b"Host: " + head.host.encode("latin-1"), *kept, b"Connection: close", b"", b""))


def body_of(head: Head) -> Body:
    """What finds the end of the request's body: feed it what comes behind the head."""
    return Body(head.content_length or 0, chunked=head.chunked)


class AnswerHead:
    """Tells the client that the connection ends with the answer.

    Feed it what the service sends, and pass on what it returns.  What is no answer of HTTP/1 passes as it came.
    """

    def __init__(self) -> None:
        self._held = b""
        self._over = False

    def take(self, data: bytes) -> bytes:
        """What may be passed on now."""
        if self._over:
            return data
        passed, searched = 0, max(len(self._held) - 2, 0)
        self._held += data
        while found := _END.search(self._held, max(passed, searched)):
            begin, passed = passed, found.end()
            status = _STATUS.match(self._held, begin)
            if status is None or status[1] == b"101" or not status[1].startswith(b"1"):
                head = self._held[begin:passed]
                ready = self._held[:begin] + (head if status is None else _closing(head)) + self._held[passed:]
                self._held, self._over = b"", True
                return ready
        ready, self._held = self._held[:passed], self._held[passed:]
        if len(self._held) > MAX_ANSWER_HEAD or not _could_be_status(self._held):
            return ready + self.rest()
        return ready

    def rest(self) -> bytes:
        """What was held when the service ended in the middle of a head."""
        held, self._held, self._over = self._held, b"", True
        return held


def _could_be_status(data: bytes) -> bool:
    return b"HTTP/1."[: len(data)] == data[:7]


def _closing(head: bytes) -> bytes:
    first, *lines = _LINE_END.split(_FOLD.sub(b" ", head))[:-2]
    fields = [(line.partition(b":")[0].strip().lower(), line) for line in lines]
    dropped = (b"connection", b"proxy-connection", b"keep-alive")
    return b"\r\n".join(
        (first, *(line for name, line in fields if name not in dropped), b"Connection: close", b"", b"")
    )


def _named_by_connection(fields: list[tuple[bytes, bytes]]) -> frozenset[bytes]:
    options = (
        option.strip().lower().decode("latin-1")
        for name, line in fields
        if name == b"connection"
        for option in line.partition(b":")[2].split(b",")
    )
    return frozenset(name.encode("latin-1") for name in named_by_connection(options))
