"""What every test may ask for, and the rule that CI skips nothing that it could have."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.netns.lab import Lab
from tests.support import needs
from tests.support.programs import RunningOrigin, running_origin

# How long an example takes is the machine's business.
settings.register_profile("anywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anywhere")

_CI = os.environ.get("CI") == "true"


_ROOT = Path(__file__).parent
_BESIDE = {"dht", "netns", "reach", "upnp"}  # they wait most of the time, in network namespaces of their own


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whose turn it may be at once (`-n 2 --dist loadgroup`): attacks, each file of those that wait, and all others."""
    for item in items:
        directory = item.path.relative_to(_ROOT).parts[0]
        group = item.path.name if directory in _BESIDE else "hostile" if directory == "hostile" else "here"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Two LAN segments without machines."""
    with Lab() as laboratory:
        yield laboratory


@pytest.fixture
def origin() -> Iterator[RunningOrigin]:
    """A web server on this computer."""
    with running_origin() as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _CI and not hasattr(report, "wasxfail"):
        _require(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if _CI:
        _require(report)
    return report


def _require(report: pytest.TestReport | pytest.CollectReport) -> None:
    """A skip is a failure, unless tests.support.needs said that the machine cannot have what is missing."""
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if needs.CANNOT not in reason:
            report.outcome = "failed"
            report.longrepr = f"in CI everything that can be installed is required: {reason}"
