"""What a node says of itself: the shape of `hardline status --json` and of everything else that shows a node.

The shape is a promise to scripts: keys are added, never renamed (docs/STATUS.md, held against these classes by
tests/node/test_snapshot.py).  Times are seconds, since 1970 where they are moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Facts = Mapping[str, Json]  # what a part says of itself, as it says it

_ABSENT = {"absent": None}  # a key that is not there when it is None
_INLINE = {"inline": True}  # an object whose keys are those of the one that it is in, None: none of them


@dataclass(frozen=True, slots=True)
class Itself:
    """The node: who it is, where its things lie, the endpoints that it listens on, what the LAN is told that its
    computer is called ("" for nothing)."""

    key_hash: str
    servicedir: str
    datadir: str
    door: tuple[str, ...]
    p2p: tuple[str, ...]
    computer: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """An endpoint that others are told, and by whom it is known."""

    endpoint: str
    by: str


@dataclass(frozen=True, slots=True)
class Outside:
    """How the world reaches this node: `confirmed`, `expected` or `local`, in a sentence, and the facts."""

    state: str
    sentence: str
    endpoints: tuple[Told, ...]
    reached: tuple[str, ...]
    only_here: bool
    advice: str | None
    upnp: Facts | None
    dht: Facts | None


@dataclass(frozen=True, slots=True)
class RelayUsed:
    """A relay that this host is reached by, or would be: `idle`, `connecting`, `registered`, `refused`, `draining`,
    `not needed`."""

    endpoint: str
    key_hash: str
    state: str
    problem: str | None
    since: float
    names: int
    tested: int
    saw: str | None
    contact: str | None


@dataclass(frozen=True, slots=True)
class RelayServed:
    """What the relay of this node does; `passed` in bytes, `refused` counted by reason."""

    nodes: int
    names: int
    pairs: int
    waiting: int
    parked: int
    passed: int
    refused: Mapping[str, int]
    draining: bool
    used_up: bool
    this_month: int
    public_ports: int = 0
    tlsrelay: int = 0


@dataclass(frozen=True, slots=True)
class Relays:
    """The relays that this node uses, what kind of router they see before it, and the relay that it is."""

    used: tuple[RelayUsed, ...]
    nat: str | None
    served: RelayServed | None


@dataclass(frozen=True, slots=True)
class HttpsState:
    """A public name of a service: `waiting` for a relay, `asking` for a certificate, `serving` or `refused`.

    `until` is when the certificate ends, `again` when another attempt is made, in seconds since 1970, 0 for never;
    `account` is what this node is called by the authority; `relays` bring visitors, `refused` says which do not.
    """

    name: str
    state: str
    problem: str
    until: float
    again: float
    account: str
    relays: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offered:
    """What is known of a service that can be understood; `file` is None for one without."""

    title: str
    label: str
    url: str
    target: str
    listed: bool
    notes: tuple[str, ...]
    dht: Facts | None
    announced: str
    public: tuple[str, ...] = ()
    not_public: tuple[str, ...] = ()
    https: HttpsState | None = None
    for_invited: bool = False
    until: float | None = None


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service: `serving`, `stale` (it broke, its last good version is served), `broken`, `closed` or `paused`."""

    name: str
    state: str
    problem: str | None
    hint: str | None
    file: str | None
    offered: Offered | None = field(metadata=_INLINE)


