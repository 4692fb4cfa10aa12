"""Asking the local service whether what is stored still holds: RFC 9111, sections 3.2 and 4.3.  Without I/O.

stored: ETag "a" ──▶ GET … If-None-Match: "a" ──▶ 304: the stored answer with the fields of the 304
                                              └─▶ 200: another answer

A 304 is an answer to one visitor.  What it says is kept for all only if it might be kept by itself, and was chosen by
nothing that the stored answer was not chosen by; else it is for that visitor, and what is stored is doubted.
"""

from __future__ import annotations

from dataclasses import replace

from hardline.cache.kept.heads import StoredHead
from hardline.cache.policy import cachecontrol, variants
from hardline.cache.policy.cachecontrol import FOREVER
from hardline.cache.policy.freshness import default_lifetime, is_unsaid
from hardline.cache.policy.storable import kept_fields, may_share, may_store
from hardline.http.fields import Fields, first, without

CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range")

# What a stored body depends upon stays as it was stored with it (RFC 9111, section 3.2).
_OF_THE_BODY = frozenset(["content-encoding", "content-length", "content-md5", "content-range"])

_OF_FRESHNESS = frozenset(["age", "cache-control", "cdn-cache-control", "date", "expires"])


def can_ask(head: StoredHead) -> bool:
    """Whether there is something to ask with."""
    return first(head.fields, "etag") is not None or first(head.fields, "last-modified") is not None


def question(request: Fields, head: StoredHead) -> Fields:
    """The fields that ask, for `request`, whether `head` holds; the visitor's own conditions are judged afterwards."""
    asked = without(request, (*CONDITIONS, "range"))
    etag, modified = first(head.fields, "etag"), first(head.fields, "last-modified")
    if etag is not None:
        asked += (("If-None-Match", etag),)
    if modified is not None:
        asked += (("If-Modified-Since", modified),)
    return asked


def is_about(head: StoredHead, confirmed: Fields) -> bool:
    """Whether a 304 with the fields `confirmed` can be about `head` (RFC 9111, section 4.3.4)."""
    etag, stored = first(confirmed, "etag"), first(head.fields, "etag")
    return etag is None or stored is None or etag.startswith("W/") or not stored.startswith("W/")


def updated(head: StoredHead, newer: StoredHead) -> StoredHead:
    """`head` with the fields of a 304, or of an answer to HEAD, that confirmed it.

    Where nothing is known of what `head` was chosen by, as of a file that the owner made, only for how long it holds.
    """
    kept = without(kept_fields(newer.fields), (*_OF_THE_BODY, "set-cookie"))
    if not head.selecting:
        kept = tuple(field for field in kept if field[0].lower() in _OF_FRESHNESS)
    if first(head.fields, "etag") is not None:
        kept = without(kept, ("etag",))
    replaced = {name.lower() for name, _ in kept} | {"age"}
    return replace(
        head,
        fields=without(head.fields, replaced) + kept,
        requested_at=newer.requested_at,
        received_at=newer.received_at,
    )


def holds_for_all(request: Fields, head: StoredHead, newer: StoredHead, max_age: float | None) -> bool:
    """Whether `newer`, which confirmed `head` to `request`, is for everybody whom `head` is for.

    `max_age` is the lifetime that the owner has set, None where he has not.
    """
    asked, merged = without(request, (*CONDITIONS, "range")), updated(head, newer)
    vary = variants.vary_of(merged.fields)
    if vary is None or first(newer.fields, "set-cookie") is not None:
        return False
    if not may_share(asked, cachecontrol.of_answer(newer.fields)):
        return False
    if not may_store(asked, merged, default_lifetime(merged, max_age)):
        return False
    chosen_by = {name for name, _ in variants.selecting(asked, vary, unsaid=is_unsaid(merged))}
    return chosen_by <= {name for name, _ in head.selecting or variants.selecting((), ())}


def doubted(head: StoredHead) -> StoredHead:
    """`head`, too old: it is asked about before it is used again."""
    return replace(head, fields=(*without(head.fields, ("age",)), ("Age", str(FOREVER))))


def same_body(head: StoredHead, size: int, newer: Fields) -> bool:
    """Whether an answer to HEAD describes what is stored (RFC 9111, section 4.3.5)."""
    described = ("etag", "last-modified")
    if any(
        None not in (first(newer, name), first(head.fields, name)) and first(newer, name) != first(head.fields, name)
        for name in described
    ):
        return False
    length = first(newer, "content-length")
    return length is None or length.strip() == str(size)
