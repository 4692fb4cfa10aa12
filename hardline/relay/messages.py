"""What a relay and a node that registers with it say on their control connection, without I/O.

    {"register":{"n":1,…}}\\n ──▶ parse ──▶ Register(1, …)          Register(1, …) ──▶ encode ──▶ the line

A line is an object with one key, the message.  What a later version says besides is ignored; what could be read in two
ways, or is of the wrong type, ends the connection.  Source: docs/PROTOCOL.md, section 9.2.
"""

from __future__ import annotations

import base64
import enum
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hardline.errors import PeerError
from hardline.proof import Proof
from hardline.routes import HTTPS, LOWEST_TOLD
from hardline.session.hello import parse_object
from hardline.session.messages import read, write

VERSION = 1
MOST = 0xFFFFFFFF  # of every number

_TOKEN = re.compile(r"[0-9a-f]{32}\Z")
_NAME = re.compile(r"[0-9a-f]{40}\Z")
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# What begins with 40 hex digits is a handle or a code for whoever reads a server name.
_DOMAIN = re.compile(rf"(?![0-9a-f]{{40}}\.)(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})+\Z")
_MAX_TEXT = 256  # characters of what is none of these


class Kind(enum.StrEnum):
    """What is registered."""

    HANDLE = "handle"
    NAMED = "named"
    DOMAIN = "domain"
    PORT = "port"


class Why(enum.StrEnum):
    """Why a registration is refused."""

    ALLOW = "allow"
    FULL = "full"
    RATE = "rate"
    QUOTA = "quota"
    PROOF = "proof"
    DOMAINS = "domains"
    PORTS = "ports"
    VERSION = "version"


class Leave(enum.StrEnum):
    """Why the relay ends a control connection."""

    REPLACED = "replaced"
    DRAIN = "drain"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Hello:
    """The node's first line; `node` proves who it is, and comes when it was refused without."""

    node: Proof | None = None


@dataclass(frozen=True, slots=True)
class Welcome:
    """The relay's: whence it sees the node come, and where visitors find it.

    After `ping` seconds of silence it wants to be asked; it parks `park` joins; `contact` knows more.
    """

    saw: str
    at: tuple[str, ...] = ()
    ping: int = 20
    park: int = 0
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Register:
    """`number` is the node's own; `proof` is over the name and this connection.

    `domain` is only of that kind; of a NAMED one `instance` tells hosts apart that have the same service, and with
    `legacy` it is found by its plain key hash, too.  Of a PORT `port` is the one that is wanted, 0 for any.
    """

    number: int
    kind: Kind
    proof: Proof
    domain: str = ""
    instance: str = ""
    legacy: bool = False
    port: int = 0


@dataclass(frozen=True, slots=True)
class Registered:
    """It is known as `name`; visitors find it so, or, of a PORT, `at` that endpoint."""

    number: int
    name: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why not, and after how many seconds another attempt makes sense."""

    number: int
    why: Why
    retry: int = 0


@dataclass(frozen=True, slots=True)
class Unregister:
    """No more."""

    number: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Is somebody there?"""

    value: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer."""

    value: int


@dataclass(frozen=True, slots=True)
class Invite:
    """A visitor of registration `number` is there, from `source`, as the relay says; `token` is good once."""

    number: int
    token: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Go:
    """The same of a parked join, which is there and needs no token; the relay `saw` it come from there."""

    number: int
    source: str = ""
    saw: str = ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """For parked joins."""

    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dialback:
    """The node wants to be dialled at `port`, by a connection that begins with `HARDLINE-PROBE id`."""

    port: int
    id: str


@dataclass(frozen=True, slots=True)
class Dialled:
    """It is, or it was not worth it: that is not told."""

    id: str


@dataclass(frozen=True, slots=True)
class Drain:
    """The relay ends in so many seconds."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Bye:
    """It ends this connection now."""

    why: Leave


Message: TypeAlias = (
    Hello
    | Welcome
    | Register
    | Registered
    | Refused
    | Unregister
    | Ping
    | Pong
    | Invite
    | Tokens
    | Dialback
    | Dialled
    | Drain
    | Bye
)


