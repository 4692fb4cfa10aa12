"""A host far away: downloads at once get further sessions, what they bring is whole, and the sessions end with them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.netns.conftest import Lan
from tests.netns.lab import Machine
from tests.support import needs
from tests.support.origin import digest_of_bytes
from tests.support.programs import placed
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.netns, pytest.mark.slow, needs.linux(), needs.root(), needs.tools("ip", "sysctl", "curl")]

WIRE = Path(__file__).parents[2] / "bench" / "lab.py"
ROUND_TRIP = 0.1  # seconds
SIZE, AT_ONCE = 8_000_000, 6


@contextmanager
def far(machine: Machine, round_trip: float = ROUND_TRIP) -> Iterator[None]:
    """The cable of `machine` is so long that a round trip takes so many seconds."""
    lab, name = machine._lab, machine.name
    for command in (
        f"link set dev {name} nomaster",
        f"link add name {name}-a type veth peer name {name}-b",
        f"link set dev {name}-a up",
        f"link set dev {name}-b up master seg{machine.segment}",
    ):
        subprocess.run(["ip", "-n", lab.switch, *command.split()], check=True)
    wire = ["ip", "netns", "exec", lab.switch, sys.executable, WIRE, name, f"{name}-a", str(round_trip / 2)]
    with subprocess.Popen(wire) as running:
        try:
            yield
        finally:
            running.kill()


@contextmanager
def downloads(lan: Lan) -> Iterator[list[str]]:
    """AT_ONCE people fetch one file after the other; what each file was, by its digest."""
    over, digests = threading.Event(), list[str]()
    command = placed(lan.visitor_machine, ["curl", "-sSf", "--resolve", f"{lan.label}.localhost:7009:127.0.0.1"])

    def fetch_on() -> None:
        while not over.is_set():
            done = subprocess.run([*command, lan.url(f"bytes/{SIZE}")], capture_output=True, check=False)
            digests.append(hashlib.sha256(done.stdout).hexdigest())

    threads = [threading.Thread(target=fetch_on) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield digests
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.full
def test_downloads_at_once_from_far_away_get_further_sessions(lan: Lan) -> None:
    with far(lan.host_machine):
        wait_until(lambda: lan.curl().status == 200, "the host is reached")
        [before] = lan.visitor.sessions("visiting")
        assert before["round_trip_s"] >= ROUND_TRIP
        with downloads(lan) as digests:
            wait_until(lambda: any(one["spare"] for one in lan.visitor.sessions("visiting")), "a further session", 60)
            wait_until(
                lambda: any(one["spare"] and one["received"] > SIZE for one in lan.visitor.sessions("visiting")),
                "a file came by it",
                60,
            )
            sessions = lan.visitor.sessions("visiting")
            assert len(sessions) <= 4
            assert len({one["instance"] for one in sessions}) == 1
        assert set(digests) == {digest_of_bytes(SIZE)}
        wait_until(lambda: len(lan.visitor.sessions("visiting")) == 1, "those that were not needed any more ended", 60)
        assert not lan.visitor.sessions("visiting")[0]["spare"]


def test_downloads_at_once_from_near_by_share_one(lan: Lan) -> None:
    assert lan.curl().status == 200
    with downloads(lan) as digests:
        wait_until(lambda: len(digests) >= 10 * AT_ONCE, "much came", 60)
        assert [one["spare"] for one in lan.visitor.sessions("visiting")] == [False]
    assert set(digests) == {digest_of_bytes(SIZE)}
