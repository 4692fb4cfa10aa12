"""DNS-SD on a LAN that is the loopback of this machine: no packet of these tests leaves it."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager

import pytest

from hardline.discovery import following, mdns
from hardline.discovery.answering import LanService
from hardline.discovery.dnssd import HEAD_START, DnsSd
from hardline.discovery.gate import MAX_ANSWER
from hardline.discovery.instances import Instances, Record, text_of
from hardline.discovery.interfaces import InterfaceAddress, interface_addresses
from hardline.discovery.lan import GIVE_UP_AT
from hardline.discovery.mdns import Mdns
from hardline.identity import KeyHash, Label
from hardline.routes import Candidate, Endpoint, FoundBy, PathKind, Trust
from hardline.showable import is_plain
from hardline.tasks import TaskSet
from tests.support import clock, needs
from tests.support.beats import beats

HERE = "127.0.0.1"
HOST_PORT = 7008
SERVICE_TYPE = b"\x09_hardline\x04_tcp\x05local\x00"
GROUP = ("224.0.0.251", 5353)


def service(title: str = "", *, listed: bool = True, password: str = "") -> LanService:
    """A service that exists nowhere else, so that other nodes on this machine have nothing to say about it."""
    key_hash = KeyHash(secrets.token_bytes(20))
    return LanService(Label(key_hash, password), title or f"wiki {key_hash.short}", listed)


class Someone:
    """A node with DNS-SD only; `services` may be changed, followed by `dnssd.refresh()`."""

    def __init__(self, *services: LanService) -> None:
        self.services: Sequence[LanService] = services
        self.tasks = TaskSet("test")
        self.told = list[KeyHash]()
        self.dnssd = DnsSd(
            services=lambda: self.services, port=lambda: HOST_PORT, bind=(HERE,), host="atlas", told=self.told.append
        )
        self.dnssd.follow(interface_addresses())

    async def find(self, target: KeyHash) -> Candidate | None:
        async with aclosing(self.dnssd.find(target)) as candidates:
            return await anext(candidates, None)

    async def browse(self) -> dict[str, Label]:
        return {offer.title: offer.label for offer in await self.dnssd.browse(0.1)}


@asynccontextmanager
async def on_lan(*services: LanService) -> AsyncIterator[Someone]:
    someone = Someone(*services)
    someone.tasks.start(someone.dnssd.run(), "dnssd")
    try:
        yield someone
    finally:
        await someone.tasks.aclose()
        await someone.dnssd.aclose()


async def finds(someone: Someone, target: KeyHash) -> Candidate:
    """Search until something is found: an announcement takes half a second."""
    for _ in range(10):
        if (candidate := await someone.find(target)) is not None:
            return candidate
    raise AssertionError("never found")


# ── packets of nobody ────────────────────────────────────────────────────────────────────────────────────────


def dns_label(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def record(name: bytes, kind: int, data: bytes, ttl: int = 4500) -> bytes:
    return name + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def announcement(
    label: Label, *addresses: str, name: bytes = b"lies", text: bytes | None = None, port: int = HOST_PORT
) -> bytes:
    """A whole answer about an instance, with the addresses as A and AAAA records."""
    instance, server = dns_label(name) + SERVICE_TYPE, dns_label(b"nobody") + dns_label(b"local") + b"\x00"
    records = [
        record(SERVICE_TYPE, 12, instance),
        record(instance, 33, struct.pack(">HHH", 0, 0, port) + server),
        record(instance, 16, text_of(label) if text is None else text),
    ]
    for address in addresses:
        if ":" in address:
            records.append(record(server, 28, socket.inet_pton(socket.AF_INET6, address)))
        else:
            records.append(record(server, 1, socket.inet_aton(address)))
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def say(packet: bytes, source: str = HERE) -> None:
    """Multicast a packet from an address of the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HERE))
        mouth.bind((source, 0))
        mouth.sendto(packet, GROUP)


