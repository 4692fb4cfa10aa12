"""The rows of the API: which request is which action; without I/O.

    PATCH /api/v1/services/photos {"title": "Our photos"} ──▶ do "change", {"name": "photos", "title": "Our photos"}

One line of ROWS is one row of docs/API.md, held against it by tests/web/test_rows.py.  Actions are those of the
control socket (node/asked.py), so the page can do what the command line can and nothing else.  An action that answers
as long as whoever asked stays (control.Held) is sent as server-sent events.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

PREFIX = "/api/v1/"
LOGIN = "login"  # the one row that needs no token

_MAX_VALUE = 4096  # characters of a part of the path, or of a value behind the ?
_MAX_QUERY = 16
_HOLE = re.compile(r"\\\{(\w+)\\\}")


@dataclass(frozen=True, slots=True)
class Row:
    """`do` is the action; what stands in braces in the `path` is its argument, `also` are more of them, in place of all
    that the request says."""

    method: str
    path: str
    do: str
    also: Mapping[str, object] = field(default_factory=dict)

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the path looks like."""
        return re.compile(_HOLE.sub(r"(?P<\1>[^/]+)", re.escape(self.path)) + r"\Z")


ROWS = (
    Row("GET", "status", "status"),
    Row("GET", "services", "services"),
    Row("POST", "services", "share_typed"),
    Row("PATCH", "services/{name}", "change_typed"),
    Row("DELETE", "services/{name}", "remove"),
    Row("POST", "services/{name}/pause", "change", {"paused": True}),
    Row("POST", "services/{name}/resume", "change", {"paused": False}),
    Row("GET", "offers", "offers"),
    Row("GET", "known", "known"),
    Row("POST", "known", "name"),
    Row("DELETE", "known/{name}", "forget"),
    Row("GET", "who/{name}", "who"),
    Row("DELETE", "who/{name}/{who}", "revoke"),
    Row("GET", "invites", "invites"),
    Row("POST", "invites", "invite"),
    Row("DELETE", "invites/{number}", "withdraw"),
    Row("POST", "accept", "accept"),
    Row("GET", "ping/{what}", "ping"),
    Row("POST", "phone", "phone_with_code"),
    Row("DELETE", "phone/{what}", "no_phone"),
    Row("GET", "inspect/{name}", "inspect"),
    Row("GET", "inspected/{name}", "inspected"),
    Row("POST", "replay/{name}", "replay"),
    Row("GET", "doctor", "examine"),
    Row("GET", "doctor/{what}", "examine_visit"),
    Row("GET", "log", "log"),
    Row("GET", "events", "events"),
    Row("POST", LOGIN, LOGIN),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as an action and its arguments, without those of a body; `alone`: that adds nothing."""

    do: str
    arguments: Mapping[str, object]
    alone: bool = False


@dataclass(frozen=True, slots=True)
class NoRow:
    """There is none: `allowed` are the methods of others with this path."""

    allowed: tuple[str, ...]


class BadQuery(ValueError):
    """A path or a query that is none."""


def find(method: str, target: str, rows: Iterable[Row] = ROWS) -> Asked | NoRow:
    """What is asked by `method` for `target`, which begins with PREFIX.  Raises BadQuery."""
    path, _, query = target.removeprefix(PREFIX).partition("?")
    allowed = list[str]()
    for row in rows:
        if (match := row.pattern.match(path)) is None:
            continue
        if row.method != ("GET" if method == "HEAD" else method):
            allowed.append(row.method)
            continue
        named = {name: _decoded(value) for name, value in match.groupdict().items()}
        said = {} if row.also else _parsed(query)
        return Asked(row.do, {**said, **named, **row.also}, alone=bool(row.also))
    return NoRow(tuple(allowed))


def _decoded(text: str) -> str:
    try:
        value = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise BadQuery("what stands in the path is no UTF-8") from None
    if len(value) > _MAX_VALUE:
        raise BadQuery(f"a part of the path has more than {_MAX_VALUE} characters")
    return value


def _parsed(query: str) -> dict[str, object]:
    """Figures are numbers."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_QUERY, errors="strict")
    except ValueError:
        raise BadQuery("what stands behind the ? is not a few names and values") from None
    found: dict[str, object] = {}
    for name, value in pairs:
        number = value.isascii() and value.isdigit() and len(value) <= 15
        found[name] = int(value) if number else value[:_MAX_VALUE]
    return found
