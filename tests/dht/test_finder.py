"""What a visitor believes of what lies in the DHT, and in which order it is told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from hardline.dht import finder as finding
from hardline.dht.finder import MAX_CANDIDATES, MAX_PLAIN, DhtFinder
from hardline.dht.record import Key, Record, days, plain_key, record_key, seal
from hardline.dht.table import NotConnected
from hardline.errors import HardlineError
from hardline.identity import SECONDS_PER_DAY, KeyHash
from hardline.routes import Candidate, Endpoint, FoundBy, Handle, PathKind, Plain, Trust, Via
from tests.dht.keys import DER, NAME, boxed_record, pem
from tests.dht.memory_table import MemoryTable
from tests.support import clock

NOW = 20_778 * SECONDS_PER_DAY + 43_200.0
DAY = 20_778
KEY = pem(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
HERE = Endpoint("203.0.113.9", 7008)
SIGNED, UNSIGNED = FoundBy("DHT", Trust.SIGNED), FoundBy("DHT", Trust.UNSIGNED)
RECORD = Record("5f0c9f2d6a8b4e1790aa33bb44cc55dd", int(NOW * 1000), (HERE,), (), DER)


def sealed(record: Record = RECORD) -> bytes:
    return seal(record, KEY, os.urandom(24))


def finder(
    table: MemoryTable, ours: Sequence[Endpoint] = (), originals: bool = True, now: float = NOW, spoke: str = ""
) -> DhtFinder:
    async def protocol_of(name: KeyHash) -> str:
        return spoke

    return DhtFinder(table, ours=lambda: ours, protocol_of=protocol_of, originals=originals, clock=lambda: now)


def found(table: MemoryTable, by: DhtFinder | None = None) -> list[Candidate]:
    async def run() -> list[Candidate]:
        candidates = [candidate async for candidate in (by or finder(table)).find(NAME)]
        assert table.gets == 0
        return candidates

    return asyncio.run(run())


def endpoints(candidates: Sequence[Candidate]) -> list[str]:
    return [str(candidate.endpoint) for candidate in candidates]


def test_a_record_is_a_direct_candidate_under_the_rolling_code():
    table = MemoryTable()
    table.values[record_key(NAME, DAY)] = [sealed()]
    assert found(table) == [Candidate(HERE, PathKind.DIRECT, SIGNED)]


def test_nothing_there_is_nothing_found():
    assert found(MemoryTable()) == []


def test_a_table_that_nobody_has_asked_yet_is_woken_only_after_the_others_had_their_time(monkeypatch):
    monkeypatch.setattr(finding, "OTHERS_FIRST", 30.0)
    table = MemoryTable()
    table.asleep = True

    async def run() -> None:
        search = finder(table).find(NAME)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(search)
        assert table.gets == 0

    asyncio.run(run())
    table.asleep = False
    table.values[record_key(NAME, DAY)] = [sealed()]
    assert endpoints(found(table)) == [str(HERE)]


def test_with_nobody_to_ask_a_search_says_so_instead_of_lasting():
    table = MemoryTable()
    table.connected = False

    async def run() -> None:
        for key in (record_key(NAME, DAY), plain_key(NAME, DAY)):
            table.open_for[key] = asyncio.Event()
        with pytest.raises(NotConnected, match="nobody there to ask"):
            async for _ in finder(table).find(NAME):
                pass
        assert table.gets == 0

    asyncio.run(run())


def test_forged_records_are_dropped_and_counted():
    table = MemoryTable()
    forged = [boxed_record(DER, NAME, int(NOW), (f"192.0.2.{n}:1",), os.urandom(24)) for n in range(200)]
    table.values[record_key(NAME, DAY)] = [*forged, b"junk", bytes(4096), sealed(), *forged]
    by = finder(table)
    assert endpoints(found(table, by)) == [str(HERE)]
    assert by.describe() == {"lookups": 1, "records": 1, "originals": 0, "dropped": 202}  # each once


class LossyTable(MemoryTable):
    """The truth is lost on its way the first time."""

    async def get(self, key: Key, largest: int, limit: float) -> AsyncGenerator[bytes, None]:
        async for value in super().get(key, largest, limit):
            yield value
        self.values[key] = [*self.values[key], *self.late.pop(key, ())]

    def __init__(self, late: dict[Key, list[bytes]]) -> None:
        super().__init__()
        self.late = late


def test_a_record_that_a_flood_drowned_is_read_once_more():
    table = LossyTable({record_key(NAME, DAY): [sealed()]})
    table.values[record_key(NAME, DAY)] = [boxed_record(DER, NAME, int(NOW))]
    by = finder(table)
    assert endpoints(found(table, by)) == [str(HERE)]
    assert by.describe() == {"lookups": 1, "records": 1, "originals": 0, "dropped": 1}


def test_what_nobody_has_put_is_not_asked_for_again():
    table = LossyTable({record_key(NAME, DAY): [sealed()]})
    assert found(table) == []


def test_a_flood_of_originals_values_hides_no_record():
    table = MemoryTable()
    table.values[plain_key(NAME, DAY)] = [f"11.22.33.{n}:7008".encode() for n in range(200)]
    table.values[record_key(NAME, DAY)] = [sealed()]
    assert found(table) == [Candidate(HERE, PathKind.DIRECT, SIGNED)]


def test_the_originals_value_is_used_where_there_is_no_record():
    table = MemoryTable()
    table.values[plain_key(NAME, DAY)] = [b"11.22.33.44:7008,[200:6a4e::1]:7008"]
    assert found(table) == [
        Candidate(Endpoint("11.22.33.44", 7008), PathKind.DIRECT, UNSIGNED, Plain()),
        Candidate(Endpoint("200:6a4e::1", 7008), PathKind.DIRECT, UNSIGNED, Plain()),
    ]


def test_the_originals_value_is_not_looked_up_by_who_did_not_ask_for_it_and_that_is_said():
    table = MemoryTable()
    table.values[plain_key(NAME, DAY)] = [b"11.22.33.44:7008"]
    with pytest.raises(HardlineError, match=r"\[DHT\] originals = yes"):
        found(table, finder(table, originals=False))
    assert plain_key(NAME, DAY) not in table.asked


@pytest.mark.parametrize("originals", [True, False])
def test_what_was_heard_to_speak_hardline_2_is_never_looked_for_as_an_original(originals):
    table = MemoryTable()
    table.values[plain_key(NAME, DAY)] = [b"11.22.33.44:7008"]
    assert found(table, finder(table, originals=originals, spoke="hardline/2")) == []
    assert plain_key(NAME, DAY) not in table.asked


def test_a_host_that_was_an_original_is_looked_for_as_one():
    table = MemoryTable()
    table.values[plain_key(NAME, DAY)] = [b"11.22.33.44:7008"]
    assert endpoints(found(table, finder(table, originals=False, spoke="hardline/1"))) == ["11.22.33.44:7008"]


def test_a_search_for_a_record_that_does_not_end_holds_back_the_originals_value_for_a_while_only():
    table = MemoryTable()
    table.values[plain_key(NAME, DAY)] = [b"11.22.33.44:7008"]

    async def run() -> None:
        open_end = table.open_for[record_key(NAME, DAY)] = asyncio.Event()
        candidates = finder(table).find(NAME)
        began = asyncio.get_running_loop().time()
        assert endpoints([await anext(candidates)]) == ["11.22.33.44:7008"]
        assert clock.since(began) == finding.PLAIN_AFTER
        table.values[record_key(NAME, DAY)].append(sealed())
        open_end.set()
        assert [candidate async for candidate in candidates] == []

    clock.run(run)


def test_values_nobody_signed_lead_to_no_private_address_and_no_name():
    table = MemoryTable()
    table.values[plain_key(NAME, DAY)] = [
        *(b"192.168.1.1:80", b"127.0.0.1:7008", b"printer.example:631", b"\xff\xfe", b"", b"nonsense"),
        b"10.0.0.1:1,11.22.33.44:7008",
    ]
    assert endpoints(found(table)) == ["11.22.33.44:7008"]


def test_values_nobody_signed_are_few():
    table = MemoryTable()
    crowd = [",".join(f"11.22.{n}.{m}:7008" for m in range(1, 9)).encode() for n in range(20)]
    table.values[plain_key(NAME, DAY)] = crowd
    assert len(found(table)) == MAX_PLAIN


def test_a_record_may_lead_to_a_private_address_but_not_to_the_visitor():
    table = MemoryTable()
    hosts = ("127.0.0.1:7008", "10.8.0.1:7008", "10.8.0.2:7008", "localhost:80")
    record = replace(RECORD, hosts=tuple(map(Endpoint.parse, hosts)))
    table.values[record_key(NAME, DAY)] = [sealed(record)]
    assert endpoints(found(table, finder(table, ours=[Endpoint("10.8.0.2", 7008)]))) == ["10.8.0.1:7008"]


def test_hosts_that_share_a_certificate_are_all_candidates():
    table = MemoryTable()
    second = replace(RECORD, instance="second", hosts=(Endpoint("203.0.113.10", 7008),), issued=RECORD.issued - 5000)
    table.values[record_key(NAME, DAY)] = [sealed(), sealed(second)]
    assert set(endpoints(found(table))) == {"203.0.113.9:7008", "203.0.113.10:7008"}


def test_visitors_spread_over_hosts_that_share_a_certificate():
    table = MemoryTable()
    hosts = {f"i{n}": tuple(Endpoint(f"203.0.{n}.{m}", 7008) for m in (1, 2)) for n in range(3)}
    table.values[record_key(NAME, DAY)] = [sealed(replace(RECORD, instance=i, hosts=at)) for i, at in hosts.items()]
    seen = [found(table) for _ in range(40)]
    assert {endpoints(candidates)[0] for candidates in seen} == {"203.0.0.1:7008", "203.0.1.1:7008", "203.0.2.1:7008"}
    for candidates in seen:  # one of each before the second of any
        assert [at.rpartition(".")[2] for at in endpoints(candidates)] == ["1:7008"] * 3 + ["2:7008"] * 3


def test_of_a_host_that_moved_only_the_new_address_is_told_where_both_records_are_there():
    table = MemoryTable()
    moved = replace(RECORD, hosts=(Endpoint("203.0.113.10", 7008),), issued=RECORD.issued + 5000)
    table.values[record_key(NAME, DAY)] = [sealed(), sealed(moved)]
    assert endpoints(found(table)) == ["203.0.113.10:7008"]


def test_an_old_record_that_is_played_back_after_the_new_one_is_dropped():
    table = MemoryTable()
    old = replace(RECORD, hosts=(Endpoint("203.0.113.10", 7008),), issued=RECORD.issued - 5000)
    table.values[record_key(NAME, DAY)] = [sealed(), sealed(old)]
    by = finder(table)
    assert endpoints(found(table, by)) == [str(HERE)]
    table.values[record_key(NAME, DAY)] = [sealed(old)]
    assert endpoints(found(table, by)) == []  # a search later it still is


def test_many_endpoints_of_many_hosts_are_bounded():
    table = MemoryTable()
    table.values[record_key(NAME, DAY)] = [
        sealed(replace(RECORD, instance=f"i{n}", hosts=tuple(Endpoint(f"203.0.{n}.{m}", 7008) for m in range(1, 5))))
        for n in range(10)
    ]
    assert len(found(table)) == MAX_CANDIDATES


def test_candidates_are_told_as_they_come():
    table = MemoryTable()
    table.values[record_key(NAME, DAY)] = [sealed()]

    async def run() -> None:
        table.open_for[record_key(NAME, DAY)] = asyncio.Event()
        candidates = finder(table).find(NAME)
        async with asyncio.timeout(1):
            assert endpoints([await anext(candidates)]) == [str(HERE)]
        await candidates.aclose()
        assert table.gets == 0
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


@pytest.mark.parametrize("moment", [DAY * SECONDS_PER_DAY - 2, DAY * SECONDS_PER_DAY + 2])
@pytest.mark.parametrize("hosts_clock", [-3600, 0, 3600])
@pytest.mark.parametrize("visitors_clock", [-3600, 0, 3600])
def test_around_midnight_a_record_is_found_though_both_clocks_are_an_hour_off(moment, hosts_clock, visitors_clock):
    table = MemoryTable()
    record = replace(RECORD, issued=int(moment + hosts_clock) * 1000)
    for day in days(moment + hosts_clock):
        table.values[record_key(NAME, day)].append(sealed(record))
    assert endpoints(found(table, finder(table, now=moment + visitors_clock))) == [str(HERE)]


def test_a_record_names_relays_by_handle_and_by_the_services_own_name():
    here, there = Endpoint("11.22.33.30", 7008), Endpoint("11.22.33.31", 443)
    handle = Via(here, "ab" * 20)
    table = MemoryTable()
    table.values[record_key(NAME, DAY)] = [sealed(replace(RECORD, hosts=(), relays=(there,), via=(handle,)))]
    assert found(table) == [
        Candidate(here, PathKind.RELAYED, SIGNED, Handle("ab" * 20)),
        Candidate(there, PathKind.RELAYED, SIGNED),
    ]
    table.values[record_key(NAME, DAY)] = [sealed(replace(RECORD, via=(handle, Via(Endpoint("::1", 7008), "cd" * 20))))]
    assert endpoints(found(table)) == [str(HERE), str(here)], "hosts first, and no loopback"