def encode(message: Message) -> bytes:
    """The line, with its end."""
    return write(*_fields(message))


def parse(line: bytes) -> Message | None:
    """Read a line, without its end; None for a message that is not known here.  Raises PeerError."""
    kind, value = read(line)
    match kind:
        case "ping":
            return Ping(_number(value, "ping"))
        case "pong":
            return Pong(_number(value, "pong"))
        case "tokens":
            return Tokens(_tokens(value))
    reader = _READ.get(kind)
    if reader is None:
        return None
    if not isinstance(value, dict):
        raise PeerError(f"a {kind} that is no object")
    return reader(value)


def encode_go(go: Go) -> str:
    """What stands behind `HARDLINE-GO`."""
    said = {"from": go.source, "saw": go.saw}
    fields: dict[str, object] = {"n": go.number} | {key: value for key, value in said.items() if value}
    return json.dumps(fields, separators=(",", ":"))


def parse_go(text: str) -> Go:
    """Read it.  Raises PeerError."""
    fields = parse_object(text.encode())
    return Go(_n(fields), _text(fields, "from"), _text(fields, "saw"))


def is_domain(text: str) -> bool:
    """Whether it can be registered as a domain: in lower case, with a dot in it and none at its end."""
    return _DOMAIN.match(text) is not None


def may_be_dialled(port: int) -> bool:
    """Whether a node may ask a relay to dial it there: it must not knock at what a shared address has below."""
    return port == HTTPS or LOWEST_TOLD <= port <= 65_535


def _fields(message: Message) -> tuple[str, object]:
    match message:
        case Hello(node):
            return "hello", {"v": VERSION} | ({"node": _proof_fields(node)} if node is not None else {})
        case Welcome(saw, at, ping, park, contact):
            told = {"v": VERSION, "saw": saw, "at": list(at), "ping": ping, "park": park}
            return "welcome", told | ({"contact": contact} if contact else {})
        case Register(number, kind, proof, domain, instance, legacy, port):
            said = {"name": domain, "instance": instance, "legacy": legacy, "port": port}
            more = {key: value for key, value in said.items() if value}
            return "register", {"n": number, "as": kind} | _proof_fields(proof) | more
        case Registered(number, name, at):
            return "registered", {"n": number} | ({"name": name} if name else {}) | ({"at": at} if at else {})
        case Refused(number, why, retry):
            return "refused", {"n": number, "why": why} | ({"retry": retry} if retry else {})
        case Unregister(number):
            return "unregister", {"n": number}
        case Ping(value):
            return "ping", value
        case Pong(value):
            return "pong", value
        case Invite(number, token, source):
            return "invite", {"n": number, "token": token} | ({"from": source} if source else {})
        case Tokens(tokens):
            return "tokens", list(tokens)
        case Dialback(port, id_):
            return "dialback", {"port": port, "id": id_}
        case Dialled(id_):
            return "dialled", {"id": id_}
        case Drain(seconds):
            return "drain", {"seconds": seconds}
        case Bye(why):
            return "bye", {"why": why}


def _hello(fields: Mapping[str, object]) -> Hello:
    _check_version(fields)
    node = fields.get("node")
    if node is None and "node" not in fields:
        return Hello()
    if not isinstance(node, dict):
        raise PeerError("a node that is no object")
    return Hello(_proof(node))


def _welcome(fields: Mapping[str, object]) -> Welcome:
    _check_version(fields)
    at = fields.get("at", [])
    if not isinstance(at, list):
        raise PeerError("endpoints that are no list")
    ping, park = _number(fields.get("ping", 20), "ping"), _number(fields.get("park", 0), "park")
    return Welcome(_text(fields, "saw"), tuple(_is_text(one, "at") for one in at), ping, park, _text(fields, "contact"))


def _register(fields: Mapping[str, object]) -> Register:
    try:
        kind = Kind(_text(fields, "as"))
    except ValueError:
        raise PeerError("a registration of an unknown kind") from None
    domain = _text(fields, "name")
    if bool(domain) != (kind is Kind.DOMAIN):
        raise PeerError("a registration with a name that is no domain, or a domain without one")
    if domain and not is_domain(domain):
        raise PeerError("a registration of a domain that is none")
    instance, legacy = _text(fields, "instance"), fields.get("legacy", False)
    if not isinstance(legacy, bool) or ((instance or legacy) and kind is not Kind.NAMED):
        raise PeerError("a registration with what is only of a named one")
    return Register(_n(fields), kind, _proof(fields), domain, instance, legacy, _wanted_port(fields, kind))


