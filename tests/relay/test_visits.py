"""How many visits a relay takes of whom."""

from __future__ import annotations

import asyncio

from hardline.relay.limits import RelayLimits
from hardline.relay.visits import Visits
from hardline.transport.sources import source_of

LIMITS = RelayLimits(pairs=100, pairs_per_source=2, new_pairs=100)


def begun(visits: Visits, *addresses: str) -> list[str]:
    """Why those that want to visit are refused."""
    answers = []
    for address in addresses:
        source = source_of(address)
        answers.append(why := visits.why_not("name", source, None))
        if not why:
            visits.began("name", source)
    return answers


def test_a_network_of_many_sources_has_not_as_many_visits() -> None:
    async def story() -> None:
        visits = Visits(LIMITS)
        assert begun(visits, *["203.0.113.9"] * 3) == ["", "", "pairs_per_source"]
        strangers = [f"2001:db8:5:{number:x}::1" for number in range(10)]
        assert begun(visits, *strangers) == [""] * 8 + ["pairs_per_network"] * 2
        assert begun(visits, "2001:db8:6::1", "203.0.113.10") == ["", ""]
        visits.ended("name", source_of(strangers[0]))
        assert begun(visits, strangers[9], strangers[0]) == ["", "pairs_per_network"]
        for address in (*strangers[1:8], strangers[9], "2001:db8:6::1", "203.0.113.10", *["203.0.113.9"] * 2):
            visits.ended("name", source_of(address))
        assert not any((visits._of_name, visits._of_source, visits._of_network))

    asyncio.run(story())
