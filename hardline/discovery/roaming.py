"""Following this machine from network to network.

    Linux: netlink ──▶ something changed ─┐
    elsewhere: every few seconds ─────────┴─▶ wait until it has settled ─▶ look at the addresses ─▶ happened(others)

`others`: the addresses are not the same as before.  When they are, there may still be another network behind them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable

from hardline import log
from hardline.discovery.interfaces import InterfaceAddress, interface_addresses

SETTLES = 0.2  # seconds: an interface that comes up changes several times
AT_MOST_EVERY = 1.0
LOOK_EVERY = 5.0  # where nobody tells

# rtnetlink(7): links, addresses and routes of both families.
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_TAKE = 65_536


class NetworkWatch:
    """Calls `happened` in the running loop while `run` runs; `addresses` are those of the last look."""

    def __init__(self, happened: Callable[[bool], None]) -> None:
        self._happened = happened
        self.addresses: frozenset[InterfaceAddress] = frozenset()

    async def look(self) -> bool:
        """Look at the addresses now; whether they are others than before."""
        before, self.addresses = self.addresses, await asyncio.to_thread(interface_addresses)
        return self.addresses != before

    async def run(self) -> None:
        """Watch until cancelled."""
        told = _netlink()
        if told is None:
            await self._poll()
            return
        with told:
            while True:
                await asyncio.get_running_loop().sock_recv(told, _TAKE)
                await asyncio.sleep(SETTLES)
                _drain(told)
                self._happened(await self.look())
                await asyncio.sleep(AT_MOST_EVERY - SETTLES)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if await self.look():
                self._happened(True)


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
    except BaseException:
        told.close()
        raise
    return told


def _drain(told: socket.socket) -> None:
    """What happened is looked up, not read: lost messages (ENOBUFS) lose nothing."""
    with contextlib.suppress(BlockingIOError, OSError):
        while told.recv(_TAKE):
            pass
