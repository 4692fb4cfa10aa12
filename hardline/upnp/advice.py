"""What a person should do when no router opens a port, without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardline.upnp.external import External, Kind

THEN = "then write [Node] public = {where}:{port} into hardline.ini"

_TELLING = (Kind.CARRIER, Kind.PRIVATE, Kind.NONE)  # what explains most, first


@dataclass(frozen=True, slots=True)
class Router:
    """A router and how far it got.

    `own` is our address in its network, `external` what it says of its own, `mapped` its port that leads to us, or 0.
    """

    address: str
    own: str
    external: External | None = None
    mapped: int = 0

    @property
    def kind(self) -> Kind | None:
        """What it says of its own address; None where it says nothing."""
        return self.external.kind if self.external else None


def advise(port: int, routers: Sequence[Router]) -> str:
    """One sentence for who runs this node, whose P2P port is `port`.  Empty where nothing is to be done."""
    if any(router.mapped and router.kind is Kind.PUBLIC for router in routers):
        return ""
    if not routers:
        return "no router was found: this node is reachable on its own network only"
    router = min(routers, key=lambda router: _TELLING.index(router.kind) if router.kind in _TELLING else len(_TELLING))
    where = str(router.external) if router.kind is Kind.PUBLIC else "YOUR-PUBLIC-ADDRESS"
    by_hand = f"forward TCP port {port} on the router {router.address} to {router.own} port {port}"
    then = THEN.format(where=where, port=port)
    if router.kind is Kind.CARRIER:
        return (
            f"the router {router.address} has the address {router.external}, which belongs to its provider's NAT: "
            "no port can be opened there; ask the provider for a public IPv4 address, or use IPv6"
        )
    if router.kind is Kind.PRIVATE:
        first = "" if router.mapped else f"{by_hand}, and "
        return (
            f"the router {router.address} is behind another router, in whose network it is {router.external}: {first}"
            f"forward TCP port {port} on that other router to {router.external} port {router.mapped or port}, {then}"
        )
    if router.kind is Kind.NONE:
        return (
            f"the router {router.address} says that it has no public address: its connection is down, or it is behind "
            f"another router or its provider's NAT; where it does have one, {by_hand}, {then}"
        )
    return f"{by_hand}, {then}"
