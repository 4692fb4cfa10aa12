"""Following this machine from network to network.

    Linux: netlink ──▶ something changed ─┐
    elsewhere: every few seconds ─────────┴─▶ wait until it has settled ─▶ look at addresses, routes ─▶ happened(others)

`others`: they are not the same as before.  When they are, there may still be another network behind them.  What only
programs of this computer reach comes and goes with containers, and is no news (interfaces.py).
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
from hardline.machine import Route, made, routes

SETTLES = 0.2  # seconds: an interface that comes up changes several times
AT_MOST_EVERY = 1.0
LOOK_EVERY = 5.0  # where nobody tells

# rtnetlink(7): links, addresses and routes of both families.
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_TAKE = 65_536


@dataclass(frozen=True, slots=True)
class _Outside:
    """What leads out of this computer."""

    addresses: frozenset[InterfaceAddress] = frozenset()
    routes: frozenset[Route] = frozenset()


class NetworkWatch:
    """Calls `happened` in the running loop while `run` runs; `addresses` are those of the last look."""

    def __init__(self, happened: Callable[[bool], None]) -> None:
        self._happened = happened
        self.addresses: frozenset[InterfaceAddress] = frozenset()
        self._outside = _Outside()
        self._inside: object = None

    async def look(self) -> bool:
        """Look at the addresses now; whether those of note, or the ways out, are others than before."""
        before = self._outside
        self.addresses, self._outside, self._inside = await asyncio.to_thread(_look)
        return self._outside != before

    async def run(self) -> None:
        """Watch until cancelled."""
        told = _netlink()
        if told is None:
            await self._poll()
            return
        with told:
            while True:
                with contextlib.suppress(OSError):  # ENOBUFS: more happened than there was room for
                    await asyncio.get_running_loop().sock_recv(told, _TAKE)
                await asyncio.sleep(SETTLES)
                _drain(told)
                inside = self._inside
                if (others := await self.look()) or self._inside == inside:
                    self._happened(others)
                await asyncio.sleep(AT_MOST_EVERY - SETTLES)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if await self.look():
                self._happened(True)


def _look() -> tuple[frozenset[InterfaceAddress], _Outside, object]:
    found = interface_addresses()
    inside = frozenset(one for one in found if not one.of_note)
    return found, _Outside(found - inside, frozenset(routes())), (inside, made())


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
