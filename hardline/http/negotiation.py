"""What a client takes: lists with weights, without I/O.

    Accept-Encoding: br;q=0.9, gzip, *;q=0     ──coding──▶   "gzip" of those that are there
    Accept: text/html, */*;q=0.1               ──prefers──▶  HTML before JSON

Source: RFC 9110, sections 12.4.2, 12.5.1 and 12.5.3.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from hardline.http.conditional import Fields

_LONGEST = 1000  # characters of a field that are read: what is read is remembered
HTML = ("text/html", "application/xhtml+xml")
JSON = ("application/json",)


def listed(fields: Fields, name: str) -> str:
    """The value of a field that is a list; "" without it."""
    if name not in fields:
        return ""
    return ",".join(fields.getall(name, ()))[:_LONGEST]


def coding(accept_encoding: str, there: tuple[str, ...]) -> str:
    """The content coding to send: one of `there`, best first, or "identity".

    A client that says nothing gets no coding, and so does one that takes nothing: it can tell what it does not like.
    """
    if not accept_encoding:
        return "identity"
    weights = _weights(accept_encoding[:_LONGEST])
    others = weights.get("*", 0.0)
    found, best = "identity", 0.0
    for name in there:
        weight = weights.get(name, weights.get(f"x-{name}", others))
        if weight > best:
            found, best = name, weight
    return found if best >= weights.get("identity", 0.0) else "identity"


def prefers(accept: str, kinds: Collection[str], to: Collection[str]) -> bool:
    """Whether a client names one of the media types `kinds`, and with no less weight than any of the types `to`.

    Only what is named counts: `*/*` is what programs send that were told nothing.
    """
    if not accept:
        return False
    weights = _weights(accept[:_LONGEST])
    wanted = max(weights.get(kind, 0.0) for kind in kinds)
    return wanted > 0 and wanted >= max(weights.get(kind, 0.0) for kind in to)


def takes(accept: str, kinds: Collection[str]) -> bool:
    """Whether a client names one of the media types `kinds`, and does not refuse it."""
    weights = _weights(accept[:_LONGEST])
    return any(weights.get(kind, 0.0) > 0 for kind in kinds)


@lru_cache(maxsize=256)
def _weights(field: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for member in field.split(","):
        name, *parameters = member.split(";")
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "q":
                weight = _weight(value.strip())
        if name := name.strip().lower():
            found[name] = max(weight, found.get(name, 0.0))
    return found


def _weight(text: str) -> float:
    """A qvalue; what is none counts for nothing."""
    whole, _, rest = text.partition(".")
    if whole not in ("0", "1") or len(rest) > 3 or not (rest.isdecimal() or not rest) or not rest.isascii():
        return 0.0
    return min(float(f"{whole}.{rest or 0}"), 1.0)
