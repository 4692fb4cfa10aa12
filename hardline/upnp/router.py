"""One router that speaks UPnP (IGD 1 and 2), through a process that ends in time.

Igd.hold ── igd.py, a process of its own ──▶ router: description, GetExternalIPAddress, AddPortMapping
         ◀── checked once more: a Grant or RouterFailed ──
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hardline.upnp import child
from hardline.upnp.grants import PORTS_TRIED, Broken, Grant, Refused, RouterFailed, Silent

HOLD_LIMIT = 6.0  # seconds
RELEASE_LIMIT = 3.0

_PROGRAM = Path(__file__).with_name("igd.py")


class Igd:
    """The Way of a router whose description is at one of `urls`.  `name` marks our mappings in its table."""

    kind = "UPnP"
    look_every = 120.0
    rest = 2.0

    def __init__(self, urls: Sequence[str], router: str, own: str, name: str) -> None:
        self.router, self.own = router, own
        self.urls, self._name = deque(urls), name
        self._made = 0  # the port that this run mapped and knows of
        self._tidied = False

    @property
    def key(self) -> tuple[str, str, str]:
        """As Way.key."""
        return self.kind, self.router, self.own

    def moved(self, urls: Sequence[str]) -> bool:
        """Take up where the router's descriptions are now; True when they were elsewhere before."""
        moved = set(urls) != set(self.urls)
        if moved:
            self.urls = deque(urls)
        return moved

    async def hold(self, inside: int, wished: int, lease: float) -> Grant:
        """As Way.hold."""
        wanted = {"wished": wished, "lease": max(1, int(lease)), "tries": PORTS_TRIED, "tidy": not self._tidied}
        try:
            answer = await self._ask({"do": "hold", "inside": inside, **wanted}, HOLD_LIMIT)
        except (Broken, Silent):
            self.urls.rotate(-1)  # anybody can send an answer in the router's name
            raise
        match answer:
            case {"external": str(external), "port": int(port), "lifetime": lifetime, "inside": str(own)}:
                if not 1 <= port <= 65_535 or not (lifetime is None or isinstance(lifetime, int)):
                    raise Broken("it answered a mapping that cannot be", external=external)
                self._tidied = True
                self._made = port if answer.get("made") is True else 0
                return Grant(external, port, lifetime if lifetime is None else float(max(1, lifetime)), own)
        raise Broken("its mapping could not be read")

    async def release(self, inside: int, outside: int) -> None:
        """As Way.release."""
        self._tidied = False
        await self._ask({"do": "release", "inside": inside}, RELEASE_LIMIT)
        self._made = 0

    async def _ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        whole = {"url": self.urls[0], "router": self.router, "name": self._name, "made": self._made}
        answer = await child.ask(_PROGRAM, whole | request, limit)
        match answer:
            case {"failed": "missing", "reason": str(reason)}:
                raise RouterFailed(reason)
            case {"failed": str(kind), "reason": str(reason)}:
                external = answer.get("external")
                failure = Refused if kind == "refused" else Broken
                raise failure(_in_words(reason), external=external if isinstance(external, str) else None)
        return answer


_WORDS = {
    "Action not authorized": "it does not allow mappings (606)",
    "Action Failed": "it failed (501)",
    "ConflictInMappingEntry": "every port that was tried belongs to somebody else (718)",
    "ConflictWithOtherMechanisms": "every port that was tried belongs to somebody else (729)",
    "NoPortMapsAvailable": "it has no room for another mapping (728)",
    "SamePortValuesRequired": "it gives only the same port, and that is taken (724)",
}


def _in_words(reason: str) -> str:
    if reason.startswith(("Miniupnpc", "No UPnP")):
        return "its answers are not those of a UPnP router"
    return _WORDS.get(reason, reason[:80])
