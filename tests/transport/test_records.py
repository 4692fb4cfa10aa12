"""How large records are."""

from __future__ import annotations

import pytest

from hardline.transport.records import SMALL, Records


@pytest.mark.parametrize(
    ("count", "small"),
    [(1, 0), (SMALL, 0), (SMALL + 1, 1), (2 * SMALL, 1), (4 * SMALL, 3), (4 * SMALL + 1, 4), (1_000_000, 4)],
)
def test_the_first_four_are_small_and_something_is_left_for_the_last(count: int, small: int) -> None:
    assert Records().small(count, 0.0) == small


def test_what_comes_in_pieces_counts_together_until_there_is_a_pause() -> None:
    records = Records()
    assert records.small(100, 0.0) == 0
    assert records.small(1_000_000, 0.1) == 4, "a head went before its body"
    assert records.small(1_000_000, 0.2) == 0
    for second in range(10):
        assert records.small(SMALL, 0.3 + 0.4 * second) == 0
    assert records.small(1_000_000, 4.3) == 0, "there was no pause in it"
    assert records.small(1_000_000, 4.9) == 4
