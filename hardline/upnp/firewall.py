"""An IPv6 firewall that is opened by UPnP (IGD 2, WANIPv6FirewallControl:1), through a process that ends in time.

    offers        ── pinhole.py: find ─────▶ router: its description        ──▶ Firewall, or None
    Firewall.hold ── pinhole.py: hold ─────▶ router: AddPinhole, then UpdatePinhole
                  ◀── Grant: our own address and port; the lease is what was asked for ──

The router opens only for whoever asks, so it is asked over IPv6 from the very address; over IPv4 where nothing else
answers, which some allow.  A pinhole has no name: what a life before this one left is taken up by AddPinhole, which
gives the same id for the same address and port, or runs out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hardline import log
from hardline.upnp import child
from hardline.upnp.grants import Broken, Grant, Refused, RouterFailed, Silent
from hardline.upnp.ssdp import HttpPlace

FIND_LIMIT = 8.0  # seconds
HOLD_LIMIT = 6.0
RELEASE_LIMIT = 3.0
MAX_PLACES = 5
LONGEST = 86_400  # seconds; UPnP allows no longer lease
OPEN = "its IPv6 firewall is off: nothing had to be opened"

_PROGRAM = Path(__file__).with_name("pinhole.py")


class Firewall:
    """The Way of a router that opens its firewall for the IPv6 address `own`.

    `places` are where its description may be, `control` is where it was found to take commands.
    """

    kind = "UPnP for IPv6"
    look_every = 120.0
    rest = 2.0

    def __init__(self, router: str, own: str, places: Sequence[HttpPlace], control: HttpPlace) -> None:
        self.router, self.own = router, own
        self._places, self._control = tuple(places), control
        self._searched = True  # `control` is where it is now
        self._id: int | None = None
        self._unsure = False  # a pinhole may be there whose id never came

    @property
    def key(self) -> tuple[str, str, str]:
        """As Way.key."""
        return self.kind, self.router, self.own

    def moved(self, places: Sequence[HttpPlace]) -> bool:
        """Take up where the router's descriptions are now; True when they were elsewhere before."""
        moved = set(places) != set(self._places)
        if moved:
            self._places, self._searched = tuple(places), False
        return moved

    async def hold(self, inside: int, wished: int, lease: float) -> Grant:
        """As Way.hold; what is wished outside is always the port itself."""
        seconds = min(max(1, int(lease)), LONGEST)
        before, unsure, self._unsure = self._id, self._unsure, True
        try:
            if not self._searched:
                self._control, self._searched = await _find(self._places), True
            answer = await self._ask({"do": "hold", "inside": inside, "id": before, "lease": seconds}, HOLD_LIMIT)
        except (Broken, Silent):
            self._searched = False
            raise
        except Refused:
            self._unsure = unsure
            raise
        match answer:
            case {"open": True}:
                self._id, self._unsure = None, False
                return Grant(self.own, inside, None, self.own, note=OPEN)
            case {"id": int(number), "new": bool(new)}:
                self._id, self._unsure = number, False
                restarted = new and before is not None
                return Grant(self.own, inside, float(seconds), self.own, restarted=restarted)
        raise Broken("its pinhole could not be read")

    async def release(self, inside: int, outside: int) -> None:
        """As Way.release."""
        if self._id is not None or self._unsure:
            await self._ask({"do": "release", "inside": inside, "id": self._id}, RELEASE_LIMIT)
        self._id, self._unsure = None, False

    async def _ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        whole = {"places": [self._control.parts], "client": self.own}
        return _checked(await child.ask(_PROGRAM, whole | request, limit))


async def offers(router: str, own: str, places: Sequence[HttpPlace]) -> Firewall | None:
    """Ask at each of `places` whether pinholes are to be had there; None where they are not."""
    if not places:
        return None
    try:
        return Firewall(router, own, places, await _find(places))
    except RouterFailed as failure:
        if not isinstance(failure, Silent):
            log.debug("upnp.probed", router=router, kind=Firewall.kind, reason=failure.message)
        return None


def candidates(gateways: Iterable[tuple[str, str]], said: Iterable[HttpPlace]) -> list[HttpPlace]:
    """Where the description may be, at most MAX_PLACES.

    `said` is what searches found; first of all the same port and path is tried where the kernel knows the routers to
    be: `gateways`, each with our address towards it.
    """
    heard = list(said)
    there = [HttpPlace(router, at.port, at.path, own) for router, own in gateways for at in heard]
    return list(dict.fromkeys([*there, *heard]))[:MAX_PLACES]


async def _find(places: Sequence[HttpPlace]) -> HttpPlace:
    request = {"do": "find", "places": [place.parts for place in places]}
    match _checked(await child.ask(_PROGRAM, request, FIND_LIMIT)):
        case {"control": [str(host), int(port), str(path), str(own)]}:
            return HttpPlace(host, port, path, own)
    raise Broken("its description could not be read")


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    match answer:
        case {"failed": "refused", "reason": str(reason), "code": int(code)}:
            raise Refused(_WORDS.get(code, f"it failed ({code}): {reason}"[:80]))
        case {"failed": "silent", "reason": str(reason)}:
            raise Silent(reason)
        case {"failed": _, "reason": str(reason)}:
            raise Broken(reason)
    return answer


# Source: WANIPv6FirewallControl:1, sections 2.5.3 to 2.5.5.
_WORDS = {
    501: "it failed (501)",
    606: "it does not allow pinholes (606)",
    701: "it has no room for another pinhole (701)",
    703: "its settings forbid pinholes (703)",
    705: "it opens no pinholes for TCP (705)",
    706: "it opens pinholes for every port or none (706)",
    707: "it opens pinholes for every protocol or none (707)",
    708: "it opens pinholes only for one known visitor (708)",
}
