"""Warm links between two machines: far away, cut, moved, tuned, lossy."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.netns.lab import Lab, Machine
from tests.netns.test_long import far
from tests.support import needs
from tests.support.beats import beats
from tests.support.node import Node
from tests.support.origin import digest_of_bytes
from tests.support.programs import Answer, RunningOrigin, curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "ss"),
]

PORT, P2P = 8080, 7008
ROUND_TRIP = 0.1  # seconds
QUICK = "ping_interval = 0.5\nidle_timeout = 1.5\n"
TRIES = 6  # a busy machine holds some requests up, a handshake all of them
LONG, MEGABITS, MUCH = 0.15, 30, 10_000_000
LITTLE, SMALL = 500_000, 65_536
LOSSY = 3_000_000
THIS = f"127.0.0.1 localhost {socket.gethostname()}\n"  # which some programs look up when they start


@dataclass(frozen=True, slots=True)
class Town:
    lab: Lab
    host_machine: Machine
    machine: Machine
    host: Node
    origin: RunningOrigin
    directory: Path

    @contextlib.contextmanager
    def linked(self, more: str = "", name: str = "visitor") -> Iterator[Linked]:
        settings = f"[Peer:office]\nlabel = {self.host.label('site')}\nlisten = 127.0.0.1:{PORT}\n{more}"
        with Node(self.directory / name, at=self.machine, settings=settings) as node:
            yield Linked(node, self.machine)


@dataclass(frozen=True, slots=True)
class Linked:
    node: Node
    machine: Machine

    @property
    def row(self) -> dict[str, Any]:
        [row] = self.node.status()["links"]
        return dict(row)

    def is_(self, state: str, timeout: float = 30.0) -> dict[str, Any]:
        return wait_until(lambda: row if (row := self.row)["state"] == state else None, f"it is {state}", timeout)

    def get(self, path: str = "/", limit: float = 120) -> Answer:
        return curl(f"http://127.0.0.1:{PORT}{path}", at=self.machine, limit=limit)

    def fetched(self, count: int) -> float:
        """Seconds that so many bytes take, which arrive whole."""
        answer = self.get(f"/bytes/{count}")
        assert hashlib.sha256(answer.body).hexdigest() == digest_of_bytes(count)
        return answer.total

    def opened(self) -> int:
        """How many TCP connections were begun on the machine so far."""
        names, figures = (
            line.split() for line in self.machine.run(["cat", "/proc/net/snmp"]).splitlines() if line.startswith("Tcp:")
        )
        return int(figures[names.index("ActiveOpens")])

    def flow(self) -> str:
        """What the kernel says of the one connection to the host."""
        said = self.machine.run(["ss", "-Htinm", "state", "established", f"dport = :{P2P}"]).splitlines()
        flows = [line for line in said if not line[:1].isspace()]
        assert len(flows) == 1, said
        return " ".join(said)

    def pings(self) -> int:
        found = re.search(r"data_segs_out:(\d+)", self.flow())
        return int(found[1]) if found else 0


@pytest.fixture
def town(lab: Lab, tmp_path: Path) -> Iterator[Town]:
    host_machine, machine = lab.machine("host"), lab.machine("visitor")
    host = Node(tmp_path / "host", at=host_machine)
    with running_origin(host_machine) as origin:
        host.share("site", origin.port)
        with host:
            yield Town(lab, host_machine, machine, host, origin, tmp_path)


def test_a_far_link(town: Town) -> None:
    firsts: list[float] = []
    with far(town.machine, ROUND_TRIP):
        while len(firsts) < TRIES and (not firsts or firsts[-1] >= 1.5 * ROUND_TRIP):
            with town.linked("connect_interval = 2\n", f"visitor-{len(firsts)}") as link:
                link.is_("up")
                flow, opened = link.flow(), link.opened()
                firsts.append(link.get().first_byte)
                second = link.get().first_byte
                print(f"first {1000 * firsts[-1]:.0f} ms, second {1000 * second:.0f} ms")
                assert link.opened() == opened + 2  # curl's own
                assert link.flow().split()[2:4] == flow.split()[2:4]  # the ends of the same connection
                assert link.row["attempts"] == 1
    assert firsts[-1] < 1.5 * ROUND_TRIP, firsts


def test_a_path_that_is_cut_and_comes_back(town: Town) -> None:
    with town.linked("connect_interval = 2\n") as link:
        assert link.get().text == "hello from the origin\n"
        cut_at, began = time.time(), beats()
        town.machine.cut()
        down = link.is_("down")
        assert beats() - began < 5 + 2  # and what it takes to be asked
        assert down["reason"] == "the other node does not answer"
        answers = [link.get() for _ in range(5)]
        assert {answer.status for answer in answers} == {503}
        assert min(answer.first_byte for answer in answers) < 0.05
        healed_at, began = time.time(), beats()
        town.machine.heal()
        up = link.is_("up")
        assert beats() - began < 2 + 3
        print(
            f"said after {down['since'] - cut_at:.2f} s, 503 within {1000 * answers[-1].first_byte:.0f} ms,"
            f" back after {up['since'] - healed_at:.2f} s"
        )
        assert link.get().status == 200
        wait_until(lambda: len(link.node.sessions("visiting")) == 1, "one session")
        link.flow()


@pytest.fixture
def hosts_file(town: Town) -> Iterator[Path]:
    """The visitor's own /etc/hosts, as `ip netns exec` has it."""
    directory = Path("/etc/netns") / town.machine.namespace
    directory.mkdir(parents=True)
    try:
        (directory / "hosts").write_text(THIS)
        yield directory / "hosts"
    finally:
        shutil.rmtree(directory)
        with contextlib.suppress(OSError):
            directory.parent.rmdir()


