"""Which of several answers to one target a request gets: RFC 9111, section 4.1.  Without I/O.

    Vary: Accept-Encoding   ──▶  selecting = (("accept-encoding", "br,gzip"), ("host", "a.localhost"), …)

An application takes more from a request than it says.  So an answer is also chosen by Host, by Forwarded and by every
field whose name begins with X-, there or not: what somebody slips in with one of these is answered to nobody else.
The same holds for Accept-Encoding where an answer is encoded without saying so, and for Origin where it repeats one.
"""

from __future__ import annotations

import re

from hardline.cache.kept.heads import StoredHead
from hardline.cache.policy.fields import Fields, combined, first, items, names_in

Selecting = tuple[tuple[str, str | None], ...]

_ALWAYS = ("host", "forwarded")
_LISTS = ("accept", "accept-charset", "accept-encoding", "accept-language")  # names and qualities, in any order
_AROUND_COMMA = re.compile(r"[ \t]*,[ \t]*")
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


def selecting(request: Fields, vary: tuple[str, ...]) -> Selecting:
    """What chose an answer to `request` whose vary_of is `vary`."""
    slipped_in = {name.lower() for name, _ in request if _is_extra(name)}
    return tuple((name, _normal(request, name)) for name in sorted({*vary, *_ALWAYS, *slipped_in}))


def matches(head: StoredHead, request: Fields) -> bool:
    """Whether a stored answer is the one for `request`."""
    chosen_by = dict(head.selecting)
    if any(_is_extra(name) and name.lower() not in chosen_by for name, _ in request):
        return False
    return all(
        _normal(request, name) == value or _in_the_wanted_language(head, request, name)
        for name, value in head.selecting
    )


def _is_extra(name: str) -> bool:
    return name[:2].lower() in ("x-", "x_")


def _normal(request: Fields, name: str) -> str | None:
    """A field's value, the same for all spellings that mean the same (RFC 9111, section 4.1)."""
    value = combined(request, name)
    if value is None:
        return None
    if name in _LISTS:
        return ",".join(sorted(re.sub(r"[ \t]", "", item).lower() for item in items(value)))
    return _AROUND_COMMA.sub(",", value.strip(" \t"))


def _in_the_wanted_language(head: StoredHead, request: Fields, name: str) -> bool:
    """An answer in the one language that a request wants most is what it would get."""
    language = first(head.fields, "content-language")
    if name != "accept-language" or language is None or "," in language:
        return False
    wanted: dict[str, float] = {}
    for item in items(combined(request, name) or ""):
        quality = _QUALITY.search(item)
        wanted[_QUALITY.sub("", item).strip().lower()] = _number(quality[1]) if quality else 1.0
    best = [tag for tag, quality in wanted.items() if quality == max(wanted.values())]
    return best == [language.strip().lower()]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
