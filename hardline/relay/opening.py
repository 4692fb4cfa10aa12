"""What a new connection to a node's port is, by its first bytes, without I/O.

    HARDLINE-…  ──▶ Line           a ClientHello ──▶ ClientHello, and the name that counts in it
    GET / …     ──▶ Request        anything else ──▶ PeerError

Nothing is taken off the connection: whoever serves it reads the same bytes again.
Source: docs/PROTOCOL.md, section 9.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from hardline.errors import PeerError
from hardline.relay.clienthello import ClientHello, read_client_hello
from hardline.relay.lines import BEGINNING, Line, read_line

CONTROL = "hardline-relay/1"  # the ALPN of a control connection

_TLS = 0x16
_CODE = re.compile(r"[0-9a-f]{40}(?=\.|\Z)")
_LETTER = re.compile(rb"[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Request:
    """Something that begins like one of HTTP."""


Opening: TypeAlias = Line | ClientHello | Request


def read_opening(data: bytes) -> Opening | None:
    """What `data` begins; None while that is not known.  Raises PeerError for what is nothing that is spoken here."""
    if not data:
        return None
    if data[0] == _TLS:
        return read_client_hello(data)
    if BEGINNING.startswith(data[: len(BEGINNING)]):
        return read_line(data)
    if _LETTER.match(data):
        return Request()
    raise PeerError("neither TLS nor a line of a relay")


def name_in(server_name: str) -> str:
    """What counts of a server name: 40 hex digits before its first dot, else all of it."""
    found = _CODE.match(server_name)
    return found[0] if found else server_name
