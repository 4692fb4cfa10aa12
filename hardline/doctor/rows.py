"""One row of what `hardline doctor` says, without I/O.

    Row(check, state, sentence, do)      ok · warn · fail · not checked

A sentence can hold what routers, relays and other nodes say of themselves, so every row is made by the functions here:
one line, bounded, with nothing in it that steers a terminal.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from hardline.showable import one_line

MAX_SENTENCE = 400  # characters, of a sentence and of what to do
MAX_NAMED = 5  # of many things that are named in one sentence


class State(enum.StrEnum):
    """What came of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one check, as people read it; `do` is "" where nothing is to be done, `took_s` how long it took.

    `private` are words in it that are for its owner only: titles, names, users.
    """

    check: str
    state: State
    sentence: str
    do: str = ""
    took_s: float | None = None
    private: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Unknown:
    """In place of a fact that could not be found out: the `reason`, and what to do to know it."""

    reason: str
    do: str = ""


def ok(check: str, sentence: str, do: str = "", private: Iterable[str] = ()) -> Row:
    """It works."""
    return _row(check, State.OK, sentence, do, private)


def warn(check: str, sentence: str, do: str = "", private: Iterable[str] = ()) -> Row:
    """It works, with a limit that somebody may mind."""
    return _row(check, State.WARN, sentence, do, private)


def fail(check: str, sentence: str, do: str = "", private: Iterable[str] = ()) -> Row:
    """It does not work."""
    return _row(check, State.FAIL, sentence, do, private)


def not_checked(check: str, why: Unknown) -> Row:
    """Nobody knows."""
    return _row(check, State.NOT_CHECKED, why.reason, why.do, ())


def as_json(row: Row) -> dict[str, object]:
    """As programs get it (docs/DOCTOR.md)."""
    told = asdict(row)
    del told["private"]
    return told


def named(things: list[str] | tuple[str, ...]) -> str:
    """Several things in a sentence, not all of them where they are many: "a, b and 7 more"."""
    first, more = list(things[:MAX_NAMED]), len(things) - MAX_NAMED
    if more > 0:
        return f"{', '.join(first)} and {more} more"
    return " and ".join(filter(None, [", ".join(first[:-1]), *first[-1:]]))


def _row(check: str, state: State, sentence: str, do: str, private: Iterable[str]) -> Row:
    said = one_line(sentence, MAX_SENTENCE), one_line(do, MAX_SENTENCE)
    return Row(check, state, *said, private=tuple(one_line(one, MAX_SENTENCE) for one in private))
