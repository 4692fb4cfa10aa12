"""Publishing services: the sealed record of each, and the original's value, again and again.

    hosts() ──publishable──▶ Record ──seal──▶ put at record_key(day), for each of `days(now)` ──▶ get, open: read back
                        └──▶ WANHosts, public addresses only ──▶ put at plain_key(day), where the service is `legacy`

Values live ten minutes in the DHT, so this is repeated every five, when the days change, and at once when told that
something changed; soon after the first time once more, since a table that has just come up knows few nodes.
Source: docs/PROTOCOL.md, section 8.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hardline import log
from hardline.certificates import Identity
from hardline.dht.endpoints import publishable
from hardline.dht.record import (
    MAX_HOSTS,
    MAX_RECORD,
    Key,
    Record,
    Unpublishable,
    days,
    open_record,
    plain_key,
    record_key,
    seal,
    until_days_change,
)
from hardline.dht.table import NotStored, Table
from hardline.errors import PeerError
from hardline.identity import KeyHash, instance_name
from hardline.routes import Endpoint, Via, format_wan_hosts
from hardline.tasks import TaskSet

REPEATS = (10.0, 60.0, 300.0)  # seconds until the next time, after the first, the second, and every other success
UNREAD = 60.0  # the same after an announcement that nobody could read back
RETRIES = (1.0, 2.0, 5.0, 15.0, 60.0)  # the same after failures in a row
PUT_LIMIT, GET_LIMIT = 20.0, 10.0  # seconds
NONCE_SIZE = 24
NO_ADDRESS = "no address is known that visitors could reach"
_SLICE = 30.0  # seconds between two looks at the clock, which may have been set or have gone on during a sleep


@dataclass(frozen=True, slots=True)
class Published:
    """A service that is to be found anywhere; `legacy`: by originals too."""

    identity: Identity
    legacy: bool = True


@dataclass(slots=True)
class _Entry:
    """What is known of a service; times are seconds since 1970."""

    published: Published
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    announced: float | None = None
    read_back: float | None = None
    hosts: list[Endpoint] = field(default_factory=list)
    told: list[Endpoint] | None = None
    plain: bool = False
    problem: str = ""


class Publisher:
    """Publishes `services`, and keeps them published.

    `services`, `hosts`, `via` and `relays` are asked whenever something is announced: what is offered, where this node
    can be reached, the best first, and by which relays a service is, at which of them by its own name.
    `instance` is the secret by which this host is told apart (docs/PROTOCOL.md 4.2), `clock` seconds since 1970.
    """

    def __init__(
        self,
        table: Table,
        *,
        services: Callable[[], Sequence[Published]],
        hosts: Callable[[], Sequence[Endpoint]],
        instance: str,
        via: Callable[[KeyHash], Sequence[Via]] = lambda service: (),
        relays: Callable[[KeyHash], Sequence[Endpoint]] = lambda service: (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._services = services
        self._hosts = hosts
        self._instance, self._via, self._relays = instance, via, relays
        self._clock = clock
        self._entries: dict[KeyHash, _Entry] = {}
        self._last_issued = 0
        self._changed = asyncio.Event()
        self._tasks = TaskSet("dht.publisher")

    async def run(self) -> None:
        """Keep every service announced until cancelled."""
        keepers: dict[KeyHash, asyncio.Task[Any]] = {}
        try:
            while True:
                self._changed.clear()
                wanted = {published.identity.key_hash: published for published in self._services()}
                for name in self._entries.keys() - wanted.keys():
                    del self._entries[name]
                    keepers.pop(name).cancel()
                for name, published in wanted.items():
                    self._entry(name).published = published
                    if name not in keepers or keepers[name].done():
                        keepers[name] = self._tasks.start(self._keep(name), f"keep.{name.short}")
                await self._changed.wait()
        finally:
            await self._tasks.aclose()

    def changed(self) -> None:
        """Services or addresses are others than before: announce at once."""
        self._changed.set()
        for entry in self._entries.values():
            entry.wake.set()

    async def announce(self, service: KeyHash, at: Sequence[Endpoint]) -> float:
        """Publish where `service`, one of `services`, is; return the seconds until this is due again.

        What became of it is in `describe`.
        """
        entry = self._entry(service)
        entry.hosts, entry.plain = publishable(at, signed=True)[:MAX_HOSTS], False
        via, relays = tuple(self._via(service)), tuple(self._relays(service))
        if not entry.hosts and not via and not relays:
            entry.problem = NO_ADDRESS
            return REPEATS[-1]
        now = self._clock()
        # Never two with one time: visitors tell the newer one by it.
        self._last_issued = max(int(now * 1000), self._last_issued + 1)
        record = Record(
            instance_name(self._instance, entry.published.identity.key_hash),
            self._last_issued,
            tuple(entry.hosts),
            relays,
            entry.published.identity.der,
            via,
        )
        try:
            await self._put(entry, service, record, now)
        except NotStored as failure:
            if failure.message != entry.problem:
                log.warning("dht.not_announced", service=service.short, reason=failure.message)
            entry.problem = failure.message
            raise
        entry.problem, entry.announced = "", now
        tell, entry.told = log.debug if entry.told == entry.hosts else log.event, entry.hosts
        tell("dht.announced", service=service.short, hosts=format_wan_hosts(entry.hosts), relays=len(via) + len(relays))
        if not await self._is_there(service, record):
            log.warning("dht.not_read_back", service=service.short)
            return min(UNREAD, until_days_change(now))
        entry.read_back = self._clock()
        return min(REPEATS[-1], until_days_change(now))

    def describe(self) -> dict[str, dict[str, Any]]:
        """Per key hash: when it was announced and read back from the network (seconds since 1970), where, and why not.

        `originals`: whether the original's value was published beside the record.
        """
        return {
            str(name): {
                "announced": entry.announced,
                "read_back": entry.read_back,
                "hosts": [str(host) for host in entry.hosts],
                "originals": entry.plain,
                "problem": entry.problem or None,
            }
            for name, entry in self._entries.items()
        }

    def _entry(self, name: KeyHash) -> _Entry:
        if name not in self._entries:
            published = {each.identity.key_hash: each for each in self._services()}
            self._entries[name] = _Entry(published[name])
        return self._entries[name]

    async def _keep(self, name: KeyHash) -> None:
        """Announce one service whenever it is due or told to."""
        successes = failures = 0
        while True:
            entry = self._entries[name]
            entry.wake.clear()
            announcing = self._tasks.start(
                self.announce(name, self._hosts()), f"announce.{name.short}", expects=NotStored
            )
            waking = self._tasks.start(entry.wake.wait(), f"wake.{name.short}")
            try:
                await asyncio.wait({announcing, waking}, return_when=asyncio.FIRST_COMPLETED)
                if not announcing.done():
                    continue  # what is being announced is not true any more
                if announcing.exception() is None:
                    wait = min(announcing.result(), REPEATS[min(successes, len(REPEATS) - 1)])
                    successes, failures = successes + 1, 0
                else:
                    wait = RETRIES[min(failures, len(RETRIES) - 1)]
                    failures += 1
                await self._sleep(wait, waking)
            finally:
                announcing.cancel()
                waking.cancel()
                await asyncio.wait({announcing, waking})

    async def _sleep(self, seconds: float, waking: asyncio.Task[Any]) -> None:
        due = self._clock() + seconds
        while (left := due - self._clock()) > 0 and not waking.done():
            if left > seconds:
                return  # the clock was set back
            await asyncio.wait({waking}, timeout=min(left, _SLICE))

    async def _put(self, entry: _Entry, name: KeyHash, record: Record, now: float) -> None:
        key = entry.published.identity.private_key_pem
        reached = [*entry.hosts, *record.relays]
        plain = format_wan_hosts(publishable(reached, signed=False)) if entry.published.legacy else ""
        values, failure = list[tuple[Key, bytes]](), None
        for day in days(now):
            if plain:
                values.append((plain_key(name, day), plain.encode("ascii")))
            try:
                sealed = await asyncio.to_thread(seal, record, key, os.urandom(NONCE_SIZE))
                values.append((record_key(name, day), sealed))
            except Unpublishable as unpublishable:
                failure = NotStored(str(unpublishable))  # originals can find the service all the same
        puts = (self._table.put(*value, PUT_LIMIT) for value in values)
        results = await asyncio.gather(*puts, return_exceptions=True)
        entry.plain = bool(plain)
        for result in (*results, failure):
            if result is not None:
                raise result

    async def _is_there(self, name: KeyHash, record: Record) -> bool:
        """Whether the network has today's record, as somebody else would find it."""
        now = self._clock()
        async with contextlib.aclosing(
            self._table.get(record_key(name, days(now)[0]), MAX_RECORD, GET_LIMIT)
        ) as values:
            async for value in values:
                with contextlib.suppress(PeerError):
                    found = open_record(value, name, now)
                    if (found.instance, found.issued) == (record.instance, record.issued):
                        return True
        return False
