"""What routers do to TCP, as rules for nft, without I/O.

    none    nothing: the home has public addresses of its own
    full    a port for each endpoint inside, the same one; whoever sends something to it gets in
    addr    …; only from addresses that something was sent to
    port    …; only from endpoints that something was sent to: Linux' own masquerade
    remap   port, but the port outside is another one than inside
    symm    another port for each connection
    tls     port, but only TLS gets out: TCP to port 443 whose first bytes are a ClientHello; the rest is dropped

    +rst      what nobody asked for is answered by RST       +hairpin   the home reaches its own ports from inside by
    +icmp     …, by "port unreachable"                                  the public address, too

Without +rst and +icmp it is dropped.  In each case it is before conntrack keeps it: an entry of the other side's early
SYN would make masquerade take another port for the own one.
Source of the types: RFC 4787, sections 4 and 5, and RFC 5382, for TCP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

TYPES = ("none", "full", "addr", "port", "remap", "symm")
ONLY_TLS = "tls"
_OPTIONS = frozenset({"rst", "icmp", "hairpin"})

_UNASKED = 'iifname "wan" meta nfproto ipv4 fib daddr type local meta l4proto tcp'
_OUT = 'oifname "wan" meta nfproto ipv4'
_TURNED = 'iifname "lan" oifname "lan" ct status dnat meta l4proto tcp'
_KNOWN_PORT = "ip saddr . tcp sport map @outside"
_OTHER_PORT = "random,fully-random"

# Of the first bytes that a client sends; a packet without any matches neither.
_UNJUDGED = 'iifname "lan" meta l4proto tcp ct direction original ct mark 0'
_HANDSHAKE = "@ih,0,16 0x1603"
_CLIENT_HELLO = "@ih,40,8 0x01"


@dataclass(frozen=True, slots=True)
class Nat:
    """One router's."""

    type: str
    options: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """ "port", "remap+hairpin+rst"."""
        first, *options = text.split("+")
        assert first in (*TYPES, ONLY_TLS), text
        assert _OPTIONS.issuperset(options), text
        assert first not in ("none", "symm") or "hairpin" not in options, f"{text}: its ports cannot be known"
        return cls(first, frozenset(options))

    def rules(self, lan_address: str) -> str:
        """The whole table of a router with the interfaces wan and lan; loaded again, it knows no ports any more."""
        return f"""
add table inet nat
delete table inet nat
table inet nat {{
  map inside {{ type inet_service : ipv4_addr . inet_service; flags dynamic; size 65535; }}
  map outside {{ type ipv4_addr . inet_service : inet_service; flags dynamic; size 65535; }}
  set used {{ type inet_service; flags dynamic; size 65535; }}
  set talked {{ type ipv4_addr . inet_service; flags dynamic; size 65535; }}
  chain before {{ type nat hook prerouting priority dstnat; {_lines(self._before(lan_address))} }}
  chain after {{ type nat hook postrouting priority srcnat; {_lines(self._after())} }}
  # Packets have their port outside by now.
  chain learn {{ type filter hook postrouting priority srcnat + 10; {_lines(self._learn())} }}
  chain forward {{ type filter hook forward priority filter; {_lines(self._forward())} }}
  chain input {{ type filter hook input priority filter; {_lines(self._input())} }}
}}
"""

    def _before(self, lan_address: str) -> list[str]:
        to = "dnat ip to tcp dport map @inside"
        let_in = {"full": f"{_UNASKED} {to}", "addr": f"{_UNASKED} ip saddr . tcp dport @talked {to}"}
        rules = [let_in[self.type]] if self.type in let_in else []
        if "hairpin" in self.options:
            rules.append(f'iifname "lan" fib daddr type local ip daddr != {lan_address} meta l4proto tcp {to}')
        return rules

    def _after(self) -> list[str]:
        if self.type == "none":
            return []
        fresh = _OTHER_PORT if self.type in ("remap", "symm") else ""
        rules = []
        if "hairpin" in self.options:
            turned = f"{_TURNED} snat ip to ct original ip daddr"
            rules += [f"{turned} : {_KNOWN_PORT}", f"{turned} {fresh}"]
        if self._learns:
            rules.append(f"{_OUT} meta l4proto tcp masquerade to : {_KNOWN_PORT}")
            rules.append(f"{_OUT} tcp sport @used masquerade {_OTHER_PORT}")  # another machine inside has it
        return [*rules, f"{_OUT} masquerade {fresh}"]

    def _learn(self) -> list[str]:
        if not self._learns:
            return []
        ways = [f'{_OUT} iifname "lan"', *([_TURNED] if "hairpin" in self.options else [])]
        host = "ct original ip saddr . ct original proto-src"
        return [
            f"{way} ct direction original meta l4proto tcp"
            f" update @inside {{ tcp sport : {host} }} update @outside {{ {host} : tcp sport }}"
            " update @used { tcp sport } update @talked { ip daddr . tcp sport }"
            for way in ways
        ]

    def _forward(self) -> list[str]:
        four = "accept" if self.type == "none" else "drop"
        return [
            *self._only_tls(),
            "ct state established,related accept",
            'iifname "wan" ct status dnat accept',
            f'iifname "wan" meta nfproto ipv4 {four}',
            'iifname "wan" meta l4proto icmpv6 accept',
            *self._refuse('iifname "wan"'),
        ]

    def _only_tls(self) -> list[str]:
        if self.type != ONLY_TLS:
            return []
        return [
            f"{_UNJUDGED} {_HANDSHAKE} {_CLIENT_HELLO} ct mark set 1",
            *self._refuse('iifname "lan" tcp dport != 443'),
            *self._refuse(f"{_UNJUDGED} @ih,0,8 >= 0"),
            'iifname "lan" meta l4proto != tcp drop',
        ]

    def _input(self) -> list[str]:
        known = ["ct state established,related accept", "meta l4proto { icmp, icmpv6 } accept"]
        return [*known, *self._refuse('iifname "wan"')]

    def _refuse(self, what: str) -> list[str]:
        rst = [f"{what} meta l4proto tcp reject with tcp reset"] if "rst" in self.options else []
        icmp = [f"{what} reject with icmpx type port-unreachable"] if "icmp" in self.options else []
        return [*rst, *icmp, f"{what} drop"]

    @property
    def _learns(self) -> bool:
        """Whether it keeps ports of its own: for `port` and `symm` conntrack is enough."""
        return self.type in ("full", "addr", "remap") or "hairpin" in self.options


def _lines(rules: list[str]) -> str:
    return "\n    ".join(["", *rules, ""])
