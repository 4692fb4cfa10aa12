"""Searching for routers that speak UPnP: SSDP, out of every address that leads to a router.

    search   ── M-SEARCH twice, to the group and to the default gateways ──▶
             ◀── answers, until every default gateway has answered or time is up ──▶ [Found]
    search_6 ── the same from one IPv6 address ──▶ ◀── answers, until time is up ──▶ URLs

Source: UPnP Device Architecture 2.0, section 1.3.  What may be followed is ssdp.py's.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from hardline import log
from hardline.errors import PeerError
from hardline.upnp import ssdp
from hardline.upnp.attached import Attached, Own
from hardline.upnp.routing import OnInterface

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

    def __init__(self, own: str, near: Sequence[ssdp.Network], addresses: frozenset[str], news: asyncio.Event) -> None:
        self.own, self.near = own, near
        self.found: dict[str, list[str]] = {}
        self._addresses, self._news, self._answers = addresses, news, 0

    def datagram_received(self, data: bytes, sender: tuple[str, int] | tuple[str, int, int, int]) -> None:
        self._answers += 1
        if self._answers > _MAX_ANSWERS:
            return
        address = sender[0].partition("%")[0]
        try:
            url = ssdp.location(data, address, self.near, self._addresses)
        except PeerError as failure:
            log.debug("upnp.ignored", sender=address, reason=failure.message)
            return
        if address not in self.found and len(self.found) >= 4 * MAX_ROUTERS:
            return
        urls = self.found.setdefault(address, [])
        if url not in urls and len(urls) < MAX_URLS:
            urls.append(url)
            self._news.set()

    def error_received(self, failure: Exception) -> None:
        log.debug("upnp.deaf", own=self.own, reason=str(failure))


async def search_6(own: OnInterface, addresses: frozenset[str]) -> list[str]:
    """Ask from our IPv6 address `own` who is a router; returns where their descriptions are.  `addresses` are ours.

    Takes at most WAIT seconds, LINGER more than the first answer.
    """
    loop = asyncio.get_running_loop()
    news, deadline, repeat = asyncio.Event(), loop.time() + WAIT, loop.time() + REPEAT_AT
    opened = await _open(own, addresses, news)
    if not opened:
        return []
    transport, searching = opened
    try:
        while loop.time() < deadline:
            for to in ssdp.GROUPS_6:
                for packet in ssdp.searches(to):
                    transport.sendto(packet, (to, ssdp.PORT))
            try:
                async with asyncio.timeout_at(min(repeat, deadline)):
                    await news.wait()
                break
            except TimeoutError:
                repeat = deadline
        await asyncio.sleep(min(LINGER, max(0.0, deadline - loop.time())))
    finally:
        transport.close()
    return [url for urls in searching.found.values() for url in urls][: MAX_ROUTERS * MAX_URLS]


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
            found.setdefault(router, Found(router, searching.own, tuple(urls)))
    ordered = sorted(found.values(), key=lambda one: leading.index(one.router) if one.router in leading else 99)
    return ordered[:MAX_ROUTERS]


def _send(opened: list[tuple[asyncio.DatagramTransport, _Search]], gateways: set[str]) -> None:
    for transport, searching in opened:
        # Wireless networks lose multicast, so those that must be there are asked by name.
        near = [router for router in sorted(gateways) if any(ssdp.is_in(router, network) for network in searching.near)]
        for to in (ssdp.GROUP, *near):
            for packet in ssdp.searches(to):
                transport.sendto(packet, (to, ssdp.PORT))


async def _open(
    own: Own | OnInterface, addresses: frozenset[str], news: asyncio.Event
) -> tuple[asyncio.DatagramTransport, _Search] | None:
    near = (own.network,) if isinstance(own, Own) else ssdp.near(own.address)
    searching = socket.socket(socket.AF_INET if isinstance(own, Own) else socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        searching.setblocking(False)
        if isinstance(own, Own):
            searching.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own.address))
            searching.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
        else:
            index = socket.if_nametoindex(own.interface)
            searching.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            searching.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 2)
        searching.bind((own.address, 0))
        return await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Search(own.address, near, addresses, news), sock=searching
        )
    except OSError as failure:
        searching.close()
        log.debug("upnp.deaf", own=own.address, reason=str(failure))
        return None
    except BaseException:
        searching.close()
        raise
