"""Asking the local service whether what is stored still holds: RFC 9111, sections 3.2 and 4.3.  Without I/O.

stored: ETag "a" ──▶ GET … If-None-Match: "a" ──▶ 304: the stored answer with the fields of the 304
                                              └─▶ 200: another answer
"""

from __future__ import annotations

from dataclasses import replace

from hardline.cache.kept.heads import StoredHead
from hardline.cache.policy.fields import Fields, first, without
from hardline.cache.policy.storable import kept_fields

CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range")

# What a stored body depends upon stays as it was stored with it (RFC 9111, section 3.2).
_OF_THE_BODY = frozenset(["content-encoding", "content-length", "content-md5", "content-range"])


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
    """`head` with the fields of a 304, or of an answer to HEAD, that confirmed it."""
    kept = without(kept_fields(newer.fields), (*_OF_THE_BODY, "set-cookie"))
    if first(head.fields, "etag") is not None:
        kept = without(kept, ("etag",))
    replaced = {name.lower() for name, _ in kept} | {"age"}
    return replace(
        head,
        fields=without(head.fields, replaced) + kept,
        requested_at=newer.requested_at,
        received_at=newer.received_at,
    )


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
