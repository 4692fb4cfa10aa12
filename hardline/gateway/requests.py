"""A request as its service gets it; without I/O.

    GET /servers/nas/a HTTP/1.1          ──▶  GET /a HTTP/1.1
    Host: example.org                         Host: example.org
    Connection: close, X-Mine                 Connection: keep-alive
    X-Mine: 1                                 Forwarded: for="192.0.2.7:5012";by=_hardline;host="example.org";proto=http
    TE: gzip                                  X-Forwarded-For: 192.0.2.7
    Cookie: a=b                               X-Forwarded-Proto: http, -Host, -Prefix

Fields keep their order; those of one connection do not pass.  What says who asks is only believed of a trusted proxy:
who is none may have written it himself, in a spelling with `_`, too, which many servers take for `-`.
Source: RFC 9110, section 7.6.1; RFC 7239; RFC 9112, section 3.2.2.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hardline.http.fields import named_by_connection
from hardline.http.head import Head
from hardline.routes import Endpoint

Field = tuple[bytes, bytes]  # its name in lower case, its line

_HOP_BY_HOP = frozenset(
    (b"connection", b"proxy-connection", b"proxy-authorization", b"proxy-authenticate", b"keep-alive", b"te")
).union((b"upgrade", b"http2-settings", b"host"))
_APPENDED = frozenset((b"forwarded", b"x-forwarded-for"))
_PROXYS = frozenset(
    (b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix", b"x-forwarded-port", b"x-forwarded-server")
).union((b"x-real-ip", b"x-forwarded-ssl", b"x-forwarded-email"))
_USERS = frozenset((b"x-forwarded-user", b"remote-user"))
_OF_THE_MESSAGE = _HOP_BY_HOP | {b"content-length", b"transfer-encoding"}
_OURS = _OF_THE_MESSAGE | _APPENDED | _PROXYS | _USERS | {b"authorization", b"cookie"}
# A tunnel of HTTP/2 would carry requests that nobody here has read.
_NO_UPGRADES = (b"h2c", b"h2")


class Tells(enum.Enum):
    """What a service is told of who asks."""

    ALL = "all"  # the whole of it, and of what the client says only what a trusted proxy does
    FORWARDED = "append"  # one more element of Forwarded; all else as it came
    NOTHING = "no"  # as it came


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks.  `peer` is the other end of the connection, `client` whom that asks for, `user` his name or ""; `tells`
    is what of it his service hears, and cookies whose names begin with `hides` it does not get."""

    peer: Endpoint
    client: str
    trusted: bool
    user: str = ""
    tells: Tells = Tells.ALL
    hides: bytes = b""


def fields_of(raw: bytes) -> list[Field]:
    """The fields of a head that was read, as it came."""
    return [(line.partition(b":")[0].lower(), line) for line in raw.split(b"\r\n")[1:-2]]


def values(fields: Sequence[Field], name: bytes) -> list[str]:
    """What stands in the lines of one of them."""
    return [line.partition(b":")[2].strip(b" \t").decode("latin-1") for field, line in fields if field == name]


def upgrade_of(head: Head, fields: Sequence[Field]) -> bytes:
    """What the connection is to become, as the field has it; b"" for nothing that passes."""
    if not head.upgrades or head.version != "1.1" or b"upgrade" not in _options(fields):
        return b""
    wanted = ",".join(values(fields, b"upgrade")).encode("latin-1")
    return b"" if any(one.strip().lower() in _NO_UPGRADES for one in wanted.split(b",")) else wanted


def first_line(head: Head, target: str) -> bytes:
    """The head's first line, with its end, for `target` at its service."""
    return f"{head.method} {target} HTTP/{head.version}\r\n".encode("latin-1")


def behind_first(
    host: str, fields: Sequence[Field], asker: Asker, *, prefix: str, upgrade: bytes, dropped: Collection[bytes]
) -> bytes:
    """The rest of the head, which often is the same for all of a client's requests.

    `dropped` are further names of fields that do not pass.
    """
    gone = _HOP_BY_HOP | named_in_connection(fields) | set(dropped)
    if asker.tells is Tells.ALL:
        gone |= _APPENDED | _USERS if asker.trusted else _APPENDED | _USERS | _PROXYS
    elif asker.tells is Tells.FORWARDED:
        gone |= {b"forwarded"}
    ours = _OURS if asker.tells is Tells.ALL else _OF_THE_MESSAGE
    kept = [line for name, line in fields if name not in gone and not (b"_" in name and _spelt(name) in ours)]
    if asker.hides:
        kept = [line for line in (_without_cookies(line, asker.hides) for line in kept) if line]
    added = [line.encode("latin-1") for line in _told(host, fields, asker, prefix)]
    named = f"Host: {host}".encode("latin-1")
    connection = b"Connection: Upgrade\r\nUpgrade: " + upgrade if upgrade else b"Connection: keep-alive"
    return b"\r\n".join((named, *kept, *added, connection, b"", b""))


def _told(host: str, fields: Sequence[Field], asker: Asker, prefix: str) -> list[str]:
    if asker.tells is Tells.NOTHING:
        return []
    by_us = f'for="{asker.peer}";by=_hardline;host="{_quoted(host)}";proto=http'
    forwarded = f"Forwarded: {', '.join((*values(fields, b'forwarded'), by_us))}"
    if asker.tells is Tells.FORWARDED:
        return [forwarded]
    has = {name for name, _ in fields} if asker.trusted else set()
    forwarded_for = ", ".join((*values(fields, b"x-forwarded-for"), asker.peer.host))
    return [
        forwarded,
        f"X-Forwarded-For: {forwarded_for}",
        *([] if b"x-forwarded-proto" in has else ["X-Forwarded-Proto: http"]),
        *([] if b"x-forwarded-host" in has else [f"X-Forwarded-Host: {host}"]),
        *([f"X-Forwarded-Prefix: {prefix}"] if prefix else []),
        *([f"X-Forwarded-User: {asker.user}"] if asker.user else []),
    ]


def named_in_connection(fields: Sequence[Field]) -> frozenset[bytes]:
    """The fields that are for this connection only, as it says."""
    return frozenset(
        name.encode("latin-1") for name in named_by_connection(one.decode("latin-1") for one in _options(fields))
    )


def wants_close(head: Head, fields: Sequence[Field]) -> bool:
    """The client's connection ends with the answer."""
    options = _options(fields)
    return b"close" in options or (head.version == "1.0" and b"keep-alive" not in options)


def _options(fields: Sequence[Field]) -> set[bytes]:
    if not (lines := [line for name, line in fields if name == b"connection"]):
        return set()
    return {one.strip(b" \t").lower() for line in lines for one in line.partition(b":")[2].split(b",")}


def _without_cookies(line: bytes, hidden: bytes) -> bytes:
    """A line of a head without the cookies whose names begin so; b"" where nothing is left of it."""
    name, _, said = line.partition(b":")
    if name.lower() != b"cookie":
        return line
    kept = [pair for pair in said.split(b";") if not pair.strip().startswith(hidden)]
    return name + b":" + b";".join(kept) if any(one.strip() for one in kept) else b""


def _spelt(name: bytes) -> bytes:
    return name.replace(b"_", b"-")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
