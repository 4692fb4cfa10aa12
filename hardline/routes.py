"""Where a service might be: endpoints, candidates, and who finds and announces them, without I/O.

    Finder ──Candidate(endpoint, kind, found_by, server_name)──▶ tunnel.dialer ──▶ Attempt(candidate, took, failure)

The LAN, the memory, and later the DHT and the relays all look like a Finder; only node/node.py knows which exist.
Source: docs/PROTOCOL.md, section 7.
"""

from __future__ import annotations

import enum
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from hardline.addresses import Address, leads_to, parse, unmapped
from hardline.errors import HardlineError, PeerError
from hardline.identity import KeyHash

MAX_HOSTS = 16  # docs/PROTOCOL.md 7.3: what one list may name
MAX_VIA = 3  # relays that one list may name
REMEMBERED = "remembered"  # the finder that is this node's own memory
LOWEST_TOLD, HTTPS = 1024, 443  # docs/PROTOCOL.md 7.2: the ports that are dialled where others name them

_NAMED = "named"
_MAX_TEXT = 300  # characters of an endpoint
_HANDLE = re.compile(r"[0-9a-f]{40}\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")
_SCOPE = re.compile(r"[a-zA-Z0-9_.-]{1,32}\Z")  # a name or a number of an interface
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,62})(\.[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62})*\.?\Z")
# Resolvers read 8000, 127.1 and 0x7f.1 as addresses: nobody means them, and they hide which one it is.
_NUMBER_LAST = re.compile(r"(.*\.)?([0-9]+|0[xX][0-9a-fA-F]*)\.?\Z")


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A host name or IP address, and a TCP port.  An IPv6 address keeps its scope: `fe80::1%eth0`."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port`, `1.2.3.4:port` or `[v6]:port`.  Raises PeerError saying what is wrong."""
        host, colon, digits = text.strip().rpartition(":")
        if not colon:
            raise PeerError(f"expected host:port, not {text[:80]!r}")
        if not _PORT.match(digits) or not 1 <= int(digits) <= 65_535:
            raise PeerError(f"a port is a number from 1 to 65535, not {digits[:20]!r}")
        return cls(_checked_host(host), int(digits))

    @property
    def address(self) -> Address | None:
        """The IP address, or None for a host name."""
        return parse(self.host)

    @property
    def leads_to(self) -> Self:
        """The same with the address at which packets end up (addresses.leads_to)."""
        address = self.address
        return self if address is None else type(self)(str(leads_to(address)), self.port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class PathKind(enum.IntEnum):
    """What a path is, however it became known.  The smaller is the better one."""

    LAN = 0
    DIRECT = 1
    PUNCHED = 2
    RELAYED = 3


class Trust(enum.Enum):
    """What there is to say that a candidate leads anywhere; whose service it is, only its certificate says."""

    ANSWERED = "answered"  # seen in the own network, where it was asked alone and answered (docs/PROTOCOL.md 6.6)
    HEARD = "heard"  # seen in the own network, or somebody there who only claims to be it
    OWNER = "owner"  # the owner of this node names it
    WORKED = "worked"  # a verified connection came about over it before
    SIGNED = "signed"  # the host's own word: its hello, its record
    UNSIGNED = "unsigned"  # anybody's word


@dataclass(frozen=True, slots=True)
class FoundBy:
    """How a candidate is known: the finder's name, for people, and what its word is worth."""

    name: str
    trust: Trust

    @property
    def seen(self) -> bool:
        """There now, in the own network."""
        return self.trust in (Trust.ANSWERED, Trust.HEARD)

    @property
    def told(self) -> bool:
        """Only somebody's word for it: nobody here has seen it."""
        return self.trust in (Trust.SIGNED, Trust.UNSIGNED)


@dataclass(frozen=True, slots=True)
class Code:
    """The TLS server name is the rolling code of a UTC day (docs/PROTOCOL.md 2.3): the visitor's own day, or the one
    that the host said it has."""

    day: int | None = None


@dataclass(frozen=True, slots=True)
class Plain:
    """The TLS server name is the key hash itself, where docs/PROTOCOL.md 2.4 lets it: an original, which knows no
    other."""


@dataclass(frozen=True, slots=True)
class Handle:
    """The TLS server name is what a relay knows the host by (docs/PROTOCOL.md 9.3): 40 hex digits."""

    name: str


ServerName = Code | Plain | Handle


@dataclass(frozen=True, slots=True, order=True)
class Via:
    """A relay, and the name by which it knows a host (docs/PROTOCOL.md 9.3)."""

    endpoint: Endpoint
    name: str

    def candidate(self, found_by: FoundBy, instance: str = "") -> Candidate:
        """The way by it."""
        return Candidate(self.endpoint, PathKind.RELAYED, found_by, Handle(self.name), instance)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint that might lead to a key hash, and the server name that is said there.

    `instance` is the host that names it as its own (docs/PROTOCOL.md 4.2), "" where that is not known.
    """

    endpoint: Endpoint
    kind: PathKind
    found_by: FoundBy
    server_name: ServerName = Code()
    instance: str = field(default="", compare=False)

    @property
    def near(self) -> bool:
        """Seen in the own network, now or when it worked: whatever address it has, nobody else named it."""
        return self.kind is PathKind.LAN

    @property
    def via(self) -> str:
        """The path in one word, as status and log have it: REMEMBERED hides the kind."""
        return "REMEMBERED" if self.found_by.name == REMEMBERED else via(self.kind)


def via(kind: PathKind) -> str:
    """The kind of path under the name that status has had for it from the beginning."""
    return "RELAY" if kind is PathKind.RELAYED else kind.name


@dataclass(frozen=True, slots=True, order=True)
class RelayAddress:
    """Where a relay is, and the key hash of its node, which is no right to visit anything.

    One that is `named` is the owner's own: it may learn the names of his services.
    """

    endpoint: Endpoint
    key_hash: KeyHash
    named: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port#KEYHASH`, and ` named` behind it.  Raises PeerError, BadKeyHash."""
        words = text.split()
        named = words[1:] == [_NAMED]
        endpoint, _, key_hash = (words[0] if named or len(words) == 1 else text).partition("#")
        return cls(Endpoint.parse(endpoint), KeyHash.parse(key_hash), named)

    def __str__(self) -> str:
        return f"{self.endpoint}#{self.key_hash}{f' {_NAMED}' if self.named else ''}"


@dataclass(frozen=True, slots=True)
class Steps:
    """How long each step of a dial took, in seconds; None for one that was not finished.

    `tls` ends with the certificate judged, `hello` with the host's own.
    """

    resolve: float | None = None
    tcp: float | None = None
    tls: float | None = None
    hello: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A candidate that was tried: how long it took (seconds), in which steps, and why it failed."""

    candidate: Candidate
    took: float
    failure: str
    steps: Steps = Steps()


@dataclass(frozen=True, slots=True)
class RememberedHost:
    """What is known of a host; times in seconds since 1970."""

    title: str = ""
    wan_hosts: tuple[Endpoint, ...] = ()
    endpoint: Endpoint | None = None
    kind: PathKind | None = None
    protocol: str = ""
    first_seen: int = 0
    last_seen: int = 0
    relayed: tuple[Via, ...] = ()


class Finder(Protocol):
    """Looks for a key hash in one way; `kind` is that of the paths that it finds, None where they are of any kind."""

    name: str
    kind: PathKind | None

    def find(self, target: KeyHash) -> AsyncIterator[Candidate]:
        """Yield candidates as they are found; closing the iterator stops the work."""
        ...


class NoRoute(HardlineError):
    """Every finder finished and every candidate failed.

    `attempts` are the candidates in the order they were tried, `reasons` what each finder said
    that found none.
    """

    def __init__(self, target: KeyHash, attempts: Sequence[Attempt], reasons: Sequence[str] = ()) -> None:
        tried = f"{len(attempts)} tried" if attempts else "no candidate found"
        super().__init__(f"no route to {target.short}: {tried}")
        self.target, self.attempts, self.reasons = target, tuple(attempts), tuple(reasons)


def parse_wan_hosts(text: str) -> list[Endpoint]:
    """Read the original's `WANHosts` text: `1.2.3.4:7008,[200::1]:7008`, most wanted first.

    Entries that are no endpoint are left out, so that one bad entry never hides the good ones;
    at most MAX_HOSTS are read.
    """
    found: list[Endpoint] = []
    for part in text[: 300 * MAX_HOSTS].split(",")[: 4 * MAX_HOSTS]:
        try:
            endpoint = Endpoint.parse(part)
        except PeerError:
            continue
        if endpoint not in found:
            found.append(endpoint)
    return found[:MAX_HOSTS]


def parse_via(entries: object) -> tuple[Via, ...]:
    """Read a list of `[endpoint, name]`, most wanted first: what is none is left out, at most MAX_VIA are read."""
    found: dict[Via, None] = {}
    for entry in entries[: 4 * MAX_VIA] if isinstance(entries, list) else ():
        match entry:
            case [str(endpoint), str(name)] if len(endpoint) <= _MAX_TEXT and _HANDLE.match(name):
                try:
                    found[Via(Endpoint.parse(endpoint), name)] = None
                except PeerError:
                    continue
    return tuple(found)[:MAX_VIA]


def format_via(found: Sequence[Via]) -> list[list[str]]:
    """The list that `parse_via` reads."""
    return [[str(one.endpoint), one.name] for one in found]


def format_wan_hosts(hosts: Sequence[Endpoint]) -> str:
    """The text that `parse_wan_hosts` reads."""
    return ",".join(map(str, hosts))


def _checked_host(host: str) -> str:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    address = parse(bare)
    if address is None:
        if ":" in bare or not _HOST_NAME.match(bare) or _NUMBER_LAST.match(bare):
            raise PeerError(f"expected a host name or IP address, not {host[:80]!r}")
        return bare.lower()
    scope = getattr(address, "scope_id", None)
    if scope is not None and not _SCOPE.match(scope):
        raise PeerError(f"expected the name of an interface after %, not {scope[:40]!r}")
    return str(unmapped(address))  # one in IPv6's clothes is judged as what it is
