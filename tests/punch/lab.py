"""Two homes whose routers are of any kind, and a relay between them: whether their machines can meet, can be tried.

    a ── home 1 ── ra ── 20 ms ─┐
                                ├── internet 11.22.33.0/24 ── p, and whoever a test plugs in
    b ── home 2 ── rb ── 30 ms ─┘

    "carrier"   a ── home 1 ── ra ── 20 ms ─┐                    "one"   a ─┐
                                            ├─ cg ── internet               ├─ home 1 ── ra ── 20 ms ── internet
                b ── home 2 ── rb ── 30 ms ─┘                            b ─┘

    home n      192.168.7n.0/24, or 11.22.4n.0/24 where its router is "none"; the router .1, machines from .10
    internet    routers .101, .102, the carrier's .103, p .10, new addresses of routers from .150
    carrier     100.64.7.0/24
    IPv6        with `six`: 2a0e:b107:77:n::/64 in the homes, …:ff::/64 outside; the routers let in what was asked for

Whatever is sent to an address that nobody has is swallowed on the internet, without an answer.  The addresses are
ordinary public ones, because others are not taken for public; no packet can leave: all bridges are in a namespace of
their own, and every link is a veth pair between these namespaces.  Needs root, iproute2, nftables, conntrack, sysctl.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.punch.nat import Nat
from tests.reach.world import swallow
from tests.support.waiting import wait_until
from tests.upnp.home import Box

Shape = Literal["homes", "carrier", "one"]

_WIRE = Path(__file__).parents[2] / "bench" / "lab.py"
_FORWARDING = (
    *("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"),
    # Or whoever still sends to what is no home's now is told to send it to nobody, and keeps that.
    *("net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0"),
)
_NO_IPV6 = ("net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
_DELAYS = {1: 0.02, 2: 0.03}  # seconds, one way
_OUTSIDE_6 = "2a0e:b107:77:ff::"
_labs = itertools.count()


class Router(Box):
    """Between a network of its own, `inside` and its lan, and another one."""

    def __init__(self, namespace: str, number: int) -> None:
        super().__init__(namespace, _FORWARDING)
        self.number = number
        self.nat = Nat.parse("port")
        self.wan = ""  # its address there; the public one but behind a carrier's
        self.machines: dict[Box, int] = {}

    @property
    def inside(self) -> str:
        """What the addresses of its network begin with."""
        if self.number == 3:
            return "100.64.7."
        return f"11.22.4{self.number}." if self.nat.type == "none" else f"192.168.7{self.number}."

    @property
    def six(self) -> str:
        return f"2a0e:b107:77:{self.number}::"

    def flush(self) -> None:
        """Forget all connections and ports, as a router does that was switched off and on."""
        self.run(["conntrack", "-F"])
        for kind, name in (("map", "inside"), ("map", "outside"), ("set", "used"), ("set", "talked")):
            self.run(["nft", "flush", kind, "inet", "nat", name])


class Lab:
    """A context manager: at its end everything is gone.  `a`, `b`, `p` are machines, `ra`, `rb`, `cg` the routers.

    In the shape "one" `rb` is `ra`, and only a carrier's lab has `cg`.  All are of the type "port" at first.
    """

    a: Box
    b: Box
    p: Box
    ra: Router
    rb: Router
    cg: Router

    def __init__(self, shape: Shape = "homes", *, six: bool = False, delayed: bool = True) -> None:
        assert not six or shape != "carrier", "no carrier gives addresses of IPv6 here"
        self.shape, self._six, self._delayed = shape, six, delayed
        self._prefix = f"hlp{os.getpid():x}-{next(_labs)}-"
        self._made = contextlib.ExitStack()
        self._wires = 0
        self._outside: dict[Box, tuple[str, str]] = {}  # on the internet: the device, and its cable's end in the switch
        self._muted: set[tuple[Box, Box]] = set()
        self._numbers, self._new_numbers = itertools.count(10), itertools.count(150)

    def __enter__(self) -> Self:
        with self._made:
            self._build()
            self._made = self._made.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._made.close()

    # Machines.

    def machine(self, name: str, behind: Router | None = None) -> Box:
        """A new computer, called by at most eight letters, in a router's network or on the internet."""
        box = self._box(Box(self._prefix + name))
        self.plug(box, behind)
        return box

    def plug(self, box: Box, behind: Router | None = None) -> None:
        """Put its cable into a network, after it was pulled out of the one before."""
        if "eth0" in box.run(["ip", "-o", "link"]):
            box.ip("link del eth0")
        self._outside.pop(box, None)
        for router in self._routers:
            router.machines.pop(box, None)
        if behind is None:
            self._plug_outside(box, "eth0", next(self._numbers))
        else:
            self._cable(box, "eth0", f"home{behind.number}")
            behind.machines[box] = next(n for n in itertools.count(10) if n not in behind.machines.values())
            self._address(box, behind)

    # Routers.

    def nat(self, router: Router, text: str) -> None:
        """Make it a router of this kind (nat.py); it forgets all connections.

        A home gets other addresses where it had public ones of its own, or gets them.
        """
        nat = Nat.parse(text)
        assert nat.type != "none" or self.shape != "carrier", "a carrier leads no addresses to homes"
        before, router.nat = router.inside, nat
        if router.inside != before:
            router.ip(f"addr del {before}1/24 dev lan", f"addr add {router.inside}1/24 brd + dev lan")
            for box in router.machines:
                self._address(box, router)
        router.run(["nft", "-f", "-"], nat.rules(f"{router.inside}1"))
        router.flush()
        self._lead()

    def new_address(self, router: Router) -> str:
        """The provider gives it another public address, and brings it nothing more for the old one."""
        assert router in self._outside
        old, router.wan = router.wan, f"11.22.33.{next(self._new_numbers)}"
        router.ip(f"addr del {old}/24 dev wan", f"addr add {router.wan}/24 dev wan")
        router.run(
            ["nft", "-f", "-"],
            "add table ip moved; add chain ip moved old { type filter hook prerouting priority raw; }\n"
            f"add rule ip moved old iifname wan ip daddr {old} drop",
        )
        self._lead()
        return router.wan

    # The ways between them.

    def mute(self, sender: Box, receiver: Box) -> None:
        """What goes from one to the other on the internet vanishes; the way back and those by others stay as they are.

        Both are routers or machines that are plugged in there.
        """
        self._muted.add((sender, receiver))
        self._drop()

    def unmute(self) -> None:
        """Undo all of it."""
        self._muted.clear()
        self._drop()

    def _drop(self) -> None:
        chains = ""
        for sender in {sender for sender, _ in self._muted}:
            _, end = self._outside[sender]
            cards = ", ".join(
                _card(receiver, self._outside[receiver][0]) for one, receiver in self._muted if one is sender
            )
            chains += (
                f'chain {end} {{ type filter hook ingress device "{end}" priority 0; '
                f"ether type ip ether daddr {{ {cards} }} drop; "
                # They still learn each other's cards, or their routers would say that there is nobody.
                f"ether type ip6 meta l4proto != icmpv6 ether daddr {{ {cards} }} drop; }}\n"
            )
        self._switch.run(
            ["nft", "-f", "-"], f"add table netdev mute\ndelete table netdev mute\ntable netdev mute {{\n{chains}}}\n"
        )

    # How it is made.

    def _build(self) -> None:
        self._switch = self._box(Box(self._prefix + "switch", _NO_IPV6))
        for bridge in ("inet", "cgn", "home1", "home2"):
            self._switch.ip(
                f"link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0", f"link set {bridge} up"
            )
        self._routers: list[Router] = []
        if self.shape == "carrier":
            self.cg = self._router("cg", 3)
        self.ra = self._router("ra", 1)
        self.rb = self.ra if self.shape == "one" else self._router("rb", 2)
        self.p = self.machine("p")
        self.a, self.b = self.machine("a", self.ra), self.machine("b", self.rb)

    def _router(self, name: str, number: int) -> Router:
        router = Router(self._prefix + name, number)
        self._box(router)
        self._routers.append(router)
        delay = _DELAYS.get(number, 0.0) if self._delayed else 0.0
        if self.shape == "carrier" and number != 3:
            router.wan = f"{self.cg.inside}{100 + number}"
            self._cable(router, "wan", "cgn", delay)
            router.ip(f"addr add {router.wan}/24 dev wan", f"route add default via {self.cg.inside}1")
        else:
            router.wan = f"11.22.33.{100 + number}"
            self._plug_outside(router, "wan", 100 + number, delay)
        self._cable(router, "lan", "cgn" if number == 3 else f"home{number}")
        router.ip(f"addr add {router.inside}1/24 brd + dev lan", "addr add fe80::1/64 dev lan")
        if self._six:
            router.ip(f"addr add {router.six}1/64 dev lan")
        self.nat(router, "port")
        return router

    def _plug_outside(self, box: Box, device: str, number: int, delay: float = 0.0) -> None:
        end = self._cable(box, device, "inet", delay)
        box.ip(f"addr add 11.22.33.{number}/24 dev {device}")
        if self._six:
            box.ip(f"addr add {_OUTSIDE_6}{number}/64 dev {device}")
        self._outside[box] = (device, end)
        self._lead()

    def _address(self, box: Box, router: Router) -> None:
        """What its router gives a machine."""
        number = router.machines[box]
        box.ip(
            "addr flush dev eth0 scope global",
            f"addr add {router.inside}{number}/24 brd + dev eth0",
            f"route replace default via {router.inside}1",
        )
        if self._six:
            box.ip(f"addr add {router.six}{number}/64 dev eth0", "route replace ::/0 via fe80::1 dev eth0")

    def _lead(self) -> None:
        """Everybody on the internet knows the way to what has public addresses."""
        for box, (device, _) in self._outside.items():
            swallow(box, device)
            for router in self._routers:
                if router is not box and router in self._outside:
                    box.ip(f"route replace 11.22.4{router.number}.0/24 via {router.wan} dev {device}")
                    if self._six:
                        box.ip(f"route replace {router.six}/64 via {_OUTSIDE_6}{100 + router.number} dev {device}")

    def _cable(self, box: Box, device: str, bridge: str, delay: float = 0.0) -> str:
        """From `device` of a box to a bridge, through a wire of `delay` seconds; returns the end at the bridge."""
        end = f"{box.namespace.rpartition('-')[2]}_{device}"
        self._switch.ip(f"link add {end} type veth peer name {device} netns {box.namespace}", f"link set {end} up")
        box.ip(f"link set {device} up")
        if not delay:
            self._switch.ip(f"link set {end} master {bridge}")
            return end
        near, far = f"{end}_n", f"{end}_f"
        self._switch.ip(
            f"link add {far} type veth peer name {near}", f"link set {near} up", f"link set {far} master {bridge} up"
        )
        wire = self._switch.start([sys.executable, _WIRE, end, near, str(delay)], subprocess.DEVNULL)
        self._made.callback(wire.wait)
        self._made.callback(wire.kill)
        self._wires += 1
        listening = 1 + 2 * self._wires  # a headline, and both ends of each
        wait_until(lambda: self._switch.run(["cat", "/proc/net/packet"]).count("\n") == listening, "the wire carries")
        return far

    def _box(self, box: Box) -> Box:
        self._made.callback(box.close)
        return box


def _card(box: Box, device: str) -> str:
    return box.run(["cat", f"/sys/class/net/{device}/address"]).strip()
