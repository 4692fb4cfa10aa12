"""What happened, and what of it was a fault's doing: the judge of every errand.  Without I/O.

    fault       begins ────────── healed ──── healed + recovery
    errand            began … alive ✗ ended                        excused: it broke after the fault had begun, and
                                                                   nothing was heard of it after the recovery's end
    errand                                      began … ✗ ended    a violation

A wrong byte, a hang, and a short body that was told as the whole are never excused (but for the last one when the
service itself died: its kernel ends the connection in order, and nobody can know).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

DOOR = ""  # the "service" of an errand that asks the door itself


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an errand ended; times in seconds of one clock that all machines share."""

    visitor: str
    kind: str
    service: str
    began: float
    alive: float  # when something was last heard
    ended: float
    outcome: str  # ok, failed, short, wrong, hung
    what: str = ""
    sent: int = 0
    received: int = 0


@dataclass(slots=True, eq=False)
class Window:
    """A fault: whom it may hurt, and until when.

    `ends_in_order`: what it cuts may look whole.  One that `delays` hurts nobody by itself, but while it lasts the
    recovery from others takes so many seconds more.
    """

    fault: str
    visitors: frozenset[str]
    services: frozenset[str]
    recovery: float
    begins: float
    healed: float | None = None
    ends_in_order: bool = False
    delays: float = 0.0
    detail: str = ""

    def touches(self, outcome: Outcome, after: float) -> bool:
        """Whether `outcome` concerns whom this fault does, and ended during it or broke until `after` its healing."""
        return (
            outcome.visitor in self.visitors
            and outcome.service in self.services
            and outcome.ended >= self.begins
            and (self.healed is None or outcome.alive <= self.healed + after)
        )


@dataclass(slots=True)
class Count:
    """Of one kind of traffic."""

    ok: int = 0
    failed: int = 0


@dataclass
class Ledger:
    """Every errand and every fault of a run."""

    counts: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    faults: Counter[str] = field(default_factory=Counter)
    longest_recovery: dict[str, float] = field(default_factory=dict)
    received: int = 0
    sent: int = 0
    unexcused: int = 0  # errands that no fault would have excused: they had to succeed
    violations: int = 0
    _windows: list[Window] = field(default_factory=list)
    _succeeded: Counter[tuple[str, str]] = field(default_factory=Counter)

    def begin(
        self,
        fault: str,
        now: float,
        *,
        visitors: Iterable[str] = (),
        services: Iterable[str] = (),
        recovery: float = 0.0,
        ends_in_order: bool = False,
        delays: float = 0.0,
        detail: str = "",
    ) -> Window:
        """A fault is about to begin: call this before it does."""
        window = Window(
            fault,
            frozenset(visitors),
            frozenset(services),
            recovery,
            now,
            ends_in_order=ends_in_order,
            delays=delays,
            detail=detail,
        )
        self.faults[fault] += 1
        self.longest_recovery.setdefault(fault, 0.0)
        self._windows.append(window)
        return window

    def judge(self, outcome: Outcome) -> str | None:
        """Count it; returns what is wrong with it, or None."""
        self.received += outcome.received
        self.sent += outcome.sent
        excuses = self._excuses(outcome)
        self.unexcused += not excuses
        if outcome.outcome == "ok":
            self.counts[outcome.kind].ok += 1
            self._succeeded[outcome.visitor, outcome.service] += 1
            return None
        self.counts[outcome.kind].failed += 1
        if outcome.outcome == "short":
            excuses = [window for window in excuses if window.ends_in_order]
        if outcome.outcome not in ("failed", "short") or not excuses:
            self.violations += 1
            return outcome.outcome if excuses else f"{outcome.outcome}, and no fault excuses it"
        self._note_recovery(outcome, excuses)
        return None

    def recent(self, now: float, within: float = 60.0) -> list[Window]:
        """The faults of the last seconds: for whoever looks for the cause of a violation."""
        return [window for window in self._windows if window.healed is None or window.healed > now - within]

    def never_succeeded(self, visitors: Iterable[str], services: Iterable[str]) -> list[tuple[str, str]]:
        """The pairs between which nothing ever worked: a soak that proves nothing of them."""
        return [
            (visitor, service) for visitor in visitors for service in services if not self._succeeded[visitor, service]
        ]

    def _excuses(self, outcome: Outcome) -> list[Window]:
        delays = (window.delays for window in self._windows if window.delays and window.touches(outcome, 0.0))
        more = max(delays, default=0.0)
        return [w for w in self._windows if not w.delays and w.touches(outcome, w.recovery + more)]

    def _note_recovery(self, outcome: Outcome, excuses: list[Window]) -> None:
        """How long after the healing errands still failed, where it is sure which fault's doing that was."""
        if len(excuses) == 1 and (healed := excuses[0].healed) is not None and outcome.began >= healed:
            fault = excuses[0].fault
            self.longest_recovery[fault] = max(self.longest_recovery[fault], outcome.ended - healed)
