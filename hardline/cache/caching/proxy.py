"""The caching proxy of a local service: a shared cache to RFC 9111.

    request ─▶ CacheRequest ─┬─ reads, and something is stored that may be used ────────────▶ the store
                      ├─ reads ─▶ Fetch, shared by those that want the same just now ─▶ the local service
                      └─ anything else ─▶ carried as it is, both ways ───────────────▶ the local service

What is stored is used while it is fresh; then the local service is asked whether it still holds.  When that is down,
what is stored is used although it is too old, and says so, unless the service forbade it (RFC 9111, section 4.2.4).
Who may have the answer to whose request is said in sharing.py.

The download limit counts the bodies that are fetched to be stored, once however many visitors wait.  While more has
been fetched than an hour's worth, what is stored is used although it is too old, and says so, without asking; what is
not stored comes as slowly as the limit says, in fair shares, and is never refused.  Answers that are not stored are not
counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Hashable
from dataclasses import replace

from aiohttp import web

from hardline import log
from hardline.cache.caching import passing
from hardline.cache.caching.answers import ExactAnswer, interim_to
from hardline.cache.caching.budget import Budget
from hardline.cache.caching.fetch import Confirmed, Down, Fetch, Growing, Means, Single, Unshared
from hardline.cache.caching.headfirst import Interim
from hardline.cache.caching.origin import Origin, OriginDown, Reply
from hardline.cache.caching.sharing import Sharing, Wanted
from hardline.cache.caching.stored import Gone, is_whole_range, plan, send_entry
from hardline.cache.caching.targets import PerTarget
from hardline.cache.kept.bucket import TokenBucket
from hardline.cache.kept.heads import StoredHead
from hardline.cache.kept.store import Entry, Store, StoreFull
from hardline.cache.policy import cacherequest, invalidation, variants
from hardline.cache.policy.cacherequest import CacheRequest, Refused
from hardline.cache.policy.cachestatus import CacheStatus, Forwarded, Why
from hardline.cache.policy.freshness import (
    Freshness,
    Use,
    default_lifetime,
    directives_of,
    freshness,
    may_stand_in,
    may_use,
)
from hardline.cache.policy.storable import kept_fields, may_share
from hardline.cache.policy.validation import CONDITIONS, can_ask, doubted, holds_for_all, same_body, updated
from hardline.errors import ConnectionLost
from hardline.http.fields import Fields, end_to_end, without
from hardline.http.serving import pages
from hardline.tasks import TaskSet


class CachingProxy:
    """Answers for a local service; without `origin`, from what is stored alone.

    `max_age` is the lifetime in seconds of what says nothing about it, None where the owner has not set it; `clock` is
    seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        origin: Origin | None,
        *,
        max_age: float | None,
        bucket: TokenBucket | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._origin = origin
        self._max_age = max_age
        self._budget = None if bucket is None else Budget(bucket)
        self._clock = clock
        self._sharing = Sharing(max_age, clock)
        self._outdated: PerTarget[float] = PerTarget()  # since when, where the disk keeps it all the same
        self._tasks = TaskSet("proxy")

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            seen = cacherequest.read(request.method, request.raw_path, request.raw_headers)
        except Refused as refusal:
            return _refused(request, refusal)
        try:
            if seen.reads and not request.body_exists and not seen.upgrade:
                return await self._read(request, seen)
            return await self._carry(request, seen, CacheStatus(Forwarded.METHOD))
        except OriginDown as failure:
            return _down(request, failure)

    async def recall(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """Answer without an origin, from what is stored; None: nothing is that answers this.

        It comes before what is there now, so an error does not: that there was nothing is no longer true.
        """
        try:
            seen = cacherequest.read(request.method, request.raw_path, request.raw_headers)
        except Refused:
            return None
        for entry in await self._find(seen.target):
            if self._is_for(entry, seen) and entry.head.status < 400:
                with contextlib.suppress(Gone):
                    return await self._use(request, seen, entry)
        return None

    async def aclose(self) -> None:
        """End every fetch; nothing of it is stored."""
        await self._tasks.aclose()
        if self._origin is not None:
            await self._origin.aclose()

    # Requests that read.

    async def _read(self, request: web.BaseRequest, seen: CacheRequest) -> web.StreamResponse:
        if self._origin is not None and "no-store" in seen.directives:
            return await self._carry(request, seen, CacheStatus(Forwarded.BYPASS))
        entries = await self._find(seen.target)
        entry = next((one for one in entries if self._is_for(one, seen)), None)
        if entry is not None:
            try:
                answer = await self._use(request, seen, entry)
            except Gone:
                entry = None
            else:
                if answer is not None:
                    return answer
        if self._origin is None:
            return pages.nothing_here(request)
        if "only-if-cached" in seen.directives:
            return pages.problem(request, 504, "This is not stored", "The request wants only what is stored already.")
        reason = self._why(entries, entry)
        try:
            if seen.method == "HEAD":
                return await self._carry(request, seen, CacheStatus(reason), entry)
            if seen.range is not None and not is_whole_range(seen) and (entry is None or not can_ask(entry.head)):
                return await self._carry(request, seen, CacheStatus(Forwarded.PARTIAL))
            return await self._fetch(request, seen, entry, reason)
        except OriginDown as failure:
            return await self._stand_in(request, seen, entry, failure)
        except Gone:
            return await self._carry(request, seen, CacheStatus(reason))

    async def _find(self, target: str) -> tuple[Entry, ...]:
        """What is stored, with whatever a fetch has stored while this looked."""
        while True:
            running = self._sharing.under_way(target)
            entries = await self._store.find(target)
            if not any(fetch.is_stored for fetch in running if fetch not in self._sharing.under_way(target)):
                return entries

    def _is_for(self, entry: Entry, seen: CacheRequest) -> bool:
        if entry.hand_made:
            return True
        if entry.head.received_at <= self._outdated.get(seen.target, -1.0):
            return False
        return variants.matches(entry.head, seen.fields) and may_share(seen.fields, directives_of(entry.head))

    def _why(self, entries: tuple[Entry, ...], entry: Entry | None) -> Forwarded:
        if entry is None:
            return Forwarded.OTHER_VARIANT if entries else Forwarded.MISS
        return Forwarded.REQUESTED if self._freshness(entry.head).is_fresh else Forwarded.STALE

    async def _use(self, request: web.BaseRequest, seen: CacheRequest, entry: Entry) -> web.StreamResponse | None:
        """Answer from the store where that needs nobody else.  Raises Gone."""
        now = self._clock()
        use = may_use(entry.head, seen.directives, now, self._lifetime(entry.head))
        why: Why | None = None
        if use is Use.MEANWHILE:
            why = Why.MEANWHILE
            if self._origin is not None and "only-if-cached" not in seen.directives:
                self._ask_meanwhile(seen, entry)
        elif use is Use.STALE:
            why = Why.WANTED
        elif use is Use.ASK:
            if self._origin is None:
                why = Why.NO_ORIGIN
            elif self._is_over_budget() and self._may_stand_in(entry, seen, failed=False):
                why = Why.BUDGET
            else:
                return None
        return await self._send(request, seen, entry, CacheStatus(why=why))

    async def _send(
        self, request: web.BaseRequest, seen: CacheRequest, entry: Entry, status: CacheStatus, more: Fields = ()
    ) -> web.StreamResponse:
        now = self._clock()
        self._store.used(entry)
        state = self._freshness(entry.head)
        told = replace(status, left=state.left)
        return await send_entry(request, seen, entry, told, state.age, now, more, disk=self._store.disk)

    async def _stand_in(
        self, request: web.BaseRequest, seen: CacheRequest, entry: Entry | None, failure: OriginDown
    ) -> web.StreamResponse:
        """Answer with what is stored although the local service is down.  Raises OriginDown where that may not be."""
        if entry is None or not self._may_stand_in(entry, seen, failed=False):
            raise failure
        log.debug("cache.stood_in", path=seen.target[:200], reason=failure.message, cause=repr(failure.__cause__)[:200])
        return await self._send(request, seen, entry, CacheStatus(why=Why.DOWN))

    def _freshness(self, head: StoredHead) -> Freshness:
        return freshness(head, self._clock(), self._lifetime(head))

    def _lifetime(self, head: StoredHead) -> float:
        return default_lifetime(head, self._max_age)

    def _may_stand_in(self, entry: Entry, seen: CacheRequest, *, failed: bool) -> bool:
        now, lifetime = self._clock(), self._lifetime(entry.head)
        return may_stand_in(entry.head, seen.directives, now, lifetime, failed=failed)

    def _is_over_budget(self) -> bool:
        return self._budget is not None and self._budget.is_spent

    # Fetches.

    async def _fetch(
        self, request: web.BaseRequest, seen: CacheRequest, entry: Entry | None, reason: Forwarded
    ) -> web.StreamResponse:
        """Have it fetched, with others or alone.  Raises OriginDown, Gone."""
        wanted = self._sharing.wanted_with_others(seen, entry)
        source = _source_of(request)
        while True:
            fetch = None if wanted is None else self._sharing.running(seen, wanted)
            is_first = fetch is None
            if fetch is None:
                fetch = self._start(seen, entry, wanted, interim_to(request))
            fetch.join(source, first=is_first)
            try:
                await asyncio.wait([fetch.outcome])
                answer = await self._share(request, seen, entry, fetch, CacheStatus(reason, collapsed=not is_first))
                if answer is not None:
                    return answer
            finally:
                fetch.leave(source, first=is_first)
            if is_first:
                raise OriginDown("the answer could not be carried")
            # It was for others.  What chose it is known now: perhaps some of those who wait here want the same.
            before, wanted = wanted, self._sharing.wanted_with_others(seen, entry)
            if wanted == before:
                wanted = None

    async def _share(
        self, request: web.BaseRequest, seen: CacheRequest, entry: Entry | None, fetch: Fetch, status: CacheStatus
    ) -> web.StreamResponse | None:
        """Answer with what was fetched; None when that is for others only."""
        match fetch.outcome.result():
            case Confirmed(confirmed, cookies, for_all):
                if not status.collapsed or (for_all and self._sharing.is_also_for(confirmed.head, seen)):
                    self._sharing.learn(seen.target, confirmed.head if for_all else None)
                    told = replace(status, status=304)
                    return await self._send(request, seen, confirmed, told, () if status.collapsed else cookies)
            case Growing(head, fields, length):
                if not status.collapsed or self._sharing.is_also_for(head, seen):
                    self._sharing.learn(seen.target, head)
                    return await self._send_growing(request, seen, fetch, replace(head, fields=fields), length, status)
            case Single(reply, head):
                if not status.collapsed:
                    return await self._send_single(request, seen, entry, reply, head, status)
            case Down(failure):
                raise failure
            case Unshared():
                pass
        return None

    async def _send_growing(
        self,
        request: web.BaseRequest,
        seen: CacheRequest,
        fetch: Fetch,
        head: StoredHead,
        length: int | None,
        status: CacheStatus,
    ) -> web.StreamResponse:
        now = self._clock()
        state = self._freshness(head)
        planned = plan(request, seen, head, length, now)
        fields = planned.fields
        if status.collapsed:
            fields = (*without(kept_fields(fields), ("age",)), ("Age", str(state.age)))
        told = replace(status, status=head.status, stored=True, left=state.left)
        fields = (*fields, ("Cache-Status", str(told)))
        if length == 0 or head.status == 204:
            await fetch.settled()
        answer = ExactAnswer(planned.status, planned.reason, fields, planned.count, now)
        await answer.prepare(request)
        try:
            if planned.offset is not None and answer.has_body:
                await fetch.send(request, answer, planned.offset, planned.count)
        except ConnectionLost:
            answer.cut()
        await answer.write_eof()
        return answer

    async def _send_single(
        self,
        request: web.BaseRequest,
        seen: CacheRequest,
        entry: Entry | None,
        reply: Reply,
        head: StoredHead,
        status: CacheStatus,
    ) -> web.StreamResponse:
        try:
            told = replace(status, status=reply.status)
            if reply.status < 500:
                self._sharing.learn(seen.target, None)
            elif entry is not None and self._may_stand_in(entry, seen, failed=True):
                return await self._send(request, seen, entry, replace(told, why=Why.FAILED))
            return await passing.send_reply(request, reply, told, self._clock())
        finally:
            reply.close()

    def _start(self, seen: CacheRequest, entry: Entry | None, wanted: Wanted | None, interim: Interim | None) -> Fetch:
        assert self._origin is not None
        means = Means(self._store, self._origin, self._budget, self._max_age, self._clock)
        asked = without(seen.fields, ("range", "if-range"))
        if wanted is not None:
            asked = without(asked, CONDITIONS)
        if entry is not None and entry.hand_made:  # what is encoded could not take its place
            asked = (*without(asked, ("accept-encoding",)), ("Accept-Encoding", "identity"))
        fetch = Fetch(means, seen.target, wanted, asked, entry, interim)
        self._sharing.begun(fetch)
        task = self._tasks.start(fetch.run(), "fetch")
        task.add_done_callback(lambda _: self._sharing.over(fetch))
        fetch.runs_as(task)
        return fetch

    def _ask_meanwhile(self, seen: CacheRequest, entry: Entry) -> None:
        """Have it confirmed or fetched anew, for whoever comes next, in nobody's name."""
        nobody = replace(seen, fields=without(seen.fields, ("cookie", "authorization", "range", *CONDITIONS)))
        wanted = self._sharing.wanted(nobody)
        if self._sharing.running(nobody, wanted) is None and not self._is_over_budget():
            self._start(nobody, entry, wanted, None)

    # Everything else.

    async def _carry(
        self, request: web.BaseRequest, seen: CacheRequest, status: CacheStatus, entry: Entry | None = None
    ) -> web.StreamResponse:
        if self._origin is None:
            return pages.method_not_allowed(request, "GET, HEAD")

        async def judge(reply: Reply) -> None:
            await self._forget_outdated(seen, reply)
            if seen.method == "HEAD" and entry is not None and reply.status == 200:
                await self._compare(seen, entry, reply)

        return await passing.carry(request, seen, self._origin, status, self._clock, judge)

    async def _forget_outdated(self, seen: CacheRequest, reply: Reply) -> None:
        for target in invalidation.outdated(seen.method, seen.target, seen.host, reply.status, reply.fields):
            for fetch in self._sharing.under_way(target):
                fetch.outdated = True
            try:
                await self._store.remove(target)
            except OSError as failure:
                log.warning("cache.not_forgotten", path=target[:200], reason=str(failure))
                self._outdated.put(target, self._clock())

    async def _compare(self, seen: CacheRequest, entry: Entry, reply: Reply) -> None:
        """What an answer to HEAD says of what is stored (RFC 9111, section 4.3.5)."""
        now = self._clock()
        newer = StoredHead(reply.status, reply.reason, end_to_end(reply.fields), now, now)
        holds = same_body(entry.head, entry.size, newer.fields)
        if holds and holds_for_all(seen.fields, entry.head, newer, self._max_age):
            head = updated(entry.head, newer)
        else:
            head = doubted(entry.head)
        try:
            await self._store.refresh(entry, head)
        except (StoreFull, OSError) as failure:
            log.debug("cache.not_refreshed", path=entry.key[:200], reason=str(failure))


def _source_of(request: web.BaseRequest) -> Hashable:
    """Whose share of the download limit it is: that of all sessions of a source, or of a connection without one."""
    transport = request.transport
    return None if transport is None else transport.get_extra_info("source", transport)


def _refused(request: web.BaseRequest, refusal: Refused) -> web.StreamResponse:
    answer = pages.problem(
        request, refusal.status, "This request cannot be carried", f"{refusal.message}.".capitalize()
    )
    answer.force_close()
    return answer


def _down(request: web.BaseRequest, failure: OriginDown) -> web.StreamResponse:
    log.debug("origin.down", path=request.raw_path[:200], reason=failure.message, cause=repr(failure.__cause__)[:200])
    title = "The shared service does not answer"
    explanation = "It runs on the computer that shares it, which was reached; nothing of this page is stored there."
    return pages.problem(request, failure.status, title, explanation, advice=f"{failure.message.capitalize()}.")
