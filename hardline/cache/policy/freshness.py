"""How old a stored answer is and whether it may be used again, without I/O: RFC 9111, sections 4.2 and 5.2, RFC 5861.

    lifetime   s-maxage, else max-age, else Expires - Date, else what the owner set (maxAge), else default_lifetime
    age        what it was when it came (Age, Date, the time it took), and the time since

    age < lifetime            FRESH       used, unless the request wants it younger
    a little older            SOON        used, and asked for anew meanwhile (stale-while-revalidate), or the request
                                          takes it as it is (max-stale)
    older, or no-cache        ASK         only after asking the local service
    … and that is down        may_stand_in decides whether it is used all the same

Times are seconds since 1970; this file reads no clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from weakref import WeakKeyDictionary

from hardline.cache.kept.heads import StoredHead
from hardline.cache.policy import cachecontrol
from hardline.cache.policy.cachecontrol import FOREVER, Directives
from hardline.http.conditional import parse_date
from hardline.http.fields import Fields, first, items, values

_WHOLE = re.compile(r"[0-9]+\Z")

# Statuses whose answers may be used again although nobody said for how long (RFC 9110, section 15.1).
HEURISTIC = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})

_A_WEEK = 7 * 86_400.0  # seconds

# With these an answer that is too old is never used without asking (RFC 9111, section 4.2.4).
_STRICT = ("must-revalidate", "proxy-revalidate", "s-maxage")


class Use(Enum):
    """What may be done with a stored answer for a request."""

    FRESH = "as it is"
    STALE = "as it is, since the request takes it so"
    MEANWHILE = "as it is, and it is asked for anew meanwhile"
    ASK = "after asking"


@dataclass(frozen=True, slots=True)
class Freshness:
    """A stored answer at a moment, in seconds."""

    age: int
    lifetime: int

    @property
    def left(self) -> int:
        """How much longer it is fresh; negative: for how long it has been stale."""
        return self.lifetime - self.age

    @property
    def is_fresh(self) -> bool:
        return self.left > 0


@dataclass(frozen=True, slots=True)
class _Told:
    """What a stored answer says of itself: `lasts` None where it says nothing, `age` when it came."""

    directives: Directives
    lasts: float | None
    age: float


_known: WeakKeyDictionary[StoredHead, _Told] = WeakKeyDictionary()  # as long as somebody holds the head


def _told(head: StoredHead) -> _Told:
    told = _known.get(head)
    if told is None:
        directives = cachecontrol.of_answer(head.fields)
        told = _known[head] = _Told(directives, explicit_lifetime(head, directives), _age(head))
    return told


def freshness(head: StoredHead, now: float, max_age: float) -> Freshness:
    """How a stored answer is at `now`; `max_age` is the lifetime where the local service says nothing."""
    told = _told(head)
    if told.lasts is not None:
        lasts = told.lasts
    else:
        lasts = min(max_age, FOREVER) if head.status in HEURISTIC or "public" in told.directives else 0
    age = min(told.age + max(0.0, now - head.received_at), FOREVER)
    return Freshness(int(age), int(lasts))


def directives_of(head: StoredHead) -> Directives:
    """The directives of a stored answer."""
    return _told(head).directives


def is_unsaid(head: StoredHead) -> bool:
    """Whether an answer leaves open whom it is for.

    It says neither that it is fresh for a while, nor that it is for all, nor that it has to be asked about each time.
    """
    told = _told(head)
    said = "public" in told.directives or "s-maxage" in told.directives or told.directives.bare("no-cache")
    return not told.lasts and not said


def default_lifetime(head: StoredHead, max_age: float | None) -> float:
    """For how many seconds an answer is fresh that says nothing about it.

    That is `max_age` where the owner has set it.  Without, something has to show that the service knows its versions
    (RFC 9111, section 4.2.2): what is made anew for everybody has neither an ETag nor a date.
    """
    if max_age is not None:
        return max_age
    versioned = first(head.fields, "last-modified") is not None or first(head.fields, "etag") is not None
    return _A_WEEK if versioned else 0.0


def explicit_lifetime(head: StoredHead, directives: Directives) -> float | None:
    """For how many seconds the local service says that it is fresh; 0 where that is malformed; None: says nothing."""
    for name in ("s-maxage", "max-age"):
        seconds = directives.seconds(name)
        if seconds is not None:
            return seconds
    expires = values(head.fields, "expires")
    if not expires or directives.targeted:
        return None
    moments = [parse_date(text, head.received_at) for text in expires]
    made = _date(head, "date")
    if None in moments:
        return 0
    until = min(moment for moment in moments if moment is not None)
    return min(max(until - (head.received_at if made is None else made), 0), FOREVER)


def may_use(head: StoredHead, request: Directives, now: float, max_age: float) -> Use:
    """Whether a stored answer satisfies a request that it was chosen for."""
    answer = directives_of(head)
    state = freshness(head, now, max_age)
    if answer.bare("no-cache") or "no-cache" in request:
        return Use.ASK
    oldest = request.seconds("max-age")
    if oldest is not None and state.age > oldest - (oldest == 0):
        return Use.ASK
    if state.left > (request.seconds("min-fresh") or 0):
        return Use.FRESH
    if state.is_fresh or any(name in answer for name in _STRICT):
        return Use.ASK
    if "max-stale" in request:
        takes = FOREVER if None in request.given["max-stale"] else request.seconds("max-stale") or 0
        if -state.left <= takes:
            return Use.STALE
    window = answer.seconds("stale-while-revalidate")
    if window is not None and "min-fresh" not in request and oldest is None and -state.left <= window:
        return Use.MEANWHILE
    return Use.ASK


def may_stand_in(head: StoredHead, request: Directives, now: float, max_age: float, *, failed: bool) -> bool:
    """Whether a stored answer may be used in place of one that cannot be had.

    The local service is down (not `failed`): always, unless it forbade that itself.  It answered that it failed: if the
    answer or the request has a `stale-if-error` that reaches so far.
    """
    answer = directives_of(head)
    state = freshness(head, now, max_age)
    if answer.bare("no-cache") or head.status >= 500:
        return False
    if state.is_fresh:
        return True
    if any(name in answer for name in _STRICT):
        return False
    windows = [seconds for seconds in (answer.seconds("stale-if-error"), request.seconds("stale-if-error")) if seconds]
    return any(-state.left <= window for window in windows) if failed else True


def _age(head: StoredHead) -> float:
    """How old it was when it came (RFC 9111, section 4.2.3)."""
    made = _date(head, "date")
    apparent = max(0.0, head.received_at - made) if made is not None else 0.0
    return max(apparent, _age_field(head.fields) + max(0.0, head.received_at - head.requested_at))


def _age_field(fields: Fields) -> int:
    """The first member of Age; what is no number is ignored (RFC 9111, section 5.1)."""
    text = next(items(first(fields, "age") or ""), "")
    return min(int(text[:20]), FOREVER) if _WHOLE.match(text) else 0


def _date(head: StoredHead, name: str) -> int | None:
    text = first(head.fields, name)
    return None if text is None else parse_date(text.strip(" \t"), head.received_at)
