"""What the doctor knows when it judges: the shape of that, and the same as JSON; without I/O.

    probes, in this process ──────────────────────────────┐
    probes, in the daemon ── JSON over the socket ─ read ─┴─▶ Facts ──▶ judgements ──▶ rows

Whatever could not be found out is an Unknown with its reason.  What comes from a daemon of another version is read as
far as it is understood: what is missing has its default, what is too much is left out, and what is of another kind
makes that fact unknown.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, TypeVar

from hardline.doctor.rows import Unknown

T = TypeVar("T")
NOT_ASKED = Unknown("not asked")


@dataclass(frozen=True, slots=True)
class Daemon:
    """The hardlined that runs; `unit` is the name of its systemd unit, `manager` whose that is: "system", "user" or ""
    for none (a terminal, a container); `user` is whom it runs as."""

    version: str
    pid: int = 0
    user: str = ""
    manager: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Lingering:
    """Whether what a user has started goes on when he has logged out; `systemd` says whether it is there at all."""

    systemd: bool
    user: str
    lingers: bool


@dataclass(frozen=True, slots=True)
class Port:
    """A port that hardline needs, and who has it: `holder` is "" for itself or nobody; `setting` is where another is
    chosen, "" where none can be."""

    number: int
    protocol: str
    what: str
    holder: str = ""
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Resolving:
    """Where names below .localhost lead to: `system` by getaddrinfo, and whether `curl` comes to this computer; None
    where there is no curl.  `problem` is what the system said instead."""

    system: tuple[str, ...]
    problem: str = ""
    curl: bool | None = None


@dataclass(frozen=True, slots=True)
class Passing:
    """What the firewall of this computer does with what comes to a port: `passes` None where that cannot be told."""

    port: int
    protocol: str
    passes: bool | None


@dataclass(frozen=True, slots=True)
class Firewall:
    """The firewall that decides, "" for none; `open_it` is the command that lets everything of hardline in."""

    tool: str
    ports: tuple[Passing, ...] = ()
    open_it: str = ""


@dataclass(frozen=True, slots=True)
class Voice:
    """Speaking to all from one address of this computer: `problem` is why nothing could be sent, `heard` whether what
    was sent came back."""

    interface: str
    address: str
    problem: str = ""
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Other:
    """A node that answered on the LAN, with the title of a service of it: the `day` on its clock, UTC days since 1970;
    None where it does not say."""

    source: str
    title: str = ""
    day: int | None = None


@dataclass(frozen=True, slots=True)
class Lan:
    """What a look around the LAN gave; `off` says why there was none.  `now` is seconds since 1970 on this clock.

    `devices` are those that answered anything at all, other nodes of hardline among them; `missed` are hosts that this
    node visited in this very network, and that answer nothing now.
    """

    now: float
    off: str = ""
    voices: tuple[Voice, ...] = ()
    others: tuple[Other, ...] = ()
    devices: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    deaf: str = ""


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """A way to everywhere; `tunnel`: by an interface that only leads into another network."""

    interface: str
    router: str
    tunnel: bool


@dataclass(frozen=True, slots=True)
class Routes:
    """The default routes, the one that is used first."""

    default: tuple[DefaultRoute, ...]


@dataclass(frozen=True, slots=True)
class Hops:
    """The addresses of the first routers on the way out, "" for each that says nothing."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A node by which the DHT is entered: `resolved` says whether its name is known; what its port does with packets
    (`udp`) and with connections (`tcp`): "open", "refused", "silent" or "unreachable"."""

    endpoint: str
    resolved: bool
    udp: str = "silent"
    tcp: str = "silent"


@dataclass(frozen=True, slots=True)
class Announced:
    """What became of a service in the DHT, `age` seconds ago; `read_back`: somebody else would find it; `nowhere`: no
    address is known that could be announced."""

    title: str
    announced: bool
    read_back: bool
    problem: str = ""
    age: float = 0.0
    nowhere: bool = False


@dataclass(frozen=True, slots=True)
class Dht:
    """`used` is node, proxies or ""; `entries` are looked at only where there is no good node."""

    enabled: bool
    used: str = ""
    good: int = 0
    phase: str = ""
    reason: str = ""
    proxies: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    announced: tuple[Announced, ...] = ()


@dataclass(frozen=True, slots=True)
class DialledBack:
    """What became of having a relay connect to this computer: `came`, `silent`, or `unknown` with the reason."""

    relay: str
    result: str
    at: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Shared:
    """A service: what its file says, and whether what it leads to answers; `state` as docs/STATUS.md has it, `problem`
    and `hint` in words, `answer` why it does not ("": it does, or there is nothing to connect to)."""

    name: str
    title: str
    state: str
    target: str = ""
    problem: str = ""
    hint: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private key that others may touch, and what to do."""

    file: str
    problem: str
    do: str