def _wanted_port(fields: Mapping[str, object], kind: Kind) -> int:
    """0 for any."""
    if "port" not in fields:
        return 0
    if kind is not Kind.PORT:
        raise PeerError("a registration with a port that is not of that kind")
    port = fields["port"]
    if type(port) is not int or not 1 <= port <= 65_535:
        raise PeerError("a registration whose port is none of 1 to 65535")
    return port


def _registered(fields: Mapping[str, object]) -> Registered:
    name = _text(fields, "name")
    if name and not _NAME.match(name):
        raise PeerError("a name that has not 40 hex digits")
    return Registered(_n(fields), name, _text(fields, "at"))


def _refused(fields: Mapping[str, object]) -> Refused:
    told = _text(fields, "why")
    why = Why(told) if told in list(Why) else Why.FULL  # a later relay may say more: not now
    return Refused(_n(fields), why, _number(fields.get("retry", 0), "retry"))


def _unregister(fields: Mapping[str, object]) -> Unregister:
    return Unregister(_n(fields))


def _invite(fields: Mapping[str, object]) -> Invite:
    return Invite(_n(fields), _token(fields.get("token")), _text(fields, "from"))


def _dialback(fields: Mapping[str, object]) -> Dialback:
    port = _number(fields.get("port"), "port")
    if not may_be_dialled(port):
        raise PeerError(f"a port to be dialled that is neither {HTTPS} nor one of {LOWEST_TOLD} to 65535")
    return Dialback(port, _token(fields.get("id")))


def _dialled(fields: Mapping[str, object]) -> Dialled:
    return Dialled(_token(fields.get("id")))


def _drain(fields: Mapping[str, object]) -> Drain:
    return Drain(_number(fields.get("seconds"), "seconds"))


def _bye(fields: Mapping[str, object]) -> Bye:
    told = _text(fields, "why")
    return Bye(Leave(told) if told in list(Leave) else Leave.IDLE)


_READ: dict[str, Callable[[Mapping[str, object]], Message]] = {
    "hello": _hello,
    "welcome": _welcome,
    "register": _register,
    "registered": _registered,
    "refused": _refused,
    "unregister": _unregister,
    "invite": _invite,
    "dialback": _dialback,
    "dialled": _dialled,
    "drain": _drain,
    "bye": _bye,
}


def _check_version(fields: Mapping[str, object]) -> None:
    version = fields.get("v")
    if type(version) is not int or version != VERSION:
        raise PeerError(f"a hello whose v is not {VERSION}")


def _n(fields: Mapping[str, object]) -> int:
    return _number(fields.get("n"), "n")


def _number(value: object, what: str) -> int:
    if type(value) is not int or not 0 <= value <= MOST:
        raise PeerError(f"{what} is no number of 0 to {MOST}")
    return value


def _text(fields: Mapping[str, object], key: str) -> str:
    return _is_text(fields.get(key, ""), key)


def _is_text(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise PeerError(f"{what} is no text of {_MAX_TEXT} characters at most")
    return value


def _token(value: object) -> str:
    if not isinstance(value, str) or not _TOKEN.match(value):
        raise PeerError("a token that has not 32 hex digits")
    return value


def _tokens(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise PeerError("tokens that are no list")
    return tuple(_token(one) for one in value)


def _proof(fields: Mapping[str, object]) -> Proof:
    return Proof(_bytes(fields.get("cert")), _bytes(fields.get("sig")))


def _bytes(value: object) -> bytes:
    try:
        if isinstance(value, str) and value:
            return base64.b64decode(value.encode("ascii"), validate=True)
    except ValueError:
        pass
    raise PeerError("a proof with something that is not base64")


def _proof_fields(proof: Proof) -> dict[str, object]:
    return {"cert": _base64(proof.certificate), "sig": _base64(proof.signature)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
