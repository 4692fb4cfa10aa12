"""A visit by a session that is there already: begun in the callback that brought the request's head, without a task.

    browser ── a whole head ──▶ begin ─┬─ warm ─▶ Joint ──▶ answered ──▶ done
                                       └─ else: False, and nothing was done: carrier.py takes its time

Most connections begin and end in here.  What is rare is its owner's: a service that was not reached, a session that
turned out dead, a browser that has more to say when the visit is over.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from hardline.deadlines import Deadlines
from hardline.door.conversation import Conversation
from hardline.door.hostname import route_host
from hardline.door.ownuser import OwnUser
from hardline.errors import ConnectionLost, HardlineError
from hardline.http.head import Form, Head, HeadReader
from hardline.identity import Label
from hardline.session.joint import Joint
from hardline.session.stream import Stream
from hardline.transport.tcp import TcpStream
from hardline.tunnel.visit import Visit
from hardline.tunnel.visitor import Visitor


class WarmVisit:
    """One of them.  `again` is what may be said once more where nothing was answered; b"" where that may not be."""

    __slots__ = ("again", "browser", "head", "is_answered", "joint", "label", "moved", "talk", "visit")

    def __init__(
        self, browser: TcpStream, head: Head, label: Label, again: bytes, visit: Visit, talk: Conversation, joint: Joint
    ) -> None:
        self.browser, self.head, self.label = browser, head, label
        self.again, self.visit, self.talk, self.joint = again, visit, talk, joint
        self.is_answered = False
        self.moved = -1  # bytes, when it was looked at last


class WarmVisits:
    """All of a door.

    `failed` is told of one whose service was not reached, and why: TimeoutError after `answer_timeout` seconds.  The
    browser's socket is free again, and has got nothing.  `over` is told of one that ended while that socket goes on,
    and whether the service ended in order.  Nobody is told of one that ended with its socket.  `users` says whose
    programs are led where at once.
    """

    def __init__(
        self,
        visitor: Visitor,
        *,
        max_head: int,
        patience: float,
        answer_timeout: float,
        idle_timeout: float | None,
        failed: Callable[[WarmVisit, Exception], object],
        over: Callable[[WarmVisit, bool], object],
        users: OwnUser,
    ) -> None:
        self._visitor, self._users = visitor, users
        self._max_head, self._patience = max_head, patience
        self._idle_timeout = idle_timeout
        self._failed, self._over = failed, over
        self._visits: set[WarmVisit] = set()
        self._unanswered = Deadlines[WarmVisit](answer_timeout, self._is_not_answered)
        self._idle = Deadlines[WarmVisit](idle_timeout, self._look_if_idle)

    def __len__(self) -> int:
        return len(self._visits)

    def begin(self, browser: TcpStream) -> bool:
        """Join `browser`, which has said something, with the service that it names."""
        said, reader = browser.heard, HeadReader(self._max_head)
        try:
            head = reader.feed(said) if said else None
            label = route_host(head.host) if head is not None else None
        except HardlineError:
            return False
        if head is None or label is None or head.form is not Form.ORIGIN:
            return False
        if not self._users.admits_at_once(browser, label):
            return False
        talk = Conversation(label, self._max_head, self._patience)
        first = bytes(talk.opened(head, said, reader.size))
        visit = self._visitor.visit_at_once(label, first)
        if visit is None or not isinstance(visit.pipe, Stream):
            return False
        browser.forget_heard()
        joint = Joint(visit.pipe, browser, visit.read_status, talk, gives_back=True)
        again = head.repeatable and len(first) <= reader.size  # what follows it may be of another method
        one = WarmVisit(browser, head, label, said if again else b"", visit, talk, joint)
        self._visits.add(one)
        self._unanswered.add(one)
        joint.answered.then(functools.partial(self._is_answered, one))
        joint.done.then(functools.partial(self._is_done, one))
        return True

    def abort(self, failure: Exception) -> None:
        """Cut them all: it is the end."""
        self._failed = self._over = _close
        for one in list(self._visits):
            one.joint.abort(failure)
        self._unanswered.close()
        self._idle.close()

    def _is_answered(self, one: WarmVisit, failure: Exception | None) -> None:
        self._unanswered.discard(one)
        if failure is None:
            one.is_answered, one.again = True, b""
            one.visit.record.status = "ok"
            self._idle.add(one)
            return
        one.visit.failed(failure)
        self._visits.discard(one)
        if not one.joint.untouched:
            one.again = b""
        self._failed(one, failure)

    def _is_done(self, one: WarmVisit, failure: Exception | None) -> None:
        if not one.is_answered:
            return
        self._visits.discard(one)
        self._idle.discard(one)
        if failure is not None and not one.talk.settled:
            one.visit.was_cut(failure)
        if one.joint.returned:
            self._over(one, one.joint.peer_ended)

    def _is_not_answered(self, one: WarmVisit) -> None:
        one.joint.abort(TimeoutError())

    def _look_if_idle(self, one: WarmVisit) -> None:
        if one.joint.moved == one.moved:
            one.joint.abort(ConnectionLost(f"idle for {self._idle_timeout:g} s"))
        else:
            one.moved = one.joint.moved
            self._idle.add(one)


def _close(one: WarmVisit, _: object) -> None:
    one.browser.close()
