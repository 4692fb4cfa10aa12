"""What a template gets and gives, and how it goes over the pipe; without I/O.

    path       the request target as it was sent, with its query: /foo/bar?x=1
    __file__   the template's own path, from the root of the file system
    method     GET, HEAD, POST, …
    query      Values: query["x"] or query.get("x", "") is the first x, query.all("x") is a list of all
    headers    Values; capitals or not makes no difference
    body       bytes, of a POST for example
    response   Response: response.status = 404, response.headers["Content-Type"] = "text/plain; charset=utf-8"

Whatever comes from a visitor is text, not HTML: `${query.get("name") | h}`.

    daemon ── REQUEST sizes, JSON {template, file, path, method, query, headers}, body ──▶ worker
           ◀── ANSWER sizes, JSON {status, headers} or {failed, file, line, over}, page ──
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping

REQUEST = struct.Struct(">II")  # bytes of JSON, of the body
ANSWER = struct.Struct(">II")  # bytes of JSON, of the page
MAX_PAGE = 64 << 20
MAX_PARAMETERS = 1000


class Values(Mapping[str, str]):
    """Names with values, each perhaps several times: `v["a"]` and `v.get("a")` give the first, `v.all("a")` all."""

    def __init__(self, pairs: list[tuple[str, str]], fold: Callable[[str], str]) -> None:
        self._fold = fold
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(fold(name), []).append(value)

    def __getitem__(self, name: str) -> str:
        return self._values[self._fold(name)][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def all(self, name: str) -> list[str]:
        """All values of `name`, in order; [] when there is none."""
        return self._values.get(self._fold(name), [])


class Response:
    """What a template may say of its page: `response.status = 404`, `response.headers["Location"] = "/there"`.

    A value may be a list of several.
    """

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str | list[str]] = {}
