"""Which public port of a relay is whose, without I/O.

    lease(name, wanted) ──▶ its port, the same as ever; None where there is none for it        release(name)

A name keeps its port while it is away, so that who comes back is found where he was.  Only where every port was used
already, the one that is unleased for longest goes to somebody else.  So there are at most as many names as ports.
Source: docs/PROTOCOL.md, section 9.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hardline.errors import PeerError
from hardline.session.hello import parse_object

_NAME = re.compile(r"[0-9a-f]{40}\Z")


def read_owners(data: bytes) -> dict[str, int]:
    """Names and their ports, in the order of a file that Leases' `owners` went into.  Raises PeerError.

    What is no name, or no port, is left out.
    """
    kept = parse_object(data).get("ports")
    if not isinstance(kept, dict):
        raise PeerError("there are no ports in it")
    return {name: port for name, port in kept.items() if _NAME.match(name) and type(port) is int and 0 < port < 65_536}


class Leases:
    """Those of `ports`; `owners` are names and the ports that they had, the longest unused first.

    What of `owners` cannot be (another range than before, a port twice) is left out.
    """

    def __init__(self, ports: Iterable[int], owners: Mapping[str, int] | None = None) -> None:
        self._ports = frozenset(ports)
        self._owned: dict[str, int] = {}  # by name, the longest unused first
        self._owner: dict[int, str] = {}
        self._leased: set[str] = set()
        for name, port in (owners or {}).items():
            if port in self._ports and port not in self._owner:
                self._own(name, port)

    @property
    def owners(self) -> dict[str, int]:
        """Names and their ports, also of those that are away, the longest unused first: for a file."""
        return dict(self._owned)

    @property
    def leased(self) -> int:
        """How many are somebody's now."""
        return len(self._leased)

    def lease(self, name: str, wanted: int = 0) -> int | None:
        """The port of `name` from now on; `wanted` is the one that it should be, 0 for any.

        None where the wanted one is another's, also of one that is away, or none is left.
        """
        port = self._port_for(name, wanted)
        if port is None:
            return None
        if (other := self._owner.get(port)) is not None and other != name:
            self._disown(other)
        if name in self._owned:
            self._disown(name)
        self._own(name, port)
        self._leased.add(name)
        return port

    def release(self, name: str) -> None:
        """It is away: its port stays its own until somebody else has no other."""
        if name in self._leased:
            self._leased.discard(name)
            self._owned[name] = self._owned.pop(name)  # used until now

    def holder_of(self, port: int) -> str | None:
        """Who has leased it now."""
        name = self._owner.get(port)
        return name if name in self._leased else None

    def _port_for(self, name: str, wanted: int) -> int | None:
        mine = self._owned.get(name)
        if wanted:
            return wanted if wanted in self._ports and self._owner.get(wanted, name) == name else None
        if mine is not None:
            return mine
        if unused := self._ports - self._owner.keys():
            return min(unused)
        return next((port for one, port in self._owned.items() if one not in self._leased), None)

    def _own(self, name: str, port: int) -> None:
        self._owned[name] = port
        self._owner[port] = name

    def _disown(self, name: str) -> None:
        del self._owner[self._owned.pop(name)]
