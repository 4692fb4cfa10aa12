"""The soak itself, for a moment: it runs, it finds nothing, and it does find what is wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.soak.people import ROOT
from tests.support import needs

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.full,
    pytest.mark.timeout(300),
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "ss", "tc", "nft", "curl", "nginx", "faketime"),
]


def test_a_short_soak_finds_nothing() -> None:
    command = [sys.executable, "-m", "tests.soak.run", "--time", "20", "--seed", "7009"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no violation" in done.stdout
