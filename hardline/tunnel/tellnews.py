"""A host's visitors hear what its hello would say otherwise by now: where it is, by which relays, how its service is
called.

    changed ─ soon, many as one ─▶ a round: each guest, what is another than he was told ─▶ his control stream

A guest who does not read is told nothing more until he has; who may not visit any more hears nothing.
Source: docs/PROTOCOL.md, section 10.5.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterable

from hardline.errors import HardlineError
from hardline.identity import KeyHash
from hardline.session.hello import HostHello
from hardline.session.news import News, encode_revoked
from hardline.tasks import TaskSet
from hardline.tunnel.guests import Guest

SETTLE = 0.1  # seconds from a change to the round that tells it
# Seconds from one that said something to the next: a visitor takes two lines a second, and news may be three.
EVERY = 2.0
_IN_A_TURN = 64  # guests in one turn of the event loop


class NewsTeller:
    """That of a host.

    `hello` is what the host of a service would say now, `may_hear` whether somebody would be let in now as he was.
    """

    def __init__(
        self, guests: Iterable[Guest], hello: Callable[[KeyHash], HostHello], may_hear: Callable[[Guest], bool]
    ) -> None:
        self._guests, self._hello, self._may_hear = guests, hello, may_hear
        self._tasks = TaskSet("news")
        self._due: asyncio.TimerHandle | None = None
        self._telling = self._again = self._over = False
        self._last = -EVERY
        self.changes = 0

    def changed(self) -> None:
        """The hello of some service may be another."""
        self.changes += 1
        if self._telling:
            self._again = True
        elif self._due is None and not self._over:
            loop = asyncio.get_running_loop()
            self._due = loop.call_at(max(loop.time() + SETTLE, self._last + EVERY), self._begin)

    def tell(self, guests: Iterable[Guest]) -> None:
        """Tell them now what they have not heard, if there is anything."""
        hello = functools.cache(self._hello)
        for guest in guests:
            self._tell(guest, hello)

    def revoke(self, guest: Guest) -> None:
        """Tell him that he may visit no more, before his session is ended."""
        if guest.control is not None:
            with contextlib.suppress(HardlineError):
                guest.control.say(encode_revoked())

    def stop(self) -> None:
        """The host ends: what is lost meanwhile is no news."""
        self._over = True
        if self._due is not None:
            self._due.cancel()
            self._due = None

    async def aclose(self) -> None:
        """Tell nobody anything any more."""
        self.stop()
        await self._tasks.aclose()

    def _begin(self) -> None:
        self._due, self._telling, self._again = None, True, False
        self._tasks.start(self._round(), "round")

    async def _round(self) -> None:
        hello = functools.cache(self._hello)  # the same for all guests of a service
        try:
            for number, guest in enumerate(self._guests, start=1):
                self._tell(guest, hello)
                if not number % _IN_A_TURN:
                    await asyncio.sleep(0)
        finally:
            self._telling = False
            if self._again:
                self.changed()

    def _tell(self, guest: Guest, hello: Callable[[KeyHash], HostHello]) -> None:
        control, told = guest.control, guest.told
        if control is None or told is None or control.failure is not None or not self._may_hear(guest):
            return
        if control.is_behind:
            control.when_drained(self.changed)
            return
        now = hello(guest.key_hash)
        if (news := News.between(told, now)) is not None:
            guest.told = now
            with contextlib.suppress(HardlineError):
                control.say(news.encode())
            self._last = asyncio.get_running_loop().time()
