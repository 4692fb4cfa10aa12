"""Following this machine from network to network: the one place that looks at its addresses while it runs.

    Linux: netlink ──▶ something changed ─┐
    elsewhere: every few seconds ─────────┴─▶ wait until it has settled ─▶ look at addresses, routes
                                                                              ├─▶ followers(addresses)
                                                                              └─▶ happened(others)

Followers are told of every difference.  `happened` is for what comes from outside, and `others` says that addresses or
routes are not the same as before: when they are, there may still be another network behind them.  What only programs of
this computer reach comes and goes with containers, and is no news (interfaces.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

from hardline import log
from hardline.discovery.interfaces import InterfaceAddress, interface_addresses
from hardline.machine import Route, flags_6, made, routes

SETTLES = 0.2  # seconds: an interface that comes up changes several times
AT_MOST_EVERY = 1.0
LOOK_EVERY = 5.0  # where nobody tells

# rtnetlink(7): links, addresses and routes of both families.
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_TAKE = 65_536


Follower = Callable[[frozenset[InterfaceAddress]], None]


@dataclass(frozen=True, slots=True)
class _Outside:
    """What leads out of this computer."""

    addresses: frozenset[InterfaceAddress] = frozenset()
    routes: frozenset[Route] = frozenset()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one look saw."""

    addresses: frozenset[InterfaceAddress] = frozenset()
    outside: _Outside = _Outside()
    inside: object = None
    details: object = None  # whatever followers may go by


class NetworkWatch:
    """Calls `happened` and every follower in the running loop while `run` runs."""

    def __init__(self, happened: Callable[[bool], None]) -> None:
        self._happened = happened
        self._followers: list[Follower] = []
        self._seen = _Seen()

    @property
    def addresses(self) -> frozenset[InterfaceAddress]:
        """Those of the last look."""
        return self._seen.addresses

    def follow(self, follower: Follower) -> None:
        """Tell `follower` all addresses: those of the last look now, and from then on whenever something is different.

        That may be what is known of them, or a route.
        """
        self._followers.append(follower)
        if self._seen.details is not None:
            follower(self.addresses)

    async def look(self) -> bool:
        """Look at the addresses now; whether those of note, or the ways out, are others than before."""
        before, self._seen = self._seen, await asyncio.to_thread(_look)
        if self._seen.details != before.details:
            for follower in self._followers:
                follower(self.addresses)
        return self._seen.outside != before.outside

    async def run(self) -> None:
        """Watch until cancelled."""
        told = _netlink()
        if told is None:
            await self._poll()
            return
        with told:
            if await self.look():  # what happened when nobody told
                self._happened(True)
            while True:
                with contextlib.suppress(OSError):  # ENOBUFS: more happened than there was room for
                    await asyncio.get_running_loop().sock_recv(told, _TAKE)
                await asyncio.sleep(SETTLES)
                _drain(told)
                inside = self._seen.inside
                if (others := await self.look()) or self._seen.inside == inside:
                    self._happened(others)
                await asyncio.sleep(AT_MOST_EVERY - SETTLES)

    async def _poll(self) -> None:
        while True:
            if await self.look():
                self._happened(True)
            await asyncio.sleep(LOOK_EVERY)


def _look() -> _Seen:
    found, ways = interface_addresses(), routes()
    inside = frozenset(one for one in found if not one.of_note)
    ranked = frozenset((one, one.rank, one.of_note) for one in found)
    return _Seen(found, _Outside(found - inside, frozenset(ways)), (inside, made()), (ranked, ways, flags_6()))


def _netlink() -> socket.socket | None:
    if sys.platform != "linux":
        return None
    try:
        told = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError as failure:
        log.debug("network.not_told", reason=failure, consequence=f"looked at every {LOOK_EVERY:g} s")
        return None
    try:
        told.bind((0, _GROUPS))
        told.setblocking(False)
    except OSError as failure:
        told.close()
        log.debug("network.not_told", reason=failure, consequence=f"looked at every {LOOK_EVERY:g} s")
        return None
    return told


def _drain(told: socket.socket) -> None:
    """What happened is looked up, not read: lost messages (ENOBUFS) lose nothing."""
    with contextlib.suppress(BlockingIOError, OSError):
        while told.recv(_TAKE):
            pass
