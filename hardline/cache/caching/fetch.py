"""One request to the local service, whose answer several visitors may have while it comes.

    Fetch ─ asks ─▶ the local service                                   belongs to the proxy, not to its first visitor
      │ outcome:  Confirmed   304: what is stored still holds
      │           Growing     may be stored: it is written to a draft, and everybody reads that while it grows
      │           Single      for the visitor that caused it only, who streams it
      ▼           Down        no answer      Unshared  none for those who wait
    visitor, visitor, …       each at its own speed; one that leaves takes nothing away from the others

What is stored is written as fast as it comes, or as the download limit allows; a slow visitor reads it later.  A body
that breaks off is not stored, and whoever has a part of it is cut.  One that turns out too large for the store, or for
the disk, is handed on piece by piece from then on (tail.py).  When nobody is left, a fetch goes on as long as it gets
on and its end is known; while the download limit makes it wait, it is given up at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial

from aiohttp import web

from hardline import log
from hardline.cache.caching.budget import Budget
from hardline.cache.caching.headfirst import Interim
from hardline.cache.caching.origin import Origin, OriginDown, Reply
from hardline.cache.caching.passing import length_of
from hardline.cache.caching.tail import Reader, Tail
from hardline.cache.kept.heads import StoredHead
from hardline.cache.kept.shares import SLICE, SMALL, Turn
from hardline.cache.kept.store import Entry, Store, StoreFull, Writing
from hardline.cache.policy import variants
from hardline.cache.policy.freshness import default_lifetime, is_unsaid
from hardline.cache.policy.storable import kept_fields, may_store
from hardline.cache.policy.validation import can_ask, doubted, holds_for_all, is_about, question, updated
from hardline.errors import ConnectionLost
from hardline.http.fields import Fields, end_to_end, values
from hardline.http.serving.body import send_file

_ALONE = 30.0  # seconds after which a fetch that nobody reads has to have got on


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What is stored holds, with a new head, which is the asking visitor's unless `for_all`; `cookies` always are."""

    entry: Entry
    cookies: Fields
    for_all: bool


@dataclass(frozen=True, slots=True)
class Growing:
    """An answer that may be stored: `head` is there, the body comes.  `length` is None when its end is not known."""

    head: StoredHead
    fields: Fields  # as they came, for the visitor that asked
    length: int | None


@dataclass(frozen=True, slots=True)
class Single:
    """An answer for one visitor.  Whoever takes it closes it."""

    reply: Reply
    head: StoredHead


@dataclass(frozen=True, slots=True)
class Down:
    """There is no answer."""

    failure: OriginDown


@dataclass(frozen=True, slots=True)
class Unshared:
    """There was an answer for one visitor, who is gone.  Others ask on their own."""


Outcome = Confirmed | Growing | Single | Down | Unshared


@dataclass(frozen=True, slots=True)
class Means:
    """What a fetch works with.  `clock` is seconds since 1970."""

    store: Store
    origin: Origin
    budget: Budget | None
    max_age: float | None
    clock: Callable[[], float]


