"""The fields of a message: in order, duplicates kept, names in any case.  Without I/O.

A field is (name, value); the octets of both are characters U+0000 to U+00FF here, so that what came in goes out again
octet by octet, whatever its encoding was.  Source: RFC 9110, sections 5 and 7.6.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

Fields = tuple[tuple[str, str], ...]

# What belongs to one connection (RFC 9110, section 7.6.1), and trailers, which are not carried on.
HOP_BY_HOP = frozenset(
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"]
)

# `Connection: host` would make the next hop see another request than the one that was judged here, and
# `Connection: authorization` one from somebody else.
_NEVER_NAMED = frozenset(
    ["host", "content-length", "content-type", "content-encoding", "content-range", "cache-control", "vary", "pragma"]
).union(
    ["set-cookie", "cookie", "authorization", "date", "age", "expires", "etag", "last-modified", "location", "range"],
    ["origin", "referer", "forwarded", "via", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"],
    ["if-range", "accept", "accept-encoding", "accept-language", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"],
    ["transfer-encoding", "expect"],
)

# As far as every quote has its end.  Possessive, or a quote without one is searched for from every quote before it.
_CLOSED = re.compile(r'(?:[^"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_LIST_ITEM = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^",])+')
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


def from_raw(raw: Iterable[tuple[bytes, bytes]]) -> Fields:
    """The fields of a message as an HTTP parser hands them over."""
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)


def values(fields: Fields, name: str) -> list[str]:
    """The values of the lines of a field; `name` in lower case."""
    return [value for field, value in fields if field.lower() == name]


def combined(fields: Fields, name: str) -> str | None:
    """All lines of a field as one (RFC 9110, section 5.3); None without any."""
    found = values(fields, name)
    return ", ".join(found) if found else None


def first(fields: Fields, name: str) -> str | None:
    """The first line of a field that may have one only; None without any."""
    return next((value for field, value in fields if field.lower() == name), None)


def items(text: str) -> Iterator[str]:
    """The members of a comma-separated list, quoted strings respected, empty members left out.

    A quote that never ends is none, and neither are those behind it.
    """
    for piece in text.split(",") if '"' not in text else _quoted_pieces(text):
        if item := piece.strip(" \t"):
            yield item


def _quoted_pieces(text: str) -> list[str]:
    closed = _CLOSED.match(text)
    end = closed.end() if closed else 0
    return [match[0] for match in _LIST_ITEM.finditer(text, 0, end)] + text[end:].replace('"', ",").split(",")


def names_in(fields: Fields, name: str) -> list[str]:
    """The field names or tokens that a list field names, in lower case; "*" is one of them."""
    return [item.lower() for item in items(combined(fields, name) or "")]


def without(fields: Fields, names: Iterable[str]) -> Fields:
    """All but the fields with these names, which are in lower case."""
    unwanted = frozenset(names)
    return tuple(field for field in fields if field[0].lower() not in unwanted)


def end_to_end(fields: Fields) -> Fields:
    """What is left for the next hop: without the fields of this connection, and without those that it names."""
    return without(fields, HOP_BY_HOP | named_by_connection(names_in(fields, "connection")))


def named_by_connection(options: Iterable[str]) -> frozenset[str]:
    """What the options of `Connection` say to be for this hop only: no field that the message cannot do without."""
    return frozenset(name for name in options if name not in _NEVER_NAMED and not name.startswith("x-forwarded"))


def is_token(text: str) -> bool:
    """Whether `text` can be the name of a field, a method or a directive."""
    return _TOKEN.match(text) is not None
