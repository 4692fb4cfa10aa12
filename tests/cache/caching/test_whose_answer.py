"""Nobody gets what another one was answered for what it showed, unless the service said that it may be."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import pytest

from hardline.cache.policy.variants import HARMLESS
from tests.cache.proxied import DAY, Answer, Asked, answer, proxied
from tests.support import clock, needs

# IANA, "Hypertext Transfer Protocol (HTTP) Field Name Registry": what requests have; and what applications made up.
REGISTERED = [
    "A-IM",
    "Accept",
    "Accept-Additions",
    "Accept-Charset",
    "Accept-Datetime",
    "Accept-Encoding",
    "Accept-Features",
    "Accept-Language",
    "Accept-Signature",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "ALPN",
    "Alt-Used",
    "AMP-Cache-Transform",
    "Apply-To-Redirect-Ref",
    "Authorization",
    "C-Ext",
    "C-Man",
    "C-Opt",
    "C-PEP",
    "Cache-Control",
    "CalDAV-Timezones",
    "Capsule-Protocol",
    "CDN-Loop",
    "Cert-Not-After",
    "Client-Cert",
    "Client-Cert-Chain",
    "Compliance",
    "Content-Disposition",
    "Content-ID",
    "Content-Language",
    "Content-Location",
    "Content-Type",
    "Cookie",
    "Cookie2",
    "DASL",
    "Date",
    "Default-Style",
    "Depth",
    "Destination",
    "Digest",
    "DPoP",
    "Early-Data",
    "EDIINT-Features",
    "Ext",
    "Forwarded",
    "From",
    "GetProfile",
    "Hobareg",
    "Host",
    "If",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Schedule-Tag-Match",
    "If-Unmodified-Since",
    "Include-Referred-Token-Binding-ID",
    "Isolation",
    "Label",
    "Man",
    "Max-Forwards",
    "Meter",
    "Method-Check",
    "Method-Check-Expires",
    "MIME-Version",
    "Negotiate",
    "OData-EntityId",
    "OData-Isolation",
    "OData-MaxVersion",
    "OData-Version",
    "Opt",
    "Ordering-Type",
    "Origin",
    "OSCORE",
    "OSLC-Core-Version",
    "Overwrite",
    "P3P",
    "PEP",
    "PEP-Info",
    "PICS-Label",
    "Ping-From",
    "Ping-To",
    "Position",
    "Pragma",
    "Prefer",
    "Priority",
    "Profile",
    "Protocol",
    "Protocol-Info",
    "Protocol-Query",
    "Protocol-Request",
    "Range",
    "Redirect-Ref",
    "Referer",
    "Repeatability-Client-ID",
    "Repeatability-First-Sent",
    "Repeatability-Request-ID",
    "Schedule-Reply",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "Sec-Fetch-User",
    "Sec-GPC",
    "Sec-Purpose",
    "Sec-Token-Binding",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Security-Scheme",
    "SetProfile",
    "Signature",
    "Signature-Input",
    "SLUG",
    "SoapAction",
    "Status-URI",
    "Subject-Token",
    "SubOK",
    "Surrogate-Capability",
    "TCN",
    "Timeout",
    "Title",
    "Topic",
    "Traceparent",
    "Tracestate",
    "TTL",
    "Urgency",
    "URI",
    "Use-As-Dictionary",
    "User-Agent",
    "Variant-Vary",
    "Version",
    "Via",
    "Want-Content-Digest",
    "Want-Digest",
    "Want-Repr-Digest",
    "Warning",
    "Private-Token",
    "Api-Key",
    "ApiKey",
    "Auth-Token",
    "Access-Token",
    "Token",
    "Session",
    "Session-Id",
    "Job-Token",
    "Deploy-Token",
    "Remote-User",
    "CF-Access-Jwt-Assertion",
    "Circle-Token",
    "PRIVATE_TOKEN",
    "Ocp-Apim-Subscription-Key",
    "Authentication",
    "X-Api-Key",
    "X_Api_Key",
]
SHOWN = [name for name in REGISTERED if name.lower() not in HARMLESS]
ODD = "<script>alert(1)</script>"


def telling(**fields: str) -> Answer:
    """An origin that answers each request with all that it showed."""

    async def tell(asked: Asked) -> None:
        shown = ", ".join(f"{name}={value}" for name, value in asked.fields)
        await asked.send(answer(shown.encode("latin-1"), **fields))

    return tell


@pytest.mark.parametrize(
    "said", [{}, {"ETag": '"1"'}, {"Cache_Control": "max-age=0"}, {"Vary": "Accept-Encoding"}], ids=str
)
def test_what_somebody_showed_is_answered_to_nobody_who_did_not(tmp_path: Path, said: dict[str, str]) -> None:
    async def main() -> None:
        targets = {f"/{name}": telling(**said) for name in SHOWN}
        async with proxied(tmp_path, targets, max_age=DAY) as site:
            for name in SHOWN:
                token = secrets.token_hex(8)
                first = await site.get(f"/{name}", **{name: token})
                assert token.encode() in first.body or name in ("Content-Type",)
                for fields in ({}, {name: "another"}, {name: ""}):
                    assert token.encode() not in (await site.get(f"/{name}", **fields)).body, (name, fields)
                assert (await site.get(f"/{name}")).is_hit or said.get("Cache_Control")

    asyncio.run(main())


@pytest.mark.parametrize("name", ["User-Agent", "Referer", "Accept-Language", "Accept"])
def test_what_is_made_up_to_be_repeated_in_a_page_is_repeated_to_nobody_else(tmp_path: Path, name: str) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": telling(Cache_Control="max-age=60")}) as site:
            assert ODD.encode() in (await site.get("/a", **{name: ODD})).body
            assert ODD.encode() not in (await site.get("/a", **{name: "Mozilla/5.0"})).body
            assert (await site.get("/a")).is_hit

    asyncio.run(main())


@pytest.mark.parametrize("said", ["public", "s-maxage=60", "max-age=60"])
def test_what_a_service_gives_to_all_is_given_to_all(tmp_path: Path, said: str) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": telling(Cache_Control=said)}, max_age=DAY) as site:
            await site.get("/a", **{"Private-Token": "x"})
            assert (await site.get("/a")).is_hit

    asyncio.run(main())


@pytest.mark.parametrize(
    "said",
    ["no-store; no-cache", "private; max-age=0", "no-cache;", '"no-store"', "no-store no-cache", "max-age=0; private"],
)
def test_what_a_service_means_to_forbid_it_has_forbidden(tmp_path: Path, said: str) -> None:
    async def token(asked: Asked) -> None:
        await asked.send(answer(secrets.token_bytes(8), ETag=f'"{secrets.token_hex(8)}"', Cache_Control=said))

    async def main() -> None:
        async with proxied(tmp_path, {"/a": token}, max_age=None) as site:
            assert (await site.get("/a")).body != (await site.get("/a")).body
            assert (site.stored() == []) is (said != "no-cache;")

    asyncio.run(main())


async def as_who_asks(asked: Asked) -> None:
    """One body for all, with fields for whoever is logged in, and for other sites."""
    unchanged = asked.method == "GET" and asked.get("if-none-match") == '"1"'
    fields = {"ETag": '"1"', "Cache_Control": "public, max-age=1"}
    who = asked.get("cookie") or asked.get("authorization")
    if who is not None:
        fields |= {
            "Cache_Control": "private, no-store" if "no-store" in who else "private",
            "X_Token": f"secret of {who}",
        }
    if (site := asked.get("origin")) is not None:
        fields |= {"Access_Control_Allow_Origin": site, "Vary": "Origin"}
    if (name := asked.get("from")) is not None:
        fields |= {"Set_Cookie": f"id={name}", "X_Token": f"secret of {name}"}
    said = answer(b"" if unchanged else b"page", "304 Not Modified" if unchanged else "200 OK", **fields)
    await asked.send(said.removesuffix(b"page") if asked.method == "HEAD" else said)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("reload", [False, True])
@pytest.mark.parametrize(
    "shown",
    [
        {"Cookie": "ann"},
        {"Cookie": "ann no-store"},
        {"Authorization": "ann"},
        {"Origin": "https://evil.example"},
        {"From": "ann"},
    ],
    ids=str,
)
def test_what_confirms_a_kept_answer_for_one_visitor_says_nothing_to_others(
    tmp_path: Path, method: str, reload: bool, shown: dict[str, str]
) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": as_who_asks}, max_age=DAY) as site:
            plain = await site.get("/a")
            asked = {**shown, "Cache-Control": "no-cache"} if reload else shown
            site.clock.now += 0 if reload else 2
            own = await site.ask(method, "/a", **asked)
            assert own.status == 200
            told = [value for value in shown.values() if any(value in said for _, said in own.fields)]
            assert told or "no-store" in str(shown)
            for _ in range(2):
                got = await site.get("/a")
                assert (got.status, got.body, got.get("cache-control")) == (200, b"page", "public, max-age=1")
                for name in ("X-Token", "Access-Control-Allow-Origin", "Set-Cookie", "Vary"):
                    assert got.get(name) == plain.get(name) is None
            assert got.is_hit, "what confirms it for all is kept"

    asyncio.run(main())


@needs.linux()
def test_visitors_who_wait_together_do_not_get_what_confirmed_it_for_one(tmp_path: Path) -> None:
    async def main() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def origin(asked: Asked) -> None:
            fields = {"ETag": '"1"', "Cache_Control": "max-age=1"}
            if asked.get("if-none-match") is None:
                await asked.send(answer(b"page", **fields))
                return
            begun.set()
            await go_on.wait()
            fields |= {"Cache_Control": "private, max-age=60", "X_Token": secrets.token_hex(8)}
            await asked.send(answer(b"", "304 Not Modified", **fields))

        async with proxied(tmp_path, {"/a": origin}) as site:
            await site.get("/a")
            site.clock.now += 2

            async def let_go() -> None:
                await begun.wait()
                await clock.settled()
                go_on.set()

            *got, _ = await asyncio.gather(*(site.get("/a") for _ in range(3)), let_go())
            assert [reply.body for reply in got] == [b"page"] * 3
            assert len({reply.get("x-token") for reply in got}) == 3

    clock.run(main)


def test_visitors_who_show_something_never_wait_for_anothers_answer(tmp_path: Path) -> None:
    async def main() -> None:
        both = asyncio.Event()

        async def origin(asked: Asked) -> None:
            if site.origin.count() == 3:
                both.set()
            await both.wait()
            await asked.send(answer((asked.get("private-token") or "nobody").encode()))

        async with proxied(tmp_path, {"/a": origin}, max_age=DAY) as site:
            tokens: list[dict[str, str]] = [{"Private-Token": "ann"}, {"Private-Token": "bob"}, {}]
            replies = await asyncio.gather(*(site.get("/a", **fields) for fields in tokens))
            assert [reply.body for reply in replies] == [b"ann", b"bob", b"nobody"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fields", "fresh"),
    [({}, False), ({"ETag": '"1"'}, True), ({"Last_Modified": "Sun, 06 Nov 1994 08:49:37 GMT"}, True)],
)
def test_without_a_word_of_the_owner_only_what_has_a_version_is_fresh(tmp_path: Path, fields, fresh: bool) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"body", **fields)}, max_age=None) as site:
            await site.get("/a")
            assert (await site.get("/a")).is_hit is fresh
            site.clock.now += 7 * DAY
            assert not (await site.get("/a")).is_hit
            site.clock.now += 7 * DAY
            await site.origin.close()
            shown = await site.get("/a")
            assert (shown.body, "origin-down" in shown.cache) == (b"body", True)
            await site.origin.open()

    asyncio.run(main())
