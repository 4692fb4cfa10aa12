"""What lies in a directory that a store takes over."""

from __future__ import annotations

import random

from hardline.cache.kept.inventory import ByUse, Group


def test_whatever_their_number_bases_come_in_the_order_of_their_last_use():
    found, used = ByUse(), list(range(5000))
    random.Random(1).shuffle(used)
    for number in used:
        found.add(f"/{number}", Group(size=number + 1, used=float(number)))
    assert list(found.sorted()) == [(f"/{number}", number + 1) for number in range(5000)]
