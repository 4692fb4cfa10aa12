"""Cache-Control, as RFC 9111, section 5.2 reads it.  Without I/O.

    Cache-Control: max-age=60, private="x-user, x-mood", ext="max-age=9"
        ──▶ {"max-age": ["60"], "private": ["x-user, x-mood"], "ext": ["max-age=9"]}

    CDN-Cache-Control: max-age=600
        ──▶ instead of Cache-Control and Expires, for caches between a service and its visitors (RFC 9213)

A malformed number makes an answer stale, never fresh (section 4.2.1); of several values the strictest counts; whatever
is unknown is ignored; a number that is too large is 2**31 seconds.  What forbids to keep an answer, or to give it to
all, counts in a malformed member, too: `private; max-age=0`, `"no-store"`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hardline.http.fields import Fields, combined, items, names_in

FOREVER = 1 << 31  # seconds; RFC 9111, section 1.2.2

_DIRECTIVE = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)(?P<rest>[ \t]*(?:=[ \t]*(?P<value>.*))?)\Z", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\Z', re.DOTALL)
_WORD = re.compile(r"[0-9a-z_-]+\Z")
_PLAIN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]*\Z")
_SECONDS = re.compile(r"[0-9]+\Z")
_FORBIDS = re.compile(r"(?<![\w-])(?:no-store|no-cache|private)(?![\w-])", re.ASCII | re.IGNORECASE)

# RFC 9213, section 3.1.  A dictionary's names are in lower case, and nothing surrounds "=" (RFC 8941, section 3.2).
_TARGETED = "cdn-cache-control"
_COUNTING = frozenset(["max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"])
_STRING = r"\"(?P<string>(?:[ !#-\[\]-~]|\\[\"\\])*)\""
_OTHER = r"(?P<other>-?[0-9]{1,15}|\?[01]|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*)"
_MEMBER = re.compile(
    rf"(?P<name>[a-z*][a-z0-9_.*-]*)(?:=(?:{_STRING}|{_OTHER}))?"
    r"(?P<parameters>(?:;[ ]*[a-z*][a-z0-9_.*-]*(?:=[^,;]*)?)*)[ \t]*(?:,[ \t]*|\Z)"
)

MALFORMED = "\0"  # a value that no number and no list of names can be


@dataclass(frozen=True, slots=True)
class Directives:
    """Directives by name in lower case, each with the values it was given; None where it has none.

    `targeted`: they are meant for caches like this one, and Expires for others.
    """

    given: dict[str, list[str | None]]
    targeted: bool = False

    def __contains__(self, name: str) -> bool:
        return name in self.given

    def seconds(self, name: str) -> int | None:
        """The strictest value of a directive that counts seconds: 0 where it is malformed, None without it."""
        if name not in self.given:
            return None
        return min(_as_seconds(value) for value in self.given[name])

    def bare(self, name: str) -> bool:
        """Whether the directive stands there without a list of fields, so that it is about the whole answer."""
        return any(not _is_list(value) for value in self.given.get(name, ()))

    def fields_of(self, name: str) -> frozenset[str]:
        """The fields that `no-cache="…"` or `private="…"` is about."""
        lists = [value for value in self.given.get(name, ()) if _is_list(value)]
        return frozenset(field.lower() for text in lists for field in items(text or ""))


def parse(fields: Fields) -> Directives:
    """The directives of a request or an answer."""
    given: dict[str, list[str | None]] = {}
    for item in items(combined(fields, "cache-control") or ""):
        match = _DIRECTIVE.match(item)
        if match is None:
            _forbid(given, item)
            continue
        name, value = match["name"].lower(), match["value"]
        if match["rest"] != (f"={value}" if value is not None else ""):
            value = MALFORMED  # a space around "=" is no syntax: what is meant stays unknown
        elif value is not None and value.startswith('"'):
            quoted = _QUOTED.match(value)
            value = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL) if quoted else MALFORMED
        elif value is not None and not _PLAIN.match(value):
            value = MALFORMED
        if value == MALFORMED or not _WORD.match(name) or (name in _COUNTING and not _SECONDS.match(value or "")):
            _forbid(given, item)
        given.setdefault(name, []).append(value)
    return Directives(given)


def _forbid(given: dict[str, list[str | None]], text: str) -> None:
    """Heed what `text` forbids, whatever else it says."""
    for word in _FORBIDS.findall(text):
        given.setdefault(word.lower(), []).append(None)


def of_answer(fields: Fields) -> Directives:
    """The directives of an answer that count here: the targeted ones where there are any (RFC 9213, section 2.2)."""
    text = combined(fields, _TARGETED) or ""
    targeted = _targeted(text)
    if targeted is not None:
        return targeted
    directives = parse(fields)
    _forbid(directives.given, text)
    return directives


def of_request(fields: Fields) -> Directives:
    """The directives of a request, where `Pragma: no-cache` stands for the one of its name (RFC 9111, section 5.4)."""
    directives = parse(fields)
    if not directives.given and "no-cache" in names_in(fields, "pragma"):
        return Directives({"no-cache": [None]})
    return directives


def _targeted(text: str) -> Directives | None:
    """A dictionary of RFC 8941; None for what is none, is empty, or gives a number of seconds as something else."""
    given: dict[str, list[str | None]] = {}
    rest = text.strip(" \t")
    while rest:
        member = _MEMBER.match(rest)
        if member is None:
            return None
        value = member["string"] if member["string"] is not None else member["other"]
        if member["name"] in _COUNTING and (member["other"] is None or not _SECONDS.match(member["other"])):
            return None
        given[member["name"]] = [None if value in (None, "?1") else value]
        if value == "?0":
            del given[member["name"]]
        _forbid(given, member["parameters"])
        rest = rest[member.end() :]
    return Directives(given, targeted=True) if given and not text.rstrip(" \t").endswith(",") else None


def _as_seconds(value: str | None) -> int:
    if value is None or not _SECONDS.match(value):
        return 0
    digits = value.lstrip("0")
    return FOREVER if len(digits) > 10 else min(int(digits or "0"), FOREVER)


def _is_list(value: str | None) -> bool:
    return value is not None and value != MALFORMED and bool(value.strip(" \t,"))
