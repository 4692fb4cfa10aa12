"""What may pass on a browser's kept connection to the one service that it was joined with, without I/O.

    browser ── head, body, head, … ──▶ asked ──▶ the same bytes, as far as they are requests to this service
    service ── answers ──────────────▶ heard ──▶ released: what waited for them

A request for another service never passes, whoever sends it: a browser, or a proxy that keeps connections for many
hosts.  It stops the conversation, which is `over` once everything asked before was answered; `leftover` then begins
with that request, to be routed like a first one.  So does whatever is no request that all parsers read alike
(head.py), however it is cut.  Bytes are looked at and never changed.

After a request that offers an Upgrade nothing passes until its answer has begun: only 101 makes the connection
`opaque`.  Source: RFC 9112, sections 2.2, 6 and 9.3; RFC 9110, section 7.8; docs/decisions/0006-every-request.md.
"""

from __future__ import annotations

from hardline.door.hostname import route_host
from hardline.errors import HardlineError, PeerError
from hardline.http.answers import HEAD, PLAIN, UPGRADE, Answers
from hardline.http.bodies import Body
from hardline.http.head import BadHead, Form, Head, head_end, plain_host, read_head
from hardline.identity import Label

_AT_ONCE = 64  # requests that may wait for their answers; more wait with the browser
_HOSTS = 8  # names of one service on one connection that are known again
_WORTH_KNOWING = 4096  # bytes of a head that is kept to be known again


class Conversation:
    """One connection, from its first request on; `label` is where that one leads.

    Give all that the browser sends to `asked`, all that the service says to `heard`.  `patience` is the seconds that
    a head which has begun may take.
    """

    def __init__(self, label: Label, max_head: int, patience: float) -> None:
        self._label = label
        self._max_head = max_head
        self.patience = patience
        self._answers = Answers()
        self._body: Body | None = None
        self._held: bytes = b""
        self._known = b""
        self._hosts: set[bytes | None] = set()  # that were found to lead there
        self._foreign = False
        self.failure: BadHead | None = None  # what came can be no part of any request

    @property
    def opaque(self) -> bool:
        """It is no HTTP any more: everything passes."""
        return self._answers.switched

    @property
    def stopped(self) -> bool:
        """Nothing more is wanted of the browser before the service has said more, if ever."""
        return self.failure is not None or (bool(self._held) and (self._foreign or self._must_wait))

    @property
    def partial(self) -> bool:
        """A head has begun, and more of it is waited for."""
        return bool(self._held) and not self.stopped

    @property
    def over(self) -> bool:
        """What comes next is not for this service, and all that was asked of it was answered."""
        return self._foreign and self._answers.whole

    @property
    def hopeless(self) -> bool:
        """It cannot go on, and nobody can tell where the answers that are under way will end."""
        astray = self.failure is not None and self._body is not None
        return self.stopped and (self._answers.lost or astray)

    @property
    def astray(self) -> bool:
        """The service says what answers nothing, while the browser waits for another, and would take that for its."""
        return self._foreign and self._answers.surplus

    @property
    def whole(self) -> bool:
        """All that was asked was answered, to the last byte."""
        return self._answers.whole

    @property
    def settled(self) -> bool:
        """Nobody misses anything if it ends now."""
        return self._answers.whole or self.over

    @property
    def unanswered(self) -> bool:
        """Of the answer to the only request that waits nothing came yet."""
        return self._answers.waiting == 1 and not self._answers.begun and not self._answers.lost

    @property
    def leftover(self) -> bytes:
        """What did not pass."""
        return self._held.removeprefix(b"\r\n")

    @property
    def unwatched(self) -> int:
        """How many bytes of the service's nobody has to look at: the middle of a body."""
        return self._answers.unwatched

    def count(self, count: int) -> None:
        """So many of them went to the browser."""
        self._answers.count(count)

    def late(self) -> None:
        """The rest of a head did not come in time: nothing more passes."""
        self._foreign = True
        self.failure = BadHead(408, f"the request's head was not complete within {self.patience:g} s")

    def opened(self, head: Head, data: bytes, size: int) -> bytes | memoryview:
        """As `asked` for what comes first: `data`, whose first `size` bytes were read as `head`, which leads here."""
        self._hosts.add(head.host.encode("latin-1"))
        self._note(head, data, 0, size)
        return data if size == len(data) else self._pass(data, size)

    def asked(self, data: bytes | memoryview) -> bytes | memoryview:
        """What of all that came so far may pass now: `data` itself, or bytes of their own."""
        if self._answers.switched:
            return data
        if self._held:
            return self._pass(self._held + data)
        if (
            self._known
            and self._body is None
            and len(data) == len(self._known)
            and not self._must_wait
            and data == self._known
        ):
            self._answers.asked(PLAIN)
            return data
        return self._pass(data)

    def heard(self, data: bytes | memoryview) -> bool:
        """Take what the service says next.  True: look at the rest again, something may have changed for it."""
        waited = bool(self._held) and self.stopped
        self._answers.heard(data)
        return waited or self._answers.switched

    def released(self) -> bytes:
        """What may pass now of what was held."""
        held, self._held = self._held, b""
        return bytes(self.asked(held))

    @property
    def _must_wait(self) -> bool:
        return not self._answers.decided or self._answers.waiting >= _AT_ONCE

    def _pass(self, data: bytes | memoryview, at: int = 0) -> bytes | memoryview:
        whole, seen = data, len(self._held)
        self._held = b""
        try:
            while at < len(data) and not self._foreign and self.failure is None:
                if self._body is not None:
                    at = self._body.skip(data, at)
                    if self._body.done:
                        self._body = None
                    continue
                if self._must_wait:
                    break
                data = data if isinstance(data, bytes) else bytes(data)
                end = self._take_head(data, at, seen)
                if end < 0:
                    break
                at, seen = end, 0
        except PeerError as wrong:
            self.failure = BadHead(400, wrong.message)
        if at == len(data):
            return whole
        self._held = bytes(data[at:])
        return bytes(data[:at])

    def _take_head(self, data: bytes, at: int, seen: int) -> int:
        """Where the head at `at` ends; -1 when it may not pass.  `seen` bytes of it were looked at before."""
        start = at + 2 if data.startswith(b"\r\n", at) else at  # RFC 9112, 2.2: one blank line before it is none
        if start == len(data) or data[at:] == b"\r":
            return -1
        try:
            end = head_end(data, start, max(start, at + seen - 3), self._max_head)
            if end < 0:
                return -1
            if plain_host(data, start, end) in self._hosts:
                self._answers.asked(PLAIN)
                self._know(data[at:end])
                return end
            head = read_head(data, start, end)
        except BadHead:
            self._foreign = True
            return -1
        if not self._is_ours(head):
            self._foreign = True
            return -1
        self._note(head, data, at, end)
        return end

    def _is_ours(self, head: Head) -> bool:
        if head.form is not Form.ORIGIN:
            return False
        try:
            ours = route_host(head.host) == self._label
        except HardlineError:
            return False
        if ours and len(self._hosts) < _HOSTS:
            self._hosts.add(head.host.encode("latin-1"))
        return ours

    def _note(self, head: Head, data: bytes, at: int, end: int) -> None:
        kind = HEAD if head.method == "HEAD" else UPGRADE if head.upgrades else PLAIN
        self._answers.asked(kind)
        body = Body(head.content_length or 0, chunked=head.chunked)
        if not body.done:
            self._body = body
        elif kind is PLAIN:
            self._know(data[at:end])

    def _know(self, head: bytes) -> None:
        if len(head) <= _WORTH_KNOWING:
            self._known = head
