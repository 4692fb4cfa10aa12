"""A home behind a router, as network namespaces: what is mapped on the router can be tried from outside.

    host ─────── eth0 ─┐
    neighbour ── eth0 ─┴─ lan ── router ── wan ─── the internet ─── eth0 ── visitor
                                  miniupnpd

    LAN             192.168.77.0/24 and LAN_6/64: router .1 and ::1, host .10, neighbour .11
    the internet    11.22.33.0/24 and NET_6/64: router .101, visitor .10; nothing else, and no way out

With `outer` there is another router between: the home's has an address of that one's network, 100.64.7.2 or what is
given.  The addresses are ordinary public ones because routers refuse those for documentation; no packet can leave:
every link is a veth pair between these namespaces.  Needs root, iproute2, nftables, sysctl and miniupnpd.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.support.waiting import wait_until

ROUTER, HOST, NEIGHBOUR = "192.168.77.1", "192.168.77.10", "192.168.77.11"
PUBLIC, OTHER_PUBLIC, VISITOR = "11.22.33.101", "11.22.33.150", "11.22.33.10"
LAN_6, NET_6 = "2a0e:b107:77:1::", "2a0e:b107:77:ff::"
HOST_6 = LAN_6 + "10"
_numbers = itertools.count()

_QUIET = ("net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.accept_ra=0")
_FORWARDING = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

# Mappings go into chains of their own, so that a look at those says what is mapped.
_RULES = """
table inet home {
  chain mapped {}
  chain mapped_in {}
  chain mapped_out {}
  chain prerouting { type nat hook prerouting priority dstnat; iifname "wan" jump mapped_in; }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "wan" jump mapped_out
    oifname "wan" meta nfproto ipv4 masquerade
  }
  chain forward {
    type filter hook forward priority filter;
    ct state established,related accept
    iifname "wan" ct status dnat accept
    iifname "wan" jump mapped
    iifname "wan" drop
  }
  chain deaf {}
  chain input {
    type filter hook input priority filter;
    jump deaf
    ct state established,related accept
    meta l4proto { icmp, icmpv6 } accept
    iifname "wan" drop
  }
}
"""


class Box:
    """One namespace: a computer or a router."""

    def __init__(self, namespace: str, settings: Sequence[str] = ()) -> None:
        self.namespace = namespace
        ip(f"netns add {namespace}")
        self.run(["sysctl", "-q", "-w", *_QUIET, *settings])
        self.ip("link set lo up")

    def wrap(self, command: Sequence[str | Path]) -> list[str]:
        """The command that runs `command` here; it replaces itself, so that the process id stays."""
        return ["ip", "netns", "exec", self.namespace, *map(str, command)]

    def run(self, command: Sequence[str | Path], stdin: str | None = None) -> str:
        done = subprocess.run(
            self.wrap(command), input=stdin, capture_output=True, text=True, timeout=30.0, check=False
        )
        assert done.returncode == 0, f"{self.namespace}: {command}: {done.stderr}{done.stdout}"
        return done.stdout

    def start(self, command: Sequence[str | Path], output: IO[Any] | int | None = None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.wrap(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def ip(self, *commands: str) -> None:
        ip(*commands, inside=self.namespace)

    def close(self) -> None:
        listed = subprocess.run(["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=False)
        for pid in listed.stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        ip(f"netns del {self.namespace}")


class Home:
    """A context manager: at its end everything is gone.  miniupnpd does not run before `start_upnpd`."""

    def __init__(self, outer: str = "") -> None:
        self._prefix = f"hlu{os.getpid():x}-{next(_numbers)}-"
        self._outer = outer
        self._boxes: list[Box] = []
        self._upnpd: subprocess.Popen[bytes] | None = None
        self._directory = Path(tempfile.mkdtemp(prefix="hl-upnp-"))

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

    # The router.

    def start_upnpd(
        self, *, upnp: bool = True, natpmp: bool = True, allow: str = "1024-65535", http_port: int = 5555
    ) -> None:
        """Start miniupnpd as it is on many routers; NAT-PMP comes with PCP.

        `allow` are the ports that it gives.
        """
        lines = [
            *("ext_ifname=wan", "listening_ip=lan", f"http_port={http_port}"),
            *(f"enable_upnp={_yes(upnp)}", f"enable_natpmp={_yes(natpmp)}", "secure_mode=yes", "min_lifetime=2"),
            *("max_lifetime=86400", "system_uptime=no", "uuid=00000000-0000-4000-8000-000000000077"),
            *("upnp_table_name=home", "upnp_nat_table_name=home", "upnp_forward_chain=mapped"),
            *("upnp_nat_chain=mapped_in", "upnp_nat_postrouting_chain=mapped_out"),
            f"lease_file={self._directory / 'leases'}",
            *([f"allow {allow} 0.0.0.0/0 1024-65535"] if allow else []),
            "deny 0-65535 0.0.0.0/0 0-65535",
        ]
        conf = self._directory / "miniupnpd.conf"
        conf.write_text("\n".join(lines) + "\n")
        with (self._directory / "miniupnpd.log").open("ab") as log:
            pid_file = self._directory / "pid"
            self._upnpd = self.router.start(["miniupnpd", "-f", conf, "-P", pid_file, "-d"], output=log)
        ports = [f":{http_port} "] if upnp else []
        ports += [":5351 "] if natpmp else []

        def listening() -> bool:
            assert self._upnpd
            assert self._upnpd.poll() is None, self.upnpd_log()
            heard = self.router.run(["ss", "-Hltun"])
            return all(port in heard for port in ports)

        wait_until(listening, "miniupnpd listened")

    def stop_upnpd(self, *, forget: bool = True) -> None:
        """End miniupnpd; with `forget` as a router does that loses its power."""
        if self._upnpd:
            self._upnpd.kill() if forget else self._upnpd.terminate()
            self._upnpd.wait()
            self._upnpd = None
        if forget:
            (self._directory / "leases").unlink(missing_ok=True)
            self.nft("flush chain inet home mapped; flush chain inet home mapped_in; flush chain inet home mapped_out")

    def suspend_upnpd(self, suspended: bool) -> None:
        """A router that hangs: it takes connections and answers nothing."""
        assert self._upnpd
        self._upnpd.send_signal(signal.SIGSTOP if suspended else signal.SIGCONT)

    def upnpd_log(self) -> str:
        return (self._directory / "miniupnpd.log").read_text(errors="replace")[-40000:]

    def nft(self, rules: str) -> str:
        return self.router.run(["nft", "-f", "-"], rules)

    def mapped(self) -> str:
        """The rules of all mappings that the router has now."""
        chains = ("mapped", "mapped_in")
        listed = [self.router.run(["nft", "list", "chain", "inet", "home", chain]) for chain in chains]
        return "\n".join(line.strip() for text in listed for line in text.splitlines() if "dport" in line)

    def only_version(self, version: int) -> None:
        """Let the router hear only NAT-PMP (0) or only PCP (2)."""
        other = 2 - version
        self.nft(f"add rule inet home deaf udp dport 5351 @th,64,8 {other} drop")

    def without_port_control(self) -> None:
        """Let the router speak neither; miniupnpd 2.3.1 speaks PCP over IPv6 though it is told not to."""
        self.nft("add rule inet home deaf udp dport 5351 reject")

    def new_address(self, address: str = OTHER_PUBLIC) -> None:
        """The provider gives the router another address."""
        self.router.ip("addr flush dev wan", f"addr add {address}/24 dev wan", f"addr add {NET_6}101/64 dev wan")

    def close(self) -> None:
        for box in self._boxes:
            box.close()
        self._boxes.clear()
        if self._upnpd:
            self._upnpd.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _build(self) -> None:
        net, self.visitor = self._box("net"), self._box("visitor")
        self.router = self._box("router", _FORWARDING)
        self.host, self.neighbour = self._box("host"), self._box("near")
        net.ip("link add inet type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set inet up")
        self._plug(self.visitor, "eth0", net, "inet", f"{VISITOR}/24", f"{NET_6}10/64")
        self.visitor.ip(f"route add {LAN_6}/64 via {NET_6}101")
        self.router.ip("link add lan type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set lan up")
        self.router.ip(
            f"addr add {ROUTER}/24 brd + dev lan", f"addr add {LAN_6}1/64 dev lan", "addr add fe80::1/64 dev lan"
        )
        if self._outer:
            outer = self._box("outer", _FORWARDING)
            self._plug(outer, "wan", net, "inet", f"{PUBLIC}/24", f"{NET_6}101/64")
            outer.ip("link add lan type bridge stp_state 0 forward_delay 0", "link set lan up")
            outer.ip(f"addr add {self._outer}1/24 dev lan")
            outer.run(["nft", "-f", "-"], _RULES)
            self._plug(self.router, "wan", outer, "lan", f"{self._outer}2/24", f"{NET_6}102/64")
            self.router.ip(f"route add default via {self._outer}1")
        else:
            self._plug(self.router, "wan", net, "inet", f"{PUBLIC}/24", f"{NET_6}101/64")
        self.nft(_RULES)
        for box, four, six in ((self.host, HOST, HOST_6), (self.neighbour, NEIGHBOUR, LAN_6 + "11")):
            self._plug(box, "eth0", self.router, "lan", f"{four}/24", f"{six}/64")
            box.ip(f"route add default via {ROUTER}", "route add ::/0 via fe80::1 dev eth0")

    def _box(self, name: str, settings: Sequence[str] = ()) -> Box:
        box = Box(self._prefix + name, settings)
        self._boxes.append(box)
        return box

    def _plug(self, box: Box, device: str, into: Box, bridge: str, *addresses: str) -> None:
        """A cable from `device` of a box to a bridge in another."""
        end = f"to{box.namespace.rpartition('-')[2]}"
        into.ip(
            f"link add {end} type veth peer name {device} netns {box.namespace}", f"link set {end} master {bridge} up"
        )
        box.ip(f"link set {device} up", *(f"addr add {address} dev {device}" for address in addresses))


def ip(*commands: str, inside: str | None = None) -> None:
    """Run ip(8) commands, in one process."""
    where = ["-n", inside] if inside else []
    lines = "\n".join(commands) + "\n"
    done = subprocess.run(["ip", *where, "-batch", "-"], input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(where)}: {done.stderr}{lines}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
