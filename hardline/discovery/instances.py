"""What DNS-SD says of services: names and texts, and the table of what was heard, without I/O.

    Our wiki._hardline._tcp.local.    SRV  hardline-9f2c….local. 7008      TXT  kh=LABEL v=2 host=atlas
    hardline-9f2c….local.             A, AAAA

Whatever is heard is kept apart by the machine that said it: nobody can change or push out what another one announces.
Bounded like the table of the LAN packets.  Source: docs/PROTOCOL.md, section 6.5.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hardline.discovery.lpd import clean_host, clean_title
from hardline.discovery.offers import LIFETIME as SHOWN
from hardline.discovery.offers import MAX_OFFERS, MAX_PER_SOURCE, Offer
from hardline.errors import BadKeyHash, BadLabel
from hardline.identity import KeyHash, Label
from hardline.routes import Endpoint

SERVICE_TYPE = "_hardline._tcp.local."
VERSION = 2
LIFETIME = 600.0  # seconds that what was heard is worth a try; it is shown for SHOWN seconds
MAX_NAME = 63  # bytes of UTF-8: one DNS label
MAX_SEARCHED = 64  # more instances than MAX_OFFERS: those that somebody is searching for
MAX_ADDRESSES = 8  # of one machine

_MAX_UNKNOWN = 16
_MAX_TEXT = 1300  # RFC 6763, section 6.2: more does not fit a packet
# A dot in an instance name is legal, and mDNS libraries, ours among them, still take it for the end of a label.
_DOT, _ONE_DOT_LEADER = ".", "\N{ONE DOT LEADER}"


# ── names and texts ──────────────────────────────────────────────────────────────────────────────────────────


def text_of(label: Label, host: str = "") -> bytes:
    """The TXT record of a service; `host` is what its computer is called, "" for nothing."""
    called = clean_host(host)
    pairs = [f"kh={label}", f"v={VERSION}", *([f"host={called}"] if called else [])]
    return b"".join(bytes([len(pair)]) + pair for pair in (one.encode() for one in pairs))


def host_in(text: bytes) -> str:
    """What a TXT record calls the computer, as people may see it, or ""."""
    return clean_host(_values(text).get(b"host", b"").decode("utf-8", "replace"))


def label_in(text: bytes) -> Label | None:
    """The label in a TXT record, or None where it names none, or is not for us."""
    values = _values(text)
    version = values.get(b"v", b"")
    if not version.isdigit() or len(version) > 3 or int(version) < VERSION:
        return None
    try:
        return Label.parse(values.get(b"kh", b"").decode("ascii"))
    except (UnicodeDecodeError, BadKeyHash, BadLabel):
        return None


def _values(text: bytes) -> dict[bytes, bytes]:
    """The pairs of a TXT record; none of one that fits no packet."""
    values: dict[bytes, bytes] = {}
    while 0 < len(text) <= _MAX_TEXT:
        pair, text = text[1 : 1 + text[0]], text[1 + text[0] :]
        key, _, value = pair.partition(b"=")
        values.setdefault(key.lower(), value)
    return values


def names_for(services: Iterable[tuple[Label, str]], taken: Collection[str]) -> dict[tuple[Label, str], str]:
    """An instance name for each (label, title): the title, or the next one that neither `taken` nor another one has.

    `taken` is in lower case.  The same services get the same names, in whatever order they come.
    """
    used, names = set(taken), dict[tuple[Label, str], str]()
    for label, title in sorted(services):
        for name in _variations(title):
            if name.lower() not in used:
                used.add(name.lower())
                names[label, title] = name
                break
    return names


def full_name(name: str) -> str:
    """An instance name as DNS has it."""
    return f"{name}.{SERVICE_TYPE}"


def short_name(full: str) -> str:
    """The instance name in what DNS has, or "" where it is of another type."""
    name, suffix = full[: -len(SERVICE_TYPE) - 1], full[-len(SERVICE_TYPE) - 1 :]
    return name if suffix.lower() == f".{SERVICE_TYPE}" else ""


def title_of(name: str) -> str:
    """An instance name as people may see it."""
    return clean_title(name.replace(_ONE_DOT_LEADER, _DOT)) or "untitled"


def _variations(title: str) -> Iterator[str]:
    plain = (clean_title(title) or "untitled").replace(_DOT, _ONE_DOT_LEADER)
    yield _cut(plain, MAX_NAME)
    for number in range(2, 2 + MAX_OFFERS):
        ending = f" ({number})"
        yield _cut(plain, MAX_NAME - len(ending)) + ending


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore").strip()


# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Pointer:
    """There is an instance of this name; `gone` takes that back, here and below."""

    name: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Srv:
    """SRV: an instance is at a port of a server."""

    name: str
    server: str
    port: int
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Txt:
    """TXT: what an instance says of itself."""

    name: str
    text: bytes
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """A or AAAA: a server has an address, a link-local one with its scope."""

    server: str
    address: str
    gone: bool = False


Record = Pointer | Srv | Txt | Address
Question = tuple[str, Literal["SRV", "TXT", "A", "AAAA"]]


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Instance:
    name: str
    source: str
    since: float
    seen: float
    label: Label | None = None
    server: str = ""
    port: int = 0
    host: str = ""


@dataclass(slots=True)
class _Server:
    seen: float
    addresses: list[str] = field(default_factory=list)


class Instances:
    """The table; `now` is seconds on any monotonic clock, names are compared in lower case."""

    def __init__(self) -> None:
        self._instances: dict[tuple[str, str], _Instance] = {}
        self._servers: dict[tuple[str, str], _Server] = {}

    def heard(
        self, records: Sequence[Record], source: str, now: float, wanted: Collection[KeyHash] = ()
    ) -> set[KeyHash]:
        """One packet from `source`; returns what there is news of.

        What is `wanted` finds room even where everything is full.
        """
        self._forget_old(now)
        labels = {one.name.lower(): label_in(one.text) for one in records if isinstance(one, Txt) and not one.gone}
        touched = []
        for record in records:
            if isinstance(record, Address):
                continue
            name = record.name.lower()
            label = labels.get(name)
            if record.gone or (name in labels and label is None):
                self._instances.pop((source, name), None)
            elif one := self._instance(record.name, source, now, label is not None and label.key_hash in wanted):
                one.seen = now
                touched.append(one)
                if isinstance(record, Srv):
                    one.server, one.port = record.server.lower(), record.port
                elif isinstance(record, Txt):
                    one.label, one.host = label, host_in(record.text)
        placed = self._place([record for record in records if isinstance(record, Address)], source, now)
        return {one.label.key_hash for one in (*touched, *placed) if one.label is not None}

    def names(self) -> dict[str, set[str]]:
        """Every instance name, in lower case, with the servers that claim it."""
        claimed: dict[str, set[str]] = {}
        for (_, name), instance in self._instances.items():
            if instance.server:
                claimed.setdefault(name, set()).add(instance.server)
        return claimed

    def endpoints(self, target: KeyHash, now: float) -> list[tuple[str, Endpoint]]:
        """Who says that `target` is where; who says so the longest first: lies come when somebody searches."""
        self._forget_old(now)
        about = [one for one in self._instances.values() if one.label is not None and one.label.key_hash == target]
        return [
            (one.source, endpoint)
            for one in sorted(about, key=lambda one: one.since)
            for endpoint in self._endpoints_of(one)
        ]

    def current(self, now: float) -> list[Offer]:
        """What was heard lately and is whole."""
        self._forget_old(now)
        return [
            Offer(one.label, title_of(one.name), one.source, endpoints[0], one.seen, host=one.host)
            for one in self._instances.values()
            if one.label is not None and now - one.seen < SHOWN and (endpoints := self._endpoints_of(one))
        ]

    def unknown(self) -> list[Question]:
        """What to ask to make whole what is not; some of it where it is much."""
        questions: dict[Question, None] = {}
        for one in self._instances.values():
            if len(questions) >= _MAX_UNKNOWN:
                break
            if not one.server:
                questions[full_name(one.name), "SRV"] = None
            elif not self._endpoints_of(one):
                questions[one.server, "A"] = questions[one.server, "AAAA"] = None
            if one.label is None:
                questions[full_name(one.name), "TXT"] = None
        return list(questions)

    def _instance(self, name: str, source: str, now: float, searched: bool) -> _Instance | None:
        key, more = (source, name.lower()), MAX_SEARCHED if searched else 0
        if key not in self._instances:
            of_source = sum(1 for who, _ in self._instances if who == source)
            if len(self._instances) >= MAX_OFFERS + more or of_source >= MAX_PER_SOURCE + more:
                return None
            self._instances[key] = _Instance(name, source, now, now)
        return self._instances[key]

    def _place(self, records: list[Address], source: str, now: float) -> list[_Instance]:
        """The addresses in one packet: those of a family replace what was known of it (RFC 6762, section 10.2)."""
        mine = [one for (who, _), one in self._instances.items() if who == source]
        named = {one.server for one in mine}
        said: dict[str, list[str]] = {}
        for record in records:
            if (server := record.server.lower()) in named:
                at = said.setdefault(server, [])
                if not record.gone and record.address not in at:
                    at.append(record.address)
        for server, addresses in said.items():
            families = {_is_6(address) for address in addresses}
            known = self._servers.get((source, server), _Server(now))
            kept = [address for address in known.addresses if _is_6(address) not in families]
            self._servers[source, server] = _Server(now, (addresses + kept)[:MAX_ADDRESSES])
        for key in [key for key in self._servers if key[0] == source and key[1] not in named]:
            del self._servers[key]
        return [one for one in mine if one.server in said]

    def _endpoints_of(self, one: _Instance) -> list[Endpoint]:
        server = self._servers.get((one.source, one.server))
        if server is None or not one.port:
            return []
        return [Endpoint(address, one.port) for address in server.addresses]

    def _forget_old(self, now: float) -> None:
        self._instances = {key: one for key, one in self._instances.items() if now - one.seen < LIFETIME}
        self._servers = {key: one for key, one in self._servers.items() if now - one.seen < LIFETIME}


def _is_6(address: str) -> bool:
    return ":" in address
