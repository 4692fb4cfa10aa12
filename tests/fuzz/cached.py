"""What a local service and its visitors may say of caching, and what lies in a cache directory."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h11
from aiohttp import HttpVersion11

from hardline.cache.caching.answers import ExactAnswer
from hardline.cache.kept import heads, layout
from hardline.cache.kept.heads import StoredHead
from hardline.cache.kept.keeper import Keeper
from hardline.cache.kept.ledger import Ledger
from hardline.cache.policy import cachecontrol, cacherequest, invalidation, storable, validation, variants
from hardline.cache.policy.cachecontrol import FOREVER
from hardline.cache.policy.freshness import Use, freshness, may_stand_in, may_use
from hardline.http.fields import HOP_BY_HOP, Fields, combined, end_to_end, items, values

NOW = 1_790_000_000.5
_SPLIT = b"\n\n"
_WEEK = 7 * 86_400.0
_SECRETS = (("authorization", "x"), ("cookie", "x"))


def cache_control(data: bytes) -> None:
    """Numbers within their limits; what comes behind in another line only makes it stricter; lines are one list."""
    fields = _fields(data)
    for read in (cachecontrol.of_answer, cachecontrol.of_request, cachecontrol.parse):
        found = read(fields)
        for name in found.given:
            assert name == name.lower() != ""
            assert 0 <= (found.seconds(name) or 0) <= FOREVER
            assert all(field == field.lower() for field in found.fields_of(name))
    found = cachecontrol.parse(fields)
    more = cachecontrol.parse((*fields, ("Cache-Control", "max-age=0, no-store")))
    if not _is_open(fields, "cache-control"):
        assert more.seconds("max-age") == 0
        assert "no-store" in more
        assert set(found.given) <= set(more.given)
        joined = (("cache-control", combined(fields, "cache-control") or ""),)
        assert cachecontrol.parse(joined) == found
    for item in items(combined(fields, "cache-control") or ""):
        if item.isalnum() and item.isascii():
            assert found.bare(item.lower())
        name, _, number = item.partition("=")
        if name == "max-age" and number.isdecimal() and number.isascii() and len(number) < 12:
            assert (found.seconds("max-age") or 0) <= int(number)


def field_lists(data: bytes) -> None:
    """What belongs to one connection goes no further, what no connection may name does; once is enough."""
    fields = _fields(data)
    left = end_to_end(fields)
    assert end_to_end(left) == left
    assert not {name.lower() for name, _ in left} & HOP_BY_HOP
    for name in ("host", "cache-control", "vary", "set-cookie", "content-length", "authorization"):
        assert values(left, name) == values(fields, name)
    assert set(left) <= set(fields)
    for _, value in fields:
        members = list(items(value))
        assert list(items(", ".join(members))) == members
    stored = storable.kept_fields(fields)
    assert set(stored) <= set(left)


def freshness_of(data: bytes) -> None:
    """A request's fields, a blank line, an answer's.  What may be used stays so only for a time; whose it is, stays."""
    asked, answered = _message(data)
    head = StoredHead(200, "OK", storable.kept_fields(answered), NOW - 2, NOW - 1)
    request = cachecontrol.of_request(asked)
    before = freshness(head, NOW, _WEEK)
    after = freshness(head, NOW + 100, _WEEK)
    assert 0 <= before.age <= after.age <= FOREVER
    assert 0 <= before.lifetime == after.lifetime <= FOREVER
    uses = [may_use(head, request, NOW + wait, _WEEK) for wait in (0, 100, 1e6, 1e10)]
    if Use.FRESH not in uses[:1]:
        assert Use.FRESH not in uses
    assert uses[-1] is not Use.FRESH or "max-age" not in request
    if uses[0] is Use.FRESH:
        assert before.is_fresh
        assert "no-cache" not in request
    for failed in (False, True):
        if may_stand_in(head, request, NOW + 1e6, _WEEK, failed=failed):
            assert may_stand_in(head, request, NOW, _WEEK, failed=failed)
    if storable.may_store(asked, replace(head, fields=end_to_end(answered)), _WEEK):
        assert not values(answered, "set-cookie")
        assert "no-store" not in request
        said = cachecontrol.parse(answered)
        targeted = cachecontrol.of_answer(answered).targeted
        assert targeted or "must-understand" in said or "no-store" not in said
        assert targeted or not said.bare("private")
        for name, _ in _SECRETS:
            if values(asked, name) and not targeted:
                assert {"public", "s-maxage", "must-revalidate"} & set(said.given)
    confirmed = validation.updated(head, replace(head, fields=answered))
    assert not values(confirmed.fields, "set-cookie") or values(head.fields, "set-cookie")
    assert not {name.lower() for name, _ in confirmed.fields} & HOP_BY_HOP


def variant(data: bytes) -> None:
    """An answer is the one for the request that got it, and for nobody who differs in what it was chosen by."""
    asked, answered = _message(data)
    vary = variants.vary_of(answered)
    if vary is None:
        return
    head = StoredHead(200, "OK", answered, NOW, NOW, variants.selecting(asked, vary))
    assert variants.matches(head, asked)
    other = (*asked, ("X-Forwarded-Host", "elsewhere.example"))
    assert not variants.matches(head, other) or other[-1][0].lower() in {name.lower() for name, _ in asked}
    without_host = tuple(field for field in asked if field[0].lower() != "host")
    assert not variants.matches(head, (*without_host, ("Host", "another.example:7009")))
    chosen = dict(head.selecting)
    for name in vary:
        if name not in ("accept-language", "accept", "accept-charset", "accept-encoding"):
            others = tuple(field for field in asked if field[0].lower() != name)
            assert not variants.matches(head, (*others, (name, "something else"))) or chosen[name] == "something else"


def request_head(data: bytes) -> None:
    """Method, target, then fields.  A visit that means one thing to everybody behind us, or Refused."""
    method, _, rest = data.partition(b" ")
    target, _, lines = rest.partition(b"\n")
    raw = [(name, value.strip(b" \t\r")) for name, _, value in (line.partition(b":") for line in lines.split(b"\n"))]
    try:
        seen = cacherequest.read(method.decode("latin-1"), target.decode("utf-8", "surrogateescape"), raw)
    except cacherequest.Refused as refused:
        assert refused.status in (400, 405, 431)
        return
    assert seen.target.startswith("/")
    assert seen.target.isprintable()
    assert " " not in seen.target
    assert not seen.names & HOP_BY_HOP
    assert not seen.names & {"proxy-authorization", "expect"}
    assert len(values(seen.fields, "host")) <= 1
    assert all(host.strip() == seen.host for host in values(seen.fields, "host"))
    assert not set(seen.host) & set("/?#@ \t\\")
    assert len(set(values(seen.fields, "content-length"))) <= 1
    again = cacherequest.read(
        seen.method, seen.target, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in seen.fields]
    )
    assert (again.target, again.host, again.fields) == (seen.target, seen.host, seen.fields)
    for outdated in invalidation.outdated("POST", seen.target, seen.host, 201, seen.fields):
        assert outdated.startswith("/"), "another host's, or no target"


def kept_head(data: bytes) -> None:
    """The file beside a kept body: read as it was written, or nothing; what is read can be sent as one answer."""
    found = heads.decode(data, 7)
    if found is not None:
        assert heads.decode(heads.encode(found, 7), 7) == found
        for answer in found.answers:
            _check_sent(answer.head)
    root = _place()
    head = root / f"a{layout.content('@http', 1)}.head"
    head.write_bytes(data)
    (root / "a@http").write_bytes(b"body")
    os.utime(root / "a@http", ns=(0, 1_789_999_999 * 10**9 + 471_147))
    keeper = Keeper(str(root), Ledger(1 << 20), lambda path, facts: False, lambda key: None)
    for entry in keeper.look_and_tidy("/a"):
        assert entry.key == "/a"
        assert entry.size == 4
        os.close(entry.open())
        assert freshness(entry.head, NOW, _WEEK).age >= 0
        with contextlib.suppress(OSError):
            assert keeper.refresh(entry, entry.head).head == entry.head
    keeper.remove("/a")


def _check_sent(head: StoredHead) -> None:
    """An HTTP client reads the head as one answer, with these fields and no others."""
    answer = ExactAnswer(head.status, head.reason, head.fields, 4, NOW)
    request: Any = SimpleNamespace(method="GET", version=HttpVersion11, keep_alive=True)
    text = answer._head_of(request, False, False)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.receive_data(text + b"body")
    event = client.next_event()
    assert isinstance(event, h11.Response)
    assert event.status_code == head.status


def _fields(data: bytes) -> Fields:
    found = []
    for line in data.decode("latin-1").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            found.append((name, value.strip(" \t\r")))
    return tuple(found)


def _message(data: bytes) -> tuple[Fields, Fields]:
    asked, _, answered = data.partition(_SPLIT)
    return _fields(asked), _fields(answered)


def _is_open(fields: Fields, name: str) -> bool:
    """Whether a quoted string that never ends takes what follows it in another line."""
    return '"' in (combined(fields, name) or "")


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hardline-fuzz-")


def _place() -> Path:
    return Path(_directory().name)
