"""The list of what is checked, in the order in which people read it, and which facts each judgement needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hardline.doctor import beyond, computer, nearby, sharing
from hardline.doctor.facts import Facts
from hardline.doctor.rows import Row


@dataclass(frozen=True, slots=True)
class Check:
    """One of them; `needs` are fields of Facts."""

    name: str
    needs: tuple[str, ...]
    judge: Callable[[Facts], list[Row]]


_HEARD = ("lan", "firewall")
_WAYS_IN = ("status", "dialled_back")

CHECKS = (
    Check(computer.DAEMON, ("daemon",), computer.daemon),
    Check(computer.LOGOUT, ("daemon", "lingering"), computer.logout),
    Check(computer.PORTS, ("ports",), computer.ports),
    Check(computer.RESOLVER, ("resolving",), computer.resolver),
    Check(nearby.FIREWALL, ("firewall",), nearby.firewall),
    Check(nearby.MULTICAST, _HEARD, nearby.multicast),
    Check(nearby.NEIGHBOURS, _HEARD, nearby.neighbours),
    Check(nearby.OTHERS, _HEARD, nearby.others),
    Check(nearby.INTERFACES, ("routes",), nearby.interfaces),
    Check(beyond.ROUTER, _WAYS_IN, beyond.router),
    Check(beyond.NAT, (*_WAYS_IN, "hops"), beyond.double_nat),
    Check(beyond.IPV6, _WAYS_IN, beyond.ipv6),
    Check(beyond.DHT, ("dht", "hops", "status"), beyond.dht),
    Check(beyond.REACHED, (*_WAYS_IN, "firewall", "hops"), beyond.reached),
    Check(beyond.RELAY, ("status",), beyond.relay),
    Check(sharing.SERVICES, ("shared", "keys"), sharing.services),
    Check(computer.KEYS, ("keys",), computer.keys),
    Check(computer.CLOCK, ("clock", "lan"), computer.clock),
    Check(computer.DISK, ("places",), computer.disk),
    Check(sharing.EXPOSURE, ("exposed",), sharing.exposure),
)

NAMES = tuple(check.name for check in CHECKS)
