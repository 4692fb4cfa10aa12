"""The heads of one connection, of which most differ by their first lines; without I/O.

    GET /a HTTP/1.1  ┐ is read anew
    Host: …          ├ is known: what was found in it, and what its service gets instead (`written`)
    Accept: …        ┘

What follows the first line means the same whatever that is, as long as it names a path: so it is read once, by the
letter as ever (http/head.py), and whoever sends it again byte for byte is not asked again what he means.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from hardline.gateway.requests import Field, fields_of
from hardline.http.head import Form, Head, read_head

_MOST = 2  # that are known of a connection: thousands of clients may each have some
_WORTH_KNOWING = 2048  # bytes
# CONNECT is followed by something else than a path, and HTTP/1.0 has rules of its own.
_FIRST = re.compile(rb"(?!CONNECT )([!#$%&'*+\-.^_`|~0-9A-Za-z]++) (/[\x21-\x7e\x80-\xff]*+) HTTP/1\.1\r\n")


@dataclass(frozen=True, slots=True)
class Read:
    """A head; `written` keeps what is made of its fields, by what it was made with."""

    head: Head
    fields: list[Field]
    written: dict[Hashable, bytes] = field(default_factory=dict)


class Heads:
    """Those of one connection."""

    def __init__(self) -> None:
        self._known: dict[bytes, Read] = {}

    def read(self, data: bytes, end: int) -> Read:
        """The head that ends there.  Raises BadHead."""
        first = _FIRST.match(data, 0, end)
        if first is None:
            return Read(read_head(data, 0, end), fields_of(data[:end]))
        behind = data[first.end() : end]
        known = self._known.get(behind)
        if known is None:
            read = Read(read_head(data, 0, end), fields_of(data[:end]))
            if len(behind) <= _WORTH_KNOWING and read.head.form is Form.ORIGIN:
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[behind] = read
            return read
        method, target = first.groups()
        head = replace(known.head, method=method.decode("ascii"), target=target.decode("latin-1"))
        return Read(head, known.fields, known.written)
