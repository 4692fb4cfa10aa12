"""The programs of puncher.py at work in a laboratory."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.punch.lab import Lab
from tests.upnp.home import Box

OUTSIDE, OUTSIDE_6 = "11.22.33.10", "2a0e:b107:77:ff::10"  # of p
PORTS = ("7001", "7002")
_PUNCHER = Path(__file__).with_name("puncher.py")
_TRIED = 2.5  # seconds after which a meeting that cannot be has not been
_PATIENCE = 60.0  # seconds for one that can: so slow may a machine be


@dataclass(frozen=True, slots=True)
class Met:
    """What a peer says of its try."""

    ok: bool
    how: str  # "connect", "accept", or nothing
    tries: int
    seen: list[Any]
    local: list[Any]


@contextlib.contextmanager
def program(box: Box, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program of puncher.py, until the end of the block."""
    command = box.wrap([sys.executable, "-IS", _PUNCHER, *arguments])
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


@contextlib.contextmanager
def rendezvous(box: Box) -> Iterator[None]:
    """A rendezvous at PORTS."""
    with program(box, "rendezvous", *PORTS) as running:
        assert line(running) == "ready"
        yield


def punch(lab: Lab, *, meets: bool, which: str = "public", six: bool = False) -> tuple[Met, Met]:
    """Let `a` and `b` punch, by each other's public or local endpoint, or `deaf`: the public one, without a listener.

    `meets` is what is expected, and checked.
    """
    with rendezvous(lab.p):
        address, seconds = OUTSIDE_6 if six else OUTSIDE, str(_PATIENCE if meets else _TRIED)
        with (
            program(lab.a, "peer", "a", address, PORTS[0], which, seconds) as a,
            program(lab.b, "peer", "b", address, PORTS[0], which, seconds) as b,
        ):
            first, second = (Met(**json.loads(line(one))) for one in (a, b))
    assert (first.ok, second.ok) == (meets, meets), (first, second)
    return first, second


def knocks(box: Box, endpoint: Sequence[Any], *, gets_in: bool, own: int = 0) -> None:
    """Try whether somebody, from its `own` port, gets in at an endpoint, and says its machine's name there."""
    seconds = str(_PATIENCE if gets_in else 1.0)
    word = box.namespace.rpartition("-")[2]
    with program(box, "knock", str(endpoint[0]), str(endpoint[1]), word, seconds, str(own)) as running:
        assert (running.wait() == 0) == gets_in, (word, endpoint)


def line(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()
