"""Finding and being found on a LAN that is the loopback of this machine: no packet of these tests leaves it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from hardline.discovery import following, sockets
from hardline.discovery.answering import LanService
from hardline.discovery.interfaces import interface_addresses
from hardline.discovery.lan import BROWSE_AT, BROWSE_PAUSE, GIVE_UP_AT, Lan
from hardline.discovery.lpd import GROUP_4, PORT, Answer, Search, parse
from hardline.identity import SECONDS_PER_DAY, KeyHash, Label, utc_day
from hardline.routes import Candidate, Code, Endpoint, FoundBy, PathKind, Plain, Trust
from hardline.tasks import TaskSet
from tests.support import needs
from tests.support.beats import beats

HERE = "127.0.0.1"
HEARD = FoundBy("LAN", Trust.HEARD)
HOST_PORT = 7008


def service(password: str = "", *, listed: bool = True, title: str = "Our wiki") -> LanService:
    """A service that exists nowhere else, so that other nodes on this machine have nothing to say about it."""
    return LanService(Label(KeyHash(secrets.token_bytes(20)), password), title, listed)


@asynccontextmanager
async def on_lan(
    *services: LanService,
    bind: Sequence[str] = (HERE,),
    off: float = 0.0,
    multicast: bool = True,
    broadcast: bool = True,
    host: str = "atlas",
    heard: Callable[[KeyHash], None] = lambda key_hash: None,
) -> AsyncIterator[Lan]:
    """A node on the LAN; its clock is `off` days off."""
    lan = Lan(
        services=lambda: services,
        port=lambda: HOST_PORT,
        clock=lambda: time.time() + off * SECONDS_PER_DAY,
        bind=bind,
        multicast=multicast,
        broadcast=broadcast,
        host=host,
        heard=heard,
    )
    lan.follow(interface_addresses())
    lan.open()
    try:
        yield lan
    finally:
        await lan.aclose()


async def first(lan: Lan, target: KeyHash) -> Candidate | None:
    async with aclosing(lan.find(target)) as candidates:
        return await anext(candidates, None)


async def everything(lan: Lan, target: KeyHash) -> list[Candidate]:
    return [candidate async for candidate in lan.find(target)]


async def browsed(lan: Lan, wait: float = 0.1) -> set[Label]:
    return {offer.label for offer in await lan.browse(wait)}


class Stranger(asyncio.DatagramProtocol):
    """Somebody who is no node of ours: hears searches, and sends whatever `reply` makes of each.

    `reply` gives packets with the loopback address that each comes from.
    """

    def __init__(self, reply: Callable[[Search], Iterable[tuple[str, bytes]]]) -> None:
        self._reply = reply
        self._mouths: dict[str, socket.socket] = {}
        self.searches = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        search = parse(data)
        if isinstance(search, Search):
            self.searches += 1
            for source, packet in self._reply(search):
                self._mouth(source).sendto(packet, addr)

    def connection_lost(self, exc: Exception | None) -> None:
        for mouth in self._mouths.values():
            mouth.close()

    def _mouth(self, source: str) -> socket.socket:
        if source not in self._mouths:
            self._mouths[source] = voice(source)
        return self._mouths[source]


def voice(source: str = HERE) -> socket.socket:
    """A socket that speaks from `source` on the loopback interface."""
    mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HERE))
    mouth.bind((source, 0))
    mouth.setblocking(False)
    return mouth


@asynccontextmanager
async def stranger(reply: Callable[[Search], Iterable[tuple[str, bytes]]]) -> AsyncIterator[Stranger]:
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    ear.bind((GROUP_4, PORT))
    membership = struct.pack("@4s4s", socket.inet_aton(GROUP_4), socket.inet_aton(HERE))
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    somebody = Stranger(reply)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: somebody, sock=ear)
    try:
        yield somebody
    finally:
        transport.close()
        await asyncio.sleep(0)


class Asker:
    """A socket that asks what it likes, and hears the answers to itself.  A context manager."""

    def __init__(self, source: str = HERE) -> None:
        self._socket = voice(source)

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, packet: bytes) -> None:
        self._socket.sendto(packet, (GROUP_4, PORT))

    def ask(self, code: str) -> None:
        self.say(Search(code, "asker").encode())

    async def answer(self) -> Answer:
        async with asyncio.timeout(100):
            said = parse(await asyncio.get_running_loop().sock_recv(self._socket, 4096))
        assert isinstance(said, Answer)
        return said

    async def answers_until(self, name: str) -> list[str]:
        """The names that are answered, up to `name`."""
        names = []
        while not names or names[-1] != name:
            names.append((await self.answer()).name)
        return names


# ── found ────────────────────────────────────────────────────────────────────────────────────────────────────


def today(service: LanService) -> str:
    return service.label.key_hash.rolling(utc_day(time.time()))


@pytest.mark.parametrize("listed", [True, False])
def test_two_nodes_on_one_machine_find_each_other(listed):
    async def story():
        ours, theirs = service(listed=listed), service("sesame", listed=listed)
        async with on_lan(ours) as one, on_lan(theirs) as other:
            expected = Candidate(Endpoint(HERE, HOST_PORT), PathKind.LAN, HEARD, Code(utc_day(time.time())))
            assert await first(one, theirs.label.key_hash) == expected
            assert await first(other, ours.label.key_hash) == expected

    asyncio.run(story())


@pytest.mark.parametrize("way", ["multicast", "broadcast"])
def test_one_way_of_asking_everybody_is_enough(way):
    async def story():
        wiki, ways = service(), {"multicast": False, "broadcast": False} | {way: True}
        async with on_lan(wiki, **ways), on_lan(**ways) as visitor:
            assert await first(visitor, wiki.label.key_hash)

    asyncio.run(story())


def test_without_any_way_nothing_is_asked():
    async def story():
        wiki = service()
        async with on_lan(wiki), on_lan(multicast=False, broadcast=False) as visitor:
            assert await everything(visitor, wiki.label.key_hash) == []

    asyncio.run(story())


def test_a_candidate_comes_once_however_often_it_is_answered():
    async def story():
        wiki = service()
        async with on_lan(wiki), on_lan() as visitor:
            assert len(await everything(visitor, wiki.label.key_hash)) == 1

    asyncio.run(story())


def test_a_search_that_nobody_answers_ends_by_itself():
    async def story():
        async with on_lan() as visitor:
            began, beat = time.monotonic(), beats()
            assert await everything(visitor, KeyHash(secrets.token_bytes(20))) == []
            assert time.monotonic() - began >= GIVE_UP_AT - 0.05
            assert beats() - beat < GIVE_UP_AT + 3

    asyncio.run(story())


def test_searches_at_the_same_time_find_each_its_own():
    async def story():
        services = [service(listed=bool(n % 2)) for n in range(8)]
        async with on_lan(*services), on_lan() as visitor, asyncio.TaskGroup() as group:
            finding = [group.create_task(first(visitor, one.label.key_hash)) for one in services]
        assert all(task.result() for task in finding)
        assert not visitor._searches

    asyncio.run(story())


def test_closing_a_search_early_leaves_nothing_of_it():
    async def story():
        wiki = service()
        async with on_lan(wiki), on_lan() as visitor:
            candidates = visitor.find(wiki.label.key_hash)
            assert await anext(candidates)
            assert visitor._searches
            await candidates.aclose()
            assert not visitor._searches

    asyncio.run(story())


def test_cancelling_a_search_leaves_nothing_of_it():
    async def story():
        async with on_lan() as visitor:
            tasks = TaskSet("test")
            tasks.start(everything(visitor, KeyHash(bytes(20))), "find")
            while not visitor._searches:
                await asyncio.sleep(0)
            await tasks.aclose()
            assert not visitor._searches

    asyncio.run(story())


@pytest.mark.parametrize("days", [-3, 3, 400])
def test_a_host_with_another_date_is_found_by_a_browse_and_its_day_is_told(days):
    async def story():
        wiki = service("sesame")
        async with on_lan(wiki, off=days), on_lan() as visitor:
            began = time.monotonic()
            candidate = await first(visitor, wiki.label.key_hash)
            assert candidate is not None
            assert candidate.server_name == Code(utc_day(time.time()) + days)
            assert time.monotonic() - began >= BROWSE_AT

    asyncio.run(story())


def test_an_unlisted_service_with_another_date_is_not_found():
    async def story():
        diary = service(listed=False)
        async with on_lan(diary, off=3), on_lan() as visitor:
            assert await first(visitor, diary.label.key_hash) is None

    asyncio.run(story())


def test_a_visitor_that_found_its_host_does_not_browse():
    async def story():
        wiki = service()
        codes = []

        def listen(search: Search) -> list[tuple[str, bytes]]:
            codes.append(search.code)
            return []

        async with on_lan(wiki), on_lan() as visitor, stranger(listen):
            assert await everything(visitor, wiki.label.key_hash)
            async with asyncio.timeout(100):
                while codes.count(today(wiki)) < 3:
                    await asyncio.sleep(0)
        assert "" not in codes

    asyncio.run(story())


async def asked_while(story: Callable[[Lan], Awaitable[object]]) -> tuple[list[str], float]:
    """What a node searched for while it did that, and how long it took."""
    codes: list[str] = []

    def listen(search: Search) -> list[tuple[str, bytes]]:
        codes.append(search.code)
        return []

    async with on_lan(broadcast=False) as visitor, stranger(listen):
        began = time.monotonic()
        await story(visitor)
        took = time.monotonic() - began
        await asyncio.sleep(0)
    return codes, took


def test_whatever_wants_to_know_who_is_there_it_is_asked_once_a_second():
    async def browse(visitor: Lan) -> None:
        for _ in range(4):
            await asyncio.gather(*(visitor.browse(0.3) for _ in range(20)))

    codes, took = asyncio.run(asked_while(browse))
    assert 1 <= codes.count("") <= took / BROWSE_PAUSE + 1


def test_a_page_that_names_a_hundred_services_makes_few_searches():
    async def find(visitor: Lan) -> None:
        await asyncio.gather(*(everything(visitor, KeyHash(secrets.token_bytes(20))) for _ in range(100)))

    codes, took = asyncio.run(asked_while(find))
    searched = [code for code in codes if code]
    assert 40 <= len(searched) <= 2 * (40 + 20 * took)
    assert codes.count("") <= took / BROWSE_PAUSE + 1


def test_what_was_not_there_a_moment_ago_is_asked_for_once():
    async def find(visitor: Lan) -> None:
        target = KeyHash(secrets.token_bytes(20))
        await everything(visitor, target)
        await everything(visitor, target)

    codes, _ = asyncio.run(asked_while(find))
    assert len([code for code in codes if code]) <= 3 + 1


def test_closing_while_a_browse_waits_leaves_nothing_of_it():
    async def story():
        async with on_lan() as visitor:
            for _ in range(2):
                await visitor.browse(0)
            assert visitor._browse_later is not None
        assert visitor._browse_later.cancelled()

    asyncio.run(story())


def test_in_another_network_the_cookie_is_another_one():
    async def story():
        async with on_lan() as node:
            before = node._cookie
            node.moved()
            assert node._cookie != before
            assert before in node._cookies, "what was said a moment ago may still be heard"

    asyncio.run(story())


# ── what answers say ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_listed_service_says_its_label_and_title_and_our_version():
    async def story():
        wiki = service("sesame")
        async with on_lan(wiki):
            with Asker() as asker:
                asker.ask(today(wiki))
                said = await asker.answer()
                assert (said.port, said.name, said.title) == (HOST_PORT, str(wiki.label), "Our wiki")
                assert said.host == "atlas"
                assert (said.version, said.day) == (2, utc_day(time.time()))

    asyncio.run(story())


def test_an_unlisted_service_says_nothing_that_the_searcher_did_not_know():
    async def story():
        diary = service("sesame", listed=False, title="Diary")
        async with on_lan(diary):
            with Asker() as asker:
                asker.ask(today(diary))
                said = await asker.answer()
                assert (said.port, said.name, said.title, said.host) == (HOST_PORT, today(diary), "", "")
                assert said.label is None or said.label.key_hash != diary.label.key_hash

    asyncio.run(story())


def test_a_search_for_somebody_elses_code_is_not_answered():
    async def story():
        wiki, theirs = service(), service()
        async with on_lan(wiki):
            with Asker() as asker:
                for code in (today(theirs), str(theirs.label.key_hash), "ssdp:all", str(wiki.label) + "x"):
                    asker.ask(code)
                asker.ask(today(wiki))  # packets keep their order on loopback: this is the first that is answered
                assert await asker.answers_until(str(wiki.label)) == [str(wiki.label)]

    asyncio.run(story())


def test_a_flood_of_searches_from_one_source_is_answered_once():
    async def story():
        wiki, last = service(), service()
        async with on_lan(wiki, last):
            with Asker() as asker:
                for _ in range(100):
                    asker.ask(today(wiki))
                asker.ask(today(last))
                assert await asker.answers_until(str(last.label)) == [str(wiki.label), str(last.label)]

    asyncio.run(story())


def test_a_source_that_floods_is_not_read_any_more_and_others_are():
    async def story():
        wiki, last = service(), service()
        async with on_lan(wiki, last):
            with Asker("127.0.0.2") as flooder, Asker("127.0.0.3") as asker:
                for _ in range(30):
                    for _ in range(30):
                        flooder.ask(secrets.token_hex(20))
                    await asyncio.sleep(0)  # what waits in the kernel is bounded, too
                flooder.ask("")
                asker.ask(str(last.label.key_hash))
                assert (await asker.answer()).name == str(last.label)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await flooder.answer()

    asyncio.run(story())


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\0" * 2000,
        b"HARDLINE-SEARCH",
        b"HARDLINE-SERVICE * HTTP/1.1\r\nPort: 0\r\n\r\n",
        b"HARDLINE-SERVICE * HTTP/1.1\r\nPort: 7\r\nInfohash: \xff\xfe\r\n\r\n",
        b"HARDLINE-SEARCH * HTTP/1.1\r\nInfohash: " + b"x" * 60_000,
    ],
)
def test_junk_on_the_port_disturbs_nobody(junk):
    async def story():
        wiki = service()
        async with on_lan(wiki):
            with Asker() as asker:
                asker.say(junk)
                asker.ask(today(wiki))
                await asker.answers_until(str(wiki.label))

    asyncio.run(story())


def test_a_node_does_not_hear_itself():
    async def story():
        wiki = service()
        async with on_lan(wiki) as lonely:
            assert await everything(lonely, wiki.label.key_hash) == []
            assert wiki.label not in await browsed(lonely)

    asyncio.run(story())


# ── what the LAN offers ──────────────────────────────────────────────────────────────────────────────────────


def test_what_was_offered_in_another_network_is_forgotten():
    async def story():
        async with on_lan() as visitor:
            wiki = service()
            async with stranger(lambda _: [(HERE, original(str(wiki.label)))]):
                assert wiki.label in await browsed(visitor)
            assert wiki.label in await browsed(visitor), "who left without a word is known for a while"
            visitor.moved()
            assert wiki.label not in await browsed(visitor)

    asyncio.run(story())


def test_a_browse_lists_what_is_listed_with_its_label():
    async def story():
        wiki, shop, diary = service(), service("sesame", title="My: shop"), service(listed=False)
        async with on_lan(wiki, diary), on_lan(shop, host=""), on_lan() as visitor:
            offers = {offer.label: offer for offer in await visitor.browse(0.1)}
            assert offers.keys() & {wiki.label, shop.label, diary.label} == {wiki.label, shop.label}
            assert (offers[wiki.label].title, offers[shop.label].title) == ("Our wiki", "My shop")
            assert offers[wiki.label].endpoint == Endpoint(HERE, HOST_PORT)
            assert offers[wiki.label].source == HERE
            assert (offers[wiki.label].host, offers[shop.label].host) == ("atlas", "")

    asyncio.run(story())


def test_each_service_that_somebody_lists_is_told_of_and_no_other():
    async def story() -> None:
        wiki, diary, told = service(), service(listed=False), list[KeyHash]()
        async with on_lan(wiki, diary), on_lan(heard=told.append) as visitor:
            await browsed(visitor)
            assert wiki.label.key_hash in told
            assert diary.label.key_hash not in told

    asyncio.run(story())


def test_an_unlisted_service_that_was_visited_is_still_not_listed():
    async def story():
        diary = service(listed=False)
        async with on_lan(diary), on_lan() as visitor:
            assert await first(visitor, diary.label.key_hash)
            hidden = {diary.label.key_hash, KeyHash.parse(today(diary))}
            assert not {label.key_hash for label in await browsed(visitor)} & hidden

    asyncio.run(story())


def test_the_late_answer_of_an_unlisted_service_is_not_listed():
    async def story():
        diary, wiki = service(listed=False), service()
        late = Answer(HOST_PORT, today(diary), "x", version=2)
        listed = Answer(HOST_PORT, str(wiki.label), "x", "wiki", version=2)
        async with on_lan() as visitor, stranger(lambda _: [(HERE, one.encode()) for one in (late, listed)]):
            labels = await browsed(visitor)
            assert wiki.label in labels
            assert Label(KeyHash.parse(today(diary))) not in labels

    asyncio.run(story())


def test_a_hostile_title_is_cleaned():
    async def story():
        label = service().label
        packet = (
            f"HARDLINE-SERVICE * HTTP/1.1\r\nPort: 7\r\nInfohash: {label}\r\n"
            f"title: a\x1b[31m\x00\u202eb{'c' * 150}\r\n\r\n\r\n"
        )
        async with on_lan() as visitor, stranger(lambda _: [(HERE, packet.encode())]):
            titles = {offer.label: offer.title for offer in await visitor.browse(0.1)}
            assert titles[label] == "a[31mb" + "c" * 114

    asyncio.run(story())


# ── originals, liars and floods ──────────────────────────────────────────────────────────────────────────────


def original(name: str, port: int = 7684, extra: str = "") -> bytes:
    """The answer of an original; section 6.2."""
    head = f"HARDLINE-SERVICE * HTTP/1.1\r\nPort: {port}\r\nInfohash: {name}\r\ncookie: c\r\ntitle: t\r\n"
    return f"{head}{extra}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("before", "extra", "plain"), [("-", "", True), ("sesame-", "", True), ("-", "v: 2\r\n", False)]
)
def test_the_key_hash_itself_may_be_said_only_to_whoever_said_it_first_and_is_an_original(before, extra, plain):
    async def story():
        target = service().label.key_hash
        packet = original(f"{before}{target}", extra=extra)
        async with on_lan() as visitor, stranger(lambda _: [(HERE, packet)]):
            candidate = await first(visitor, target)
            assert candidate == Candidate(Endpoint(HERE, 7684), PathKind.LAN, HEARD, Plain() if plain else Code())

    asyncio.run(story())


def test_whoever_answers_with_the_rolling_code_is_not_told_the_key_hash():
    async def story():
        target = service().label.key_hash
        async with on_lan() as visitor, stranger(lambda search: [(HERE, original(search.code))] if search.code else []):
            candidate = await first(visitor, target)
            assert candidate is not None
            assert isinstance(candidate.server_name, Code)

    asyncio.run(story())


def test_an_answer_about_something_else_is_no_candidate():
    async def story():
        target, other = service().label.key_hash, service().label
        async with on_lan() as visitor, stranger(lambda _: [(HERE, original(str(other)))]) as somebody:
            assert await everything(visitor, target) == []
            assert somebody.searches

    asyncio.run(story())


@pytest.mark.parametrize("sources", [1, 40])
def test_thousands_of_lies_do_not_lock_out_the_truth(sources):
    wiki = service()
    flooded = False

    def lie(search: Search) -> Iterable[tuple[str, bytes]]:
        nonlocal flooded
        if search.code != today(wiki) or flooded:
            return
        flooded = True
        for n in range(3000):
            yield f"127.0.1.{1 + n % sources}", original(search.code, port=10_000 + n)

    async def story():
        async with on_lan() as visitor, stranger(lie), on_lan(wiki):
            found = await everything(visitor, wiki.label.key_hash)
            assert flooded
            assert Endpoint(HERE, HOST_PORT) in {candidate.endpoint for candidate in found}
            lies = [candidate for candidate in found if candidate.endpoint.port != HOST_PORT]
            assert 0 < len(lies) <= 4 * sources

    asyncio.run(story())


def test_wrong_ports_forged_from_a_hosts_own_address_do_not_keep_out_the_usual_one():
    wiki = service()

    def forge(search: Search) -> Iterable[tuple[str, bytes]]:
        if search.code == today(wiki):
            ports = [*range(10_000, 10_012), HOST_PORT]
            yield from ((HERE, original(search.code, port=port)) for port in ports)

    async def story():
        async with on_lan() as visitor, stranger(forge):
            ports = [candidate.endpoint.port for candidate in await everything(visitor, wiki.label.key_hash)]
            assert ports == [10_000, 10_001, 10_002, 10_003, HOST_PORT]

    asyncio.run(story())


def test_an_answer_that_is_searched_for_is_read_in_the_middle_of_a_flood_from_its_own_address():
    wiki = service()

    def flood(search: Search) -> Iterable[tuple[str, bytes]]:
        if search.code == today(wiki):
            yield from ((HERE, original(secrets.token_hex(20), port=10_000)) for _ in range(600))
            yield HERE, original(search.code, port=HOST_PORT)

    async def story():
        async with on_lan() as visitor, stranger(flood):
            found = await everything(visitor, wiki.label.key_hash)
            assert [candidate.endpoint.port for candidate in found] == [HOST_PORT]

    asyncio.run(story())


def test_thousands_of_offers_do_not_hide_what_was_known():
    wiki, junk = service(), [service().label for _ in range(1000)]

    async def story():
        async with on_lan() as visitor, on_lan(wiki):
            assert wiki.label in await browsed(visitor)
            async with stranger(lambda _: [("127.0.1.1", original(str(label))) for label in junk]):
                labels = await browsed(visitor, BROWSE_PAUSE + 0.2)
            assert wiki.label in labels
            assert 0 < len(labels & set(junk)) <= 32

    asyncio.run(story())


# ── sockets and interfaces ───────────────────────────────────────────────────────────────────────────────────


@needs.linux()
def test_closing_closes_every_socket_and_may_be_repeated():
    async def story():
        before = os.listdir("/proc/self/fd")
        async with on_lan(service()) as lan:
            assert len(os.listdir("/proc/self/fd")) > len(before)
            await lan.aclose()
            assert len(os.listdir("/proc/self/fd")) == len(before)

    asyncio.run(story())


@pytest.mark.parametrize("fails", ["speaking_socket", "joins"])
def test_what_could_not_be_opened_is_tried_again_although_no_address_changes(monkeypatch, fails):
    works, tries = getattr(sockets, fails), 0

    def fails_twice(*arguments: object) -> object:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise OSError(errno.EADDRNOTAVAIL, "in a second or two")
        return works(*arguments)

    async def story():
        monkeypatch.setattr(sockets, fails, fails_twice)
        monkeypatch.setattr(following, "AGAIN", (0.01,))
        tasks = TaskSet("test")
        async with on_lan() as lan:
            assert lan._sockets.left
            tasks.start(lan.run(), "run")
            async with asyncio.timeout(100):
                while lan._sockets.left:
                    await asyncio.sleep(0.01)
            assert {one.address for one in lan._sockets.speaking} == {HERE}
            await asyncio.sleep(0.05)
            assert tries == 3, "what works is left alone"
            await tasks.aclose()

    asyncio.run(story())


def in_a_namespace(story: Callable[[], Awaitable[None]]) -> None:
    """Run `story` on a machine of its own, which has a loopback interface that is down, and nothing else."""
    program = f"import asyncio; from tests.discovery import test_lan; asyncio.run(test_lan.{story.__name__}())"
    command = ["unshare", "-n", sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


async def until_found(visitor: Lan, target: KeyHash, *, there: bool = True) -> None:
    async with asyncio.timeout(100):
        while (await first(visitor, target) is not None) is not there:
            pass


async def interfaces_come_and_go() -> None:
    wiki = service()
    tasks = TaskSet("test")
    async with on_lan(wiki, bind=()) as host, on_lan(bind=()) as visitor:
        for node in (host, visitor):
            tasks.start(node.run(), "run")
        assert await first(visitor, wiki.label.key_hash) is None
        for _ in range(2):
            ip("link", "set", "lo", "up")
            ip("address", "replace", "127.0.0.1/8", "dev", "lo")
            host.follow(interface_addresses())
            visitor.follow(interface_addresses())
            await until_found(visitor, wiki.label.key_hash)
            ip("link", "set", "lo", "down")
            ip("address", "flush", "dev", "lo")
            host.follow(interface_addresses())
            visitor.follow(interface_addresses())
            await until_found(visitor, wiki.label.key_hash, there=False)
            async with asyncio.timeout(100):
                while host._sockets.speaking or visitor._sockets.speaking:
                    await asyncio.sleep(0)
        await tasks.aclose()


async def a_source_that_is_not_attached_is_not_answered() -> None:
    ip("link", "set", "lo", "up")
    ip("address", "add", "203.0.113.9/32", "dev", "lo")
    wiki = service()
    async with on_lan(wiki) as host:
        with voice("203.0.113.9") as far, Asker() as near:
            far.sendto(Search(today(wiki), "far").encode(), (GROUP_4, PORT))
            far.sendto(original(str(wiki.label)), (GROUP_4, PORT))
            near.ask(today(wiki))
            assert (await near.answer()).name == str(wiki.label)
            with pytest.raises(BlockingIOError):
                far.recv(1)
        assert not host._offers.current(0.0)


async def a_node_that_cannot_have_the_port_searches_all_the_same() -> None:
    ip("link", "set", "lo", "up")
    target = service().label.key_hash
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("", PORT))
        holder.setblocking(False)
        async with on_lan(service()) as deaf:
            async with asyncio.TaskGroup() as group:
                finding = group.create_task(first(deaf, target))
                _, searcher = await asyncio.get_running_loop().sock_recvfrom(holder, 4096)
                holder.sendto(original(f"-{target}"), searcher)
            assert finding.result()


async def nodes_find_each_other_over_ipv6() -> None:
    ip("link", "set", "lo", "up")  # what a machine says to itself takes this way, whatever the address
    ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    for interface, address in (("eth0", "fe80::7/64"), ("eth1", "fd77::1/64")):
        ip("link", "set", interface, "up")
        ip("address", "add", address, "dev", interface, "nodad")
    for address, host in (("fd77::1", "fd77::1"), ("fe80::7", "fe80::7%eth0")):
        wiki, diary = service(), service(listed=False)
        async with on_lan(wiki, diary, bind=[address]), on_lan(bind=[address]) as visitor:
            for one in (wiki, diary):
                candidate = await first(visitor, one.label.key_hash)
                assert candidate is not None
                assert candidate.endpoint == Endpoint(host, HOST_PORT)


async def nothing_leaves_a_node_that_is_bound_to_loopback() -> None:
    ip("link", "set", "lo", "up")
    ip("link", "add", "eth0", "type", "veth", "peer", "name", "far")
    for name, address in (("eth0", "192.0.2.1/24"), ("far", "192.0.2.2/24")):
        ip("address", "add", address, "dev", name)
        ip("link", "set", name, "up")
    ip("route", "add", "default", "dev", "eth0")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as tap:
        tap.bind(("far", 0))
        tap.setblocking(False)

        def said() -> bool:
            frames = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    frames.append(tap.recv(4096))
            return any(b"HARDLINE" in frame for frame in frames)

        wiki = service()
        async with on_lan(wiki), on_lan() as visitor:
            assert await everything(visitor, wiki.label.key_hash)
            await visitor.browse(0.1)
        assert not said()
        async with on_lan(bind=()) as loud:
            await loud.browse(0.1)
        assert said()


@needs.linux()
@needs.root()
@needs.tools("unshare", "ip")
@pytest.mark.parametrize(
    "story",
    [
        interfaces_come_and_go,
        a_source_that_is_not_attached_is_not_answered,
        a_node_that_cannot_have_the_port_searches_all_the_same,
        nodes_find_each_other_over_ipv6,
        nothing_leaves_a_node_that_is_bound_to_loopback,
    ],
    ids=lambda story: story.__name__,
)
def test_on_a_machine_of_its_own(story):
    in_a_namespace(story)
