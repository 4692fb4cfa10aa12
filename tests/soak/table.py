"""The figures of a run, as a table for people: docs/SOAK.md keeps those of the long one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.soak.vitals import slope

if TYPE_CHECKING:
    from tests.soak.run import Soak


def report(soak: Soak, *, processor: float, seconds: float) -> str:
    """All of them."""
    ledger = soak.town.ledger
    errands = sum(count.ok + count.failed for count in ledger.counts.values())
    moved = f"{ledger.received / 1e6:.0f} MB received and {ledger.sent / 1e6:.0f} MB sent"
    columns = "daemon  ", "processes", "quiet moments", "PSS MB", "of its own MB", "descriptors", "sessions", "tasks"
    lines = [
        "",
        f"{seconds:.0f} s, {errands} errands, {moved}, compared; {processor / seconds:.0%} of one processor",
        f"{ledger.unexcused} errands had to succeed, since no fault could hurt them",
        "",
        f"{'traffic':<18}{'ok':>8}{'failed during faults':>24}",
        *(f"{kind:<18}{count.ok:>8}{count.failed:>24}" for kind, count in sorted(ledger.counts.items())),
        "",
        f"{'fault':<18}{'times':>8}{'last failure after healing':>30}",
        *(
            f"{fault:<18}{times:>8}{ledger.longest_recovery[fault]:>28.2f} s"
            for fault, times in sorted(ledger.faults.items())
        ),
        "",
        "{:<8}{:>10}{:>15}{:>16}{:>16}{:>14}{:>11}{:>11}{:>12}".format(*columns, "threads"),
    ]
    for name, moments in soak.moments.items():
        if not moments:
            continue
        processes = len({moment.vitals.pid for moment in moments})
        last = moments[-1].vitals
        of_one = [moment for moment in moments if moment.vitals.pid == last.pid]
        first = of_one[0].vitals
        lines.append(
            f"{name:<8}{processes:>10}{len(moments):>15}{_from_to(first.pss / 1e6, last.pss / 1e6):>16}"
            f"{_from_to(first.memory / 1e6, last.memory / 1e6):>16}{first.descriptors:>7} → {last.descriptors:<4}"
            f"{first.sessions:>4} → {last.sessions:<4}{sum(first.tasks.values()):>4} → {sum(last.tasks.values()):<4}"
            f"{first.threads:>5} → {last.threads:<4}"
        )
        grown = slope([(moment.at, moment.vitals.memory) for moment in of_one[1:]]) * 3600
        if len(of_one) > 5:
            lines.append(f"        its own memory grew by {grown / 1e6:+.2f} MB per hour from the second moment on")
    if soak.complaints:
        lines += ["", f"{len(soak.complaints)} violations:"]
        lines += [f"  ✗ {complaint.splitlines()[0]}" for complaint in soak.complaints[:50]]
    else:
        lines += ["", "no violation"]
    return "\n".join(lines)


def _from_to(first: float, last: float) -> str:
    return f"{first:.1f} → {last:.1f}"
