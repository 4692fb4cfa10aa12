"""An answer from the store: which of its bytes a request gets, and sending them.

    stored 200 ─┬─ If-None-Match, If-Modified-Since hold not ──▶ 304, or 412
                ├─ Range ──▶ 206 with one part or several, or 416
                └─ else  ──▶ as it is

What is on its way into the store is planned in the same way, and sent by fetch.Fetch.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from hardline.cache.caching.answers import ExactAnswer
from hardline.cache.kept.heads import StoredHead
from hardline.cache.kept.store import Entry
from hardline.cache.policy.cacherequest import CacheRequest
from hardline.cache.policy.cachestatus import CacheStatus
from hardline.disks import Disk
from hardline.http import ranges
from hardline.http.conditional import Validators, Verdict, judge, parse_date, wanted_range
from hardline.http.fields import Fields, first, without
from hardline.http.ranges import Part
from hardline.http.serving.body import send_file

_OF_THE_BODY = ("content-length", "content-type", "content-encoding", "content-range", "content-md5")


class Gone(Exception):
    """What was stored is not there any more."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send: a head, and `count` bytes of the body from `offset`, None for none; `count` may not be known."""

    status: int
    reason: str
    fields: Fields
    offset: int | None = 0
    count: int | None = None


def plan(request: web.BaseRequest, seen: CacheRequest, head: StoredHead, size: int | None, now: float) -> Plan:
    """The answer to `request` out of a stored one whose body has `size` bytes."""
    fields = without(head.fields, ("content-length",))
    whole = Plan(head.status, head.reason, fields, 0, size)
    if head.status != 200 or (not seen.is_conditional and "range" not in seen.names):
        return whole
    there = _validators(head, now)
    dated = there if there.modified is not None else Validators(there.etag, _made(head, now))
    match judge(seen.method, request.headers, dated, now):
        case Verdict.NOT_MODIFIED:
            return Plan(304, "Not Modified", without(fields, _OF_THE_BODY), None, 0)
        case Verdict.FAILED:
            return Plan(412, "Precondition Failed", without(fields, _OF_THE_BODY), None, 0)
        case Verdict.GO_ON:
            pass
    wanted = wanted_range(seen.method, request.headers, there, now)
    parts = None if wanted is None or size is None else ranges.select(wanted, size)
    if parts is None or size is None or len(parts) > 1:
        return whole
    if not parts:
        unsatisfied = (*without(fields, _OF_THE_BODY), ("Content-Range", ranges.unsatisfied(size)))
        return Plan(416, "Range Not Satisfiable", unsatisfied, None, 0)
    return _part(fields, parts[0], size)


async def send_entry(
    request: web.BaseRequest,
    seen: CacheRequest,
    entry: Entry,
    status: CacheStatus,
    age: int,
    now: float,
    more: Fields = (),
    *,
    disk: Disk,
) -> web.StreamResponse:
    """Answer from the store, which lies on `disk`.  Raises Gone, before anything is sent."""
    told = (*more, ("Age", str(age)), ("Cache-Status", str(status)))
    planned = plan(request, seen, entry.head, entry.size, now)
    fields = (*without(planned.fields, ("age",)), *told)
    descriptor = None
    try:
        if seen.method == "GET" and planned.offset is not None:
            descriptor = entry.open() if entry.at_once else await disk.run(entry.open, os.close)
    except OSError as failure:
        raise Gone from failure
    try:
        several = _several(request, seen, entry, planned, now)
        if several is not None and descriptor is not None:
            return await _send_several(request, entry, several, fields, descriptor, now, disk)
        length = planned.count if planned.offset is not None else _length_without_body(planned.status)
        answer = ExactAnswer(planned.status, planned.reason, fields, length, now, waits_for_body=True)
        await answer.prepare(request)
        if descriptor is not None and planned.offset is not None and planned.count:
            await send_file(request, answer, descriptor, planned.offset, planned.count, disk=disk)
        await answer.write_eof()
        return answer
    finally:
        if descriptor is not None and entry.at_once:
            os.close(descriptor)
        elif descriptor is not None:
            disk.later(partial(os.close, descriptor))


def is_whole_range(seen: CacheRequest) -> bool:
    """Whether a request wants everything, from the first byte on, in one part: as players ask first."""
    return seen.range is not None and seen.range.replace(" ", "").lower() == "bytes=0-"


def _part(fields: Fields, part: Part, size: int) -> Plan:
    named = (*without(fields, ("content-range",)), ("Content-Range", ranges.content_range(part, size)))
    return Plan(206, "Partial Content", named, part.offset, part.count)


def _several(
    request: web.BaseRequest, seen: CacheRequest, entry: Entry, planned: Plan, now: float
) -> ranges.Multipart | None:
    """A request for several parts of what would be sent as a whole."""
    if planned.status != 200 or seen.range is None:
        return None
    wanted = wanted_range(seen.method, request.headers, _validators(entry.head, now), now)
    parts = None if wanted is None else ranges.select(wanted, entry.size)
    if parts is None or len(parts) < 2:
        return None
    kind = first(entry.head.fields, "content-type") or "application/octet-stream"
    return ranges.multipart(parts, entry.size, kind, secrets.token_hex(16))


async def _send_several(
    request: web.BaseRequest,
    entry: Entry,
    body: ranges.Multipart,
    fields: Fields,
    descriptor: int,
    now: float,
    disk: Disk,
) -> web.StreamResponse:
    fields = (*without(fields, ("content-type",)), ("Content-Type", body.content_type))
    answer = ExactAnswer(206, "Partial Content", fields, body.size, now)
    await answer.prepare(request)
    for head, part in body.parts:
        await answer.write(head)
        await send_file(request, answer, descriptor, part.offset, part.count, disk=disk)
    await answer.write_eof(body.close)
    return answer


def _length_without_body(status: int) -> int | None:
    return None if status == 304 else 0


def _validators(head: StoredHead, now: float) -> Validators:
    etag = first(head.fields, "etag")
    modified = first(head.fields, "last-modified")
    return Validators(
        # aiohttp gives a request's fields as UTF-8, with what is none escaped.
        None if etag is None else etag.encode("latin-1").decode("utf-8", "surrogateescape"),
        None if modified is None else parse_date(modified.strip(), now),
    )


def _made(head: StoredHead, now: float) -> int:
    """When it was made, for conditions on what has no Last-Modified (RFC 9111, section 4.3.2)."""
    date = first(head.fields, "date")
    made = None if date is None else parse_date(date.strip(), now)
    return int(head.received_at) if made is None else made