def test_a_name_that_leads_elsewhere(town: Town, hosts_file: Path) -> None:
    def leads_to(address: str) -> None:
        hosts_file.write_text(f"{THIS}{address} office.example\n")

    # Only the name leads there: the address that it keeps when it moves is taken away.
    town.host_machine.run(["ip", "addr", "del", f"{town.host_machine.public}/32", "dev", "lo"])
    leads_to(town.host_machine.ip4)
    with town.linked(f"address = office.example:{P2P}\nconnect_interval = 1\n{QUICK}[LAN]\nenabled = no\n") as link:
        assert link.row["endpoint"] == f"{town.host_machine.ip4}:{P2P}"
        town.host_machine.move(2)
        link.is_("down")
        assert link.get().status == 503
        leads_to(town.host_machine.ip4)
        up = link.is_("up")
        assert up["endpoint"] == f"{town.host_machine.ip4}:{P2P}"
        assert link.get().status == 200


def test_what_is_set_is_seen_in_the_kernel(town: Town) -> None:
    more = "send_buffer = 32KB\nreceive_buffer = 64KB\ncongestion = reno\nnodelay = no\nping_interval = 1\n"
    with town.linked(more) as link:
        flow = link.flow()
        assert " reno " in flow
        assert f"rb{2 * 65_536}" in flow
        assert f"tb{2 * 32_768}" in flow
        row = link.row
        assert (row["congestion"], row["nodelay"]) == ("reno", False)
        assert (row["send_buffer"], row["receive_buffer"]) == (32_768, 65_536)
        before, began = link.pings(), time.monotonic()
        wait_until(lambda: link.pings() >= before + 3, "it pings")
        assert time.monotonic() - began > 2 * 0.9


@pytest.mark.full
def test_a_long_link_is_filled_and_a_small_window_is_not_enough(town: Town) -> None:
    """The share is of the best of a few: what a busy machine takes is not the link's."""
    town.machine.throttle(MEGABITS)
    with far(town.machine, LONG):
        with town.linked() as link:
            shares: list[float] = []
            while len(shares) < TRIES and (not shares or shares[-1] < 0.8):
                shares.append(8 * MUCH / link.fetched(MUCH) / MEGABITS / 1e6)
            print(f"of the link: {[round(share, 2) for share in shares]}")
            assert shares[-1] >= 0.8, shares
        with town.linked(f"receive_buffer = {SMALL}\n", "small") as link:
            took = link.fetched(LITTLE)
        print(f"{8 * LITTLE / took / 1e6:.1f} Mbit/s with {SMALL} bytes, at most {8 * SMALL / LONG / 1e6:.1f}")
        assert took > 0.8 * LONG * LITTLE / SMALL


@needs.tools("nft", "tc")
@pytest.mark.full
def test_bbr_on_a_lossy_link(town: Town) -> None:
    allowed = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text().split()
    if "bbr" not in allowed:
        needs.cannot("bbr")
    usual = "cubic" if "cubic" in allowed else "reno"
    town.host.stop()
    rates = {}
    with far(town.machine, ROUND_TRIP):
        for congestion in (usual, "bbr"):
            settings = f"[Session]\ncongestion = {congestion}\n"
            with (
                Node(town.directory / "host", at=town.host_machine, settings=settings),
                town.linked(name=congestion) as link,
            ):
                town.machine.lose(2)
                rates[congestion] = LOSSY / link.fetched(LOSSY)
                town.machine.mend()
    print({congestion: f"{8 * rate / 1e6:.1f} Mbit/s" for congestion, rate in rates.items()})
    assert rates["bbr"] > 2 * rates[usual]
