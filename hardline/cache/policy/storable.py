"""Whether an answer may be kept for others: RFC 9111, sections 3 and 3.5, for a shared cache.  Without I/O.

Stricter than the RFC where an application is trusted to say what it means: an answer that sets a cookie is never kept,
and one to a request with a cookie only if it says that it is for everybody (`public`, `s-maxage`).
"""

from __future__ import annotations

from hardline.cache.kept.heads import StoredHead
from hardline.cache.policy import cachecontrol
from hardline.cache.policy.cachecontrol import Directives
from hardline.cache.policy.freshness import HEURISTIC, explicit_lifetime
from hardline.http.fields import Fields, end_to_end, first, without

# Statuses whose meaning is known here; `must-understand` keeps every other from being stored.
_UNDERSTOOD = HEURISTIC | {302, 303, 307, 400, 401, 403, 406, 409, 415, 421, 422, 429, 451, 500, 502, 503, 504}

# Fields of the answer that are for this hop's proxy, or about what is not kept (RFC 9111, section 3.1).
_NOT_KEPT = ("proxy-authenticate", "proxy-authentication-info", "proxy-authorization")

_CONDITIONS = frozenset(["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"])

# Bodies that have no end.
_ENDLESS = ("text/event-stream", "multipart/x-mixed-replace")


def may_store(request: Fields, head: StoredHead, max_age: float) -> bool:
    """Whether the answer `head` to a GET with the fields `request` may be stored and could ever be used again."""
    asked, answer = cachecontrol.of_request(request), cachecontrol.of_answer(head.fields)
    said = explicit_lifetime(head, answer)
    if head.status < 200 or head.status in (206, 304) or "no-store" in asked:
        return False
    if head.status != 200 and any(name.lower() in _CONDITIONS for name, _ in request):
        return False  # such as 412: it is about the condition
    if "must-understand" in answer and head.status not in _UNDERSTOOD:
        return False
    if "no-store" in answer and "must-understand" not in answer:
        return False
    if answer.bare("private") or first(head.fields, "set-cookie") is not None or not may_share(request, answer):
        return False
    if said is None and head.status not in HEURISTIC and "public" not in answer:
        return False
    if (first(head.fields, "content-type") or "").partition(";")[0].strip().lower() in _ENDLESS:
        return False
    return is_useful(head, answer, max_age)


def may_share(request: Fields, answer: Directives) -> bool:
    """Whether an answer to a request that says who asks may go to others, or one of others to it."""
    for_all = "public" in answer or "s-maxage" in answer
    if first(request, "cookie") is not None and not for_all:
        return False
    return first(request, "authorization") is None or for_all or "must-revalidate" in answer


def is_useful(head: StoredHead, answer: Directives, max_age: float) -> bool:
    """Whether the answer can be used again: it is fresh for a while, can be asked about, or may stand in."""
    said = explicit_lifetime(head, answer)
    lasts = max_age if said is None else said
    if first(head.fields, "etag") is not None or first(head.fields, "last-modified") is not None:
        return True
    if answer.bare("no-cache"):
        return False
    return lasts > 0 or not any(name in answer for name in ("must-revalidate", "proxy-revalidate", "s-maxage"))


def kept_fields(fields: Fields) -> Fields:
    """The fields that are stored: not those of a connection, and not those that are for the first visitor only."""
    answer = cachecontrol.of_answer(fields)
    for_one = answer.fields_of("no-cache") | answer.fields_of("private")
    return without(end_to_end(fields), (*_NOT_KEPT, *for_one))
