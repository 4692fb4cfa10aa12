"""Who guesses at a password across a network: few of his guesses are judged, and nobody else pays for them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from hardline.tunnel.guesses import ALLOWED, MACHINE_EVERY, OF_A_MACHINE
from tests.netns.lab import Lab
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import curl, running_origin

pytestmark = [pytest.mark.netns, needs.linux(), needs.root(), needs.tools("ip", "curl")]

GUESSES = 200
OF_AN_ADDRESS = ALLOWED[0][0]


@pytest.mark.full
def test_row_6_few_of_many_guesses_are_judged_and_the_right_word_from_elsewhere_is_let_in(
    lab: Lab, tmp_path: Path
) -> None:
    """Whoever guesses has three addresses: of IPv4, a link-local one, and one of a /64 of the world."""
    machines = [lab.machine(name) for name in ("host", "guesser", "friend")]
    host, guesser, friend = (Node(tmp_path / machine.name, at=machine) for machine in machines)
    with running_origin(machines[0]) as origin, host, guesser, friend:
        host.share("wiki", origin.port, password="sesame")
        key_hash = host.label("wiki")[-40:]
        assert curl(friend.url_of(f"sesame-{key_hash}"), at=machines[2]).status == 200
        asked = f"http://w[1-{GUESSES}]-{key_hash}.localhost:{guesser.localport}/"
        limits = "-s", "-Z", "--parallel-max", "20", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}\n"
        resolved = "--resolve", f"*:{guesser.localport}:127.0.0.1"
        began = time.monotonic()
        command = machines[1].wrap(["curl", *limits, asked, *resolved])
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        statuses = Counter(done.stdout.split())
        assert sum(statuses.values()) == GUESSES
        assert OF_AN_ADDRESS < statuses["403"] <= OF_A_MACHINE + 1 + (time.monotonic() - began) / MACHINE_EVERY, (
            statuses
        )
        assert statuses["403"] + statuses["503"] == GUESSES, "the others are told to wait"
        kinds = {family(at) for at in re.findall(r"visitor\.failed .*endpoint=(\S+)", host.log)}
        assert kinds == {"4", "6", "link-local"}, "by all of its addresses"
        told = re.findall(r"password\.refused .*count=(\d+)", host.log)
        assert len(told) == 1
        assert int(told[0]) >= 5
        assert "sesame" not in host.log
        assert curl(friend.url_of(f"sesame-{key_hash}"), at=machines[2]).status == 200


def family(endpoint: str) -> str:
    address = endpoint.rpartition(":")[0].strip('"[]')
    return "4" if ":" not in address else "link-local" if address.startswith("fe80:") else "6"


def test_a_machine_is_the_same_by_all_of_its_addresses(lab: Lab) -> None:
    here, there, other = (lab.machine(name) for name in ("here", "there", "other"))
    behind = lab.machine("behind", segment=2)
    local = there.run(["ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "link"]).split()[3].split("/")[0]
    asked = (there.ip4, there.ip6, f"{local}%eth0", f"::ffff:{there.ip4}", other.ip4, other.ip6, behind.ip4, here.ip4)
    script = (
        "import socket, sys; from hardline.neighbours import machine_at\n"
        "for at in sys.argv[1:]:\n"
        "    with socket.socket(socket.AF_INET6 if ':' in at else socket.AF_INET) as s:\n"
        "        s.settimeout(2)\n"
        "        try: s.connect(socket.getaddrinfo(at, 9)[0][4])\n"
        "        except OSError: pass\n"
        "    print(machine_at(at) or '-')"
    )
    seen = here.run([sys.executable, "-c", script, *asked]).split("\n")[: len(asked)]
    assert seen[0] != "-"
    assert seen[:4] == [seen[0]] * 4
    assert seen[4] == seen[5]
    assert seen[4] not in (seen[0], "-")
    assert seen[6:] == ["-", "-"], "behind the router, and this computer itself"
