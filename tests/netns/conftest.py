"""Two machines on one LAN: one hosts, one visits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.netns.lab import Lab, Machine
from tests.support.node import Node
from tests.support.programs import Answer, Download, RunningOrigin, curl, running_origin

COLD = 0.15  # seconds to the first byte, on a quiet machine
WARM_TIMES = 20


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

    def url(self, path: str = "") -> str:
        """The site at the visitor's door."""
        return self.visitor.url_of(self.label, path)

    def curl(self, path: str = "", *options: str | Path, limit: float = 60) -> Answer:
        """The visitor's person fetches a path of the site."""
        return curl(self.url(path), *options, at=self.visitor_machine, limit=limit)

    def download(self, path: str, to: Path, *options: str, limit: float = 300) -> Download:
        return Download(self.url(path), to, *options, at=self.visitor_machine, limit=limit)

    def waited_for_nothing(self, cold: Answer) -> None:
        """A first visit took as long as its work does, and no timer more: compared with visits that come after it."""
        warm = max(self.curl().first_byte for _ in range(9))
        print(f"first byte: cold {1000 * cold.first_byte:.0f} ms, warm {1000 * warm:.0f} ms")
        assert cold.first_byte < COLD + WARM_TIMES * warm

    def last_visit(self) -> dict[str, object]:
        return self.visitor.last_visit(self.label)


@pytest.fixture
def lan(lab: Lab, tmp_path: Path) -> Iterator[Lan]:
    host_machine, visitor_machine = lab.machine("host"), lab.machine("visitor")
    host, visitor = Node(tmp_path / "host", at=host_machine), Node(tmp_path / "visitor", at=visitor_machine)
    with running_origin(host_machine) as origin:
        host.share("site", origin.port, title="The site")
        with host, visitor:
            yield Lan(lab, host_machine, visitor_machine, host, visitor, origin, host.label("site"))
