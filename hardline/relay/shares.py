"""How much each pair of a relay may pass in one round, without I/O.

    wants: source ─┬─ pair: bytes     budget of the round ──▶ shared by sources ──▶ each one's share by its pairs
                   └─ pair: bytes

Who wants less than his share gets all of it, and what he leaves is the others' (max-min fairness): fifty pairs of one
source have together what one pair of another has alone.  Source: docs/PROTOCOL.md, section 9.6.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

S = TypeVar("S", bound=Hashable)
P = TypeVar("P", bound=Hashable)


def share(budget: int, wants: Mapping[P, int]) -> dict[P, int]:
    """What each may have of `budget` bytes: never more than it wants, and never less than another that has no more than
    it wants, but for a byte.
    """
    granted, left = dict[P, int](), budget
    by_want = sorted(wants.items(), key=lambda one: one[1])
    for number, (one, want) in enumerate(by_want):
        granted[one] = min(want, max(left, 0) // (len(by_want) - number))
        left -= granted[one]
    return granted


def share_by_source(
    budget: int, wants: Mapping[S, Mapping[P, int]], *, per_source: int, per_pair: int
) -> dict[S, dict[P, int]]:
    """The same by sources first, and by the pairs of each then; no source and no pair gets more than its own limit."""
    capped = {source: {pair: min(want, per_pair) for pair, want in pairs.items()} for source, pairs in wants.items()}
    asked = {source: min(sum(pairs.values()), per_source) for source, pairs in capped.items()}
    return {source: share(granted, capped[source]) for source, granted in share(budget, asked).items()}