@dataclass(frozen=True, slots=True)
class StepTimes:
    """How long each step to a host took, in seconds."""

    resolve: float | None
    tcp: float | None
    tls: float | None
    hello: float | None


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session, or a connection of hardline/1: `visiting` or `hosting`."""

    role: str
    key_hash: str
    label: str
    title: str
    protocol: str
    via: str
    kind: str | None
    found_by: str | None
    endpoint: str
    draining: bool
    streams: int
    sent: int | None
    received: int | None
    round_trip_s: float | None
    since_s: float
    instance: str | None = field(default=None, metadata=_ABSENT)
    spare: bool | None = field(default=None, metadata=_ABSENT)
    passed_over: tuple[str, ...] | None = field(default=None, metadata=_ABSENT)
    steps_s: StepTimes | None = field(default=None, metadata=_ABSENT)
    next_look_s: float | None = field(default=None, metadata=_ABSENT)
    client: str | None = field(default=None, metadata=_ABSENT)


@dataclass(frozen=True, slots=True)
class Peer:
    """A host that this node remembers."""

    key_hash: str
    title: str
    protocol: str | None
    endpoint: str | None
    via: str | None
    kind: str | None
    wan_hosts: tuple[str, ...]
    first_seen: int
    last_seen: int


@dataclass(frozen=True, slots=True)
class NamedPeer:
    """A service that the user of this computer has given a name; told to nobody else."""

    name: str
    key_hash: str
    label: str
    url: str


@dataclass(frozen=True, slots=True)
class VisitState:
    """One of the last visits, and the path that it took."""

    label: str
    key_hash: str
    status: str
    via: str | None
    kind: str | None
    found_by: str | None
    endpoint: str | None
    protocol: str | None


@dataclass(frozen=True, slots=True)
class AttemptState:
    """A candidate that was tried."""

    endpoint: str
    via: str
    kind: str
    found_by: str
    took_s: float
    failure: str


@dataclass(frozen=True, slots=True)
class Unreached:
    """A label whose last visit reached nobody: what was tried, and what was said where nothing was found."""

    label: str
    attempts: tuple[AttemptState, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForwardState:
    """A port here that leads to a service; `open` connections.  `name` is empty where a command asked for it."""

    name: str
    listen: str
    label: str
    open: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class SocksState:
    """The port here for SOCKS; `open` connections."""

    listen: str
    open: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class NamedState:
    """A service of the gateway; `requests` by the hundreds of their status, bytes `sent`, seconds that they took."""

    name: str
    label: str
    online: bool
    last_reached_s: float | None
    requests: Mapping[str, int]
    sent: int
    took_s: float


@dataclass(frozen=True, slots=True)
class AccessState:
    """One of the last requests at the gateway."""

    when: float
    client: str
    user: str | None
    key: str | None
    service: str | None
    method: str
    target: str
    status: int
    sent: int
    took_s: float


@dataclass(frozen=True, slots=True)
class GatewayState:
    """Services for plain browsers: where it listens, clients that are connected, keys that hold, and what was asked."""

    listen: tuple[str, ...]
    clients: int
    keys: int
    services: tuple[NamedState, ...]
    requests: tuple[AccessState, ...]


@dataclass(frozen=True, slots=True)
class LinkState:
    """A link that is kept warm: `up`, `down` or `asleep`; `reason` is why it is down, or was last.

    What its socket really has is None while there is no session; sizes in bytes.
    """

    name: str
    label: str
    state: str
    since: float
    reason: str | None
    attempts: int
    listen: str | None
    open: int
    streams: int
    kind: str | None
    endpoint: str | None
    round_trip_s: float | None
    ping_interval_s: float
    idle_timeout_s: float
    connect_interval_s: float
    max_streams: int
    stream_window: int
    session_window: int
    nodelay: bool | None
    send_buffer: int | None
    receive_buffer: int | None
    congestion: str | None


@dataclass(frozen=True, slots=True)
class Passed:
    """A request to a service and its answer, as `hardline inspect` has it.

    `began` is seconds since the epoch, `status` 0 where no answer came, the times are seconds since it began (None: not
    yet), and sizes those of bodies, in bytes.
    """

    number: int
    began: float
    method: str
    target: str
    status: int
    kind: str
    asked_size: int
    heard_size: int
    first_byte_s: float | None
    took_s: float | None
    replay_of: int | None
    note: str


@dataclass(frozen=True, slots=True)
class PassedWhole:
    """The same with what it said: heads as text, the beginnings of bodies in base64, `…_whole` where that is all."""

    passed: Passed
    asked_head: str
    asked_body: str
    asked_whole: bool
    heard_head: str
    heard_body: str
    heard_whole: bool


@dataclass(frozen=True, slots=True)
class PhoneOpened:
    """A door for phones: `urls` lead to it, the first one in most networks, `until` in seconds since the epoch; no
    `urls` where there is no network for it.

    `away` is the https address by which the service is found from anywhere, and `advice` what to do for one, where that
    was asked for.
    """

    title: str
    label: str
    urls: tuple[str, ...]
    until: int
    away: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What the process holds at this moment, and which engine carries its bytes; whoever looks for leaks compares two
    quiet moments."""

    tasks: Mapping[str, int]
    descriptors: int | None
    engine: str
    engine_note: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A node at one moment."""

    version: str
    pid: int
    node: Itself
    outside: Outside
    relays: Relays
    services: tuple[ServiceState, ...]
    sessions: tuple[SessionState, ...]
    peers: tuple[Peer, ...]
    visits: tuple[VisitState, ...]
    unreached: tuple[Unreached, ...]
    forwards: tuple[ForwardState, ...]
    socks: SocksState | None
    gateway: GatewayState | None
    links: tuple[LinkState, ...]
    phones: tuple[PhoneOpened, ...]
    process: ProcessState
    notes: tuple[str, ...]
    names: tuple[NamedPeer, ...] = ()


@dataclass(frozen=True, slots=True)
class LanOffer:
    """What somebody on the LAN lists; `host` is what he calls his computer, "" for nothing, and `heard_s` how many
    seconds ago that was."""

    title: str
    label: str
    url: str
    source: str
    endpoint: str
    host: str
    heard_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Match:
    """Something that is known here by what was asked for; `name` is the user's, `how` says why it is known."""

    name: str | None
    title: str
    key_hash: str
    label: str
    url: str
    how: str


