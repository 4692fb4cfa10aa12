"""What the two ends of a control stream say of punching, without I/O.

    host    > {"punch":{"id":1,"name":…,"you":…,"at":[…]}}     visitor > {"punch":{"id":1,"at":[…]}}
    host    > {"go":{"id":1}}         either > {"stop":{"id":1,"why":…}}         visitor > {"again":{}}

Endpoints are addresses, never names.  What a later version says besides is ignored; what could be read in two ways, or
is of the wrong type, ends the stream.  Source: docs/PROTOCOL.md, section 10.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from hardline.errors import PeerError
from hardline.routes import Endpoint
from hardline.session.messages import read, write

MOST = 8  # endpoints that are read of one list
_MOST_TOLD = 32  # that may stand in one
_MAX_TEXT = 64  # characters of an endpoint
_LARGEST = 0xFFFFFFFF
_NAME = re.compile(r"[0-9a-f]{40}\Z")


class Why(enum.StrEnum):
    """Why a try is over."""

    DONE = "done"
    TIMEOUT = "timeout"
    SYMMETRIC = "symmetric"  # the router there gives every target another port
    OFF = "off"  # it does not punch now


@dataclass(frozen=True, slots=True)
class Punch:
    """Where one side is, for try `number`: seen by the world `at`, in its own network `lan`, and `open` to everybody.

    The host's has the `name` that the visitor says on whatever connects, and where he is seen: `you`.
    """

    number: int
    at: tuple[Endpoint, ...] = ()
    lan: tuple[Endpoint, ...] = ()
    open: tuple[Endpoint, ...] = ()
    name: str = ""
    you: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Go:
    """Begin now."""

    number: int


@dataclass(frozen=True, slots=True)
class Stop:
    """It is over."""

    number: int
    why: Why = Why.TIMEOUT


@dataclass(frozen=True, slots=True)
class Again:
    """The visitor is elsewhere than before: another try makes sense."""


Message: TypeAlias = Punch | Go | Stop | Again


def encode(message: Message) -> bytes:
    """The line, with its end."""
    match message:
        case Punch(number, at, lan, also, name, you):
            said: dict[str, object] = {
                "name": name,
                "you": str(you) if you else "",
                "at": list(map(str, at)),
                "lan": list(map(str, lan)),
                "open": list(map(str, also)),
            }
            return write("punch", {"id": number} | {key: value for key, value in said.items() if value})
        case Go(number):
            return write("go", {"id": number})
        case Stop(number, why):
            return write("stop", {"id": number, "why": why})
        case Again():
            return write("again", {})


def parse(line: bytes) -> Message | None:
    """Read a line, without its end; None for a message that is not known here.  Raises PeerError."""
    kind, value = read(line)
    return understand(kind, value) if kind in KINDS else None


def understand(kind: str, value: object) -> Message:
    """Read the value of a line of one of KINDS.  Raises PeerError."""
    if not isinstance(value, dict):
        raise PeerError(f"a {kind} that is no object")
    return _READ[kind](value)


def _punch(fields: Mapping[str, object]) -> Punch:
    name, you = fields.get("name", ""), fields.get("you")
    if not isinstance(name, str) or (name and not _NAME.match(name)):
        raise PeerError("a name that has not 40 hex digits")
    at, lan, also = (_endpoints(fields.get(key, []), key) for key in ("at", "lan", "open"))
    return Punch(_number(fields), at, lan, also, name, None if you is None else _endpoint(you))


def _go(fields: Mapping[str, object]) -> Go:
    return Go(_number(fields))


def _stop(fields: Mapping[str, object]) -> Stop:
    why = fields.get("why")
    return Stop(_number(fields), Why(why) if isinstance(why, str) and why in list(Why) else Why.TIMEOUT)


def _again(fields: Mapping[str, object]) -> Again:
    return Again()


_READ: dict[str, Callable[[Mapping[str, object]], Message]] = {
    "punch": _punch,
    "go": _go,
    "stop": _stop,
    "again": _again,
}
KINDS = tuple(_READ)


def _number(fields: Mapping[str, object]) -> int:
    number = fields.get("id")
    if type(number) is not int or not 0 <= number <= _LARGEST:
        raise PeerError(f"id is no number of 0 to {_LARGEST}")
    return number


def _endpoints(value: object, what: str) -> tuple[Endpoint, ...]:
    """Those that are addresses, each once, the first MOST of them."""
    if not isinstance(value, list) or len(value) > _MOST_TOLD:
        raise PeerError(f"{what} is no list of {_MOST_TOLD} at most")
    found: Sequence[Endpoint | None] = [_endpoint(one) for one in value]
    return tuple(dict.fromkeys(one for one in found if one is not None))[:MOST]


def _endpoint(value: object) -> Endpoint | None:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise PeerError(f"an endpoint that is no text of {_MAX_TEXT} characters at most")
    try:
        endpoint = Endpoint.parse(value)
    except PeerError:
        return None
    return endpoint if endpoint.address is not None and "%" not in endpoint.host else None
