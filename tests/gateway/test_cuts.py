"""Whoever dies in the middle of a transfer: it is a cut for the client, never a short answer that looks whole.

And a slow reader, who holds up nobody but himself.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.gateway.town import Town, settings
from tests.support import needs
from tests.support.node import Node, free_port
from tests.support.origin import digest_of_bytes
from tests.support.programs import CUT, Download, curl, running_origin
from tests.support.size import FULL
from tests.support.waiting import wait_until

pytestmark = [needs.tools("curl")]


@pytest.mark.parametrize("who", ["gateway", "host"])
def test_kill_9_in_the_middle_of_a_transfer_is_a_cut(tmp_path: Path, who: str) -> None:
    with running_origin() as origin:
        host = Node(tmp_path / "host")
        host.share("site", origin.port)
        with host:
            url = f"http://127.0.0.1:{(port := free_port())}/servers/site/"
            text = settings(port, {"site": f"label = {host.label('site')}"})
            with (
                Node(tmp_path / "gateway", settings=text) as gateway,
                Download(f"{url}stall/1000000", tmp_path / "got") as download,
            ):
                download.has_received(1_000_000)
                (gateway if who == "gateway" else host).kill()
                assert download.exit_code() in CUT
                if who == "host":
                    # Row 14: nobody has to ask it for that.
                    listed = f"http://127.0.0.1:{port}/"
                    wait_until(lambda: "/servers/site/  offline, last seen" in curl(listed).text, "it is said", 5)
                    assert curl(url).status == 503
                    assert "/servers/site/  offline, last seen" in curl(f"http://127.0.0.1:{port}/").text
                    gateway.stop()
                    gateway.start()
                    assert "/servers/site/  offline, last seen" in curl(f"http://127.0.0.1:{port}/").text


def test_row_20_fifty_at_once_beside_a_slow_reader(town: Town, tmp_path: Path) -> None:
    size, number = 20_000_000 if FULL else 1_000_000, 50
    url = f"http://127.0.0.1:{town.port}/bytes/"
    named = ("-H", "Host: nas.example.org")
    with Download(f"{url}500000000", tmp_path / "slow", *named, "--limit-rate", "1k") as slow:
        wait_until(lambda: slow.received > 0, "the slow one reads")
        before = town.gateway.pss()
        config = tmp_path / "urls"
        config.write_text("".join(f'url = "{url}{size}"\noutput = "{tmp_path}/got{n}"\n' for n in range(number)))
        command = ["curl", "-q", "-sS", "--parallel", "--parallel-immediate", "--parallel-max", str(number)]
        done = subprocess.run(
            [*command, *named, "-m", "300", "-K", config], capture_output=True, check=False, timeout=400
        )
        assert done.returncode == 0, done.stderr
        grown = town.gateway.pss() - before
        for n in range(number):
            assert hashlib.sha256((tmp_path / f"got{n}").read_bytes()).hexdigest() == digest_of_bytes(size)
        assert slow.running
        assert slow.received < 1_000_000, "nobody has read it for him"
        assert grown < 64 << 20, f"{grown >> 20} MB"
