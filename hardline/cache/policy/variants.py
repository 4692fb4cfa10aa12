"""Which of several answers to one target a request gets: RFC 9111, section 4.1.  Without I/O.

    Vary: Accept-Encoding   ──▶  selecting = (("accept-encoding", "br,gzip"), ("host", "a.localhost"), …)

An application takes more from a request than it says.  So an answer is also chosen by Host, by Forwarded, by every
field whose name begins with X-, and by what is odd in a field that every browser sends, there or not: what somebody
slips in with one of these is answered to nobody else.  The same holds for Accept-Encoding where an answer is encoded
without saying so, and for Origin where it repeats one.

An answer that says nothing about whom it is for (freshness.is_unsaid) may be for whoever showed what nobody here knows:
`Private-Token`, `Api-Key`.  It is chosen by every field that is not one of HARMLESS.
"""

from __future__ import annotations

import re

from hardline.cache.kept.heads import StoredHead
from hardline.cache.policy.freshness import is_unsaid
from hardline.http.fields import Fields, first, items, names_in

Selecting = tuple[tuple[str, str | None], ...]

# What programs send of themselves, to everybody alike, and what is judged elsewhere (Vary, conditions, credentials).
_OF_PROGRAMS = frozenset(
    ["accept", "accept-charset", "accept-encoding", "accept-language", "user-agent", "referer", "origin", "via", "dnt"]
).union(
    ["upgrade-insecure-requests", "priority", "save-data", "early-data", "purpose", "traceparent", "tracestate"],
    ["sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "sec-fetch-user", "sec-gpc", "sec-purpose"],
    ["sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "sec-ch-prefers-color-scheme"],
)
HARMLESS = _OF_PROGRAMS.union(
    ["host", "range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"],
    ["cache-control", "pragma", "cookie", "authorization"],
)

_ALWAYS = ("host", "forwarded")
_LISTS = ("accept", "accept-charset", "accept-encoding", "accept-language")  # names and qualities, in any order
_MOST_LISTED = 1024  # bytes of a list that is put in order
# No browser says this of itself, and a page that repeats it would be another one.
_ODD = re.compile("[\0-\x08\x0a-\x1f\x7f-\xff<>{}`\\\\]")
_ODD_TO_REPEAT = re.compile(f"{_ODD.pattern}|[\"']")
_REPEATED = ("user-agent", "referer", "origin")
_QUALITY = re.compile(r"[ \t]*;[ \t]*q[ \t]*=[ \t]*([0-9.]+)[ \t]*\Z", re.IGNORECASE)


def vary_of(fields: Fields) -> tuple[str, ...] | None:
    """The request fields that an answer with `fields` was chosen by, in lower case; None: by what nobody knows."""
    names = names_in(fields, "vary")
    if "*" in names:
        return None
    if first(fields, "content-encoding") is not None:
        names.append("accept-encoding")
    if (first(fields, "access-control-allow-origin") or "*").strip() != "*":
        names.append("origin")
    return tuple(sorted(set(names)))


def selecting(request: Fields, vary: tuple[str, ...], *, unsaid: bool = True) -> Selecting:
    """What chose an answer to `request` whose vary_of is `vary`; `unsaid` is what is_unsaid says of it."""
    named = _by_name(request)
    more = [name for name, value in named.items() if _is_extra(name, value) or (unsaid and name not in HARMLESS)]
    return tuple((name, _normal(named, name)) for name in sorted({*vary, *_ALWAYS, *more}))


def matches(head: StoredHead, request: Fields) -> bool:
    """Whether a stored answer is the one for `request`."""
    named = _by_name(request)
    chosen_by = dict(head.selecting)
    for name, value in named.items():
        if name not in chosen_by and (_is_extra(name, value) or (name not in HARMLESS and is_unsaid(head))):
            return False
    return all(
        _normal(named, name) == value or _in_the_wanted_language(head, named, name) for name, value in head.selecting
    )


def _by_name(request: Fields) -> dict[str, str]:
    """All lines of each field as one, by its name in lower case."""
    named: dict[str, str] = {}
    for name, value in request:
        name = name.lower()
        named[name] = f"{named[name]}, {value}" if name in named else value
    return named


def _is_extra(name: str, value: str) -> bool:
    if name not in _OF_PROGRAMS:
        return name[:2] in ("x-", "x_")
    return (_ODD_TO_REPEAT if name in _REPEATED else _ODD).search(value) is not None


def _normal(named: dict[str, str], name: str) -> str | None:
    """A field's value, the same for all spellings that mean the same (RFC 9111, section 4.1)."""
    value = named.get(name)
    if value is None:
        return None
    if name in _LISTS and len(value) <= _MOST_LISTED:
        return ",".join(sorted(re.sub(r"[ \t]", "", item).lower() for item in items(value)))
    return ",".join(part.strip(" \t") for part in value.split(","))


def _in_the_wanted_language(head: StoredHead, named: dict[str, str], name: str) -> bool:
    """An answer in the one language that a request wants most is what it would get."""
    language = first(head.fields, "content-language") if name == "accept-language" else None
    accepted = named.get(name, "")
    if language is None or "," in language or len(accepted) > _MOST_LISTED:
        return False
    wanted: dict[str, float] = {}
    for item in items(accepted):
        quality = _QUALITY.search(item)
        wanted[_QUALITY.sub("", item).strip().lower()] = _number(quality[1]) if quality else 1.0
    most = max(wanted.values(), default=0.0)
    best = [tag for tag, quality in wanted.items() if quality == most]
    return best == [language.strip().lower()]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
