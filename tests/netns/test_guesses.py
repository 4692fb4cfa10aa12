"""Who guesses at a password across a network: few of his guesses are judged, and nobody else pays for them."""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.netns.lab import Lab
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import curl, running_origin

pytestmark = [pytest.mark.netns, pytest.mark.full, needs.linux(), needs.root(), needs.tools("ip", "curl")]

GUESSES = 200


def test_row_6_few_of_many_guesses_are_judged_and_the_right_word_from_elsewhere_is_let_in(
    lab: Lab, tmp_path: Path
) -> None:
    machines = [lab.machine(name) for name in ("host", "guesser", "friend")]
    # Each of its addresses has guesses of its own: one is what is counted here.
    machines[1].run(["sysctl", "-q", "-w", "net.ipv6.conf.eth0.disable_ipv6=1"])
    host, guesser, friend = (Node(tmp_path / machine.name, at=machine) for machine in machines)
    with running_origin(machines[0]) as origin, host, guesser, friend:
        host.share("wiki", origin.port, password="sesame")
        key_hash = host.label("wiki")[-40:]
        assert curl(friend.url_of(f"sesame-{key_hash}"), at=machines[2]).status == 200
        asked = f"http://w[1-{GUESSES}]-{key_hash}.localhost:{guesser.localport}/"
        command = [
            "curl",
            "-s",
            "-Z",
            "--parallel-max",
            "20",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}\n",
            "-m",
            "60",
            asked,
        ]
        resolved = ["--resolve", f"*:{guesser.localport}:127.0.0.1"]
        began = time.monotonic()
        done = subprocess.run(machines[1].wrap([*command, *resolved]), capture_output=True, text=True, timeout=300)
        statuses = Counter(done.stdout.split())
        assert sum(statuses.values()) == GUESSES
        assert 5 <= statuses["403"] <= 6 + (time.monotonic() - began) / 10, statuses
        assert statuses["403"] + statuses["503"] == GUESSES, "the others are told to wait"
        told = re.findall(r"password\.refused .*count=(\d+)", host.log)
        assert len(told) == 1
        assert int(told[0]) >= 5
        assert "sesame" not in host.log
        assert curl(friend.url_of(f"sesame-{key_hash}"), at=machines[2]).status == 200