@dataclass(frozen=True, slots=True)
class LetIn:
    """Somebody who may visit a service for invited visitors; `since` and `invitation` where he came by one.

    `last_visit` is when the last one that is remembered ended (seconds since 1970), by which `kind` of path, and `read`
    how many bytes he got in all of them; None where there was none.
    """

    key_hash: str
    who: str
    since: str | None
    invitation: str | None
    last_visit: float | None = None
    kind: str | None = None
    read: int | None = None


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation that nobody has used: `open` or `expired`, `until` seconds since 1970."""

    number: str
    who: str
    until: int
    state: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """An invitation to the service of that name that may still be used, `until` seconds since 1970."""

    number: str
    service: str
    who: str
    until: int


@dataclass(frozen=True, slots=True)
class Pinged:
    """An answer of a host: by which path, and how long it took, None where it speaks hardline/1, which has no pings."""

    name: str | None
    title: str
    label: str
    kind: str
    endpoint: str
    found_by: str
    round_trip_s: float | None
    steps_s: StepTimes


@dataclass(frozen=True, slots=True)
class Visitors:
    """Who may visit a service, and who was invited; without `for_invited` everybody who has its address may."""

    name: str
    for_invited: bool
    let_in: tuple[LetIn, ...]
    invited: tuple[Invited, ...]


@dataclass(frozen=True, slots=True)
class Invitation:
    """One that was just given: `link` is for whom it is for, and is kept nowhere."""

    number: str
    name: str
    title: str
    who: str
    until: int
    link: str


@dataclass(frozen=True, slots=True)
class AcceptedInvitation:
    """One that was accepted; `waits` says why its host has not seen it yet, None where it let us in."""

    label: str
    url: str
    title: str
    waits: str | None


@dataclass(frozen=True, slots=True)
class Probed:
    """Whether something `answers` where a service listens, and what it `said`: "HTTP 200", or why nothing does."""

    answers: bool
    said: str


@dataclass(frozen=True, slots=True)
class Shared:
    """What became of sharing; `already` it was, or it came `back` with the certificate that it had.

    `probed` is what answers there, None where this node does itself; `listed` and `for_invited` say who finds it, and
    who may visit.
    """

    name: str
    title: str
    target: str
    url: str
    file: str
    lists: bool
    listed: bool
    for_invited: bool
    probed: Probed | None
    until: float | None
    already: bool | None = field(default=None, metadata=_ABSENT)
    back: bool | None = field(default=None, metadata=_ABSENT)


@dataclass(frozen=True, slots=True)
class Removed:
    """A service that is shared no more; `forgotten` are the files without which its URL never comes back."""

    name: str
    file: str
    forgotten: tuple[str, ...] = ()


def to_json(value: object) -> Json:
    """The same as JSON has it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_json(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(one) for one in value]
    return to_object(value)


def to_object(row: object) -> dict[str, Json]:
    """One of the classes here as a JSON object."""
    assert is_dataclass(row), f"{type(row).__name__} has no place in a snapshot"
    found: dict[str, Json] = {}
    for one in fields(row):
        said = getattr(row, one.name)
        if "inline" in one.metadata:
            found |= {} if said is None else to_object(said)
        elif said is not None or "absent" not in one.metadata:
            found[one.name] = to_json(said)
    return found
