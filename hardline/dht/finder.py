"""Finding a host by its key hash in the DHT.

    days(now) ──▶ get record_key(day) ─▶ open_record, Newest ─▶ believable ─▶ Candidate          as they come
              └─▶ get plain_key(day) ──▶ WANHosts ─▶ believable ─▶ Candidate(plain)     of originals, where no record is

Anybody may put anything at a key.  What does not open, is not signed by the name, is from another time or older than
what the same host said before is dropped in silence and counted; a flood of it costs the time to read it.  Of several
hosts with one certificate any may come first, so that visitors spread over them.  The original's value is signed by
nobody and makes the visitor send the key hash in clear: it is looked up only for what is known to be an original, or
where the owner wants it for everything unknown, and it is used last.
Source: docs/PROTOCOL.md, sections 2.4 and 8.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine
from itertools import zip_longest
from typing import Any

from hardline.dht.endpoints import believable
from hardline.dht.newest import Newest
from hardline.dht.record import MAX_RECORD, Key, days, open_record, plain_key, record_key
from hardline.dht.table import NotConnected, Table
from hardline.errors import HardlineError, PeerError
from hardline.identity import KeyHash
from hardline.routes import Candidate, Code, Endpoint, FoundBy, PathKind, Plain, Trust, parse_wan_hosts
from hardline.tasks import TaskSet

LIMIT = 10.0  # seconds of one search
CONNECTS_WITHIN = 4.0  # seconds after which a table that has nobody to ask is given up
STILL_WITHIN = 1.0  # the same within STILL seconds after that happened: an island need not wait each time
STILL = 60.0
OTHERS_FIRST = 0.25  # seconds that other finders have before the table is woken for the first time
READ_AGAIN_AFTER = (0.0, 0.3, 0.3)  # seconds before each time that the records of a day are read in one search
TOGETHER = 0.02  # seconds after the first record in which those of other hosts count as having come with it
MAX_CANDIDATES = 16  # of one search
MAX_PLAIN, MAX_PER_PLAIN = 8, 4  # endpoints that nobody signed: of one search, and of one value
PLAIN_AFTER = 3.0  # seconds without a record after which the original's value is used, though the search goes on


_HINT = "no record of it; a host that runs the original hardline 0.0.x is looked for only with [DHT] originals = yes"


class NoRecord(HardlineError):
    """Nothing was found, and there is something that was not looked for."""


class DhtFinder:
    """A Finder.  `ours` are this node's own listeners, `clock` is seconds since 1970.

    `protocol_of` tells what a host was heard to speak when it was visited, "" for a host that never was; `originals`
    looks for the original's value of these, too.
    """

    name = "DHT"
    kind: PathKind | None = PathKind.DIRECT

    def __init__(
        self,
        table: Table,
        *,
        ours: Callable[[], Collection[Endpoint]],
        protocol_of: Callable[[KeyHash], Awaitable[str]],
        originals: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._ours = ours
        self._protocol_of, self._originals = protocol_of, originals
        self._clock = clock
        self._newest = Newest()
        self._counts: Counter[str] = Counter()
        self._gave_up_at: float | None = None

    async def find(self, target: KeyHash) -> AsyncGenerator[Candidate, None]:
        """As Finder.find."""
        self._counts["lookups"] += 1
        loop, now = asyncio.get_running_loop(), self._clock()
        if self._table.asleep:
            await asyncio.sleep(OTHERS_FIRST)
        protocol = await self._protocol_of(target)
        with_originals = protocol == "hardline/1" or (self._originals and not protocol)
        search = _Search(target)
        for day in days(now):
            search.start(self._read_records(record_key(target, day), search), signed=True)
            if with_originals:
                search.start(self._read_plain(plain_key(target, day), search), signed=False)
        search.start(self._give_up_unconnected(search), signed=False)
        patient_until, told = loop.time() + PLAIN_AFTER, set[Endpoint | Candidate]()
        try:
            while len(told) < MAX_CANDIDATES:
                if search.has_record and not told:
                    await asyncio.sleep(TOGETHER)
                over, patient = search.is_over, search.signed_running > 0 and loop.time() < patient_until
                for endpoint, instance in search.take(with_plain=not patient):
                    if endpoint not in told and len(told) < MAX_CANDIDATES:
                        told.add(endpoint)
                        yield self._candidate(endpoint, instance)
                for candidate in search.take_relayed():
                    if candidate not in told and len(told) < MAX_CANDIDATES:
                        told.add(candidate)
                        yield candidate
                if search.unconnected and not told:
                    raise NotConnected("nobody there to ask: no node of it answers, and no proxy")
                if over:
                    if not told and not protocol and not with_originals:
                        raise NoRecord(_HINT)
                    return
                await search.progress(patient_until if patient else None)
        finally:
            await search.aclose()

    def _candidate(self, endpoint: Endpoint, instance: str | None) -> Candidate:
        """What no instance signed, is an original's value."""
        if instance is None:
            return Candidate(endpoint, PathKind.DIRECT, FoundBy(self.name, Trust.UNSIGNED), Plain())
        return Candidate(endpoint, PathKind.DIRECT, FoundBy(self.name, Trust.SIGNED), Code(), instance)

    def describe(self) -> dict[str, int]:
        """How many searches there were, how many records and originals' values they used and how many they dropped."""
        return {key: self._counts[key] for key in ("lookups", "records", "originals", "dropped")}

    async def _give_up_unconnected(self, search: _Search) -> None:
        loop = asyncio.get_running_loop()
        lately = self._gave_up_at is not None and loop.time() < self._gave_up_at + STILL
        search.unconnected = not await self._table.wait_connected(STILL_WITHIN if lately else CONNECTS_WITHIN)
        self._gave_up_at = loop.time() if search.unconnected else None

    async def _read_records(self, key: Key, search: _Search) -> None:
        """Read a key once more while nothing there holds: of a flood of lies a part is lost on its way, each time
        another one, and the truth may have been in it."""
        loop = asyncio.get_running_loop()
        until, read = loop.time() + LIMIT, set[int]()
        for pause in READ_AGAIN_AFTER:
            await asyncio.sleep(pause)
            async with contextlib.aclosing(self._table.get(key, MAX_RECORD, until - loop.time())) as values:
                async for value in values:
                    if hash(value) not in read:
                        read.add(hash(value))
                        self._read_record(value, search)
                    await asyncio.sleep(0)  # a thousand signatures in a row would hold up everybody else
            if search.has_record or not read or loop.time() >= until:
                return

    async def _read_plain(self, key: Key, search: _Search) -> None:
        async with contextlib.aclosing(self._table.get(key, MAX_RECORD, LIMIT)) as values:
            async for value in values:
                hosts = parse_wan_hosts(value.decode("ascii", "replace"))[:MAX_PER_PLAIN]
                endpoints = believable(hosts, self._ours(), signed=False)
                self._counts["originals" if endpoints else "dropped"] += 1
                search.found_plain(endpoints)
                await asyncio.sleep(0)

    def _read_record(self, value: bytes, search: _Search) -> None:
        try:
            record = open_record(value, search.target, self._clock())
        except PeerError:
            self._counts["dropped"] += 1
            return
        if self._newest.is_old(search.target, record):
            self._counts["dropped"] += 1
            return
        self._counts["records"] += 1
        ours = self._ours()
        there = set(believable([*(one.endpoint for one in record.via), *record.relays], ours, signed=True))
        by = FoundBy(self.name, Trust.SIGNED)
        relayed = [one.candidate(by, record.instance) for one in record.via if one.endpoint in there]
        relayed += [Candidate(at, PathKind.RELAYED, by) for at in record.relays if at in there]
        search.found_record(record.instance, believable(record.hosts, ours, signed=True), relayed)


