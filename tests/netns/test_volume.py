"""Much data between two computers: whole, and without memory.

HARDLINE_TEST_FULL=1 (`make test-all`) moves 1 GB each way, the default run 200 MB.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.conftest import Lan
from tests.support import needs
from tests.support.node import Node
from tests.support.origin import digest_of_bytes, pieces_of_bytes
from tests.support.programs import Download
from tests.support.size import FULL
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "sha256sum"),
    pytest.mark.timeout(600),
]

SIZE = 1_000_000_000 if FULL else 200_000_000
WARM_UP = 30_000_000
GROWTH_LIMIT = 20_000_000
TRANSFER_LIMIT = 300  # seconds


class Memory:
    """The largest growth of some daemons since it was made."""

    def __init__(self, *nodes: Node) -> None:
        self._before = {node: node.pss() for node in nodes}
        self._growth = dict.fromkeys(nodes, 0)

    def watch(self, transfer: Download) -> None:
        """Look again and again until the transfer has ended; it must end well."""
        wait_until(lambda: self._look(transfer), "the transfer ended", TRANSFER_LIMIT, every=0.05)
        assert transfer.exit_code() == 0

    def _look(self, transfer: Download) -> bool:
        for node, before in self._before.items():
            self._growth[node] = max(self._growth[node], node.pss() - before)
        return not transfer.running

    @property
    def growth(self) -> int:
        return max(self._growth.values())


def warm_up(lan: Lan) -> None:
    assert len(lan.curl(f"bytes/{WARM_UP}").body) == WARM_UP


def test_a_download_arrives_whole_with_flat_memory_beside_a_slow_reader(lan: Lan, tmp_path: Path) -> None:
    warm_up(lan)
    file = tmp_path / "got"
    with slow(lan, tmp_path) as reader:
        memory = Memory(lan.host, lan.visitor)
        with lan.download(f"bytes/{SIZE}", file, limit=TRANSFER_LIMIT) as download:
            memory.watch(download)
        assert reader.running
    assert digest_of_file(file) == digest_of_bytes(SIZE)
    assert memory.growth < GROWTH_LIMIT
    assert lan.last_visit()["via"] == "LAN"


def test_an_upload_arrives_whole_with_flat_memory_beside_a_slow_reader(lan: Lan, tmp_path: Path) -> None:
    warm_up(lan)
    file, answer = tmp_path / "given", tmp_path / "answer"
    with file.open("wb") as given:
        given.writelines(pieces_of_bytes(SIZE))
    with slow(lan, tmp_path) as reader:
        memory = Memory(lan.host, lan.visitor)
        with lan.download("sum", answer, "-T", str(file), "-X", "POST", limit=TRANSFER_LIMIT) as upload:
            memory.watch(upload)
        assert reader.running
    assert digest_of_bytes(SIZE) in answer.read_text()
    assert memory.growth < GROWTH_LIMIT
    assert lan.last_visit()["via"] == "LAN"


@contextlib.contextmanager
def slow(lan: Lan, tmp_path: Path) -> Iterator[Download]:
    """Somebody who reads 1 kB/s beside everything else."""
    with lan.download("bytes/100000000", tmp_path / "slow", "--limit-rate", "1k", limit=600) as download:
        download.has_received(1)
        yield download


def digest_of_file(file: Path) -> str:
    done = subprocess.run(["sha256sum", file], capture_output=True, text=True, check=True)
    return done.stdout.split()[0]
