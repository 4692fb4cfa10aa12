"""Two daemons with one certificate: both are found, and what one cannot do any more the other does."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.reach.world import World, is_published, path, settings
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until
from tests.upnp.home import PUBLIC

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "curl", "miniupnpd", "dhtnode"),
]

STRANGERS = 12  # that all of them take the same of two by chance: one in 2048
AT = {"the one": f"{PUBLIC}:7008", "the other": "11.22.33.30:7008"}


def test_strangers_spread_over_both_and_go_on_with_the_one_that_is_left(world: World, tmp_path: Path) -> None:
    world.start_upnpd()
    elsewhere = world.machine("other")
    world.plug(elsewhere, world.internet, 30, six=False)
    with (
        running_origin(world.host, name="the one") as origin,
        running_origin(elsewhere, name="the other", port=origin.port),
    ):
        one = Node(tmp_path / "one", at=world.host, settings=settings(upnp=True))
        one.share("site", origin.port)
        with one:
            label = one.label("site")
            shutil.copytree(one.services, tmp_path / "other" / "services")
            other = Node(tmp_path / "other", at=elsewhere, settings=settings())
            with other:
                for name, node in (("the one", one), ("the other", other)):
                    is_published(node, "site", at=AT[name])
                assert other.label("site") == label
                seen: Counter[str] = Counter()
                for number in range(STRANGERS):
                    stranger = Node(tmp_path / f"stranger{number}", at=world.guest, settings=settings())
                    with stranger:
                        name = curl(stranger.url_of(label), at=world.guest).text.strip().removeprefix("hello from ")
                        assert path(stranger, label) == ("DIRECT", "DHT", AT[name])
                        seen[name] += 1
                print(f"strangers: {dict(seen)}")
                assert seen.keys() == AT.keys()
                with Node(tmp_path / "last", at=world.guest, settings=settings()) as visitor:
                    used = curl(visitor.url_of(label), at=world.guest).text.strip().removeprefix("hello from ")
                    left = next(name for name in AT if name != used)
                    {"the one": one, "the other": other}[used].kill()
                    answer = wait_until(
                        lambda: said if (said := curl(visitor.url_of(label), at=world.guest)).status == 200 else None,
                        "the other served",
                        10,
                    )
                    assert answer.text == f"hello from {left}\n"
                    assert path(visitor, label)[2] == AT[left]
