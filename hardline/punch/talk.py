"""What is said of punching on a control stream: messages, as often as there is something to say.

Source: docs/PROTOCOL.md, section 10.1.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from functools import partial

from hardline.errors import ConnectionLost, HardlineError, PeerError, afresh
from hardline.punch.messages import KINDS, Message, Punch, Stop, Why, encode, understand
from hardline.session.controlstream import ControlStream

SAY_WITHIN = 5.0  # seconds
MOST_UNREAD = 128  # messages: as many as may come while one waits for its next try


class Talk:
    """One end of it; whoever breaks a rule has the stream reset."""

    def __init__(self, control: ControlStream) -> None:
        self._control = control
        self._heard = deque[Message]()
        self._news = asyncio.Event()
        for kind in KINDS:
            control.hear(kind, partial(self._hear, kind))
        control.when_over(self._news.set)

    async def say(self, message: Message) -> None:
        """Raises ConnectionLost, LimitReached, TimeoutError where the other end does not read."""
        self._control.say(encode(message))
        async with asyncio.timeout(SAY_WITHIN):
            await self._control.drained()

    async def next(self) -> Message:
        """The next message.  Raises PeerError, ConnectionLost.  Safe to cancel."""
        while not self._heard:
            if self._control.failure is not None:
                raise afresh(self._control.failure)
            self._news.clear()
            await self._news.wait()
        return self._heard.popleft()

    def when_over(self, tell: Callable[[], object]) -> None:
        """Have `tell` called when the stream is gone, once."""
        self._control.when_over(tell)

    def leave(self) -> None:
        """Take part in no more tries; what else is said on the stream goes on."""
        self._heard.clear()
        for kind in KINDS:
            self._control.hear(kind, partial(self._decline, kind))

    def close(self) -> None:
        """The other end breaks the rules: there is nothing more to say, of anything."""
        self._control.close(ConnectionLost("punching is over"))

    def _hear(self, kind: str, value: object) -> None:
        message = understand(kind, value)
        if len(self._heard) >= MOST_UNREAD:
            raise PeerError("more messages than anybody waits for")
        self._heard.append(message)
        self._news.set()

    def _decline(self, kind: str, value: object) -> None:
        """A host that begins another try need not wait for an answer."""
        message = understand(kind, value)
        if isinstance(message, Punch) and message.name:
            with contextlib.suppress(HardlineError):
                self._control.say(encode(Stop(message.number, Why.OFF)))
