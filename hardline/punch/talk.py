"""One end of a control stream: messages, as often as there is something to say.

Source: docs/PROTOCOL.md, section 10.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hardline.allowance import Allowance
from hardline.errors import ConnectionLost, PeerError
from hardline.punch.messages import Message, encode, parse
from hardline.session.messages import Lines
from hardline.session.stream import Stream

SAY_WITHIN = 5.0  # seconds
AT_ONCE, PER_SECOND = 64, 2  # lines that the other end may send


class Talk:
    """Over `stream`; whoever breaks a rule has it reset."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._lines = stream, Lines()
        self._said = Allowance(AT_ONCE, PER_SECOND)

    async def say(self, message: Message) -> None:
        """Raises ConnectionLost, TimeoutError where the other end does not read."""
        async with asyncio.timeout(SAY_WITHIN):
            await self._stream.send(encode(message))

    async def next(self) -> Message:
        """The next message that is known here.  Raises PeerError, ConnectionLost.  Safe to cancel."""
        while True:
            if (line := self._lines.next()) is not None:
                if not self._said.take("", asyncio.get_running_loop().time()):
                    raise PeerError("more lines than there is to say")
                if (message := parse(line)) is not None:
                    return message
            elif data := await self._stream.receive():
                self._lines.feed(data)
            else:
                raise ConnectionLost("the control stream ended")

    def when_over(self, tell: Callable[[], object]) -> None:
        """Have `tell` called when the stream is gone, once."""
        if self._stream.gone:
            tell()
        else:
            self._stream.when_gone = tell

    def close(self) -> None:
        """There is nothing more to say."""
        self._stream.abort()
