"""Pairs of machines, one of which runs the original."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop import original
from tests.interop.original import Original
from tests.netns.lab import Lab, Machine
from tests.support.node import Node
from tests.support.programs import Answer, curl, running_origin

# The original with itself proves the laboratory, not us: run it when in doubt about the laboratory.
PAIRS = ["ours visits original", "original visits ours"]
if os.environ.get("HARDLINE_TEST_CONTROL"):
    PAIRS.append("original visits original")


@pytest.fixture(scope="session")
def environment() -> Path:
    """Where the original is installed."""
    return original.environment()


@dataclass(frozen=True, slots=True)
class Pair:
    """`host` shares one origin as "site", with a password; `visitor` visits it over the LAN."""

    host: Node | Original
    visitor: Node | Original
    visitor_machine: Machine
    label: str

    @property
    def url(self) -> str:
        return self.visitor.url_of(self.label)

    def curl(self, path: str = "", *options: str | Path, limit: float = 30) -> Answer:
        return curl(self.url + path, *options, at=self.visitor_machine, limit=limit)


@pytest.fixture(scope="module", params=PAIRS)
def pair(request: pytest.FixtureRequest, environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("pair")
    visiting, hosting = request.param.split(" visits ")
    with ExitStack() as stack:
        lab = stack.enter_context(Lab())
        host_machine, visitor_machine = lab.machine("host"), lab.machine("visitor")
        origin = stack.enter_context(running_origin(host_machine))
        host: Node | Original
        visitor: Node | Original
        if hosting == "original":
            host = Original(directory / "host", environment, at=host_machine)
            host.share("site", origin.port, title="My: site")
        else:
            host = Node(directory / "host", at=host_machine)
            host.share("site", origin.port, title="My: site", password="sesame")
        if visiting == "original":
            visitor = Original(directory / "visitor", environment, at=visitor_machine)
        else:
            visitor = Node(directory / "visitor", at=visitor_machine)
        stack.enter_context(host)
        stack.enter_context(visitor)
        yield Pair(host, visitor, visitor_machine, host.label("site"))