@contextmanager
def ear() -> Iterator[socket.socket]:
    """A socket of somebody who hears what is said to everybody, and asks nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hearing:
        hearing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            hearing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        group = socket.inet_aton(GROUP[0]) + socket.inet_aton(HERE)
        hearing.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        hearing.bind(("", GROUP[1]))
        hearing.setblocking(False)
        yield hearing


def target() -> Label:
    return Label(KeyHash(secrets.token_bytes(20)))


# ── finding each other ───────────────────────────────────────────────────────────────────────────────────────


def test_a_listed_service_is_found_after_the_head_start_of_the_lan_packets():
    async def main() -> None:
        wiki = service(password="sesame")
        async with on_lan(wiki), on_lan() as visitor:
            candidate = await finds(visitor, wiki.label.key_hash)
            assert candidate == Candidate(Endpoint(HERE, HOST_PORT), PathKind.LAN, FoundBy("DNS-SD", Trust.HEARD))
            began = time.monotonic()
            assert await visitor.find(wiki.label.key_hash) == candidate
            assert time.monotonic() - began >= HEAD_START - 0.01
            assert (await visitor.browse())[wiki.title] == wiki.label
            assert wiki.label.key_hash in visitor.told
            assert {offer.host for offer in await visitor.dnssd.browse(0.0) if offer.label == wiki.label} == {"atlas"}

    asyncio.run(main())


def test_what_was_heard_in_another_network_is_forgotten():
    async def main() -> None:
        wiki = service()
        async with on_lan() as visitor:
            async with on_lan(wiki):
                assert await finds(visitor, wiki.label.key_hash)
                visitor.dnssd.moved()
                assert await finds(visitor, wiki.label.key_hash), "who is here, too, is heard again"
            visitor.dnssd.moved()
            assert wiki.title not in await visitor.browse()

    asyncio.run(main())


def test_whoever_comes_after_the_announcement_asks():
    async def main() -> None:
        wiki = service()
        async with on_lan(wiki):
            async with on_lan() as first:
                await finds(first, wiki.label.key_hash)
            async with on_lan() as second:
                assert await finds(second, wiki.label.key_hash)

    asyncio.run(main())


def test_a_service_that_is_not_listed_is_never_found():
    async def main() -> None:
        quiet, loud = service(listed=False), service()
        async with on_lan(quiet, loud), on_lan() as visitor:
            await finds(visitor, loud.label.key_hash)
            assert await visitor.find(quiet.label.key_hash) is None
            assert quiet.title not in await visitor.browse()

    asyncio.run(main())


def test_what_changes_is_announced_anew_and_what_ends_says_goodbye():
    async def main() -> None:
        wiki = service()
        renamed = LanService(wiki.label, f"{wiki.title} v. 2", listed=True)
        async with on_lan() as visitor:
            async with on_lan(wiki) as host:
                await finds(visitor, wiki.label.key_hash)
                host.services = [renamed]
                host.dnssd.refresh()
                seen = await visitor.browse()
                while renamed.title not in seen or wiki.title in seen:
                    seen = await visitor.browse()
            seen = await visitor.browse()
            assert not {wiki.title, renamed.title} & seen.keys()
            assert await visitor.find(wiki.label.key_hash) is None

    asyncio.run(main())


def hide(host: Someone) -> None:
    host.services = [LanService(one.label, one.title, listed=False) for one in host.services]
    host.dnssd.refresh()


def remove(host: Someone) -> None:
    host.services = []
    host.dnssd.refresh()


def stop(host: Someone) -> None:
    host.tasks.start(host.dnssd.aclose(), "stop")


@pytest.mark.parametrize("end", [hide, remove, stop])
def test_what_ends_in_the_middle_of_its_announcement_is_dropped_and_its_label_is_not_said_again(end):
    async def main() -> None:
        wiki, loop = service(password="sesame"), asyncio.get_running_loop()
        async with on_lan() as visitor, on_lan(wiki) as host:

            def shown() -> set[str]:
                return {offer.title for offer in visitor.dnssd._instances.current(loop.time())}

            async with asyncio.timeout(100):
                while wiki.title not in shown():
                    await asyncio.sleep(0.01)
                with ear() as heard:
                    end(host)
                    goodbyes: list[bytes] = []
                    while len(goodbyes) < 3:
                        packet = await loop.sock_recv(heard, 9000)
                        assert str(wiki.label.key_hash).encode() not in packet
                        assert b"sesame" not in packet
                        if wiki.title.encode() in packet:
                            goodbyes.append(packet)
            assert wiki.title not in shown()

    asyncio.run(main())


def test_what_was_hidden_for_a_moment_is_announced_again():
    async def main() -> None:
        wiki = service()
        async with on_lan() as visitor, on_lan(wiki) as host:
            await finds(visitor, wiki.label.key_hash)
            hide(host)
            host.services = [wiki]
            host.dnssd.refresh()
            async with on_lan() as late:
                assert await finds(late, wiki.label.key_hash)

    asyncio.run(main())


def test_nodes_that_start_at_once_with_one_title_come_to_have_two_names():
    async def main() -> None:
        title = f"twins {secrets.token_hex(4)}"
        twins = [service(title), service(title)]
        async with on_lan(twins[0]), on_lan(twins[1]), on_lan() as visitor:
            names: set[str] = set()
            labels: set[Label] = set()
            async with asyncio.timeout(100):
                while names != {title, f"{title} (2)"} or labels != {twin.label for twin in twins}:
                    seen = await visitor.browse()
                    names = {shown for shown in seen if shown.startswith(title)}
                    labels = {seen[name] for name in names}

    asyncio.run(main())


def test_two_services_of_one_node_may_have_one_title():
    async def main() -> None:
        title = f"twins {secrets.token_hex(4)}"
        twins = [service(title), service(title)]
        async with on_lan(*twins), on_lan() as visitor:
            await finds(visitor, max(twins, key=lambda twin: twin.label).label.key_hash)
            assert {title, f"{title} (2)"} <= (await visitor.browse()).keys()

    asyncio.run(main())


def test_a_search_for_what_nobody_has_ends_and_leaves_nothing():
    async def main() -> None:
        async with on_lan() as visitor:
            async with asyncio.timeout(30):
                while visitor.dnssd._mdns is None:
                    await asyncio.sleep(0.01)
            say(announcement(target(), HERE))
            began, beat = time.monotonic(), beats()
            assert await visitor.find(target().key_hash) is None
            assert time.monotonic() - began > GIVE_UP_AT - 0.1
            assert beats() - beat < GIVE_UP_AT + 3
            assert len(asyncio.all_tasks()) == 2  # this one and the node's

    asyncio.run(main())


def test_a_node_that_hears_nothing_finds_nothing_and_ends_at_once():
    async def main() -> None:
        deaf = Someone()
        began = beats()
        assert await deaf.find(target().key_hash) is None
        assert await deaf.browse() == {}
        await deaf.dnssd.aclose()
        await deaf.dnssd.aclose()
        assert beats() - began < HEAD_START + GIVE_UP_AT

    asyncio.run(main())


def test_a_port_that_cannot_be_had_is_tried_again_although_no_address_changes(monkeypatch):
    tries = 0

    def fails_twice() -> None:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise OSError("somebody has it for himself")

    async def main() -> None:
        monkeypatch.setattr(mdns, "try_port", fails_twice)
        monkeypatch.setattr(following, "AGAIN", (0.01,))
        wiki = service()
        async with on_lan(wiki):
            async with asyncio.timeout(100):
                while tries < 3:
                    await asyncio.sleep(0.01)
            async with on_lan() as visitor:
                await finds(visitor, wiki.label.key_hash)

    asyncio.run(main())


@needs.linux()
def test_a_node_that_is_announced_and_is_told_nothing_does_nothing(monkeypatch):
    async def main() -> None:
        wiki, follows = service(), 0
        real = Mdns.follow

        async def follow(self: Mdns, addresses: frozenset[InterfaceAddress]) -> bool:
            nonlocal follows
            follows += 1
            return await real(self, addresses)

        monkeypatch.setattr(Mdns, "follow", follow)
        async with on_lan(wiki) as host, on_lan() as visitor:
            await finds(visitor, wiki.label.key_hash)
            await asyncio.sleep(60)
            assert host.dnssd._mdns.speaks_everywhere
            before = follows
            await asyncio.sleep(3600)
            assert follows == before

    clock.run(main, limit=None)


# ── what is believed ─────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def hearing(heard: list[Record]) -> AsyncIterator[Mdns]:
    """Multicast DNS alone, which tells what it was told."""
    mdns = Mdns(lambda records, source: heard.extend(records))
    await mdns.open(interface_addresses((HERE,)))
    try:
        yield mdns
    finally:
        await mdns.aclose()


def found(packet: bytes, label: Label, source: str = HERE) -> list[str]:
    """The endpoints that are believed when `source` has sent a packet."""

    async def main() -> list[str]:
        heard: list[Record] = []
        async with hearing(heard) as mdns:
            mdns.gate.passes(packet, (source, 5353))
        instances = Instances()
        instances.heard(heard, source, 0.0)
        return [str(endpoint) for _, endpoint in instances.endpoints(label.key_hash, 0.0)]

    return asyncio.run(main())


def test_a_name_that_is_only_answered_for_is_on_no_list():
    async def main() -> None:
        async with hearing([]) as mdns:
            registry = mdns._zeroconf.zeroconf.registry
            before = registry.async_get_types()
            ends = [mdns.answer_for(f"my-diary-{number}", 7010, [HERE]) for number in range(2)]
            for number in range(2):
                (info,) = registry.async_get_infos_server(f"my-diary-{number}.local.")
                assert info.parsed_addresses() == [HERE]
                assert registry.async_get_infos_type(info.type.lower()) == []
            assert registry.async_get_types() == before
            for end in ends:
                end()
            assert registry.async_get_infos_server("my-diary-0.local.") == []
            assert registry.async_get_service_infos() == []

    asyncio.run(main())


def test_an_address_of_this_machine_is_believed_of_this_machine():
    label = target()
    assert found(announcement(label, HERE), label) == [f"{HERE}:{HOST_PORT}"]


@pytest.mark.parametrize("source", ["127.0.0.66", HERE])
@pytest.mark.parametrize("address", ["8.8.8.8", "224.0.0.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "ff02::1"])
def test_an_address_on_no_network_of_ours_is_believed_of_nobody(address, source):
    label = target()
    assert found(announcement(label, address), label, source) == []


def test_an_address_of_this_machine_is_not_believed_of_another():
    label = target()
    assert found(announcement(label, HERE, "127.0.0.66"), label, "127.0.0.66") == []


@pytest.mark.parametrize(
    "packet",
    [
        lambda label: announcement(label, HERE, port=0),
        lambda label: announcement(label, HERE, text=b"\x03v=2"),
        lambda label: announcement(label, HERE, text=text_of(label)[:-1] + b"1"),
        lambda label: announcement(label, HERE, text=text_of(label) + b"\xff" + b"x" * 255 * 6),
        lambda label: announcement(label, HERE)[:-5] + b"\x00" * MAX_ANSWER,
        lambda label: b"\x00" * 4 + announcement(label, HERE),
    ],
)
def test_an_announcement_that_is_wrong_is_none(packet):
    label = target()
    assert found(packet(label), label) == []


def test_one_source_fills_a_search_with_little():
    async def main() -> list[Candidate]:
        label = target()
        async with on_lan() as visitor:
            many = announcement(label, *(f"127.0.1.{n}" for n in range(1, 100)))
            candidates: list[Candidate] = []
            while not candidates:
                say(many)
                candidates = [candidate async for candidate in visitor.dnssd.find(label.key_hash)]
            return candidates

    assert len(asyncio.run(main())) == 4


@pytest.mark.parametrize("name", [b"a\x00b\x1b[2J", b"\xff\xfe", "\u202efdp.exe".encode(), b"x" * 63, b"<script>"])
def test_a_name_is_shown_as_one_clean_line(name):
    async def main() -> None:
        label = target()
        async with on_lan() as visitor:
            seen: dict[str, Label] = {}
            while label not in seen.values():
                say(announcement(label, HERE, name=name))
                seen = await visitor.browse()
            (title,) = (title for title, one in seen.items() if one == label)
            assert is_plain(title)
            assert title

    asyncio.run(main())


def test_no_packet_however_cut_or_changed_does_harm():
    dice = random.Random(5353)
    whole = announcement(target(), HERE, "fe80::1")
    packets = [whole[:cut] for cut in range(len(whole))]
    for _ in range(1000):
        changed = bytearray(whole)
        for _ in range(dice.randrange(1, 8)):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
        packets.append(bytes(changed))
    packets += [b"_hardline" + dice.randbytes(dice.randrange(600)) for _ in range(500)]

    async def some(chunk: list[bytes]) -> int:
        heard: list[Record] = []
        async with hearing(heard) as mdns:
            for number, packet in enumerate(chunk):
                # A source of its own for each: their rate is another test's subject.
                mdns.gate.passes(packet, (f"127.1.{number // 250}.{number % 250}", 5353))
        return len(heard)

    read = sum(asyncio.run(some(packets[start : start + 150])) for start in range(0, len(packets), 150))
    assert read > 500


def test_garbled_questions_do_not_keep_others_from_being_answered():
    async def main() -> None:
        wiki = service()
        question = struct.pack(">HHHHHH", 0, 0, 1, 0, 0, 0) + SERVICE_TYPE + struct.pack(">HH", 12, 1)
        async with on_lan(wiki):
            async with on_lan() as first:
                await finds(first, wiki.label.key_hash)
            for cut in range(len(question)):
                say(question[:cut] + SERVICE_TYPE, f"127.0.2.{cut + 1}")
            async with on_lan() as second:
                assert await finds(second, wiki.label.key_hash)

    asyncio.run(main())


def test_packets_that_come_too_fast_are_dropped_unread():
    async def main() -> tuple[int, int]:
        heard: list[Record] = []
        packet = announcement(target(), HERE)
        async with hearing(heard) as mdns:
            for _ in range(5000):
                mdns.gate.passes(packet, ("127.0.0.66", 5353))
            of_one = len(heard)
            mdns.gate.passes(packet, ("127.0.0.67", 5353))
            return of_one, len(heard) - of_one

    of_one, of_another = asyncio.run(main())
    per_packet = 3  # the address is not believed
    assert 0 < of_one <= 100 * per_packet
    assert of_another == per_packet


def test_what_the_library_says_is_for_those_who_debug(caplog: pytest.LogCaptureFixture):
    async def main() -> None:
        async with hearing([]):
            logging.getLogger("zeroconf").warning("something %s", "odd")

    caplog.set_level(logging.DEBUG, "hardline")
    asyncio.run(main())
    (note,) = [one for one in caplog.records if one.getMessage() == "mdns.note"]
    assert (note.levelno, note.fields["text"]) == (logging.DEBUG, "something odd")  # type: ignore[attr-defined]
