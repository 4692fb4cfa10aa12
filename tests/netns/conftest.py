"""Two machines on one LAN: one hosts, one visits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.netns.lab import Lab, Machine
from tests.support.node import Node
from tests.support.programs import Answer, Download, RunningOrigin, curl, running_origin
from tests.support.waiting import wait_until

COLD = 0.15  # seconds to the first byte, on a quiet machine
WARM_TIMES = 20
FIRST_VISITS = 6


@dataclass(frozen=True, slots=True)
class Lan:
    """`host` shares the origin of its machine as "site"; `visitor` knows nothing."""

    lab: Lab
    host_machine: Machine
    visitor_machine: Machine
    host: Node
    visitor: Node
    origin: RunningOrigin
    label: str
    directory: Path

    def url(self, path: str = "") -> str:
        """The site at the visitor's door."""
        return self.visitor.url_of(self.label, path)

    def curl(self, path: str = "", *options: str | Path, limit: float = 60) -> Answer:
        """The visitor's person fetches a path of the site."""
        return curl(self.url(path), *options, at=self.visitor_machine, limit=limit)

    def download(self, path: str, to: Path, *options: str, limit: float = 300) -> Download:
        return Download(self.url(path), to, *options, at=self.visitor_machine, limit=limit)

    def waited_for_nothing(self, cold: Answer, hears: str = "") -> None:
        """A first visit took as long as its work does, and no timer more: compared with visits that come after it.

        A timer holds every first visit, a machine that somebody else has for a moment only some: so a slow one is
        made again by visitors that know nothing either, each of which has `hears` in its log before it visits.
        """
        warm = max(self.curl().first_byte for _ in range(9))
        firsts = [cold.first_byte]
        self.visitor.stop()
        while firsts[-1] >= COLD + WARM_TIMES * warm and len(firsts) < FIRST_VISITS:
            stranger = replace(self, visitor=Node(self.directory / f"visitor-{len(firsts)}", at=self.visitor_machine))
            with stranger.visitor:
                wait_until(lambda node=stranger.visitor: hears in node.log, f"it said {hears}")
                firsts.append(stranger.curl().first_byte)
        print(f"first byte: cold {[round(1000 * first) for first in firsts]} ms, warm {1000 * warm:.0f} ms")
        assert firsts[-1] < COLD + WARM_TIMES * warm

    def last_visit(self) -> dict[str, object]:
        return self.visitor.last_visit(self.label)


@pytest.fixture
def lan(lab: Lab, tmp_path: Path) -> Iterator[Lan]:
    host_machine, visitor_machine = lab.machine("host"), lab.machine("visitor")
    host, visitor = Node(tmp_path / "host", at=host_machine), Node(tmp_path / "visitor", at=visitor_machine)
    with running_origin(host_machine) as origin:
        host.share("site", origin.port, title="The site")
        with host, visitor:
            yield Lan(lab, host_machine, visitor_machine, host, visitor, origin, host.label("site"), tmp_path)
