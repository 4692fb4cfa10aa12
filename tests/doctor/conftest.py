"""A home with everything that the doctor looks at: one for all tests of a module, healthy between them.

host, neighbour ── home's LAN ── router, miniupnpd ── internet ─┬─ dht
                                                                └─ relay
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.reach.test_relayed import is_told, relay_in
from tests.reach.world import World, settings
from tests.support.node import Node
from tests.support.programs import RunningOrigin, running_origin
from tests.upnp.home import PUBLIC

# What is warned of in every laboratory: no DNS server, and no backup.
AS_IN_THE_LAB = {"resolver", "keys"}
MAPPED = f"{PUBLIC}:7008"


@dataclass(frozen=True)
class Examined:
    """What `hardline doctor --json` said."""

    code: int
    rows: list[dict[str, Any]]

    def of(self, state: str) -> list[str]:
        """The checks whose rows are in a state."""
        others = AS_IN_THE_LAB if state == "warn" else set()
        return [row["check"] for row in self.rows if row["state"] == state and row["check"] not in others]

    def row(self, check: str) -> dict[str, Any]:
        """The only one of a check."""
        [found] = [row for row in self.rows if row["check"] == check]
        return found

    @property
    def took(self) -> float:
        return max(row["took_s"] for row in self.rows)


def examined(node: Node, *arguments: str) -> Examined:
    """Have a node examined, on its machine."""
    done = node.hardline("doctor", "--json", *arguments)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert told["code"] == done.returncode
    assert "of another version" not in done.stdout  # nothing was looked for that is not there
    return Examined(done.returncode, told["rows"])


@dataclass
class Street:
    """The home, and what is around it."""

    world: World
    host: Node
    neighbour: Node
    relay: Node
    origin: RunningOrigin
    directory: Path
    use: str

    def settings(self, more: str = "") -> str:
        return settings(upnp=True, more=f"{self.use}{more}")

    def another(self, name: str, **given: Any) -> Node:
        """A host with a memory of its own, in place of `host`, which must not run."""
        return Node(self.directory / name, at=self.world.host, **given)

    def nft(self, box: Any, rules: str) -> None:
        box.run(["nft", "-f", "-"], rules)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    directory = tmp_path_factory.mktemp("street")
    with World() as world, relay_in(world, directory / "relay") as (box, relay, line):
        # By dialling a neighbour a relay would prove nothing.
        box.ip(f"route replace {PUBLIC} via {PUBLIC} dev eth0 onlink")
        world.start_upnpd()
        use = f"[Relay]\nuse = {line}\n"
        with running_origin(world.host) as origin:
            host = Node(directory / "host", at=world.host, settings=settings(upnp=True, more=use))
            neighbour = Node(directory / "near", at=world.neighbour, settings=settings(dht=False))
            neighbour.share("radio", 9, title="Radio")
            host.share("site", origin.port, title="The site")
            with host, neighbour:
                is_told(host)
                yield Street(world, host, neighbour, relay, origin, directory, use)


def isolate(street: Street, *, on: bool) -> None:
    """Have the access point keep its devices apart."""
    for box in (street.world.host, street.world.neighbour):
        port = f"to{box.namespace.rpartition('-')[2]}"
        subprocess.run(
            street.world.router.wrap(["bridge", "link", "set", "dev", port, "isolated", "on" if on else "off"]),
            check=True,
            capture_output=True,
        )
