"""docs/SEEDS.md and docs/ACCEPTANCE.md name tests that are there, and each row has one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parent.parent


def rows_of(document: str) -> list[str]:
    return [line for line in (ROOT / "docs" / document).read_text().splitlines() if re.match(r"\| [0-9]", line)]


ROWS = [*rows_of("SEEDS.md"), *rows_of("ACCEPTANCE.md")]
LAST, NO_CHECK = 71, {57}  # which is a figure, in docs/BENCH.md
LAST_OF_PEOPLE = 26


@cache
def functions_of(file: str) -> frozenset[str]:
    body = ast.parse((ROOT / file).read_text()).body
    return frozenset(one.name for one in body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))


def named_in(row: str) -> list[tuple[str, str]]:
    """(file, test) of each; the test is empty where the whole file is meant."""
    found, file = list[tuple[str, str]](), ""
    for named, test in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", row):
        file = named or file
        found.append((file, test))
    return [one for one in found if one[0]]


@pytest.mark.parametrize("row", ROWS, ids=[" ".join(row.split("|")[1:3])[:30].strip() for row in ROWS])
def test_the_tests_of_a_row_are_there(row: str) -> None:
    named = named_in(row)
    assert named or "the same" in row
    for file, test in named:
        assert (ROOT / file).is_file(), file
        assert not test or test in functions_of(file), f"{file}::{test}"


def test_no_row_is_left_out() -> None:
    assert [int(row.split("|")[1]) for row in rows_of("ACCEPTANCE.md")] == list(range(1, LAST_OF_PEOPLE + 1))
    numbers = set[int]()
    for row in rows_of("SEEDS.md"):
        for first, last in re.findall(r"(\d+)(?:–(\d+))?", row.split("|")[1]):
            numbers |= set(range(int(first), int(last or first) + 1))
    assert set(range(1, LAST + 1)) - numbers == NO_CHECK