@dataclass(frozen=True, slots=True)
class Keys:
    """Those that others may touch; how many keys services have, how many of them are `newer` than the last backup,
    which was made at `backed_up`, seconds since 1970, None for never."""

    open: tuple[KeyFile, ...] = ()
    services: int = 0
    newer: int = 0
    backed_up: float | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """Whether the system says that its clock is kept right by others; None where it does not tell."""

    kept: bool | None


@dataclass(frozen=True, slots=True)
class Place:
    """A directory of the node and its disk, in bytes; `problem` is why nothing could be written there."""

    what: str
    path: str
    size: int = 0
    free: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Exposed:
    """A service that others may get at too easily: `kind` is password, or directory."""

    name: str
    title: str
    kind: str
    detail: str = ""


@dataclass(slots=True)
class Facts:
    """All of them.  `status` is what docs/STATUS.md says, `installed` the version of this program."""

    installed: str
    daemon: Daemon | Unknown = NOT_ASKED
    status: Mapping[str, Any] | Unknown = NOT_ASKED
    lingering: Lingering | Unknown = NOT_ASKED
    ports: tuple[Port, ...] | Unknown = NOT_ASKED
    resolving: Resolving | Unknown = NOT_ASKED
    firewall: Firewall | Unknown = NOT_ASKED
    lan: Lan | Unknown = NOT_ASKED
    routes: Routes | Unknown = NOT_ASKED
    hops: Hops | Unknown = NOT_ASKED
    dht: Dht | Unknown = NOT_ASKED
    dialled_back: tuple[DialledBack, ...] | Unknown = NOT_ASKED
    shared: tuple[Shared, ...] | Unknown = NOT_ASKED
    keys: Keys | Unknown = NOT_ASKED
    clock: Clock | Unknown = NOT_ASKED
    places: tuple[Place, ...] | Unknown = NOT_ASKED
    exposed: tuple[Exposed, ...] | Unknown = NOT_ASKED


def written(value: object) -> Any:
    """A fact as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: written(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, tuple | list):
        return [written(one) for one in value]
    return value


def read(kind: Any, value: object) -> Any:
    """The same back: a value of `kind`, a class of this file or a tuple of one.  Raises ValueError."""
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"a list was expected, not {type(value).__name__}")
        return tuple(read(typing.get_args(kind)[0], one) for one in value)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in typing.get_args(kind):
            return None
        return read(next(one for one in typing.get_args(kind) if one is not type(None)), value)
    if is_dataclass(kind):
        return _read_object(kind, value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{kind.__name__} was expected, not {type(value).__name__}")
    return value


def _read_object(kind: Any, value: object) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"an object was expected, not {type(value).__name__}")
    kinds, found = typing.get_type_hints(kind), {}
    for one in fields(kind):
        if one.name in value:
            found[one.name] = read(kinds[one.name], value[one.name])
        elif one.default is MISSING:
            raise ValueError(f"{one.name} is missing")
    return kind(**found)
