"""A server of tx_tlsrelay whose machine loses its network, which nobody tells the relay."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.netns.lab import Lab
from tests.support import needs
from tests.support.beats import beats
from tests.support.node import Node
from tests.support.tlsrelay import Keys, Server
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    pytest.mark.full,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "openssl", "socat"),
]

CONTROL = 12_000


def test_row_67_its_ports_are_free_within_the_time_of_a_dead_peer(lab: Lab, tmp_path: Path) -> None:
    """Both of one that is silent, and of one for which a line is on its way."""
    box, machine = lab.machine("relay"), lab.machine("server")
    keys = Keys(tmp_path / "keys")
    more = f"[Relay]\nenabled = yes\ntlsrelay = {CONTROL}-{CONTROL + 4}\ntlsrelay_keys = {keys.directory}\n"
    with Node(tmp_path / "relay", at=box, settings=more) as relay:

        def served() -> dict[str, int]:
            return dict(relay.status()["relays"]["served"])

        with (
            Server(keys, CONTROL, host=box.ip4, at=machine) as silent,
            Server(keys, CONTROL, host=box.ip4, at=machine) as asked,
        ):
            silent.ports()
            public, _ = asked.ports()
            assert served()["tlsrelay"] == 2
            machine.cut()
            began = beats()
            done = box.run(["socat", "-T", "50", "-u", f"TCP:127.0.0.1:{public}", "-"], timeout=60)
            assert done == "", "nobody dials for him: he is closed"
            assert beats() - began < 35
            wait_until(lambda: not served()["tlsrelay"], "both are given up", 60, every=1.0)
            assert beats() - began < 60 + 20
            assert box.run(["socat", "-u", f"TCP:127.0.0.1:{public}", "-"]) == "no controller linked"
            machine.heal()
