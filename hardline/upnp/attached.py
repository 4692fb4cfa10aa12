"""Where this computer is attached: its addresses, and the routers that lead from there to the world.

Linux says who the routers are; elsewhere only those are found that answer a search.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hardline.machine import addresses, is_made
from hardline.upnp import routing
from hardline.upnp.external import judge
from hardline.upnp.routing import OnInterface

_KERNEL = Path("/proc/net")
_MAX_TABLE = 1 << 20  # bytes; a router of the internet's core has more
MAX_OWN_6 = 4


@dataclass(frozen=True, slots=True)
class Own:
    """An IPv4 address of ours and its network."""

    interface: str
    address: str
    network: ipaddress.IPv4Network


@dataclass(frozen=True, slots=True)
class Attached:
    """What is known; every address that may be asked for a router is in `own_4` or `own_6`."""

    own_4: tuple[Own, ...] = ()
    own_6: tuple[OnInterface, ...] = ()
    gateways_4: tuple[tuple[str, str], ...] = ()  # (router, our address towards it)
    gateways_6: tuple[tuple[str, str], ...] = ()

    @property
    def addresses(self) -> frozenset[str]:
        """All of our addresses."""
        return frozenset((*(own.address for own in self.own_4), *(own.address for own in self.own_6)))


def attached(bind: Sequence[str] = ()) -> Attached:
    """Look now.  With `bind`, only at those addresses; a wildcard among them stands for its whole family."""
    wanted = {str(ipaddress.ip_address(text)) for text in bind}
    routes_4, routes_6 = routing.gateways_4(_read("route")), routing.gateways_6(_read("ipv6_route"))
    every_4 = [own for own in _addresses_4() if not wanted or wanted & {"0.0.0.0", own.address}]
    leading = {route.interface for route in routes_4}
    # Where no router is known one may still answer, on what leads out of the computer.
    beyond = leading or {own.interface for own in every_4 if not is_made(own.interface)}
    own_4 = tuple(own for own in every_4 if not beyond or own.interface in beyond)
    lasting = routing.lasting_6(_read("if_inet6"))
    interfaces_6 = {route.interface for route in routes_6}
    own_6 = tuple(
        own
        for own in sorted(lasting, key=lambda own: own.address)
        if own.interface in interfaces_6 and judge(own.address).public and (not wanted or wanted & {"::", own.address})
    )[:MAX_OWN_6]
    return Attached(
        own_4=own_4,
        own_6=own_6,
        gateways_4=tuple((route.address, own) for route in routes_4 if (own := _towards(route, own_4))),
        gateways_6=tuple(
            (route.address, own.address) for route in routes_6 for own in own_6 if own.interface == route.interface
        ),
    )


def _addresses_4() -> list[Own]:
    found = []
    for held in addresses():
        if ":" not in held.address:
            interface = ipaddress.IPv4Interface(f"{held.address}/{held.prefix}")
            if not (interface.ip.is_loopback or interface.ip.is_link_local):
                found.append(Own(held.interface, held.address, interface.network))
    return sorted(found, key=lambda own: (own.interface, own.address))


def _towards(route: OnInterface, own_4: Sequence[Own]) -> str | None:
    here = [own for own in own_4 if own.interface == route.interface]
    near = [own for own in here if ipaddress.IPv4Address(route.address) in own.network]
    return (near or here)[0].address if here else None


def _read(name: str) -> str:
    try:
        with (_KERNEL / name).open("rb") as table:
            return table.read(_MAX_TABLE).decode("latin-1")
    except OSError:
        return ""
