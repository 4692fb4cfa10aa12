"""Multicast DNS by the library zeroconf.

    announce, ask ──▶ zeroconf ──▶ speakers.py: on every interface
    `heard` ◀── gate.py ◀──────────────┘

zeroconf opens the sockets, announces and answers.  Its goodbye stays unused, since that names the label; so do its
browser and its cache (gate.py says why).
Source: docs/PROTOCOL.md, section 6.5.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import zeroconf
from zeroconf import DNSOutgoing, DNSQuestion  # type: ignore[attr-defined]  # public, but not in its __all__
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from hardline import log
from hardline.discovery.gate import MdnsGate
from hardline.discovery.instances import SERVICE_TYPE, Question, Record, full_name, text_of
from hardline.discovery.interfaces import InterfaceAddress
from hardline.discovery.speakers import Speakers, senders, try_port
from hardline.identity import Label

MAX_ADDRESSES = 16  # of ours, in an announcement

_GOODBYES, _GOODBYE_PAUSE = 3, 0.125  # seconds
_CLOSE_LIMIT = 2.0  # seconds; the goodbyes take 0.25

# RFC 1035, section 3.2; RFC 2782; RFC 3596; RFC 6762, section 5.4.
_TYPES = {"A": 1, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33}
_IN, _UNICAST_RESPONSE, _ANSWER_FLAGS = 1, 0x8000, 0x8400

_Announced = tuple[Label, int, tuple[str, ...]]  # what, at which port, at which addresses


class Mdns:
    """Hears and speaks multicast DNS from `open` to `aclose`.

    `heard` is called with what each packet of somebody else says, and with the address of who sent it.
    """

    def __init__(self, heard: Callable[[Sequence[Record], str], None], host: str = "") -> None:
        self.gate = MdnsGate(heard)
        self._host = host
        self.server = _new_name()
        self.gate.call(self.server)
        self._addresses: frozenset[InterfaceAddress] = frozenset()
        self._inside: set[str] = set()  # those that only this computer reaches, now or when they were announced
        self._zeroconf: AsyncZeroconf | None = None
        self._announced: dict[str, tuple[_Announced, AsyncServiceInfo]] = {}
        self._hushed: dict[str, zeroconf.ServiceInfo] = {}
        self._saying: list[tuple[Label, asyncio.Future[Any]]] = []
        self._speakers = Speakers()

    async def open(self, addresses: Collection[InterfaceAddress]) -> None:
        """Use the interfaces of `addresses`.  Raises OSError where the port cannot be had."""
        _quieten()
        try_port()
        self._know(addresses)
        speakers = self._speakers.wanted(addresses)
        self._zeroconf = AsyncZeroconf(interfaces=speakers)
        try:
            await self._zeroconf.zeroconf.async_wait_for_start()
            await self._speakers.speak_beyond(self._zeroconf.zeroconf.engine, speakers)
        except zeroconf.Error as failure:
            await self.aclose()
            raise OSError(f"zeroconf did not start: {failure!r}") from failure
        self.gate.stand_before(self._zeroconf.zeroconf.engine)

    async def follow(self, addresses: Collection[InterfaceAddress]) -> bool:
        """Use the interfaces of `addresses` from now on; True where one of note has been added."""
        assert self._zeroconf is not None
        engine, speakers = self._zeroconf.zeroconf.engine, self._speakers.wanted(addresses)
        known, before = self._addresses, senders(engine)
        self._know(addresses)
        if known == self._addresses and self.speaks_everywhere:
            return False
        try:
            # The engine's, and not zeroconf's own that calls it: the gate must stand before anything is announced.
            await engine.async_update_interfaces(speakers, zeroconf.IPVersion.All, False)
            await self._speakers.speak_beyond(engine, speakers)
        except OSError as failure:
            log.debug("mdns.skipped", reason=str(failure))
        finally:
            self.gate.stand_before(engine)
        return bool(senders(engine) - before - self._inside)

    @property
    def speaks_everywhere(self) -> bool:
        """No interface is left that could not be used."""
        assert self._zeroconf is not None
        return len(senders(self._zeroconf.zeroconf.engine)) >= len(self._speakers.wanted(self._addresses))

    def rename(self) -> None:
        """Take another name, and forget without a word what was announced by the old one."""
        assert self._zeroconf is not None
        self.server = _new_name()
        self.gate.call(self.server)
        for _, info in self._announced.values():
            self._zeroconf.zeroconf.registry.async_remove(info)
        self._announced.clear()
        self._hushed.clear()

    async def announce(
        self, wanted: Mapping[str, Label], port: int, *, lost: Collection[str] = (), again: bool = False
    ) -> bool:
        """Announce `wanted`, by instance name, and nothing else; returns when it has been said, and whether all was.

        What is announced already is repeated where it changed, or when it is asked for `again`.
        There is no goodbye for the names that were `lost` to others, who would be forgotten, too.
        """
        assert self._zeroconf is not None
        at = self._announced_addresses()
        offers = {name: (label, port, at) for name, label in wanted.items()} if at else {}
        for name in self._announced.keys() - offers.keys():
            self._hush(name)
        gone = [info for name, info in self._hushed.items() if name not in offers and name not in lost]
        self._hushed.clear()
        self._saying.clear()
        for name, offer in offers.items():
            known = self._announced.get(name)
            if known is not None and known[0] == offer and not again:
                continue
            try:
                info = self._info(name, offer)
                if known is not None and not again and self._is_small(known[0], offer):
                    self._zeroconf.zeroconf.registry.async_update(info)  # for those who ask
                else:
                    said: Any = await (
                        self._zeroconf.async_register_service(info, cooperating_responders=True)
                        if known is None
                        else self._zeroconf.async_update_service(info)
                    )
                    self._saying.append((offer[0], said))
            except zeroconf.Error as failure:
                log.debug("mdns.not_announced", name=name, reason=repr(failure))
                continue
            self._announced[name] = (offer, info)
            log.debug("mdns.announced", name=name, port=port, at=" ".join(at))
        # The whole goodbye, since the next one may be announced under the same name.
        saying = (_say_goodbye(self._zeroconf.zeroconf, gone), *(said for _, said in self._saying))
        for outcome in await asyncio.gather(*saying, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        return offers.keys() <= self._announced.keys()

    def hush(self, listed: Collection[Label]) -> None:
        """Name no label but these from now on; `announce` says goodbye for the others."""
        for label, said in self._saying:
            if label not in listed:
                said.cancel()
        for name in [name for name, ((label, _, _), _) in self._announced.items() if label not in listed]:
            self._hush(name)

    def _hush(self, name: str) -> None:
        assert self._zeroconf is not None
        self._hushed[name] = self._announced.pop(name)[1]
        self._zeroconf.zeroconf.registry.async_remove(self._hushed[name])

    def answer_for(self, host: str, port: int, addresses: Sequence[str]) -> Callable[[], None] | None:
        """Say to who asks that `host`.local is at these `addresses` of ours, until what is returned is called; nothing
        is announced.  None where it cannot be said."""
        assert self._zeroconf is not None
        registry, kind = self._zeroconf.zeroconf.registry, f"_phone-{secrets.token_hex(4)}._tcp.local."
        packed = [ipaddress.ip_address(address).packed for address in addresses]
        info = AsyncServiceInfo(kind, f"{host}.{kind}", port, server=f"{host}.local.", addresses=packed)
        try:
            registry.async_add(info)
        except zeroconf.Error as failure:
            log.debug("mdns.not_answered", name=host, reason=repr(failure))
            return None
        listed = registry.types.pop(kind)  # who asks what there is does not hear of it
        self.gate.answers_for(host)

        def end() -> None:
            self.gate.answers_for(host, no_more=True)
            registry.types[kind] = listed
            registry.async_remove(info)

        return end

    def ask(self, questions: Sequence[Question | tuple[str, str]], *, unicast: bool = False) -> None:
        """Ask everybody; `unicast` says that an answer to us alone will do, and makes it come without delay."""
        assert self._zeroconf is not None
        packet = DNSOutgoing(0)
        for name, kind in questions:
            packet.add_question(DNSQuestion(name, _TYPES[kind], _IN | (_UNICAST_RESPONSE if unicast else 0)))
            if kind in ("A", "AAAA"):
                self.gate.asked(name)
        try:
            self.gate.sent(packet.packets())
            self._zeroconf.zeroconf.async_send(packet)
        except zeroconf.Error as failure:  # a name that somebody announced, and that cannot be written
            log.debug("mdns.not_asked", reason=repr(failure))

    async def aclose(self) -> None:
        """Say goodbye and close every socket.  Idempotent."""
        self.hush(())
        zc, self._zeroconf = self._zeroconf, None
        self._speakers.close()
        if zc is not None:
            try:
                async with asyncio.timeout(_CLOSE_LIMIT):
                    await _say_goodbye(zc.zeroconf, list(self._hushed.values()))
                    await zc.async_close()
            except TimeoutError:
                log.debug("mdns.not_closed", limit_s=_CLOSE_LIMIT)

    # Announcing.

    def _info(self, name: str, offer: _Announced) -> AsyncServiceInfo:
        label, port, at = offer
        packed = [ipaddress.ip_address(address).packed for address in at]
        text = text_of(label, self._host)
        return AsyncServiceInfo(
            SERVICE_TYPE, full_name(name), port, properties=text, server=self.server, addresses=packed
        )

    def _announced_addresses(self) -> tuple[str, ...]:
        """Ours, those that matter first, of each interface IPv4 first and link-local last.

        Loopback and such without a network only where there is no other.
        """
        ordered = sorted(
            self._addresses, key=lambda one: (one.rank, one.ip.is_link_local, one.ip.version, one.ip.packed)
        )
        outside = [one for one in ordered if not one.ip.is_loopback]
        shared = [one for one in outside if one.prefix < one.ip.max_prefixlen]
        return tuple(one.address for one in shared or outside or ordered)[:MAX_ADDRESSES]

    def _is_small(self, before: _Announced, now: _Announced) -> bool:
        """Of what is announced only addresses inside this computer have changed."""
        return before[:2] == now[:2] and set(before[2]) ^ set(now[2]) <= self._inside

    def _know(self, addresses: Collection[InterfaceAddress]) -> None:
        announced = {address for (_, _, at), _ in self._announced.values() for address in at}
        self._inside = {one.address for one in addresses if not one.of_note} | (self._inside & announced)
        self._addresses = frozenset(addresses)
        self.gate.know(addresses)


class _Forward(logging.Handler):
    """What zeroconf has to say is for whoever debugs a network."""

    def emit(self, record: logging.LogRecord) -> None:
        log.debug("mdns.note", text=record.getMessage()[:200])


async def _say_goodbye(zc: zeroconf.Zeroconf, infos: Sequence[zeroconf.ServiceInfo]) -> None:
    """Take names back.  Without the TXT: a service that is to be hidden goes on under the label that is in it."""
    if not infos:
        return
    packet = DNSOutgoing(_ANSWER_FLAGS)
    for info in infos:
        packet.add_answer_at_time(info.dns_pointer(override_ttl=0), 0)
        packet.add_answer_at_time(info.dns_service(override_ttl=0), 0)
    for number in range(_GOODBYES):
        if number:
            await asyncio.sleep(_GOODBYE_PAUSE)
        zc.async_send(packet)


def _new_name() -> str:
    """A name of its own, since nobody needs to know how this machine is called, or where it was before."""
    return f"hardline-{secrets.token_hex(6)}.local."


def _quieten() -> None:
    logger = logging.getLogger("zeroconf")
    logger.handlers[:] = [_Forward()]
    logger.propagate = False
