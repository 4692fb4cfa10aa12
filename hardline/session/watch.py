"""Whether the peer of a session is still there: Liveness with a clock, pings and what the peer's kernel confirms.

    heard, sent, doubt ──▶ Watch ──▶ ping(value): a ping goes out
    answered(value) ─────▶       ──▶ lost(failure): nothing came back

Source: docs/PROTOCOL.md, section 5.3.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from hardline.errors import ConnectionLost
from hardline.native.books import Marks
from hardline.outcome import Outcome
from hardline.session.liveness import Due, Liveness
from hardline.transport.tls import TlsStream

RELAYED_PATIENCE = 60.0  # seconds
HELD_UP = 65_536  # bytes of late, behind which a ping may lie somewhere on its way


class Watch:
    """Of one session over `tls`; `interval` and `timeout` of its pings in seconds.

    Where somebody stands between, whose kernel confirms bytes that the peer has not got, `patience` is how many seconds
    of silence are believed to be a slow way, where much was sent of late.
    `round_trip` is seconds to the peer and back, by the last ping; 0 before the first answer.
    """

    def __init__(
        self,
        tls: TlsStream,
        interval: float,
        timeout: float,
        *,
        patience: float = 0.0,
        ping: Callable[[int], None],
        lost: Callable[[Exception], None],
    ) -> None:
        self._tls, self._send_ping, self._lost = tls, ping, lost
        self._loop = asyncio.get_running_loop()
        self._liveness = Liveness(self._loop.time(), interval, timeout)
        self._alarm: asyncio.TimerHandle | None = None
        self._pinged_at = 0.0
        self._value = 0
        self._acknowledged = 0
        self._patience = patience
        self._since, self._written_then, self._written_before = self._loop.time(), 0, 0  # what was sent of late
        self._ping_ends_at: int | None = None  # in the count of `TlsStream.written`; None until it is written
        self.round_trip = 0.0
        self._measured: Outcome | None = None  # of the ping that is under way, where somebody waits for it

    def start(self) -> None:
        """Ping at once, and from now on when it is time."""
        self._ping()
        self._look()

    def stop(self) -> None:
        """The session is over."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm, self._liveness.alarm_at = None, -math.inf
        self._send_ping = self._lost = _nothing  # or the session would be held by what it holds

    def heard(self) -> None:
        """Bytes arrived."""
        self._liveness.heard(self._loop.time())

    def sent(self, now: float) -> None:
        """Data or credit went out, which the peer answers."""
        self._begin_anew(now)
        if self._liveness.sent(now):
            self.look_sooner()

    def written(self, ends_at: int) -> None:
        """All that was to be sent is written; it ends at `ends_at` in the count of `TlsStream.written`."""
        if self._ping_ends_at is None:
            self._ping_ends_at = ends_at

    @property
    def owes(self) -> bool:
        """The peer should have answered by now."""
        return self._liveness.owes(self._loop.time())

    def doubt(self) -> None:
        """The peer may be gone: ask at once."""
        self._liveness.doubt(self._loop.time())
        self.look_sooner()

    def answered(self, value: int) -> None:
        """A pong with `value` arrived."""
        if value == self._value:
            self.round_trip = self._loop.time() - self._pinged_at
            if self._measured is not None:
                self._measured.settle()
                self._measured = None

    def measure(self) -> Outcome:
        """Ping now, for who wants to know `round_trip`: settled when it is answered, or never."""
        if self._measured is None:
            self._measured = Outcome()
            self._ping()
        return self._measured

    def _ping(self) -> None:
        self._value = (self._value + 1) & 0xFFFFFFFF
        self._pinged_at = self._loop.time()
        self._ping_ends_at = None
        self._send_ping(self._value)

    def _look(self) -> None:
        """Look at the deadline, and set the alarm for the next."""
        self._alarm, self._liveness.alarm_at = None, -math.inf
        now = self._loop.time()
        due = self._liveness.tick(now)
        if due is Due.DEAD:
            if not self._is_getting_through() and not self._is_held_up(now):
                self._lost(ConnectionLost("the other node does not answer"))
                return
            self._liveness.wait_on(now)
        if due is Due.PING:
            self._acknowledged = self._tls.acknowledged or 0
            self._ping()
        self._set_alarm()

    def _is_getting_through(self) -> bool:
        """The ping itself still waits behind data, on a slow link, and the peer's kernel goes on confirming bytes.

        Once the ping is confirmed that proves nothing more: the kernel of a stopped process confirms, too.
        """
        before, self._acknowledged = self._acknowledged, self._tls.acknowledged or 0
        waiting = self._ping_ends_at is None or self._acknowledged < self._ping_ends_at
        return waiting and self._acknowledged > before

    def _begin_anew(self, now: float) -> None:
        """Count what is sent from now on, once for each `patience` seconds."""
        if self._patience and now - self._since >= self._patience:
            written, lately = self._tls.written, now - self._since < 2 * self._patience
            self._written_before = written - self._written_then if lately else 0
            self._since, self._written_then = now, written

    def _is_held_up(self, now: float) -> bool:
        """The ping lies behind data that somebody between keeps for the peer."""
        self._begin_anew(now)
        much = self._tls.written - self._written_then + self._written_before > HELD_UP
        return much and now - self._liveness.heard_at < self._patience

    @property
    def marks(self) -> Marks:
        """When what happened, for others to note it."""
        return self._liveness

    @property
    def patient(self) -> bool:
        """It counts what was sent of late."""
        return self._patience > 0.0

    def look_sooner(self) -> None:
        """The deadline may have come closer."""
        if self._alarm is not None and self._liveness.deadline < self._liveness.alarm_at:
            self._alarm.cancel()
            self._set_alarm()

    def _set_alarm(self) -> None:
        self._liveness.alarm_at = deadline = self._liveness.deadline
        self._alarm = self._loop.call_at(deadline, self._look)


def _nothing(_: object) -> None:
    pass
