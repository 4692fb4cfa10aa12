"""What the two ends of a connection say first, without I/O: one line of JSON each.

    hardline/2    visitor ── {"v":2,"password":…,"reached":…}\n ──▶ host       its frames follow at once
                  visitor ◀── {"v":2,"WANHosts":…,"title":…,"instance":…}\n    or {"error":"password"}\n ── host
    hardline/1    visitor ── {} or {"password":…}\n ──▶ host
                  visitor ◀── {} or {"WANHosts":…}\n ── host

Unknown keys are ignored, on both sides; what could be read in two ways is refused.  What a peer sent becomes a result
or PeerError, nothing else.  Source: docs/PROTOCOL.md, sections 3.3 and 4.
"""

from __future__ import annotations

import base64
import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from hardline.errors import PeerError
from hardline.proof import Proof
from hardline.routes import Via, format_via, parse_via

MAX_LINE = 16_384
VERSION = 2

_CONTROL = 1  # the version of a control stream


class HelloReader:
    """Finds the first line in bytes that come in pieces; it holds at most `limit` bytes of one that is not whole.

    Once `feed` has returned the line its work is done: `leftover` is what came behind it.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._line = bytearray()
        self.leftover = b""

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes; return the line without its end once it is whole.  Raises PeerError when it is too long."""
        line, end, rest = data.partition(b"\n")
        if len(self._line) + len(line) > self._limit:
            raise PeerError(f"a first line of more than {self._limit} bytes")
        self._line += line
        if not end:
            return None
        self.leftover = rest
        return bytes(self._line)


@dataclass(frozen=True, slots=True)
class VisitorHello:
    """The visitor's: the label's free text ("" for none), and the endpoint that it dialled.

    `client` proves who the visitor is, where it wants to; nothing is checked yet.  `invite` is what it was given by
    the host's owner, where it comes for the first time; `control` says that it takes a control stream.
    """

    password: str = ""
    reached: str = ""
    client: Proof | None = None
    invite: str = ""
    control: bool = False

    def encode(self) -> bytes:
        """The line, with its end."""
        fields: dict[str, object] = {"v": VERSION}
        if self.password:
            fields["password"] = self.password
        if self.reached:
            fields["reached"] = self.reached
        if self.client is not None:
            fields["client"] = {"cert": _base64(self.client.certificate), "sig": _base64(self.client.signature)}
        if self.invite:
            fields["invite"] = self.invite
        if self.control:
            fields["control"] = _CONTROL
        return _line(fields)

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Read it.  Raises PeerError for what is none."""
        fields = parse_object(line)
        _check_version(fields)
        control = type(fields.get("control")) is int and fields["control"] >= _CONTROL
        return cls(_password(fields), _text(fields, "reached"), _client(fields), _text(fields, "invite"), control)


@dataclass(frozen=True, slots=True)
class HostHello:
    """The host's: where else it is (the original's format), how its service is called, which host it is, and by which
    relays it is reached."""

    wan_hosts: str = ""
    title: str = ""
    instance: str = ""
    via: tuple[Via, ...] = ()

    def encode(self) -> bytes:
        """The line, with its end."""
        named = {
            "WANHosts": self.wan_hosts,
            "title": self.title,
            "instance": self.instance,
            "via": format_via(self.via),
        }
        return _line({"v": VERSION} | {key: value for key, value in named.items() if value})


BAD_PASSWORD = "password"
WAIT = "wait"  # this source guessed wrong too often


class Verdict(enum.Enum):
    """What becomes of who shows an invitation: the `why` of a refusal, but for the first and the last."""

    LET_IN = ""
    USED = "used"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class HostRefusal:
    """The host's when it refuses: BAD_PASSWORD, WAIT, or what later hosts say; a go-away may follow."""

    error: str
    why: str = ""  # of an invite that is none any more: used, expired, withdrawn

    def encode(self) -> bytes:
        """The line, with its end."""
        fields: dict[str, object] = {"error": self.error}
        return _line(fields | {"why": self.why} if self.why else fields)


def parse_host_hello(line: bytes) -> HostHello | HostRefusal:
    """Read what a hardline/2 host said.  Raises PeerError for nonsense."""
    fields = parse_object(line)
    if "error" in fields:
        return HostRefusal(_text(fields, "error")[:100] or "unknown", _text(fields, "why")[:100])
    _check_version(fields)
    wan_hosts, title, instance = (_text(fields, key) for key in ("WANHosts", "title", "instance"))
    return HostHello(wan_hosts, title, instance, parse_via(fields.get("via")))


@dataclass(frozen=True, slots=True)
class LegacyVisitorLine:
    """hardline/1: the visitor's line."""

    password: str = ""

    def encode(self) -> bytes:
        """The line, with its end."""
        return _line({"password": self.password} if self.password else {})

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Read it.  Raises PeerError for what is none."""
        return cls(_password(parse_object(line)))


@dataclass(frozen=True, slots=True)
class LegacyHostLine:
    """hardline/1: the host's line."""

    wan_hosts: str = ""

    def encode(self) -> bytes:
        """The line, with its end."""
        return _line({"WANHosts": self.wan_hosts} if self.wan_hosts else {})

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Read it.  Raises PeerError for what is none."""
        return cls(_text(parse_object(line), "WANHosts"))


def parse_object(line: bytes) -> dict[str, Any]:
    """Read a line that is one JSON object.

    Raises PeerError for anything else, and for what two readers could understand in two ways: a key twice, NaN,
    half a surrogate pair (docs/PROTOCOL.md 4.4).
    """
    try:
        fields = json.loads(line.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # ValueError also for numbers of thousands of digits
        raise PeerError("a line that is not JSON") from None
    if not isinstance(fields, dict):
        raise PeerError("a line that is not a JSON object")
    return fields


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise PeerError("a line with one key twice")
    if any(_has_half_pair(text) for pair in pairs for text in pair if isinstance(text, str)):
        raise PeerError("a line with half a surrogate pair")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise PeerError(f"a line with {name}, which is not JSON")


def _has_half_pair(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _check_version(fields: Mapping[str, Any]) -> None:
    version = fields.get("v")
    if type(version) is not int or version != VERSION:
        raise PeerError(f"a hello whose v is not {VERSION}")


def _line(fields: dict[str, object]) -> bytes:
    # Compact, as originals write it; JSON's escapes keep the line a line.
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def _password(fields: Mapping[str, Any]) -> str:
    password = fields.get("password", "")
    if not isinstance(password, str):
        raise PeerError("a password that is not text")
    return password


def _client(fields: Mapping[str, Any]) -> Proof | None:
    """Who cannot be believed must not pass for somebody who said nothing."""
    client = fields.get("client")
    if client is None and "client" not in fields:
        return None
    if not isinstance(client, dict):
        raise PeerError("a client that is no object")
    return Proof(_from_base64(client.get("cert")), _from_base64(client.get("sig")))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_base64(text: object) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True) if isinstance(text, str) else b""
    except ValueError:
        raise PeerError("a client with something that is not base64") from None


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""