class _Search:
    """What the gets of one search found and `find` has not told yet."""

    def __init__(self, target: KeyHash) -> None:
        self.target = target
        self.signed_running = 0
        self.unconnected = False
        self._tasks = TaskSet(f"dht.find.{target.short}")
        self.has_record = False
        self._signed: dict[str, list[Endpoint]] = {}  # by instance
        self._plain: list[Endpoint] = []
        self._relayed: list[Candidate] = []
        self._happened = asyncio.Event()

    def start(self, reading: Coroutine[Any, Any, None], *, signed: bool) -> None:
        """Start a get."""
        self.signed_running += signed

        def ended(_: object) -> None:
            self.signed_running -= signed
            self._happened.set()

        self._tasks.start(reading, "record" if signed else "original").add_done_callback(ended)

    def found_record(self, instance: str, endpoints: list[Endpoint], relayed: list[Candidate]) -> None:
        """A record that holds, no older than the last of its instance: what nobody signed is not wanted any more."""
        self.has_record = True
        self._signed[instance] = endpoints
        self._relayed += relayed
        self._happened.set()

    def found_plain(self, endpoints: list[Endpoint]) -> None:
        """A value that nobody signed."""
        self._plain += [endpoint for endpoint in endpoints if endpoint not in self._plain]
        del self._plain[MAX_PLAIN:]
        self._happened.set()

    def take(self, *, with_plain: bool) -> list[tuple[Endpoint, str | None]]:
        """What may be told now, some of it again, and which instance signed it, None for nobody."""
        hosts = [[(endpoint, instance) for endpoint in found] for instance, found in self._signed.items()]
        random.shuffle(hosts)
        told: list[tuple[Endpoint, str | None]] = [one for each in zip_longest(*hosts) for one in each if one]
        self._signed.clear()
        if with_plain and not self.has_record:
            told += [(endpoint, None) for endpoint in self._plain]
        return told

    def take_relayed(self) -> list[Candidate]:
        """The ways by relays that may be told now."""
        found, self._relayed = self._relayed, []
        return found

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come."""
        return not len(self._tasks)

    async def progress(self, until: float | None) -> None:
        """Wait until something happened, or for that moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._happened.wait()
        self._happened.clear()

    async def aclose(self) -> None:
        """End what still runs."""
        await self._tasks.aclose()
