"""How fast the pairs of a relay may be, kept by not reading: nothing is ever dropped.

    grant(flow, want) ──▶ bytes that it may read now, or 0: it waits ──▶ go(), in a later round

Time is cut into rounds.  As long as all of a round is not used up, whoever asks gets it.  Once somebody has to wait,
everybody does, and each round is shared out by shares.py: by sources first, then by the pairs of each, according to
what has really arrived for them.  Without limits nothing is counted but the volume.
Source: docs/PROTOCOL.md, section 9.6.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass
from typing import Protocol

from hardline.relay.shares import share, share_by_source

ROUND = 0.01  # seconds
_LONGEST = 0.03  # seconds that a round counts at most, however late it is: a loop that was busy must not pass a burst
_AT_ONCE = 64  # flows that have a part in a round: the others have theirs in the next
_LEAST = 2048  # bytes that are worth a read, where more has arrived


class Waiting(Protocol):
    """A direction of a pair, as seen from here."""

    waiting: bool

    def __hash__(self) -> int: ...

    @property
    def source(self) -> str: ...
    @property
    def pair(self) -> object: ...
    @property
    def readable(self) -> int: ...
    def go(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Bytes per second, of both directions together; 0: no limit."""

    total: int = 0
    per_source: int = 0
    per_pair: int = 0


class Rates:
    """Those of one relay; `volume` is all that has passed, in bytes.  Where none is `limited`, whoever passes something
    may add it to that and need not ask."""

    def __init__(self, limits: RateLimits) -> None:
        self.volume = 0
        self._waiting: dict[Waiting, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._clock = asyncio.get_running_loop().time
        self._began, self._round = self._clock(), ROUND
        self._used, self._of_source, self._of_pair = 0, Counter[str](), Counter[object]()
        self._granted: dict[Waiting, int] = {}  # in this round, to those that waited
        self.set_limits(limits)

    def set_limits(self, limits: RateLimits) -> None:
        """From now on these hold."""
        self._limits = limits
        self.limited = bool(limits.total or limits.per_source or limits.per_pair)
        for one in tuple(self._waiting) if not self.limited else ():
            self._release(one)

    def grant(self, flow: Waiting, want: int) -> int:
        """How many bytes `flow` may read now, `want` at most.  After 0 it waits, and `go` is called."""
        if not self.limited:
            return want
        if granted := self._granted.pop(flow, 0):
            return granted
        if self._waiting:
            self._wait(flow)
            return 0
        now = self._clock()
        if now - self._began >= ROUND and not self._granted:  # else they are still to use what this one gave them
            self._next_round(now)
        left = min(want, self._left(flow))
        if left < min(want, _LEAST):
            self._wait(flow)
            return 0
        self._debit(flow, left)
        return left

    def used(self, flow: Waiting, count: int, granted: int = 0) -> None:
        """`count` bytes have passed, of those that were granted."""
        self.volume += count
        if self.limited and count != granted:
            self._debit(flow, count - granted)

    def forget(self, flow: Waiting) -> None:
        """It has ended."""
        self._waiting.pop(flow, None)
        self._granted.pop(flow, None)
        flow.waiting = False

    def close(self) -> None:
        """No more rounds."""
        if self._timer is not None:
            self._timer.cancel()

    def _left(self, flow: Waiting) -> int:
        limits, most = self._limits, 1 << 62
        return min(
            self._allowed(limits.total) - self._used if limits.total else most,
            self._allowed(limits.per_source) - self._of_source[flow.source] if limits.per_source else most,
            self._allowed(limits.per_pair) - self._of_pair[flow.pair] if limits.per_pair else most,
        )

    def _allowed(self, rate: int) -> int:
        """In this round: what has come together since the one before began."""
        return int(rate * self._round) if rate else 1 << 62

    def _debit(self, flow: Waiting, count: int) -> None:
        self._used += count
        self._of_source[flow.source] += count
        self._of_pair[flow.pair] += count

    def _wait(self, flow: Waiting) -> None:
        flow.waiting = True
        self._waiting[flow] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(self._began + ROUND, self._share_out)

    def _release(self, flow: Waiting) -> None:
        self.forget(flow)
        flow.go()

    def _next_round(self, now: float) -> None:
        """What was passed beyond the last one's is taken off this one."""
        self._used = max(0, self._used - self._allowed(self._limits.total))
        self._began, self._round = now, min(now - self._began, _LONGEST)
        self._of_source.clear()
        self._of_pair.clear()

    def _next_in_turn(self, budget: int) -> list[Waiting]:
        """Who has a part in a round: those that wait longest, of each source as many, and not more than can have
        something that is worth a read.
        """
        most = max(1, min(_AT_ONCE, budget // _LEAST))
        if len(self._waiting) <= most:
            return list(self._waiting)
        of_source: dict[str, deque[Waiting]] = {}
        for one in self._waiting:
            of_source.setdefault(one.source, deque()).append(one)
        sources, chosen = deque(of_source.values()), list[Waiting]()
        while sources and len(chosen) < most:
            flows = sources.popleft()
            chosen.append(flows.popleft())
            if flows:
                sources.append(flows)
        return chosen

    def _share_out(self) -> None:
        self._timer = None
        self._next_round(self._clock())
        budget = max(0, self._allowed(self._limits.total) - self._used)
        wants: dict[str, dict[object, int]] = {}
        flows: dict[object, dict[Waiting, int]] = {}
        for one in self._next_in_turn(budget):
            flows.setdefault(one.pair, {})[one] = readable = one.readable
            of_source = wants.setdefault(one.source, {})
            of_source[one.pair] = of_source.get(one.pair, 0) + readable
        per_source, per_pair = self._allowed(self._limits.per_source), self._allowed(self._limits.per_pair)
        shares = share_by_source(budget, wants, per_source=per_source, per_pair=per_pair)
        of_pairs = {pair: granted for pairs in shares.values() for pair, granted in pairs.items()}
        for pair, waiting in flows.items():
            for one, granted in share(of_pairs[pair], waiting).items():
                if granted:
                    self.forget(one)
                    self._debit(one, granted)
                    self._granted[one] = granted
        for one in tuple(self._granted):
            if one in self._granted:  # it may have ended because another did
                one.go()
        if self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(self._began + ROUND, self._share_out)
