"""Which side failed, by what became of the attempts to reach a host: one sentence and one step; without I/O.

    connection refused          its computer is on, and hardline does not run there
    wrong certificate           another computer has its address now
    no answer, no route         off, asleep, or another network
    network is unreachable      this computer itself has no network
    no attempt at all           nobody knows where it is

Of several attempts the one counts that tells most.  For pages of this node itself, its commands and its log: where
somebody was tried, and what answered there, is nobody else's business (docs/SECURITY.md).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hardline.addresses import Kind, kind_of
from hardline.routes import Attempt, PathKind


class Side(enum.Enum):
    """Where the fault lies."""

    HERE = "this computer"
    THERE = "the other computer"
    BETWEEN = "the way there"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`sentence` is what failed, `step` what to do about it; lower case, no full stop."""

    side: Side
    sentence: str
    step: str


_REFUSED = ("connection refused",)
_WRONG = ("wrong certificate",)
_CUT_OFF = ("network is unreachable", "network is down")
_SILENT = ("no answer", "no route to host", "host is down", "connection timed out", "broken off")
_NEAR = (Kind.PRIVATE, Kind.LINK_LOCAL, Kind.LOOPBACK, Kind.CARRIER)

_NOWHERE = Verdict(
    Side.UNKNOWN,
    "nobody on this network has it, and no other way to it is known",
    "switch its computer on, and look that both are on the same network",
)


def judge(attempts: Sequence[Attempt]) -> Verdict:
    """What the attempts of one visit that reached nobody say together."""
    for failures, say in _BY_WHAT_THEY_TELL:
        for attempt in attempts:
            if attempt.failure.startswith(failures):
                return say(attempt)
    if attempts:
        last = attempts[-1]
        return Verdict(Side.BETWEEN, f"{last.candidate.endpoint} does not work: {last.failure}", _NOWHERE.step)
    return _NOWHERE


def _refused(attempt: Attempt) -> Verdict:
    if attempt.candidate.kind is PathKind.RELAYED:
        return Verdict(
            Side.BETWEEN,
            f"the relay {attempt.candidate.endpoint} does not run",
            "wait, or ask whoever runs the relay",
        )
    address = attempt.candidate.endpoint.address
    if address is not None and kind_of(address) not in _NEAR:
        return Verdict(
            Side.THERE,
            f"something at {attempt.candidate.endpoint.host} answers, but hardline is not reached there",
            "start hardlined there, and look at its port and router: hardline status",
        )
    return Verdict(
        Side.THERE,
        f"the computer {attempt.candidate.endpoint.host} is on, but hardline does not run there",
        "start hardlined there",
    )


def _wrong(attempt: Attempt) -> Verdict:
    return Verdict(
        Side.THERE,
        f"another computer answers at {attempt.candidate.endpoint.host}",
        "look where the right one is now: its address may be another computer's",
    )


def _cut_off(attempt: Attempt) -> Verdict:
    return Verdict(Side.HERE, "this computer has no network", "connect it to a network")


def _silent(attempt: Attempt) -> Verdict:
    if attempt.candidate.kind is PathKind.RELAYED:
        where = f"the relay {attempt.candidate.endpoint}"
        return Verdict(Side.BETWEEN, f"{where} does not answer", "wait, or ask whoever runs the relay")
    return Verdict(
        Side.THERE,
        f"{attempt.candidate.endpoint.host} does not answer: off, asleep, or in another network",
        "switch it on or wake it, and look that both are on the same network",
    )


_BY_WHAT_THEY_TELL: tuple[tuple[tuple[str, ...], Callable[[Attempt], Verdict]], ...] = (
    (_REFUSED, _refused),
    (_WRONG, _wrong),
    (_SILENT, _silent),
    (_CUT_OFF, _cut_off),
)
