"""A small internet: a home behind its router, another home, a DHT, and machines that move between them.

    host, neighbour ── home's LAN ── router .101 ─┐                         ┌─ .20  dht: dhtnodes, one with a REST proxy
                                                  ├─ internet 11.22.33.0/24 ┼─ .10  visitor
    guest ──────────── away's LAN ── router .102 ─┘                         └─ whoever a test plugs in

    home  192.168.77.0/24 and LAN_6/64    miniupnpd, once `start_upnpd` was called
    away  192.168.88.0/24 and AWAY_6/64   a router that forwards nothing and maps nothing

Whatever is sent to an address that nobody has is swallowed on the internet, without an answer, as it is in the world.
Needs root, iproute2, nftables, sysctl and dhtnode; no packet can leave.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.node import Node
from tests.support.waiting import wait_until
from tests.upnp.home import HOST, LAN_6, NET_6, OTHER_PUBLIC, PUBLIC, ROUTER, Box, Home

DHT, DHT_6 = "11.22.33.20", NET_6 + "20"
PROXY = f"http://{DHT}:4180"
AWAY_PUBLIC, AWAY_ROUTER, GUEST = "11.22.33.102", "192.168.88.1", "192.168.88.10"
AWAY_6 = "2a0e:b107:77:2::"
FAR = "11.99.33."
NOWHERE = "11.22.33.254"
DHT_NODES = 5

_POSTING = Path(__file__).with_name("posting.py")
_WIRE = Path(__file__).parents[2] / "bench" / "lab.py"
_FORWARDING = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
_NOBODYS_CARD = "02:00:00:00:00:fe"
_NAT = """
table inet away {
  chain postrouting { type nat hook postrouting priority srcnat; oifname "wan" meta nfproto ipv4 masquerade; }
  chain forward { type filter hook forward priority filter; ct state established,related accept; iifname "wan" drop; }
  chain input { type filter hook input priority filter; ct state established,related accept; iifname "wan" drop; }
}
"""
_UNICAST = """
table inet over {
  chain input { type filter hook input priority filter; iifname "ygg0" ip6 daddr ff00::/8 drop; }
}
"""


@dataclass(frozen=True, slots=True)
class Network:
    """Where a machine can be plugged in: a bridge of a box, and the way out."""

    box: Box
    bridge: str
    four: str
    six: str
    gateway: str
    gateway_6: str = ""


class World(Home):
    """A context manager, as Home is; `dht` runs from the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self._programs: list[subprocess.Popen[Any]] = []
        self._overlaid: dict[Box, tuple[str, str]] = {}

    # Machines.

    def machine(self, name: str) -> Box:
        """A new computer, called by at most eight letters, plugged in nowhere."""
        return self._box(name)

    def plug(self, box: Box, network: Network, number: int, *, four: bool = True, six: bool = True) -> None:
        """Put its cable into a network, after it was pulled out of the one before."""
        if "eth0" in box.run(["ip", "-o", "link"]):
            box.ip("link del eth0")
        addresses = [f"{network.four}{number}/24"] if four else []
        addresses += [f"{network.six}{number}/64"] if six and network.six else []
        self._plug(box, "eth0", network.box, network.bridge, *addresses)
        if four and network.gateway:
            box.ip(f"route add default via {network.gateway}")
        elif four:
            swallow(box, "eth0")
        if six and network.gateway_6:
            box.ip(f"route add ::/0 via {network.gateway_6} dev eth0")
        if six and network is self.internet:
            self._routes_6(box, "eth0")

    def plug_far(self, box: Box, number: int) -> None:
        """Plug it into the internet, at another provider: a network whose addresses begin otherwise."""
        self.plug(box, Network(self._boxes[0], "inet", FAR, "", ""), number)
        box.ip("route add 11.22.33.0/24 dev eth0")
        for other, device in ((self.router, "wan"), (self.away_router, "wan"), (self.dht, "eth0")):
            other.ip(f"route replace {FAR}0/24 dev {device}")

    def new_address(self, address: str = OTHER_PUBLIC) -> None:
        """The provider gives the home's router another address, and brings it nothing more for the old one."""
        super().new_address(address)
        self.nft(f"add rule inet home before iifname wan ip daddr != {address} drop")
        swallow(self.router, "wan")
        self._routes_6(self.router, "wan")

    def overlay(self, box: Box, address: str) -> None:
        """Give a machine an address of a network over this one, as Yggdrasil's program does: unicast only."""
        if not self._overlaid:
            self._boxes[0].ip("link add over type bridge stp_state 0 forward_delay 0", "link set over up")
        end = f"over{len(self._overlaid)}"
        card = f"02:00:00:00:07:{len(self._overlaid):02x}"
        self._boxes[0].ip(
            f"link add {end} type veth peer name ygg0 address {card} netns {box.namespace}",
            f"link set {end} master over up",
        )
        box.ip("link set ygg0 up", f"addr add {address}/7 dev ygg0")
        box.run(["nft", "-f", "-"], _UNICAST)
        for other, (there, theirs) in self._overlaid.items():
            box.ip(f"neigh replace {there} lladdr {theirs} dev ygg0 nud permanent")
            other.ip(f"neigh replace {address} lladdr {card} dev ygg0 nud permanent")
        self._overlaid[box] = (address, card)

    def forward(self, port: int) -> None:
        """A port of the home's router forwarded to the host by hand."""
        self.nft(f"add rule inet home mapped_in tcp dport {port} dnat ip to {HOST}:{port}")

    def keep_apart(self) -> None:
        """What the other home sends to this one's router vanishes, so that they meet nowhere but at a relay."""
        self.away_router.run(["nft", "insert", "rule", "inet", "away", "forward", "ip", "daddr", PUBLIC, "drop"])

    def lengthen(self, round_trip: float) -> None:
        """Put a long wire between the other home and the internet."""
        wire, net = self._box("wire", ("net.ipv6.conf.all.disable_ipv6=1",)), self._boxes[0]
        self.away_router.ip("link del wan")
        self._plug(wire, "far", net, "inet")
        wire.ip(f"link add near type veth peer name wan netns {self.away_router.namespace}", "link set near up")
        self.away_router.ip("link set wan up", f"addr add {AWAY_PUBLIC}/24 dev wan")
        swallow(self.away_router, "wan")
        self.run_on(wire, [sys.executable, str(_WIRE), "near", "far", str(round_trip / 2)])
        wait_until(lambda: self._answers(self.away_router), "the wire carries")

    # Programs.

    def proxy(self) -> str:
        """The URL of the DHT's proxy, which is of use when this returns."""
        wait_until(lambda: self._known() > 0, "the proxy's node knows others")
        return PROXY

    def put(self, values: Mapping[str, Sequence[bytes]]) -> None:
        """Put values into the DHT, whatever they are."""
        told = {key: [base64.b64encode(value).decode() for value in some] for key, some in values.items()}
        command = self.dht.wrap([sys.executable, _POSTING, self.proxy()])
        done = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, timeout=100, check=True)
        assert int(done.stdout) == sum(map(len, values.values()))

    def run_on(self, box: Box, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program that ends with this world."""
        program = subprocess.Popen(
            box.wrap(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
        )
        self._programs.append(program)
        return program

    def close(self) -> None:
        super().close()
        for program in self._programs:
            program.wait()

    def _build(self) -> None:
        super()._build()
        net = self._boxes[0]
        self.internet = Network(net, "inet", "11.22.33.", NET_6, "")
        self.away_router = self._box("away", _FORWARDING)
        self._plug(self.away_router, "wan", net, "inet", f"{AWAY_PUBLIC}/24", f"{NET_6}102/64")
        self.away_router.ip(
            "link add lan type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            "link set lan up",
            f"addr add {AWAY_ROUTER}/24 brd + dev lan",
            f"addr add {AWAY_6}1/64 dev lan",
            "addr add fe80::1/64 dev lan",
        )
        self.away_router.run(["nft", "-f", "-"], _NAT)
        self.nft("add chain inet home before { type filter hook prerouting priority raw; }")
        self.home = Network(self.router, "lan", "192.168.77.", LAN_6, ROUTER, "fe80::1")
        self.away = Network(self.away_router, "lan", "192.168.88.", "", AWAY_ROUTER)
        for box, device in ((self.visitor, "eth0"), (self.router, "wan"), (self.away_router, "wan")):
            swallow(box, device)
        self._routes_6(self.away_router, "wan")
        self.guest = self._box("guest")
        self.plug(self.guest, self.away, 10)
        self.dht = self._box("dht")
        self.plug(self.dht, self.internet, 20)
        self._start_dht()

    def _start_dht(self) -> None:
        self.run_on(self.dht, ["dhtnode", "-s", "-p", "4222"])
        wait_until(lambda: self.dht.run(["ss", "-Hlun"]).count(":4222 ") == 2, "the first node listens")
        others = [["dhtnode", "-s", "-p", str(4222 + number), "-b", f"{DHT}:4222"] for number in range(1, DHT_NODES)]
        for command in (*others[:-1], [*others[-1], "--proxyserver", "4180"]):
            self.run_on(self.dht, command)

    def _answers(self, box: Box) -> bool:
        done = subprocess.run(box.wrap(["curl", "-sm1", f"{PROXY}/node/info"]), capture_output=True, check=False)
        return done.returncode == 0

    def _known(self) -> int:
        """How many good nodes the one with the proxy knows, by IPv4."""
        command = self.dht.wrap(["curl", "-sm1", f"{PROXY}/node/info"])
        done = subprocess.run(command, capture_output=True, check=False)
        told = json.loads(done.stdout or "{}") if done.returncode == 0 else {}
        return int(told.get("ipv4", {}).get("good", 0))

    def _routes_6(self, box: Box, device: str) -> None:
        """The way to both homes."""
        for lan, router in ((LAN_6, f"{NET_6}101"), (AWAY_6, f"{NET_6}102")):
            if box not in (self.router, self.away_router) or lan != (LAN_6 if box is self.router else AWAY_6):
                box.ip(f"route replace {lan}/64 via {router} dev {device}")


def swallow(box: Box, device: str) -> None:
    """Send everything else to a machine that is not there."""
    box.ip(
        f"neigh replace {NOWHERE} lladdr {_NOBODYS_CARD} dev {device} nud permanent",
        f"route replace default via {NOWHERE} dev {device} onlink",
    )


def settings(*, dht: bool = True, upnp: bool = False, proxies: str = "", more: str = "") -> str:
    """Of a daemon in this world."""
    bootstrap = f"{DHT}:4222, [{DHT_6}]:4222"
    return (
        f"[DHT]\nenabled = {'yes' if dht else 'no'}\nbootstrap = {bootstrap}\nproxies = {proxies}\n"
        f"[UPnP]\nenabled = {'yes' if upnp else 'no'}\n{more}"
    )


def is_published(node: Node, name: str, at: str, limit: float = 20.0) -> list[str]:
    """Wait until a service was announced at an endpoint, and read back; returns where it is said to be."""

    def read_back() -> list[str] | None:
        service = node.service(name)
        said = service["dht"] if service else None
        there = said and said["read_back"] and said["announced"] <= said["read_back"] and at in said["hosts"]
        return said["hosts"] if said and there else None

    return wait_until(read_back, f"{name} was published at {at}:\n{node.log[-3000:]}", limit, every=0.1)


def path(node: Node, label: str) -> tuple[str, str, str]:
    """Which path the last visit took: via, found_by, endpoint."""
    visit = node.last_visit(label)
    return visit["via"], visit["found_by"], visit["endpoint"]
