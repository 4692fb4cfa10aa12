"""What of multicast DNS is let in.

    port 5353 ──▶ MdnsGate: a neighbour? about us? not too much? ──┬─ answers ───▶ `heard`, as records of instances.py
                                                               └─ questions ─▶ zeroconf, which knows what we announce

zeroconf answers whoever asks, and keeps whatever anybody on the LAN says for as long as he wants: so this stands before
it.  Source: docs/PROTOCOL.md, section 6.5.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from zeroconf import DNSAddress, DNSIncoming, DNSPointer, DNSService, DNSText  # type: ignore[attr-defined]  # public, but not in __all__

from hardline import log
from hardline.discovery.instances import SERVICE_TYPE, Address, Pointer, Record, Srv, Txt, short_name
from hardline.discovery.interfaces import InterfaceAddress
from hardline.discovery.rates import Rates

MAX_QUESTION = 1500  # bytes of a packet
MAX_ANSWER = 9000  # RFC 6762, section 17

_MAX_RECORDS = 256
_SENT = 8
_ECHO = 0.1  # seconds until we have heard ourselves
_WORDS = (b"hardline", b"_dns-sd")  # in every packet that is for us: names of services and of our servers
_ANSWER_BIT = 0x80  # RFC 1035, section 4.1.1


class MdnsGate:
    """Lets in what this node is to hear, on the addresses that it is to `know`.

    `heard` is called with what each packet of somebody else says, and with the address of who sent it.
    """

    def __init__(self, heard: Callable[[Sequence[Record], str], None]) -> None:
        self._heard = heard
        self._me: deque[bytes] = deque(maxlen=2)  # what the old one said may still come
        self._addresses: frozenset[InterfaceAddress] = frozenset()
        self._own: frozenset[str] = frozenset()
        self._hosts: set[bytes] = set()  # names besides those of services
        self._asked_servers: deque[bytes] = deque(maxlen=_SENT)
        self._sent: deque[tuple[float, bytes]] = deque(maxlen=_SENT)
        self._questions = Rates(40, 40, share=0.25)
        self._answers = Rates(100, 200, share=0.25)

    def know(self, addresses: Collection[InterfaceAddress]) -> None:
        """Our addresses are these: who is on their networks is a neighbour."""
        self._addresses = frozenset(addresses)
        self._own = frozenset(one.address for one in addresses)

    def call(self, server: str) -> None:
        """Our server's name is this from now on."""
        self._me.append(_host(server))

    def answers_for(self, host: str, *, no_more: bool = False) -> None:
        """Questions for `host`.local are for us, until there are `no_more`."""
        (self._hosts.discard if no_more else self._hosts.add)(host.lower().encode())

    def asked(self, server: str) -> None:
        """Answers about a server are wanted."""
        self._asked_servers.append(_host(server.lower()))

    def sent(self, packets: Iterable[bytes]) -> None:
        """What we are about to ask, and may hear ourselves."""
        self._sent.extend((_now(), data) for data in packets)

    def stand_before(self, engine: Any) -> None:
        """Be before every socket that zeroconf hears."""
        for reader in engine.readers:
            if not isinstance(listener := reader.transport.get_protocol(), _Guarded):
                reader.transport.set_protocol(_Guarded(self, listener))

    def passes(self, data: bytes, sender: tuple[Any, ...]) -> bool:
        """A question that zeroconf may answer.  What is an answer goes to `heard`."""
        is_answer = len(data) > 2 and bool(data[2] & _ANSWER_BIT)
        if len(data) > (MAX_ANSWER if is_answer else MAX_QUESTION):
            return False
        source = str(sender[0]).partition("%")[0].removeprefix("::ffff:")
        interface = self._attached(source, sender)
        words = (*_WORDS, *self._asked_servers) if is_answer else (*_WORDS, *self._hosts)
        lower = data.lower()
        if interface is None or not any(word in lower for word in words):
            return False
        if source in self._own and (any(me in data for me in self._me) if is_answer else self._has_sent(data)):
            return False  # our own voice
        if not (self._answers if is_answer else self._questions).takes(source, _now()):
            return False
        if is_answer and (records := list(self.records(data, source, interface))):
            self._heard(records, source)
        return not is_answer

    def records(self, data: bytes, source: str, interface: InterfaceAddress) -> Iterator[Record]:
        """What an answer says that was heard at `interface`, and may be believed."""
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

    def _has_sent(self, data: bytes) -> bool:
        """Just now: another node on this machine asks in the same words."""
        return any(data == sent and _now() - when < _ECHO for when, sent in self._sent)

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


class _Guarded(asyncio.DatagramProtocol):
    """Stands between a socket and zeroconf's own protocol for it."""

    def __init__(self, gate: MdnsGate, listener: Any) -> None:
        self._gate, self._listener = gate, listener

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self._gate.passes(data, addr):
            self._listener.datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        log.debug("mdns.error", reason=str(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.connection_lost(exc)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _host(server: str) -> bytes:
    return server.partition(".")[0].encode()