class Fetch:
    """Runs once, as a task of the proxy's.  Visitors `join`, wait for `outcome`, and `leave`."""

    def __init__(
        self,
        means: Means,
        key: str,
        wanted: tuple[object, ...] | None,
        fields: Fields,
        stored: Entry | None,
        interim: Interim | None,
    ) -> None:
        self.key = key
        self.wanted = wanted  # visitors who want the same may join; None: it is for its first visitor
        self.is_stored = False
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.outdated = False  # somebody has changed it meanwhile: it must not be stored
        self._means = means
        self._fields = fields
        self._stored = stored
        self._interim = interim
        self._task: asyncio.Task[None] | None = None
        self._sources: list[Hashable] = []  # of the visitors that are there
        self._turn: Turn | None = None  # while the download limit makes it wait
        self._first_is_there = False
        self._alone: asyncio.TimerHandle | None = None
        self._writing: Writing | None = None
        self._descriptor: int | None = None  # of the draft; whatever becomes of it, its visitors read it
        self._at_once = True  # whether its disk answers at once
        self._written = 0
        self._length: int | None = None
        self._tail = Tail()  # what comes behind the draft, once nothing is stored any more
        self._changed = asyncio.Event()
        self._complete = False
        self._broken: Exception | None = None

    # What visitors call.

    @property
    def takes_more(self) -> bool:
        """Whether another visitor may still join: its whole answer is, or will be, there to be read."""
        return not self.outdated and self._broken is None and not self._tail and not self._complete

    def runs_as(self, task: asyncio.Task[None]) -> None:
        """The task that `run` is in."""
        self._task = task
        self._mind_being_alone()

    def join(self, source: Hashable, *, first: bool = False) -> None:
        """One visitor more, out of the session `source`; the first one gets what only it may have."""
        self._sources.append(source)
        if self._turn is not None and self._means.budget is not None:
            self._means.budget.also_for(self._turn, source)
        self._first_is_there |= first
        if self._alone is not None:
            self._alone.cancel()
            self._alone = None

    def leave(self, source: Hashable, *, first: bool = False) -> None:
        """One visitor less."""
        self._sources.remove(source)
        if not self._sources and self._turn is not None and self._means.budget is not None:
            self._means.budget.give_up(self._turn)
        if first:
            self._first_is_there = False
            if self.outcome.done() and isinstance(outcome := self.outcome.result(), Single):
                outcome.reply.close()
        self._mind_being_alone()
        self._close_if_over()

    async def send(self, request: web.BaseRequest, answer: web.StreamResponse, offset: int, count: int | None) -> None:
        """Send the body of a Growing outcome, from `offset`, as that of `answer`: `count` bytes, or to its end.

        Raises ConnectionLost when it breaks off.
        """
        assert self._descriptor is not None
        reader = Reader(offset)
        self._tail.opened(reader)
        try:
            end = None if count is None else offset + count
            while end is None or reader.position < end:
                changed = self._changed
                if self._is_all_there() and not self._complete and self._broken is None:
                    await changed.wait()  # whoever has it whole finds it stored, if it is
                elif reader.position < self._written:
                    there = (self._written if end is None else min(end, self._written)) - reader.position
                    await send_file(
                        request, answer, self._descriptor, reader.position, there, disk=self._means.store.disk
                    )
                    reader.position += there
                elif piece := self._tail.there_for(reader, end):
                    await answer.write(piece)
                    reader.position += len(piece)
                elif self._broken is not None or self._tail.has_passed(reader):
                    raise ConnectionLost(str(self._broken or "the others did not wait"))
                elif self._complete:
                    return
                else:
                    await changed.wait()
                reader.moved.set()
        finally:
            self._tail.closed(reader)

    async def settled(self) -> None:
        """Wait until a Growing outcome is stored, or is not going to be."""
        while not self._complete and self._broken is None:
            await self._changed.wait()

    # What the task does.

    async def run(self) -> None:
        """Ask, and see to the answer.  Cancelled, nothing is stored."""
        reply: Reply | None = None
        try:
            asked_at = self._means.clock()
            stored = self._stored if self._stored is not None and can_ask(self._stored.head) else None
            fields = self._fields if stored is None else question(self._fields, stored.head)
            limited = self._means.budget is not None  # then it may have to wait, beside hundreds of others
            reply = await self._means.origin.ask("GET", self.key, fields, interim=self._interim, sparing=limited)
            head = self._head(reply, asked_at)
            if reply.status == 304 and stored is not None:
                if is_about(stored.head, reply.fields):
                    self.outcome.set_result(await self._confirm(stored, head, reply))
                    reply.close()
                    return
                reply.close()
                reply = await self._means.origin.ask("GET", self.key, self._fields, sparing=limited)
                head = self._head(reply, asked_at)
            self._writing = await self._begin(reply, head)
            if self._writing is None:
                if self._first_is_there:
                    self.outcome.set_result(Single(reply, head))
                    reply = None
                else:
                    self._nobody()
                return
            self._length = length_of(reply.fields)
            self.outcome.set_result(Growing(self._writing.head, head.fields, self._length))
            await self._grow(reply, self._writing)
        except OriginDown as failure:
            self.outcome.set_result(Down(failure))
        except ConnectionLost as failure:
            self._broken = failure
        except asyncio.CancelledError:
            self._nobody()
            self._broken = self._broken or ConnectionLost("nobody waited for it")
            raise
        except Exception as failure:
            self._nobody()
            self._broken = failure
            raise
        finally:
            self._tell()
            if self._alone is not None:
                self._alone.cancel()
            if reply is not None and not self._complete:
                reply.close()
            try:
                if self._writing is not None and not self._complete:
                    await self._writing.abort()
            finally:  # whoever gave it up may end everything meanwhile
                self._task = None
                self._close_if_over()

    def _is_all_there(self) -> bool:
        return self._length is not None and self._written >= self._length

    def _head(self, reply: Reply, asked_at: float) -> StoredHead:
        vary = variants.vary_of(reply.fields) or ()
        head = StoredHead(
            status=reply.status,
            reason=reply.reason,
            fields=end_to_end(reply.fields),
            requested_at=asked_at,
            received_at=self._means.clock(),
        )
        return replace(head, selecting=variants.selecting(self._fields, vary, unsaid=is_unsaid(head)))

    async def _confirm(self, stored: Entry, head: StoredHead, reply: Reply) -> Confirmed:
        cookies = tuple(("Set-Cookie", value) for value in values(reply.fields, "set-cookie"))
        newer = updated(stored.head, head)
        for_all = holds_for_all(self._fields, stored.head, head, self._means.max_age)
        if not self.outdated:
            try:
                stored = await self._means.store.refresh(stored, newer if for_all else doubted(stored.head))
            except (StoreFull, OSError) as failure:
                log.debug("cache.not_refreshed", path=self.key[:200], reason=str(failure))
        return Confirmed(replace(stored, head=newer), cookies, for_all)

    async def _begin(self, reply: Reply, head: StoredHead) -> Writing | None:
        """A draft for the answer; None when it is not to be stored, or cannot be."""
        if (
            self.outdated
            or variants.vary_of(reply.fields) is None
            or not may_store(self._fields, head, default_lifetime(head, self._means.max_age))
        ):
            return None
        kept = replace(head, fields=kept_fields(reply.fields))
        try:
            writing = await self._means.store.begin(self.key, kept, length_of(reply.fields))
        except (StoreFull, OSError) as failure:
            log.debug("cache.not_stored", path=self.key[:200], reason=str(failure))
            return None
        self._descriptor, self._at_once = writing.open(), writing.at_once
        return writing

    async def _grow(self, reply: Reply, writing: Writing) -> None:
        while data := await reply.read():
            while data:
                portion = len(data) if self._may_have(len(data)) else await self._wait_for(len(data))
                try:
                    await writing.write(data[:portion])
                except (StoreFull, OSError) as failure:
                    log.debug("cache.not_stored", path=self.key[:200], reason=str(failure))
                    rest = data[writing.written - self._written :]
                    self._written = writing.written
                    self._tail.begins_at(self._written)
                    await writing.abort()
                    await self._hand_on(reply, rest)
                    return
                data = data[portion:]
                self._written = writing.written
                self._tell()
        if not self.outdated:
            try:
                await writing.commit()
                self.is_stored = True
            except (StoreFull, OSError) as failure:
                log.debug("cache.not_stored", path=self.key[:200], reason=str(failure))
        await writing.abort()
        self._complete = True

    async def _hand_on(self, reply: Reply, data: bytes) -> None:
        """Give what is not stored to those that read, each piece when all of them have had the one before."""
        while True:
            self._tail.put(data)
            self._tell()
            await self._tail.all_have_it()
            if not self._tail.is_read:
                raise ConnectionLost("nobody reads it, and it is not stored")
            if not (data := await reply.read()):
                break
        self._complete = True

    def _may_have(self, count: int) -> bool:
        return self._means.budget is None or self._means.budget.take(count)

    async def _wait_for(self, count: int) -> int:
        """Wait until some of `count` bytes may be downloaded.  Raises ConnectionLost when nobody waits for them."""
        budget, portion = self._means.budget, min(count, SLICE)
        assert budget is not None
        if not self._sources:
            raise ConnectionLost("nobody waited for it, and others do for theirs")
        small = (self._length or 0) <= SMALL and self._written < SMALL
        self._turn = budget.ask(self._sources[0], portion, small=small)
        for source in self._sources[1:]:
            budget.also_for(self._turn, source)
        try:
            if not await budget.granted(self._turn):
                raise ConnectionLost("nobody waited for it, and others do for theirs")
        finally:
            self._turn = None
        return portion

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _nobody(self) -> None:
        if not self.outcome.done():
            self.outcome.set_result(Unshared())

    def _close_if_over(self) -> None:
        if self._task is None and not self._sources and self._descriptor is not None:
            if self._at_once:  # its room on the disk is free when it is closed
                os.close(self._descriptor)
            else:
                self._means.store.disk.later(partial(os.close, self._descriptor))
            self._descriptor = None

    def _mind_being_alone(self) -> None:
        if self._sources or self._alone is not None or self._task is None:
            return
        self._alone = asyncio.get_running_loop().call_later(_ALONE, self._give_up_unless, self._written)

    def _give_up_unless(self, had: int) -> None:
        """Nobody has been there for a while: go on only if there is an end, and it comes nearer."""
        self._alone = None
        outcome = self.outcome.result() if self.outcome.done() else None
        gets_on = isinstance(outcome, Growing) and outcome.length is not None and self._written > had
        if self._task is not None and not gets_on:
            self._task.cancel()
        else:
            self._mind_being_alone()
