"""What every test may ask for, and the rule that CI skips nothing that it could have."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.netns.lab import Lab
from tests.support import needs
from tests.support.alone import can_move_out, move_out
from tests.support.programs import RunningOrigin, running_origin
from tests.support.size import FULL

# How long an example takes is the machine's business.
settings.register_profile("anywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anywhere")

_CI = os.environ.get("CI") == "true"

# A shell that starts this in the background has it ignore Ctrl-C, and so would every program that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Those that take longest, first.
_FIRST = (
    "hostile",
    "test_end_to_end.py",
    "netns",
    "reach",
    "punch",
    "upnp",
    "dht",
    "interop",
    "browser",
    "gateway",
    "door",
)


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") and can_move_out():
        move_out()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if item.get_closest_marker("full") and not FULL]
    config.hook.pytest_deselected(items=left_out)
    items[:] = sorted((item for item in items if item not in left_out), key=lambda item: order(item.nodeid))


def order(nodeid: str) -> int:
    directory = nodeid.partition("::")[0].split("/")[1]
    return _FIRST.index(directory) if directory in _FIRST else len(_FIRST)


class Together(LoadScopeScheduling):
    """What stays on one process, of those of `-n`: all attacks, for they want much of the machine; what is before one
    gateway; and else a file."""

    def _split_scope(self, nodeid: str) -> str:
        if not can_move_out():
            return "all"
        if order(nodeid) == 0:
            return "attacks"
        return "gateway" if nodeid.startswith("tests/gateway/") else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return Together(config, log)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Runs a story in each kind of event loop that the daemon may have."""
    by_uvloop = request.param == "uvloop"
    factory = pytest.importorskip("uvloop").new_event_loop if by_uvloop else asyncio.new_event_loop

    def runner(story: Callable[[], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with asyncio.timeout(100):
                await story()

        with asyncio.Runner(loop_factory=factory) as loop:
            loop.run(whole())

    return runner


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
