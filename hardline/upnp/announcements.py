"""Hearing routers say that they were restarted or have a new address.

    router:5351 ── address or ANNOUNCE ──▶ 224.0.0.1:5350 ──▶ heard(router)

Anybody on the LAN can send one, so it says only that it is time to ask.
Source: RFC 6886, section 3.2.1; RFC 6887, section 14.1.3.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable

from hardline import log
from hardline.errors import PeerError
from hardline.upnp import natpmp, pcp
from hardline.upnp.asking import PORT as ROUTER_PORT

GROUP, PORT = "224.0.0.1", 5350


class Announcements(asyncio.DatagramProtocol):
    """Calls `heard` with the address of whoever sends an announcement, from `open` to `close`."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        self._heard = heard
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self, own: Iterable[str]) -> None:
        """Hear the group on the interfaces of the addresses `own`; where that cannot be, stay deaf."""
        self.close()
        hearing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            hearing.setblocking(False)
            hearing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT"):
                hearing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            hearing.bind(("", PORT))
            for address in own:
                request = socket.inet_aton(GROUP) + socket.inet_aton(address)
                with contextlib.suppress(OSError):  # that address is gone again
                    hearing.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=hearing)
        except OSError as failure:
            hearing.close()
            log.debug("upnp.deaf", port=PORT, reason=str(failure))
        except BaseException:
            hearing.close()
            raise

    def close(self) -> None:
        """Hear no more.  Idempotent."""
        if self._transport:
            self._transport.close()
            self._transport = None

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        """As DatagramProtocol: one packet."""
        try:
            if sender[1] == ROUTER_PORT and _announces(data):
                self._heard(sender[0])
        except PeerError as failure:
            log.debug("upnp.ignored", sender=sender[0], reason=failure.message)


def _announces(packet: bytes) -> bool:
    if packet[:1] == bytes((pcp.VERSION,)):
        return pcp.parse(packet).code == pcp.ANNOUNCE
    return isinstance(natpmp.parse(packet), natpmp.ExternalAddress)
