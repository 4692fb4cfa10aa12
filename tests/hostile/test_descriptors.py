"""Descriptors: as many as the system gives, and what happens when even they are used up."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.node import Node
from tests.support.programs import curl
from tests.support.waiting import wait_until

pytestmark = [needs.linux(), needs.tools("curl", "prlimit")]

HARD = 200
_WITHOUT_UVLOOP = "import sys; sys.modules['uvloop'] = None; from hardline.hardlined import main; sys.exit(main())"


class PlainNode(Node):
    """On asyncio's own event loop, as where uvloop cannot be installed."""

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-c", _WITHOUT_UVLOOP, *super().command[1:]]


def limits(node: Node) -> tuple[int, int]:
    text = Path(f"/proc/{node.process.pid}/limits").read_text()
    found = re.search(r"Max open files +(\d+) +(\d+)", text)
    assert found
    return int(found[1]), int(found[2])


def test_a_daemon_takes_as_many_descriptors_as_the_system_allows(tmp_path: Path) -> None:
    with Node(tmp_path, before=["prlimit", "--nofile=128:3000"]) as node:
        assert limits(node) == (3000, 3000)


@pytest.mark.parametrize("kind", [Node, PlainNode])
def test_out_of_descriptors_it_neither_spins_nor_floods_its_log_and_serves_again_afterwards(
    tmp_path: Path, kind: type[Node]
) -> None:
    settings = "[Door]\nhead_timeout = 4\n"
    with kind(tmp_path, before=["prlimit", f"--nofile={HARD}:{HARD}"], settings=settings) as node:
        door = f"http://127.0.0.1:{node.localport}/"
        with contextlib.ExitStack() as held:
            for _ in range(2 * HARD):
                held.enter_context(socket.create_connection(("127.0.0.1", node.localport)))
            wait_until(lambda: len(os.listdir(f"/proc/{node.process.pid}/fd")) > HARD - 40, "they are used up")
            size, used, began = len(node.log), cpu(node), time.monotonic()
            wait_until(lambda: time.monotonic() > began + 2, "a while passed")
            assert cpu(node) - used < 1.0
            assert len(node.log) - size < 15_000
            # Some are kept back: its own work goes on meanwhile.
            node.share("later", 9)
            assert "too many open files" not in node.log.lower()
        wait_until(lambda: curl(door, limit=5).status == 200, "it serves again", 20, every=0.2)


def cpu(node: Node) -> float:
    """Seconds of CPU that it used so far."""
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
