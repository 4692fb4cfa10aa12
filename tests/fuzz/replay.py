"""Running a target on known inputs, with bounds on time and memory: what `make test` does with the corpus."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.targets import TARGETS, Target
from tests.support.costs import slowness, spent, times_as_long
from tests.support.size import FULL

CORPUS = Path(__file__).parent / "corpus"

MAX_FILE, SHORT = 2048, 128
MOST_SECONDS = 5.0  # of this thread, on a machine of known speed (costs.py); an input takes microseconds
NOTHING = 0.02  # the same: not worth a second look
TIMES = 10.0  # for four times as much: 16 is quadratic
MOST_MEMORY = 32 << 20
LONGEST = 30_000


def corpus(name: str) -> dict[str, bytes]:
    """The kept inputs of a target, by file name."""
    return {file.name: file.read_bytes() for file in sorted((CORPUS / name).iterdir())}


def cuts(data: bytes) -> Iterator[bytes]:
    """Every beginning of `data`, or of a long one some, and all of it."""
    step = 1 if FULL or len(data) <= SHORT else 4
    return (data[:end] for end in (*range(0, len(data), step), len(data)))


def stretched(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """`data` with one of its pieces repeated until it is long, and a quarter of that."""
    start = len(data) // 2
    pieces = (data[start : start + 1], data[start : start + 12])
    for piece in pieces if FULL else pieces[1:]:
        if piece:
            quarter = LONGEST // 4 // len(piece)
            yield data[:start] + piece * (4 * quarter) + data[start:], data[:start] + piece * quarter + data[start:]


def check_corpus(name: str, target: Target | None = None) -> None:
    """Run the target, or another one, on its corpus and every cut of it."""
    for data in corpus(name).values():
        for cut in cuts(data):
            check(target or TARGETS[name], cut)


def check(target: Target, data: bytes) -> float:
    """Run the target; returns what it took.  Raises AssertionError with the input, for a file of the corpus."""
    try:
        took = spent(target, data)
    except Exception as failure:
        raise AssertionError(f"{_shown(data)}: {type(failure).__name__}: {failure}") from failure
    assert took < MOST_SECONDS * slowness(), f"{_shown(data)}: took {took:.1f} s"
    return took


def check_growth(target: Target, long: bytes, quarter: bytes) -> None:
    """Run the target on both: on a long input a parser that is quadratic tells."""
    short, took = check(target, quarter), check(target, long)
    if took > NOTHING * slowness() and took > TIMES * short:
        times = times_as_long(target, quarter, long)
        assert times < TIMES, f"{_shown(long)}: four times as much took {times:.1f} times as long"


def check_memory(target: Target, data: bytes) -> None:
    """Run the target once more and count what it allocates."""
    tracemalloc.start()
    try:
        check(target, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST_MEMORY, f"{_shown(data)}: took {peak >> 20} MB"


def _shown(data: bytes) -> str:
    return repr(data) if len(data) <= MAX_FILE else f"{data[:100]!r}… ({len(data)} bytes)"
