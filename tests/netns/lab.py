"""A laboratory of network namespaces: machines on LAN segments, and a router between the segments.

    machine a ── eth0 ─┐                         ┌─ eth0 ── machine c
    machine b ── eth0 ─┴─ segment 1 ── router ── segment 2 ─┘

One namespace holds the bridges (the segments), one the router, each machine has its own.  All links are veth pairs
between these namespaces: no packet can reach the network of the computer that runs the tests.

    segment i       10.77.i.0/24 and fd77:0:0:i::/64, router .1 and ::1, machines from .10 and ::10
    public address  11.22.33.n/32: the router sends it to wherever the machine is plugged in

The router forwards unicast and no multicast or broadcast: whoever moves to another segment has left the LAN.  It has
no way out: what is sent to the internet vanishes.  Needs root, iproute2 and sysctl.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

_SEGMENTS = (1, 2)
_FIRST_HOST = 10
_labs = itertools.count()

# No duplicate address detection: an address can be used the moment it is there.
_QUIET = (
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.default.accept_ra=0",
    "net.ipv4.ip_unprivileged_port_start=0",
)
_FORWARDING = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")


class Machine:
    """A computer of the laboratory."""

    def __init__(self, lab: Lab, name: str, number: int) -> None:
        self.name = name
        self.namespace = lab.namespace(name)
        self.public = f"11.22.33.{number}"
        self.segment = 0
        self._lab = lab
        self._number = number

    @property
    def ip4(self) -> str:
        return f"10.77.{self.segment}.{self._number}"

    @property
    def ip6(self) -> str:
        return f"fd77:0:0:{self.segment}::{self._number}"

    def wrap(self, command: Sequence[str | Path]) -> list[str]:
        """The command that runs `command` in this machine; it replaces itself, so that the process id stays."""
        return ["ip", "netns", "exec", self.namespace, *map(str, command)]

    def run(self, command: Sequence[str | Path], timeout: float = 30.0) -> str:
        """Run a command to its end; returns what it printed, raises when it failed."""
        done = subprocess.run(self.wrap(command), capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, f"{self.name}: {command}: {done.stderr}{done.stdout}"
        return done.stdout

    def start(
        self,
        command: Sequence[str | Path],
        *,
        output: IO[Any] | int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command; the caller ends it."""
        return subprocess.Popen(
            self.wrap(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env
        )

    def move(self, segment: int) -> None:
        """Pull the plug out of one segment and put it into another: new addresses, the same public one."""
        self._lab.plug(self, segment)

    def cut(self) -> None:
        """Let nothing through any more; the machine itself does not see it."""
        _ip(f"link set dev {self.name} nomaster", inside=self._lab.switch)

    def heal(self) -> None:
        """Undo `cut`."""
        _ip(f"link set dev {self.name} master seg{self.segment}", inside=self._lab.switch)

    def lose(self, percent: int) -> None:
        """Lose so many of the packets that go to and from the machine; needs nft."""
        self._drop(f"numgen random mod 100 < {percent}")

    def swallow(self, size: int) -> None:
        """Lose every packet of more than `size` bytes, and say nothing of it; needs nft."""
        for namespace, device in self._ends:  # or the kernel passes on many packets as one
            _ip(f"link set dev {device} gso_max_segs 1", inside=namespace)
        self._drop(f"meta length > {size}")

    def throttle(self, megabits: int) -> None:
        """Pass so much per second in each direction, and keep up to 0.3 s of it waiting; needs tc."""
        for namespace, device in self._ends:
            rate = ("rate", f"{megabits}mbit", "burst", "64kb", "latency", "300ms")
            _inside(namespace, "tc", "qdisc", "replace", "dev", device, "root", "tbf", *rate)

    def mend(self) -> None:
        """Undo `lose`, `swallow` and `throttle`."""
        for namespace, device in self._ends:
            _inside(namespace, "nft", "add table netdev loss; delete table netdev loss")
            _inside(namespace, "tc", "qdisc", "replace", "dev", device, "root", "pfifo")
            _inside(namespace, "tc", "qdisc", "del", "dev", device, "root")

    def _drop(self, what: str) -> None:
        for namespace, device in self._ends:
            _inside(
                namespace,
                *("nft", "add table netdev loss"),
                *("; add chain netdev loss ingress", f'{{ type filter hook ingress device "{device}" priority 0; }}'),
                f"; add rule netdev loss ingress {what} drop",
            )

    @property
    def _ends(self) -> tuple[tuple[str, str], ...]:
        """Both ends of its cable: namespace and device."""
        return (self.namespace, "eth0"), (self._lab.switch, self.name)


class Lab:
    """Two segments and a router; `machine` adds computers.  A context manager: at its end everything is gone."""

    def __init__(self) -> None:
        self._prefix = f"hl{os.getpid():x}-{next(_labs)}-"
        self.switch, self.router = self.namespace("switch"), self.namespace("router")
        self._namespaces: list[str] = []
        self._numbers = itertools.count(_FIRST_HOST)

    def namespace(self, name: str) -> str:
        return self._prefix + name

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def machine(self, name: str, segment: int = 1) -> Machine:
        """A new computer, called by at most ten letters, plugged into a segment."""
        machine = Machine(self, name, next(self._numbers))
        self._add_namespace(machine.namespace, _QUIET)
        _ip(
            f"link add name {name} type veth peer name eth0 netns {machine.namespace}",
            f"link set dev {name} up",
            inside=self.switch,
        )
        _ip("link set lo up", f"addr add {machine.public}/32 dev lo", inside=machine.namespace)
        self.plug(machine, segment)
        return machine

    def plug(self, machine: Machine, segment: int) -> None:
        machine.segment = segment
        _ip(f"link set dev {machine.name} master seg{segment}", inside=self.switch)
        _ip(
            "link set eth0 down",
            "addr flush dev eth0",
            "link set eth0 up",
            f"addr add {machine.ip4}/24 brd + dev eth0",
            f"addr add {machine.ip6}/64 dev eth0 nodad",
            f"route replace default via 10.77.{segment}.1",
            f"route replace ::/0 via fd77:0:0:{segment}::1",
            inside=machine.namespace,
        )
        _ip(f"route replace {machine.public}/32 via {machine.ip4}", inside=self.router)

    def close(self) -> None:
        """End what still runs in the machines, then remove them."""
        for namespace in self._namespaces:
            listed = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
            for pid in listed.stdout.split():
                os.kill(int(pid), signal.SIGKILL)
        if self._namespaces:
            _ip(*(f"netns del {namespace}" for namespace in self._namespaces))
        self._namespaces.clear()

    def _build(self) -> None:
        self._add_namespace(self.switch, ("net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"))
        self._add_namespace(self.router, (*_QUIET, *_FORWARDING))
        wires, addresses = [], ["link set lo up", "route add blackhole default"]
        for segment in _SEGMENTS:
            wires += [
                f"link add seg{segment} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                f"link set seg{segment} up",
                f"link add name router{segment} type veth peer name eth{segment} netns {self.router}",
                f"link set router{segment} master seg{segment} up",
            ]
            addresses += [
                f"link set eth{segment} up",
                f"addr add 10.77.{segment}.1/24 brd + dev eth{segment}",
                f"addr add fd77:0:0:{segment}::1/64 dev eth{segment} nodad",
            ]
        _ip(*wires, inside=self.switch)
        _ip(*addresses, inside=self.router)

    def _add_namespace(self, namespace: str, settings: Sequence[str]) -> None:
        _ip(f"netns add {namespace}")
        self._namespaces.append(namespace)
        subprocess.run(
            ["ip", "netns", "exec", namespace, "sysctl", "-q", "-w", *settings], check=True, capture_output=True
        )


def _inside(namespace: str, *command: str) -> None:
    subprocess.run(["ip", "netns", "exec", namespace, *command], check=True, capture_output=True)


def _ip(*commands: str, inside: str | None = None) -> None:
    """Run ip(8) commands, in one process."""
    where = ["-n", inside] if inside else []
    lines = "\n".join(commands) + "\n"
    done = subprocess.run(["ip", *where, "-batch", "-"], input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(where)}: {done.stderr}{lines}"
