"""What visitors of a cached site get: from the store, from the local service, or both."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hardline.tasks import TaskSet
from tests.cache.proxied import DAY, Asked, Proxied, answer, proxied, request, until
from tests.support import needs

FRESH = {"Cache_Control": "max-age=60"}


def test_a_hit_costs_the_local_service_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a?x=1": answer(b"body", ETag='"1"', **FRESH)}) as site:
            first = await site.get("/a?x=1")
            assert (first.status, first.body, first.get("age")) == (200, b"body", None)
            assert first.cache == "hardline; fwd=uri-miss; fwd-status=200; stored; ttl=60"
            site.clock.now += 9
            second = await site.get("/a?x=1")
            assert (second.status, second.body, second.get("age"), second.get("etag")) == (200, b"body", "9", '"1"')
            assert second.cache == "hardline; hit; ttl=51"
            assert site.origin.count() == 1

    asyncio.run(main())


def test_what_is_stored_survives_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"body", Content_Type="text/x-odd", **FRESH)}) as site:
            await site.get("/a")
        async with proxied(tmp_path, without_origin=True) as site:
            again = await site.get("/a")
            assert (again.body, again.get("content-type"), again.is_hit) == (b"body", "text/x-odd", True)

    asyncio.run(main())


def test_what_is_stored_is_shown_however_old_when_there_is_no_local_service(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"body", Cache_Control="max-age=1, must-revalidate")}) as site:
            await site.get("/a")
        async with proxied(tmp_path, without_origin=True) as site:
            site.clock.now += 100 * DAY
            assert (await site.get("/a")).body == b"body"
            assert (await site.get("/b")).status == 404
            assert (await site.ask("POST", "/a", b"x")).status == 405

    asyncio.run(main())


def test_what_is_too_old_is_asked_about_and_used_again(tmp_path: Path) -> None:
    async def main() -> None:
        async def origin(asked: Asked) -> None:
            if asked.get("if-none-match") == '"1"':
                await asked.send(answer(b"", "304 Not Modified", ETag='"1"', X_New="yes", **FRESH))
            else:
                await asked.send(answer(b"body", ETag='"1"', X_Old="yes", **FRESH))

        async with proxied(tmp_path, {"/a": origin}) as site:
            await site.get("/a")
            site.clock.now += 61
            again = await site.get("/a", If_None_Match='"of the visitor"')
            assert (again.status, again.body) == (200, b"body")
            assert again.cache == "hardline; fwd=stale; fwd-status=304; ttl=60"
            assert (again.get("x-new"), again.get("x-old")) == ("yes", "yes")
            assert (await site.get("/a")).is_hit
            assert site.origin.count() == 2

    asyncio.run(main())


def test_a_visitors_own_conditions_are_answered_from_the_store(tmp_path: Path) -> None:
    async def main() -> None:
        modified = "Sun, 06 Nov 1994 08:49:37 GMT"
        async with proxied(tmp_path, {"/a": answer(ETag='"1"', Last_Modified=modified, **FRESH)}) as site:
            await site.get("/a")
            unchanged = await site.get("/a", If_None_Match='"0", W/"1"')
            assert (unchanged.status, unchanged.get("etag"), unchanged.get("content-length")) == (304, '"1"', None)
            assert (await site.get("/a", If_Modified_Since=modified)).status == 304
            assert (await site.get("/a", If_None_Match='"2"', If_Modified_Since=modified)).status == 200
            assert (await site.get("/a", If_Match='"2"')).status == 412
            assert site.origin.count() == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wanted", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_ranges_come_out_of_the_stored_whole(tmp_path: Path, wanted, status, body, content_range) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"0123456789", ETag='"1"', **FRESH)}) as site:
            await site.get("/a")
            part = await site.get("/a", Range=wanted)
            assert (part.status, part.body, part.get("content-range")) == (status, body, content_range)
            assert part.is_hit
            assert (await site.get("/a", Range="bytes=0-1", If_Range='"2"')).body == b"0123456789"
            assert (await site.get("/a", Range="bytes=0-1", If_Range='"1"')).body == b"01"
            assert site.origin.count() == 1

    asyncio.run(main())


def test_several_ranges_come_as_several_parts(tmp_path: Path) -> None:
    async def main() -> None:
        whole = os.urandom(5000)
        async with proxied(tmp_path, {"/a": answer(whole, Content_Type="x/y", **FRESH)}) as site:
            await site.get("/a")
            parts = await site.get("/a", Range="bytes=0-9,4000-4009")
            assert parts.status == 206
            assert (parts.get("content-type") or "").startswith("multipart/byteranges; boundary=")
            assert whole[:10] in parts.body
            assert whole[4000:4010] in parts.body

    asyncio.run(main())


def test_a_range_of_what_is_not_stored_is_carried_and_never_stored(tmp_path: Path) -> None:
    async def main() -> None:
        part = answer(b"45", "206 Partial Content", Content_Range="bytes 4-5/10", **FRESH)
        async with proxied(tmp_path, {"/a": part}, max_age=DAY) as site:
            for _ in range(2):
                got = await site.get("/a", Range="bytes=4-5")
                assert (got.status, got.body, got.get("content-range")) == (206, b"45", "bytes 4-5/10")
            assert site.origin.count() == 2
            assert site.stored() == []

    asyncio.run(main())


def test_a_player_that_asks_for_everything_from_the_first_byte_fills_the_store(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/film": answer(b"0123456789", ETag='"1"', **FRESH)}) as site:
            first = await site.get("/film", Range="bytes=0-")
            assert (first.status, first.body, first.get("content-range")) == (206, b"0123456789", "bytes 0-9/10")
            assert site.origin.asked[0].get("range") is None
            assert (await site.get("/film", Range="bytes=5-6")).body == b"56"
            assert site.origin.count() == 1

    asyncio.run(main())


def test_head_is_answered_from_the_store(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"0123456789", **FRESH)}) as site:
            before = await site.ask("HEAD", "/a")
            assert (before.status, before.get("content-length")) == (200, "10")
            await site.get("/a")
            after = await site.ask("HEAD", "/a")
            assert (after.status, after.get("content-length"), after.is_hit) == (200, "10", True)
            assert [asked.method for asked in site.origin.asked] == ["HEAD", "GET"]

    asyncio.run(main())


@pytest.mark.parametrize(("length", "body", "hits"), [("10", b"0123456789", True), ("11", b"0123456789A", False)])
def test_an_answer_to_head_says_whether_what_is_stored_still_holds(tmp_path: Path, length, body, hits: bool) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"0123456789", X_Time="1", **FRESH)}) as site:
            await site.get("/a")
            site.clock.now += 100
            site.origin.answers["/a"] = answer(body, X_Time="2", **FRESH)
            assert (await site.ask("HEAD", "/a")).get("content-length") == length
            got = await site.get("/a")
            assert (got.is_hit, got.body, got.get("x-time")) == (hits, body, "2")

    asyncio.run(main())


@pytest.mark.parametrize(
    "fields",
    [
        {"Cache_Control": "max-age=60", "Set_Cookie": "session=alice"},
        {"Cache_Control": "public, s-maxage=60", "Set_Cookie": "session=alice"},
        {"Cache_Control": "private, max-age=60"},
        {"Cache_Control": "no-store, max-age=60"},
        {"Cache_Control": "max-age=60", "Vary": "*"},
    ],
)
def test_what_is_for_one_visitor_is_never_given_to_another(tmp_path: Path, fields) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"for alice", **fields)}, max_age=DAY) as site:
            first = await site.get("/a")
            assert first.get("set-cookie") == fields.get("Set_Cookie")
            site.origin.answers["/a"] = answer(b"for bob")
            assert (await site.get("/a")).body == b"for bob"
            await site.origin.close()
            assert (await site.get("/a")).body != b"for alice"

    asyncio.run(main())


@pytest.mark.parametrize("who", [{"Cookie": "session=alice"}, {"Authorization": "Basic YWxpY2U="}])
def test_an_answer_to_somebody_known_is_kept_for_all_only_if_it_says_so(tmp_path: Path, who) -> None:
    async def main() -> None:
        async with proxied(
            tmp_path, {"/a": answer(b"mine", **FRESH), "/b": answer(b"ours", Cache_Control="public, max-age=60")}
        ) as site:
            await site.get("/a", **who)
            site.origin.answers["/a"] = answer(b"another's", **FRESH)
            assert (await site.get("/a")).body == b"another's"
            assert (await site.get("/a", **who)).body == b"another's", "the stored one is not for them either"
            assert site.origin.count("/a") == 3
            await site.get("/b", **who)
            assert (await site.get("/b")).is_hit
            assert (await site.get("/b", **who)).is_hit

    asyncio.run(main())


@pytest.mark.parametrize(
    "odd",
    [
        {"Host": "evil.example"},
        {"X_Forwarded_Host": "evil.example"},
        {"X-Original_URL": "/admin"},
        {"X_Anything": "evil"},
        {"x_forwarded_host": "evil.example"},
        {"Forwarded": "host=evil.example"},
    ],
)
def test_what_somebody_slips_in_is_answered_to_nobody_else(tmp_path: Path, odd) -> None:
    async def main() -> None:
        async def repeat(asked: Asked) -> None:
            await asked.send(answer(repr(asked.fields).encode(), **FRESH))

        async with proxied(tmp_path, {"/": repeat}) as site:
            assert b"vil" in (await site.get("/", **odd)).body or "Original" in str(odd)
            clean = await site.get("/")
            assert b"vil" not in clean.body
            assert b"admin" not in clean.body
            assert (await site.get("/")).is_hit
            assert site.origin.count() == 2

    asyncio.run(main())


def test_a_field_with_an_underscore_is_slipped_in_as_well(tmp_path: Path) -> None:
    async def main() -> None:
        async def repeat(asked: Asked) -> None:
            await asked.send(answer(repr(asked.fields).encode(), **FRESH))

        async with proxied(tmp_path, {"/": repeat}) as site:
            visitor = await site.visitor()
            visitor.send(b"GET / HTTP/1.1\r\nHost: site.localhost\r\nX_Forwarded_Host: evil\r\n\r\n")
            await visitor.reply()
            assert b"evil" not in (await site.get("/")).body

    asyncio.run(main())


def test_an_encoded_answer_is_for_those_who_take_the_encoding(tmp_path: Path) -> None:
    async def main() -> None:
        async def origin(asked: Asked) -> None:
            if "gzip" in (asked.get("accept-encoding") or ""):
                await asked.send(answer(b"\x1f\x8b", Content_Encoding="gzip", **FRESH))
            else:
                await asked.send(answer(b"plain", **FRESH))

        async with proxied(tmp_path, {"/a": origin}) as site:
            assert (await site.get("/a", Accept_Encoding="br, gzip")).body == b"\x1f\x8b"
            assert (await site.get("/a")).body == b"plain"
            assert (await site.get("/a", Accept_Encoding="gzip,br")).is_hit

    asyncio.run(main())


def test_what_varies_is_kept_apart(tmp_path: Path) -> None:
    async def main() -> None:
        async def origin(asked: Asked) -> None:
            await asked.send(answer((asked.get("accept-language") or "none").encode(), Vary="Accept-Language", **FRESH))

        async with proxied(tmp_path, {"/a": origin}) as site:
            for language in ("de", "en", "de", "en", "DE"):
                assert (await site.get("/a", Accept_Language=language)).body == language.lower().encode()
            assert (await site.get("/a")).body == b"none"
            assert site.origin.count() == 3
            assert (await site.get("/a", Accept_Language="fr")).cache.startswith("hardline; fwd=vary-miss")

    asyncio.run(main())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"])
def test_a_request_that_changes_something_makes_the_stored_worthless(tmp_path: Path, method: str) -> None:
    async def main() -> None:
        async def origin(asked: Asked) -> None:
            if asked.method == "GET":
                await asked.send(answer(b"old", **FRESH))
            else:
                await asked.body()
                moved = answer(b"", "201 Created", Location="/b", Content_Location="http://site.localhost/c?d")
                await asked.send(moved)

        async with proxied(tmp_path, dict.fromkeys(("/a", "/b", "/c?d", "/d"), origin)) as site:
            for target in ("/a", "/b", "/c?d", "/d"):
                await site.get(target)
            assert (await site.ask(method, "/a", b"x")).status == 201
            for target, is_hit in (("/a", False), ("/b", False), ("/c?d", False), ("/d", True)):
                assert (await site.get(target)).is_hit is is_hit, target

    asyncio.run(main())


def test_a_change_that_failed_or_is_about_another_host_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async def origin(asked: Asked) -> None:
            if asked.method == "GET":
                await asked.send(answer(b"old", **FRESH))
            else:
                await asked.body()
                failed = asked.get("x-fail") is not None
                await asked.send(answer(b"", "500 No" if failed else "200 OK", Location="http://other.localhost/b"))

        async with proxied(tmp_path, {"/a": origin, "/b": origin}) as site:
            await site.get("/a")
            await site.get("/b")
            await site.ask("POST", "/a", b"x", X_Fail="1")
            assert (await site.get("/a")).is_hit
            await site.ask("POST", "/a", b"x")
            assert not (await site.get("/a")).is_hit
            assert (await site.get("/b")).is_hit

    asyncio.run(main())


def test_an_answer_that_was_on_its_way_during_a_change_is_not_stored(tmp_path: Path) -> None:
    async def main() -> None:
        go_on, tasks = asyncio.Event(), TaskSet("test")

        async def origin(asked: Asked) -> None:
            if asked.method == "POST":
                await asked.body()
                await asked.send(answer(b"done"))
            else:
                await asked.send(answer(b"", Content_Length="4", **FRESH), b"ol")
                await go_on.wait()
                await asked.send(b"d!")

        async with proxied(tmp_path, {"/a": origin}) as site:
            early = tasks.start(site.get("/a"), "early")
            await until(lambda: site.drafts(), "the answer comes")
            await site.ask("POST", "/a", b"x")
            go_on.set()
            assert (await early).body == b"old!"
            assert site.stored() == []
            assert not (await site.get("/a")).is_hit

    asyncio.run(main())


# ── the local service is down ────────────────────────────────────────────────────────────────────────────────


def test_what_is_too_old_is_used_and_says_so_when_the_local_service_is_down(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"body", **FRESH)}) as site:
            await site.get("/a")
            await site.origin.close()
            site.clock.now += 100
            old = await site.get("/a")
            assert (old.status, old.body, old.get("age")) == (200, b"body", "100")
            assert old.cache == "hardline; hit; ttl=-40; detail=origin-down"
            assert (await site.ask("HEAD", "/a")).status == 200
            missing = await site.get("/b")
            assert missing.status == 502
            await site.origin.open(site.origin.port)
            assert (await site.get("/a")).cache.startswith("hardline; fwd=stale; fwd-status=200; stored")

    asyncio.run(main())


@pytest.mark.parametrize("strict", ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"])
def test_what_must_not_be_used_unasked_is_not(tmp_path: Path, strict: str) -> None:
    async def main() -> None:
        async with proxied(
            tmp_path, {"/a": answer(b"body", Cache_Control=f"max-age=60, {strict}", ETag='"1"')}
        ) as site:
            await site.get("/a")
            await site.origin.close()
            site.clock.now += 100
            assert (await site.get("/a")).status == 502

    asyncio.run(main())


@pytest.mark.parametrize(("directive", "status"), [("max-age=60, stale-if-error=100", 200), ("max-age=60", 503)])
def test_an_answer_that_failed_is_replaced_where_that_was_allowed(tmp_path: Path, directive: str, status: int) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"body", Cache_Control=directive)}) as site:
            await site.get("/a")
            site.clock.now += 100
            site.origin.answers["/a"] = answer(b"overloaded", "503 Service Unavailable")
            assert (await site.get("/a")).status == status
            site.clock.now += 100
            assert (await site.get("/a")).status == 503

    asyncio.run(main())


def test_what_is_a_little_too_old_is_used_while_it_is_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        soon = "max-age=60, stale-while-revalidate=30"
        async with proxied(tmp_path, {"/a": answer(b"old", Cache_Control=soon)}) as site:
            await site.get("/a")
            site.clock.now += 70
            site.origin.answers["/a"] = answer(b"new", Cache_Control=soon)
            assert (await site.get("/a")).body == b"old"
            await until(lambda: site.origin.count() == 2 and not site.drafts(), "it was asked for")
            assert (await site.get("/a")).body == b"new"

    asyncio.run(main())


# ── what requests may ask of a cache ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("directive", "age", "hits"),
    [
        ("no-cache", 1, False),
        ("max-age=0", 0, False),
        ("max-age=5", 4, True),
        ("max-age=5", 6, False),
        ("min-fresh=50", 9, True),
        ("min-fresh=50", 11, False),
        ("max-stale", 1000, True),
        ("max-stale=10", 69, True),
        ("max-stale=10", 71, False),
        ("only-if-cached", 5, True),
        ("no-store", 5, False),
        ("whatever=1", 5, True),
    ],
)
def test_a_request_says_how_old_an_answer_may_be(tmp_path: Path, directive: str, age: int, hits: bool) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(**FRESH)}) as site:
            await site.get("/a")
            site.clock.now += age
            assert (await site.get("/a", Cache_Control=directive)).is_hit is hits

    asyncio.run(main())


def test_a_request_for_stored_answers_only_is_never_carried(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(**FRESH)}) as site:
            assert (await site.get("/a", Cache_Control="only-if-cached")).status == 504
            assert site.origin.count() == 0

    asyncio.run(main())


# ── many at once ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_hundred_visitors_of_one_cold_file_cause_one_request(tmp_path: Path) -> None:
    async def main() -> None:
        body = os.urandom(1 << 20) * 8
        digest = hashlib.sha256(body).digest()
        async with proxied(tmp_path, {"/big": answer(body, **FRESH)}) as site:
            answers = await asyncio.gather(*(site.get("/big") for _ in range(100)))
            for got in answers:
                assert hashlib.sha256(got.body).digest() == digest
            assert site.origin.count() == 1
            assert sum("collapsed" in got.cache for got in answers) == 99
            assert (await site.get("/big")).is_hit

    asyncio.run(main())


def test_a_first_visitor_that_is_slow_or_leaves_holds_nobody_up(tmp_path: Path) -> None:
    async def main() -> None:
        body = os.urandom(8 << 20)
        slow_down, tasks = asyncio.Event(), TaskSet("test")

        async def origin(asked: Asked) -> None:
            await asked.send(answer(b"", Content_Length=str(len(body)), **FRESH), body[: 4 << 20])
            await slow_down.wait()
            await asked.send(body[4 << 20 :])

        async with proxied(tmp_path, {"/big": origin}) as site:
            first = await site.visitor()
            first.send(request("GET", "/big"))
            await first.head()  # and nothing of the body
            leaver = await site.visitor()
            leaver.send(request("GET", "/big"))
            await leaver.head()
            third = tasks.start(site.get("/big"), "third")
            await until(lambda: site.origin.count() == 1, "it is asked for")
            leaver.writer.transport.abort()
            first.writer.transport.abort()
            slow_down.set()
            assert (await third).body == body
            assert site.origin.count() == 1

    asyncio.run(main())


def test_visitors_who_waited_for_an_answer_to_somebody_who_left_ask_on_their_own(tmp_path: Path) -> None:
    async def main() -> None:
        first_left, tasks = asyncio.Event(), TaskSet("test")

        async def origin(asked: Asked) -> None:
            if site.origin.count() == 1:
                await first_left.wait()
            await asked.send(answer(f"for {asked.get('test')}".encode(), Cache_Control="private"))

        async with proxied(tmp_path, {"/a": origin}) as site:
            first = await site.visitor()
            first.send(request("GET", "/a", Test="first"))
            await until(lambda: site.origin.count() == 1, "it is asked for")
            others = [tasks.start(site.get("/a", Test=str(number)), "other") for number in range(5)]
            await until(lambda: len(site.writers) == 6, "the others are there")
            await site.get("/b")
            first.writer.transport.abort()
            await site.get("/b")
            first_left.set()
            assert [(await other).body for other in others] == [f"for {number}".encode() for number in range(5)]

    asyncio.run(main())


def test_a_fetch_goes_on_when_everybody_has_left(tmp_path: Path) -> None:
    async def main() -> None:
        body = os.urandom(8 << 20)
        async with proxied(tmp_path, {"/big": answer(body, **FRESH)}) as site:
            visitor = await site.visitor()
            visitor.send(request("GET", "/big"))
            await visitor.head()
            visitor.writer.transport.abort()
            await until(lambda: site.stored() == ["big@http"], "it is stored")
            assert (await site.get("/big")).body == body
            assert site.origin.count() == 1

    asyncio.run(main())


def test_visitors_whose_answer_it_is_not_ask_all_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        waiting = 0
        all_there = asyncio.Event()

        async def origin(asked: Asked) -> None:
            nonlocal waiting
            waiting += 1
            if waiting > 1:  # the first one is answered at once, the others only when all of them are there
                if waiting == 10:
                    all_there.set()
                await all_there.wait()
            else:
                await until(lambda: visitors_sent == 10, "all have asked")
            await asked.send(answer(f"for {asked.get('test')}".encode(), Cache_Control="private"))

        visitors_sent = 0
        async with proxied(tmp_path, {"/a": origin}) as site:
            visitors = []
            for number in range(10):
                visitor = await site.visitor()
                visitor.send(request("GET", "/a", Test=str(number)))
                visitors.append(visitor)
            visitors_sent = 10
            answers = await asyncio.gather(*(visitor.reply() for visitor in visitors))
            assert [got.body for got in answers] == [f"for {number}".encode() for number in range(10)]
            assert site.origin.count() == 10

    asyncio.run(main())


def test_visitors_of_different_variants_share_what_is_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        async def origin(asked: Asked) -> None:
            await until(lambda: visitors_sent, "all have asked")
            language = asked.get("accept-language") or ""
            await asked.send(answer(language.encode(), Vary="Accept-Language", **FRESH))

        visitors_sent = False
        async with proxied(tmp_path, {"/a": origin}) as site:
            visitors = []
            for number in range(12):
                visitor = await site.visitor()
                visitor.send(request("GET", "/a", Accept_Language=("de", "en", "fr")[number % 3]))
                visitors.append(visitor)
            visitors_sent = True
            answers = await asyncio.gather(*(visitor.reply() for visitor in visitors))
            assert [got.body for got in answers] == [b"de", b"en", b"fr"] * 4
            assert site.origin.count() <= 4

    asyncio.run(main())


# ── a local service that misbehaves ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "pieces",
    [
        (answer(b"", Content_Length="100", **FRESH), b"only a part"),
        (answer(b"", Transfer_Encoding="chunked", **FRESH), b"5\r\nhello\r\n"),
        (answer(b"", Transfer_Encoding="chunked", **FRESH), b"5\r\nhello\r\nzz\r\n"),
        (answer(b"", Transfer_Encoding="chunked", **FRESH), b"5\r\nhello world\r\n0\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("abruptly", [True, False])
def test_a_body_that_breaks_off_is_cut_for_everybody_and_never_stored(tmp_path: Path, pieces, abruptly: bool) -> None:
    async def main() -> None:
        async def origin(asked: Asked) -> None:
            await asked.send(pieces[0])
            await until(lambda: len(site.writers) >= 3, "three visitors are there")
            await asked.send(*pieces[1:])
            if abruptly:
                asked.cut()
            else:
                asked.writer.close()
            raise EOFError

        async with proxied(tmp_path, {"/a": origin}, max_age=DAY) as site:
            answers = await asyncio.gather(*(site.get("/a") for _ in range(3)))
            assert all(got.is_cut for got in answers)
            assert site.stored() == []
            await until(lambda: not site.drafts(), "nothing is left of it")
            site.origin.answers["/a"] = answer(b"whole", **FRESH)
            assert (await site.get("/a")).body == b"whole"

    asyncio.run(main())


def test_what_comes_behind_a_body_spoils_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        lying = answer(b"", Content_Length="5", **FRESH) + b"hello, and more than was promised"
        async with proxied(tmp_path, {"/a": lying}) as site:
            assert (await site.get("/a")).body == b"hello"
            assert (await site.get("/a")).body == b"hello"
            assert site.origin.count() == 1
            assert (await site.get("/b")).status == 404, "nothing of it is taken for the next answer"

    asyncio.run(main())


def test_a_head_whose_lines_end_without_carriage_returns_is_read(tmp_path: Path) -> None:
    async def main() -> None:
        sloppy = b"HTTP/1.0 200 OK\nContent-Length: 5\nCache-Control: max-age=60\n\nhello"
        async with proxied(tmp_path, {"/a": sloppy}) as site:
            assert (await site.get("/a")).body == b"hello"
            assert (await site.get("/a")).is_hit

    asyncio.run(main())


def test_a_body_that_ends_with_its_connection_is_stored(tmp_path: Path) -> None:
    async def main() -> None:
        async def origin(asked: Asked) -> None:
            await asked.send(b"HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\n\r\n", b"hel", b"lo")
            asked.writer.close()
            raise EOFError

        async with proxied(tmp_path, {"/a": origin}) as site:
            assert (await site.get("/a")).body == b"hello"
            assert (await site.get("/a")).is_hit

    asyncio.run(main())


@pytest.mark.parametrize("nonsense", [b"\r\n", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b""])
def test_what_is_no_answer_is_a_bad_gateway(tmp_path: Path, nonsense: bytes) -> None:
    async def main() -> None:
        async def origin(asked: Asked) -> None:
            await asked.send(nonsense)
            asked.writer.close()
            raise EOFError

        async with proxied(tmp_path, {"/a": origin}) as site:
            got = await site.get("/a")
            assert got.status == 502
            assert b"does not answer" in got.body
            assert site.origin.count() == 1, "something may have happened: it is not sent again"

    asyncio.run(main())


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("chunked", [True, False])
def test_what_is_too_large_for_the_store_is_carried_whole(tmp_path: Path, chunked: bool) -> None:
    async def main() -> None:
        body = os.urandom(3 << 20)

        async def origin(asked: Asked) -> None:
            if not chunked:
                await asked.send(answer(body, **FRESH))
                return
            await asked.send(answer(b"", Transfer_Encoding="chunked", **FRESH))
            await until(lambda: len(site.writers) % 5 == 0, "all visitors are there")
            for start in range(0, len(body), 65_536):
                piece = body[start : start + 65_536]
                await asked.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await asked.send(b"0\r\n\r\n")

        async with proxied(tmp_path, {"/big": origin}, max_size=1 << 20) as site:
            answers = await asyncio.gather(*(site.get("/big") for _ in range(5)))
            assert all(got.body == body and not got.is_cut for got in answers)
            assert site.stored() == []
            await until(lambda: not site.drafts(), "nothing is left of it")

    asyncio.run(main())


def exhaust(site: Proxied) -> None:
    """Download as much as may be at once."""
    assert site.bucket is not None
    now = asyncio.get_running_loop().time()
    while not site.bucket.take(10_000, now):
        pass


def test_what_is_stored_is_used_when_too_much_was_downloaded(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"x" * 1000, **FRESH)}, rate=3_600) as site:
            await site.get("/a")
            exhaust(site)
            site.clock.now += 100
            old = await site.get("/a")
            assert old.cache == "hardline; hit; ttl=-40; detail=download-limit"
            assert site.origin.count() == 1

    asyncio.run(main())


def test_what_is_not_stored_comes_as_slowly_as_the_limit_says(tmp_path: Path) -> None:
    async def main() -> None:
        rate = 3600 * 100_000
        body = os.urandom(200_000)
        async with proxied(tmp_path, {"/a": answer(body, **FRESH), "/b": answer(body, **FRESH)}, rate=rate) as site:
            exhaust(site)
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert (await site.get("/a")).body == body
            assert loop.time() - began >= 1.0
            await asyncio.gather(*(site.get("/a") for _ in range(5)))
            assert site.origin.count() == 1

    asyncio.run(main())


def on_a_small_disk(root: Path, story: str) -> dict[str, object]:
    command = ["unshare", "-m", sys.executable, "-m", "tests.cache.small_disk_site", str(root), story]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    return dict(json.loads(run.stdout.splitlines()[-1]))


@needs.root()
@needs.tools("unshare", "mount")
def test_what_does_not_fit_on_the_disk_is_carried_whole(tmp_path: Path) -> None:
    seen = on_a_small_disk(tmp_path, "full")
    assert seen == {"wholes": [True] * 9, "hit": True, "stored": ["small@http"], "drafts": []}


@needs.root()
@needs.tools("unshare", "mount")
def test_a_directory_that_cannot_be_written_is_used_as_far_as_it_is_right(tmp_path: Path) -> None:
    assert on_a_small_disk(tmp_path, "read-only") == {"seen": ["old", True, 200, False, "new"]}


def test_a_file_that_the_owner_put_there_is_used_and_refreshed(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/page": answer(b"from the site", Content_Type="text/html", **FRESH)}) as site:
            (tmp_path / "page").write_bytes(b"by hand")
            os.utime(tmp_path / "page", (site.clock.now - 5, site.clock.now - 5))
            async with proxied(tmp_path, without_origin=True) as alone:
                assert (await alone.get("/page")).body == b"by hand"
            got = await site.get("/page", Accept_Encoding="gzip")
            assert got.body == b"from the site"
            assert site.origin.asked[0].get("accept-encoding") == "identity"
            assert site.origin.asked[0].get("if-modified-since") is not None
            assert (await site.get("/page")).is_hit
            assert (tmp_path / "page").read_bytes() == b"from the site"

    asyncio.run(main())
