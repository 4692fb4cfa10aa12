"""Multicast DNS by the library zeroconf, which only this file knows.

    port 5353 ──▶ Gate: a neighbour? about us? not too much? ──┬─ answers ───▶ `heard`, as records of instances.py
                                                               └─ questions ─▶ zeroconf, which knows what we announce

zeroconf opens the sockets, announces and answers.  Its goodbye stays unused, since that names the label; so do its
browser and its cache, since they keep whatever anybody on the LAN says for as long as he wants; and since it answers
whoever asks, the gate stands before it.
Source: docs/PROTOCOL.md, section 6.5.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import logging
import secrets
import socket
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import ifaddr
import zeroconf
from zeroconf import (  # type: ignore[attr-defined]  # public, but not in its __all__
    DNSAddress,
    DNSIncoming,
    DNSOutgoing,
    DNSPointer,
    DNSQuestion,
    DNSService,
    DNSText,
)
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from hardline import log
from hardline.discovery.instances import (
    SERVICE_TYPE,
    Address,
    Pointer,
    Question,
    Record,
    Srv,
    Txt,
    full_name,
    short_name,
    text_of,
)
from hardline.discovery.interfaces import InterfaceAddress, by_importance
from hardline.discovery.multicast import IN_ENOUGH_GROUPS
from hardline.discovery.rates import Rates
from hardline.identity import Label

PORT = 5353
MAX_QUESTION = 1500  # bytes of a packet
MAX_ANSWER = 9000  # RFC 6762, section 17
MAX_ADDRESSES = 16  # of ours, in an announcement

_GROUP = "224.0.0.251"
_MAX_SPEAKERS = 128  # interfaces, each with IPv4 and with IPv6
_MAX_RECORDS = 256
_SENT = 8
_ECHO = 0.1  # seconds until we have heard ourselves
_GOODBYES, _GOODBYE_PAUSE = 3, 0.125  # seconds
_CLOSE_LIMIT = 2.0  # seconds; the goodbyes take 0.25
_WORDS = (b"hardline", b"_dns-sd")  # in every packet that is for us: names of services and of our servers

# RFC 1035, section 3.2; RFC 2782; RFC 3596; RFC 6762, section 5.4.
_TYPES = {"A": 1, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33}
_IN, _UNICAST_RESPONSE, _ANSWER_BIT, _ANSWER_FLAGS = 1, 0x8000, 0x80, 0x8400

_Announced = tuple[Label, int, tuple[str, ...]]  # what, at which port, at which addresses


class Mdns:
    """Hears and speaks multicast DNS from `open` to `aclose`.

    `heard` is called with what each packet of somebody else says, and with the address of who sent it.
    """

    def __init__(self, heard: Callable[[Sequence[Record], str], None]) -> None:
        self._heard = heard
        self.server = _new_name()
        self._me: deque[bytes] = deque([_host(self.server)], maxlen=2)  # what the old one said may still come
        self._addresses: frozenset[InterfaceAddress] = frozenset()
        self._inside: set[str] = set()  # those that only this computer reaches, now or when they were announced
        self._own: frozenset[str] = frozenset()
        self._zeroconf: AsyncZeroconf | None = None
        self._announced: dict[str, tuple[_Announced, AsyncServiceInfo]] = {}
        self._hushed: dict[str, zeroconf.ServiceInfo] = {}
        self._saying: list[tuple[Label, asyncio.Future[Any]]] = []
        self._asked_servers: deque[bytes] = deque(maxlen=_SENT)
        self._sent: deque[tuple[float, bytes]] = deque(maxlen=_SENT)
        self._questions = Rates(40, 40, share=0.25)
        self._answers = Rates(100, 200, share=0.25)
        self._sixes = self._warned = False
        self._members: list[socket.socket] = []
        self._joined: dict[str, socket.socket] = {}

    async def open(self, addresses: Collection[InterfaceAddress]) -> None:
        """Use the interfaces of `addresses`.  Raises OSError where the port cannot be had."""
        _quieten()
        _try_port()
        self._know(addresses)
        self._sixes = _can_look()
        speakers = self._speakers(addresses)
        self._zeroconf = AsyncZeroconf(interfaces=speakers)
        try:
            await self._zeroconf.zeroconf.async_wait_for_start()
            await self._speak_beyond(speakers)
        except zeroconf.Error as failure:
            await self.aclose()
            raise OSError(f"zeroconf did not start: {failure!r}") from failure
        self._stand_before()

    async def follow(self, addresses: Collection[InterfaceAddress]) -> bool:
        """Use the interfaces of `addresses` from now on; True where one of note has been added."""
        assert self._zeroconf is not None
        engine, speakers = self._zeroconf.zeroconf.engine, self._speakers(addresses)
        known, before = self._addresses, self._senders()
        self._know(addresses)
        if known == self._addresses and len(before) >= len(speakers):
            return False
        try:
            # The engine's, and not zeroconf's own that calls it: the gate must stand before anything is announced.
            await engine.async_update_interfaces(speakers, zeroconf.IPVersion.All, False)
            await self._speak_beyond(speakers)
        except OSError as failure:
            log.debug("mdns.skipped", reason=str(failure))
        finally:
            self._stand_before()
        return bool(self._senders() - before - self._inside)

    def rename(self) -> None:
        """Take another name, and forget without a word what was announced by the old one."""
        assert self._zeroconf is not None
        self.server = _new_name()
        self._me.append(_host(self.server))
        for _, info in self._announced.values():
            self._zeroconf.zeroconf.registry.async_remove(info)
        self._announced.clear()
        self._hushed.clear()

    async def announce(
        self, wanted: Mapping[str, Label], port: int, *, lost: Collection[str] = (), again: bool = False
    ) -> None:
        """Announce `wanted`, by instance name, and nothing else; returns when it has been said.

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

    def ask(self, questions: Sequence[Question | tuple[str, str]], *, unicast: bool = False) -> None:
        """Ask everybody; `unicast` says that an answer to us alone will do, and makes it come without delay."""
        assert self._zeroconf is not None
        packet = DNSOutgoing(0)
        for name, kind in questions:
            packet.add_question(DNSQuestion(name, _TYPES[kind], _IN | (_UNICAST_RESPONSE if unicast else 0)))
            if kind in ("A", "AAAA"):
                self._asked_servers.append(name.partition(".")[0].lower().encode())
        try:
            self._sent.extend((_now(), data) for data in packet.packets())
            self._zeroconf.zeroconf.async_send(packet)
        except zeroconf.Error as failure:  # a name that somebody announced, and that cannot be written
            log.debug("mdns.not_asked", reason=repr(failure))

    async def aclose(self) -> None:
        """Say goodbye and close every socket.  Idempotent."""
        self.hush(())
        zc, self._zeroconf = self._zeroconf, None
        for member in self._members:
            member.close()
        self._members.clear()
        self._joined.clear()
        if zc is not None:
            try:
                async with asyncio.timeout(_CLOSE_LIMIT):
                    await _say_goodbye(zc.zeroconf, list(self._hushed.values()))
                    await zc.async_close()
            except TimeoutError:
                log.debug("mdns.not_closed", limit_s=_CLOSE_LIMIT)

    # Speaking.

    def _speakers(self, addresses: Collection[InterfaceAddress]) -> list[str | int]:
        """One IPv4 address of each interface, and the number of each that has IPv6: zeroconf wants them so."""
        fours, sixes = dict[int, str](), dict[int, None]()
        for one in by_importance(addresses):
            if one.ip.version == 4:
                fours.setdefault(one.index, one.address)
            elif not one.ip.is_loopback and self._sixes:  # loopback has no multicast
                sixes[one.index] = None
        if max(len(fours), len(sixes)) > _MAX_SPEAKERS:
            self._warn(f"{len(fours)} interfaces, the first {_MAX_SPEAKERS} are used")
        return [*list(fours.values())[:_MAX_SPEAKERS], *list(sixes)[:_MAX_SPEAKERS]]

    def _senders(self) -> set[str]:
        """The addresses that zeroconf speaks from."""
        assert self._zeroconf is not None
        return {str(one.sock_name[0]).partition("%")[0] for one in self._zeroconf.zeroconf.engine.senders}

    async def _speak_beyond(self, speakers: Sequence[str | int]) -> None:
        """Use the IPv4 addresses that zeroconf could not: its socket is in as many groups as one may be.

        On Linux what arrives in a group that any socket has joined is given to every socket at its port.
        """
        assert self._zeroconf is not None
        for gone in self._joined.keys() - set(speakers):
            with contextlib.suppress(OSError):
                self._joined.pop(gone).setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, _membership(gone))
        speaking = self._senders()
        for address in speakers:
            if isinstance(address, str) and address not in speaking:
                try:
                    self._join(address)
                    # It is one of the engine's from now on, which closes it.
                    await self._zeroconf.zeroconf.engine._async_wrap_socket(_mouth(address), True)
                except OSError as failure:
                    if failure.errno in IN_ENOUGH_GROUPS:
                        self._warn(f"{address}: {failure}")
                    else:  # it has gone again
                        log.debug("mdns.skipped", reason=str(failure))

    def _join(self, address: str) -> None:
        if address in self._joined:
            return
        for member in self._members:
            try:
                member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(address))
            except OSError as failure:
                if failure.errno not in IN_ENOUGH_GROUPS:
                    raise
            else:
                self._joined[address] = member
                return
        member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(address))
        except OSError:
            member.close()
            raise
        self._members.append(member)
        self._joined[address] = member

    def _warn(self, reason: str) -> None:
        """Once: what does not work on one interface seldom works on the next."""
        say = log.debug if self._warned else log.warning
        self._warned = True
        say("mdns.skipped", reason=reason, consequence="no DNS-SD there")

    # Announcing.

    def _info(self, name: str, offer: _Announced) -> AsyncServiceInfo:
        label, port, at = offer
        packed = [ipaddress.ip_address(address).packed for address in at]
        return AsyncServiceInfo(
            SERVICE_TYPE, full_name(name), port, properties=text_of(label), server=self.server, addresses=packed
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
        self._own = frozenset(one.address for one in addresses)

    # Receiving.

    def _stand_before(self) -> None:
        assert self._zeroconf is not None
        for reader in self._zeroconf.zeroconf.engine.readers:
            if not isinstance(listener := reader.transport.get_protocol(), Gate):
                reader.transport.set_protocol(Gate(self, listener))

    def passes(self, data: bytes, sender: tuple[Any, ...]) -> bool:
        """A question that zeroconf may answer.  What is an answer goes to `heard`."""
        is_answer = len(data) > 2 and bool(data[2] & _ANSWER_BIT)
        if len(data) > (MAX_ANSWER if is_answer else MAX_QUESTION):
            return False
        source = str(sender[0]).partition("%")[0].removeprefix("::ffff:")
        interface = self._attached(source, sender)
        words = (*_WORDS, *self._asked_servers) if is_answer else _WORDS
        lower = data.lower()
        if interface is None or not any(word in lower for word in words):
            return False
        if source in self._own and (any(me in data for me in self._me) if is_answer else self._has_sent(data)):
            return False  # our own voice
        if not (self._answers if is_answer else self._questions).takes(source, _now()):
            return False
        if is_answer and (records := list(self._records(data, source, interface))):
            self._heard(records, source)
        return not is_answer

    def _has_sent(self, data: bytes) -> bool:
        """Just now: another node on this machine asks in the same words."""
        return any(data == sent and _now() - when < _ECHO for when, sent in self._sent)

    def _records(self, data: bytes, source: str, interface: InterfaceAddress) -> Iterator[Record]:
        packet = DNSIncoming(data)
        if not packet.valid:
            return
        for one in packet.answers()[:_MAX_RECORDS]:
            gone = one.ttl == 0
            if isinstance(one, DNSAddress):
                if (address := self._believed(one.address, source, interface)) is not None:
                    yield Address(one.name, address, gone)
            elif isinstance(one, DNSPointer):
                if one.name.lower() == SERVICE_TYPE and (name := short_name(one.alias)):
                    yield Pointer(name, gone)
            elif name := short_name(one.name):
                if isinstance(one, DNSService):
                    yield Srv(name, one.server, one.port, gone)
                elif isinstance(one, DNSText):
                    yield Txt(name, one.text, gone)

    def _believed(self, packed: bytes, source: str, interface: InterfaceAddress) -> str | None:
        """An address that may be dialled: on a network that we are attached to, and our own only if we say so."""
        ip = ipaddress.ip_address(packed)
        text = str(ip)
        if (ip.is_loopback or text in self._own) and source not in self._own:
            return None
        if ip.is_link_local and ip.version == 6:
            return f"{text}%{interface.name}"
        return text if any(ip in own.network for own in self._addresses) else None

    def _attached(self, source: str, sender: tuple[Any, ...]) -> InterfaceAddress | None:
        """The address of ours on the subnet that `source` is on; a link-local one by its scope."""
        try:
            ip = ipaddress.ip_address(source)
        except ValueError:
            return None
        scope = sender[3] if len(sender) > 3 else 0
        for own in self._addresses:
            if ip in own.network and (not ip.is_link_local or not scope or own.index == scope):
                return own
        return None


class Gate(asyncio.DatagramProtocol):
    """Stands between a socket and zeroconf's own protocol for it."""

    def __init__(self, mdns: Mdns, listener: Any) -> None:
        self._mdns, self._listener = mdns, listener

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self._mdns.passes(data, addr):
            self._listener.datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        log.debug("mdns.error", reason=str(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.connection_lost(exc)


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


def _now() -> float:
    return asyncio.get_running_loop().time()


def _new_name() -> str:
    """A name of its own, since nobody needs to know how this machine is called, or where it was before."""
    return f"hardline-{secrets.token_hex(6)}.local."


def _host(server: str) -> bytes:
    return server.partition(".")[0].encode()


def _membership(address: str) -> bytes:
    return socket.inet_aton(_GROUP) + socket.inet_aton(address)


def _mouth(address: str) -> socket.socket:
    """A socket as zeroconf has one for each interface.  Raises OSError."""
    mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        mouth.setblocking(False)
        mouth.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            mouth.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        mouth.bind((address, PORT))
    except BaseException:
        mouth.close()
        raise
    return mouth


@functools.cache
def _can_look() -> bool:
    """zeroconf looks for IPv6 addresses itself, by netlink."""
    try:
        ifaddr.get_adapters()
    except OSError:
        return False
    return True


def _quieten() -> None:
    logger = logging.getLogger("zeroconf")
    logger.handlers[:] = [_Forward()]
    logger.propagate = False


def _try_port() -> None:
    """Raises OSError where zeroconf would, which then leaves a socket behind."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(("", PORT))
