"""A connection to a service that goes by a name of its own, without I/O: its heads are changed, all else is not.

    visitor ── head, body, head, … ──▶ asked ──▶ heads as virtualhost.py makes them ──▶ service
    visitor ◀── answers ◀── heard ◀── answers, each with the request that it belongs to ◀── service

Every head is found to the letter of the grammar (head.py, bodies.py), or the connection ends there: `failure`.  After a
request that offers an Upgrade nothing passes until its answer has begun; behind 101 bytes are not looked at.
Answers that nobody can follow go on as they come, and nothing is asked behind them.

Source: RFC 9112, sections 2.2, 6 and 9.3; RFC 9110, section 7.8.
"""

from __future__ import annotations

import math
import re
from typing import Protocol

from hardline.errors import HardlineError, PeerError
from hardline.http.answers import HEAD, PLAIN, UPGRADE, Answers
from hardline.http.bodies import Body
from hardline.http.head import BadHead, Head, head_end, read_head
from hardline.http.virtualhost import Asked

MAX_HEAD = 65_536  # bytes; as many streams as a source may have can each hold one that never ends

_AT_ONCE = 64  # requests that may wait for their answers
_MAX_ANSWER_HEAD = 65_536
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class Undecided(HardlineError):
    """Nobody knows yet whether a head may pass, and what of it."""


class Heads(Protocol):
    """What changes heads: virtualhost.VirtualHost, or who may refuse them, too."""

    def request(self, head: Head, raw: bytes, client: str) -> tuple[bytes, Asked]:
        """As VirtualHost.request; also raises Undecided, and is called again."""
        ...

    def answer(self, raw: bytes, asked: Asked) -> bytes:
        """As VirtualHost.answer."""
        ...


class Rewriting:
    """One connection of a visitor's, to a service by `host`; `client` as VirtualHost.request has it.

    While it is `undecided`, `host` wants to find something out before `asked` is called again, with nothing.
    """

    def __init__(self, host: Heads, client: str) -> None:
        self._host, self._client = host, client
        self._answers = Answers(math.inf)  # an answer that is lost takes the names of those behind it with it
        self._asked: list[Asked] = []  # of those that wait for an answer
        self._body: Body | None = None
        self._held = b""  # of requests
        self._searched = 0  # bytes of that, in which no head ends
        self._head = b""  # of an answer
        self.failure: BadHead | None = None
        self.undecided = False

    @property
    def waits(self) -> bool:
        """Nothing more can pass before the service has said more."""
        answers = self._answers
        return not (answers.switched or answers.lost) and (not answers.decided or answers.waiting >= _AT_ONCE)

    @property
    def switched(self) -> bool:
        """The connection speaks something else than HTTP now."""
        return self._answers.switched

    @property
    def whole(self) -> bool:
        """All that passed was answered, to the last byte."""
        return self._answers.whole and not self._head

    @property
    def untold(self) -> bool:
        """Of an answer to what broke off nothing came, and nothing else is waited for."""
        only = self._body is not None and self._answers.waiting == 1
        return only and not (self._answers.begun or self._answers.lost or self._head)

    def asked(self, data: bytes) -> bytes:
        """What of all that came so far may pass now; with `failure`, nothing ever passes behind it."""
        if self._answers.switched:
            held, self._held = self._held, b""
            return held + data
        data, seen, at, passed = self._held + data, self._searched, 0, list[bytes]()
        self._searched, self.undecided = 0, False
        try:
            while at < len(data) and self.failure is None:
                if self._body is not None:
                    end = self._body.skip(data, at)
                    if self._body.done:
                        self._body = None
                elif self.waits:
                    break
                elif self._answers.lost:  # whatever is asked now, its answer could not be told from that one
                    self.failure = BadHead(400, "the answer to what was asked before has no end that is known")
                    break
                elif (end := self._take_head(data, at, seen, passed)) < 0:
                    self._searched = len(data) - at
                    break
                else:
                    at, seen = end, 0
                    continue
                passed.append(data[at:end])
                at = end
        except Undecided:
            self.undecided = True
        except BadHead as bad:
            self.failure = bad
        except PeerError as wrong:
            self.failure = BadHead(400, wrong.message)
        self._held = data[at:] if self.failure is None else b""
        return b"".join(passed)

    def heard(self, data: bytes) -> bytes:
        """What the visitor gets of it now."""
        data, self._head = self._head + data, b""
        passed, at = list[bytes](), 0
        answers = self._answers
        while at < len(data):
            if answers.lost or answers.switched:
                end = len(data)
            elif answers.begun:
                end = answers.body(data, at)
            elif answers.waiting and (end := _answer_end(data, at)) < 0:
                self._head = data[at:]
                break
            elif answers.waiting and end:
                head, asked = data[at:end], self._asked[-answers.waiting]
                answers.heard(head)
                passed.append(self._host.answer(head, asked))
                at = end
                continue
            else:
                end = len(data)
                answers.heard(data[at:])  # what answers nothing, or is no answer
            passed.append(data[at:end])
            at = end
        if not answers.lost:
            del self._asked[: len(self._asked) - answers.waiting]
        return b"".join(passed)

    def rest(self) -> bytes:
        """What was held when the service ended in the middle of a head."""
        held, self._head = self._head, b""
        return held

    def _take_head(self, data: bytes, at: int, seen: int, passed: list[bytes]) -> int:
        start = at + 2 if data.startswith(b"\r\n", at) else at  # RFC 9112, 2.2: one blank line before it is none
        if start == len(data) or data[at:] == b"\r":
            return -1
        end = head_end(data, start, max(start, at + seen - 3), MAX_HEAD)
        if end < 0:
            return -1
        head = read_head(data, start, end)
        changed, asked = self._host.request(head, data[start:end], self._client)
        passed.append(changed)
        self._asked.append(asked)
        self._answers.asked(HEAD if head.method == "HEAD" else UPGRADE if head.upgrades else PLAIN)
        body = Body(head.content_length or 0, chunked=head.chunked)
        self._body = None if body.done else body
        return end


def _answer_end(data: bytes, at: int) -> int:
    """Where a head ends; -1 while it may still, 0 for what is none that is followed."""
    if data[at : at + 7] != b"HTTP/1."[: len(data) - at]:
        return 0
    end = data.find(b"\r\n\r\n", at) + 4
    line = _BARE_LINE_FEED.search(data, at, end if end > 3 else len(data))
    if line is not None or (end if end > 3 else len(data)) - at > _MAX_ANSWER_HEAD:
        return 0
    return end if end > 3 else -1
