"""The heads of one connection, of which most differ by their first lines; without I/O.

    GET /a HTTP/1.1  ┐ is read anew
    Host: …          ├ is known: what was found in it, what its service gets instead, and what was judged
    Accept: …        ┘

What follows the first line means the same whatever that is, as long as it names a path: so it is read once, by the
letter as ever (http/head.py), and whoever sends it again byte for byte is not asked again what he means.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

from hardline.gateway.requests import Field, fields_of, wants_close
from hardline.http.head import Form, Head, read_head

_MOST = 2  # that are known of a connection: thousands of clients may each have some
_WORTH_KNOWING = 2048  # bytes
# CONNECT is followed by something else than a path, and HTTP/1.0 has rules of its own.
_FIRST = re.compile(rb"(?!CONNECT )([!#$%&'*+\-.^_`|~0-9A-Za-z]++) (/[\x21-\x7e\x80-\xff]*+) HTTP/1\.1\r\n")


class Known:
    """What follows the first line: its `fields`, and what its readers keep of it.

    `closes`: the client's connection ends with the answer.  `written` is what was made of the fields, by what it was
    made with; `judged` whatever is true of all its requests.
    """

    __slots__ = ("closes", "fields", "head", "judged", "written")

    def __init__(self, head: Head, fields: list[Field]) -> None:
        self.head, self.fields, self.closes = head, fields, wants_close(head, fields)
        self.written: dict[Hashable, bytes] = {}
        self.judged: object = None


class Heads:
    """Those of one connection."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}

    def read(self, data: bytes, end: int) -> tuple[Head, Known]:
        """The head that ends there.  Raises BadHead."""
        if (found := self.known(data, end)) is not None:
            return found
        head = read_head(data, 0, end)
        known = Known(head, fields_of(data[:end]))
        first = _FIRST.match(data, 0, end)
        if first is not None and head.form is Form.ORIGIN and end - first.end() <= _WORTH_KNOWING:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[data[first.end() : end]] = known
        return head, known

    def known(self, data: bytes, end: int) -> tuple[Head, Known] | None:
        """The same for one whose fields came before; None for any other."""
        first = _FIRST.match(data, 0, end)
        if first is None or (known := self._known.get(data[first.end() : end])) is None:
            return None
        method, target = first.groups()
        before = known.head
        head = Head(
            *(method.decode("ascii"), target.decode("latin-1"), "1.1", before.host, before.accepts_html, Form.ORIGIN),
            *(before.wants_events, before.content_length, before.chunked, before.upgrades),
        )
        return head, known
