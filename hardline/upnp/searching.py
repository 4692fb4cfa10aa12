"""Searching for routers that speak UPnP: SSDP, out of every address that leads to a router.

    search ── M-SEARCH twice, to the group and to the default gateways ──▶
           ◀── answers, until every default gateway has answered or time is up ──▶ [Found]

Source: UPnP Device Architecture 2.0, section 1.3.  What may be followed is ssdp.py's.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from hardline import log
from hardline.errors import PeerError
from hardline.upnp import ssdp
from hardline.upnp.attached import Attached, Own

WAIT = 2.0  # seconds
REPEAT_AT = 0.5
LINGER = 0.3  # for those that answer after the default gateway
MAX_ROUTERS = 4
MAX_URLS = 3  # per router: some have a description for each version, and anybody can send one in its name
_MAX_ANSWERS = 200


@dataclass(frozen=True, slots=True)
class Found:
    """A router, our address towards it, and where its descriptions are."""

    router: str
    own: str
    urls: tuple[str, ...]


class _Search(asyncio.DatagramProtocol):
    """The answers that reach one address of ours."""

    def __init__(self, own: Own, addresses: frozenset[str], news: asyncio.Event) -> None:
        self.own = own
        self.found: dict[str, list[str]] = {}
        self._addresses, self._news, self._answers = addresses, news, 0

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        self._answers += 1
        if self._answers > _MAX_ANSWERS:
            return
        try:
            url = ssdp.location(data, sender[0], [self.own.network], self._addresses)
        except PeerError as failure:
            log.debug("upnp.ignored", sender=sender[0], reason=failure.message)
            return
        if sender[0] not in self.found and len(self.found) >= 4 * MAX_ROUTERS:
            return
        urls = self.found.setdefault(sender[0], [])
        if url not in urls and len(urls) < MAX_URLS:
            urls.append(url)
            self._news.set()

    def error_received(self, failure: Exception) -> None:
        log.debug("upnp.deaf", own=self.own.address, reason=str(failure))


async def search(attached: Attached) -> list[Found]:
    """Ask who is a router; the default gateways first, at most MAX_ROUTERS.  Takes at most WAIT seconds."""
    loop = asyncio.get_running_loop()
    news, deadline = asyncio.Event(), loop.time() + WAIT
    wanted = {router for router, _ in attached.gateways_4}
    opened: list[tuple[asyncio.DatagramTransport, _Search]] = []
    try:
        for own in attached.own_4:
            endpoint = await _open(own, attached.addresses, news)
            if endpoint:
                opened.append(endpoint)
        if opened:
            _send(opened, wanted)
            repeat: float | None = loop.time() + REPEAT_AT
            while loop.time() < deadline:
                heard = {router for _, searching in opened for router in searching.found}
                if wanted and wanted <= heard:
                    deadline, wanted = min(deadline, loop.time() + LINGER), set()
                if repeat is not None and loop.time() >= repeat:
                    _send(opened, {router for router, _ in attached.gateways_4})
                    repeat = None
                news.clear()
                try:
                    async with asyncio.timeout_at(deadline if repeat is None else min(repeat, deadline)):
                        await news.wait()
                except TimeoutError:
                    pass
    finally:
        for transport, _ in opened:
            transport.close()
    return _chosen(attached, [searching for _, searching in opened])


def _chosen(attached: Attached, searches: list[_Search]) -> list[Found]:
    leading = [router for router, _ in attached.gateways_4]
    found: dict[str, Found] = {}
    for searching in searches:
        for router, urls in searching.found.items():
            found.setdefault(router, Found(router, searching.own.address, tuple(urls)))
    ordered = sorted(found.values(), key=lambda one: leading.index(one.router) if one.router in leading else 99)
    return ordered[:MAX_ROUTERS]


def _send(opened: list[tuple[asyncio.DatagramTransport, _Search]], gateways: set[str]) -> None:
    for transport, searching in opened:
        # Wireless networks lose multicast, so those that must be there are asked by name.
        near = [router for router in sorted(gateways) if ssdp.is_in(router, searching.own.network)]
        for to in (ssdp.GROUP, *near):
            for packet in ssdp.searches(to):
                transport.sendto(packet, (to, ssdp.PORT))


async def _open(
    own: Own, addresses: frozenset[str], news: asyncio.Event
) -> tuple[asyncio.DatagramTransport, _Search] | None:
    searching = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        searching.setblocking(False)
        searching.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own.address))
        searching.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
        searching.bind((own.address, 0))
        return await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Search(own, addresses, news), sock=searching
        )
    except OSError as failure:
        searching.close()
        log.debug("upnp.deaf", own=own.address, reason=str(failure))
        return None
    except BaseException:
        searching.close()
        raise
