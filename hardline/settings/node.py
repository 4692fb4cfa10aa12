"""The node's own file: hardline.ini → NodeSettings, or ConfigError(file, line, key, hint).

One line of a class below is one key: its name, its default and the rule that reads it.  docs/SETTINGS.md is the same
table for users.
"""

# ruff: noqa: RUF009  `setting` makes a dataclasses.field
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path

from hardline.identity import KeyHash
from hardline.routes import HTTPS, LOWEST_TOLD, Endpoint, RelayAddress
from hardline.settings import values
from hardline.settings.forwards import ForwardSection, SocksSection, check_forwards
from hardline.settings.gateway import GatewaySection, NamedSection, parse_gateway
from hardline.settings.ini import Ini, setting
from hardline.settings.peers import PeerSection, check_peers, congestion, parse_peers
from hardline.settings.units import (
    DAY,
    GB,
    HOUR,
    KB,
    MB,
    MINUTE,
    choice,
    duration,
    format_size,
    list_of,
    number,
    or_none,
    parse_yes_no,
    size,
)

_BY_NAME = {"forwards": "Forward", "named": "Gateway", "peers": "Peer"}  # the settings that are sections with names


@dataclass(frozen=True, slots=True)
class NodeSection:
    """[Node]: where things are and where we listen.  None and () are the defaults that the daemon knows."""

    servicedir: Path | None = setting(None, values.path, tabs=True)
    datadir: Path | None = setting(None, values.path, tabs=True)
    localport: int = setting(7009, number(0, 65_535))
    p2pport: int = setting(7008, number(0, 65_535))
    bind: tuple[str, ...] = setting((), list_of(values.address), many=True)
    public: tuple[Endpoint, ...] = setting((), list_of(values.endpoint), many=True)
    ip_service: str = setting("", values.web_address_or_empty)
    group: str = setting("", values.group)
    metrics: bool = setting(False, parse_yes_no)


@dataclass(frozen=True, slots=True)
class LanSection:
    """[LAN]: finding each other on the local network."""

    enabled: bool = setting(True, parse_yes_no)
    multicast: bool = setting(True, parse_yes_no)
    broadcast: bool = setting(True, parse_yes_no)
    mdns: bool = setting(True, parse_yes_no)
    computer: str | None = setting(None, values.computer)


@dataclass(frozen=True, slots=True)
class SessionSection:
    """[Session]: connections between nodes.  Durations in seconds, windows in bytes."""

    keepwarm: float = setting(10.0 * MINUTE, duration(1, 7 * DAY))
    ping_interval: float = setting(15.0, duration(1, HOUR))
    ping_timeout: float = setting(3.0, duration(0.1, 10 * MINUTE))
    stream_window: int = setting(16 * MB, size(256 * KB, GB))
    session_window: int = setting(64 * MB, size(256 * KB, 1 << 40))
    process_window: int = setting(256 * MB, size(256 * KB, 1 << 40))
    bundle: int = setting(4, number(1, 16))
    max_sessions: int = setting(1000, number(1, 1_000_000))
    max_streams: int = setting(1000, number(1, 1_000_000))
    max_streams_per_source: int = setting(1000, number(1, 1_000_000))
    max_handshakes_per_source: int = setting(16, number(1, 1_000_000))
    hello_timeout: float = setting(10.0, duration(0.1, 10 * MINUTE))
    congestion: str = setting("", congestion)


@dataclass(frozen=True, slots=True)
class DialSection:
    """[Dial]: how a host is reached.  In seconds."""

    stagger: float = setting(0.25, duration(0.01, 10))
    timeout: float = setting(10.0, duration(0.1, 10 * MINUTE))
    negative_cache: float = setting(5.0, duration(0, HOUR))


@dataclass(frozen=True, slots=True)
class DoorSection:
    """[Door]: what browsers connect to.  `idle_timeout` is None where nothing is too long; `users` "": own, where
    a person runs it."""

    head_timeout: float = setting(10.0, duration(0.1, HOUR))
    max_head: int = setting(32 * KB, size(KB, MB))
    idle_timeout: float | None = setting(None, or_none(duration(1, 365 * DAY)))
    users: str = setting("", choice("", "own", "all"))


@dataclass(frozen=True, slots=True)
class DhtSection:
    """[DHT]: finding hosts anywhere.  Port 0 is any free one."""

    enabled: bool = setting(True, parse_yes_no)
    bootstrap: tuple[Endpoint, ...] = setting(
        (Endpoint("bootstrap.jami.net", 4222),), list_of(values.endpoint), many=True
    )
    proxies: tuple[str, ...] = setting(("https://dhtproxy.jami.net",), list_of(values.web_address), many=True)
    port: int = setting(0, number(0, 65_535))
    network: int = setting(0, number(0, 2**32 - 1))
    originals: bool = setting(False, parse_yes_no)


@dataclass(frozen=True, slots=True)
class UpnpSection:
    """[UPnP]: ports that the router opens for us."""

    enabled: bool = setting(True, parse_yes_no)
    lease: float = setting(30.0 * MINUTE, duration(MINUTE, 7 * DAY))


@dataclass(frozen=True, slots=True)
class RelaySection:
    """[Relay]: being a relay for others, and being reached by those of others.  Rates in bytes per second."""

    use: tuple[RelayAddress, ...] = setting((), list_of(values.relay), many=True)
    when: str = setting("always", choice("always", "needed"))
    proxy: Endpoint | None = setting(None, values.proxy)
    punch: bool = setting(True, parse_yes_no)
    enabled: bool = setting(False, parse_yes_no)
    ports: tuple[int, ...] = setting((), list_of(number(1, 65_535)), many=True)
    allow: tuple[KeyHash | None, ...] = setting((), list_of(values.node), many=True)
    deny: tuple[KeyHash, ...] = setting((), list_of(values.denied_node), many=True)
    public_ports: range = setting(range(0), values.port_range)
    public_allow: tuple[KeyHash, ...] = setting((), list_of(values.named_node), many=True)
    domains: tuple[tuple[str, KeyHash], ...] = setting((), list_of(values.domain_of_node), many=True)
    domains_by_dns: bool = setting(False, parse_yes_no)
    dns: Endpoint | None = setting(None, values.listening)
    tlsrelay: range = setting(range(0), values.tlsrelay_ports)
    tlsrelay_keys: Path | None = setting(None, values.path, tabs=True)
    tlsrelay_host: str = setting("", values.host_or_empty)
    contact: str = setting("", values.contact)
    max_registrations: int = setting(10_000, number(1, 1_000_000))
    max_per_address: int = setting(256, number(1, 1_000_000))
    max_per_network: int = setting(1024, number(1, 1_000_000))
    max_names: int = setting(64, number(1, 10_000))
    max_pairs: int = setting(64, number(1, 100_000))
    max_pairs_per_port: int = setting(256, number(1, 100_000))
    max_pairs_per_source: int = setting(256, number(1, 100_000))
    new_pairs: int = setting(20, number(1, 10_000))
    rate: int = setting(0, size(0, 1 << 40))
    rate_per_source: int = setting(0, size(0, 1 << 40))
    rate_per_pair: int = setting(0, size(0, 1 << 40))
    monthly: int = setting(0, size(0, 1 << 60))


@dataclass(frozen=True, slots=True)
class AcmeSection:
    """[ACME]: who certifies the names of [Public] name.  `trust` None: its own certificate is checked as usual."""

    directory: str = setting("https://acme-v02.api.letsencrypt.org/directory", values.web_address)
    contact: str = setting("", values.mail_address)
    trust: Path | None = setting(None, values.path, tabs=True)


@dataclass(frozen=True, slots=True)
class LogSection:
    """[Log]: how much is said and in which form."""

    level: str = setting("info", choice("debug", "info", "warning", "error"))
    format: str = setting("text", choice("text", "json"))


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The daemon's whole file; `NodeSettings()` is what holds without one."""

    node: NodeSection = NodeSection()
    lan: LanSection = LanSection()
    session: SessionSection = SessionSection()
    dial: DialSection = DialSection()
    door: DoorSection = DoorSection()
    dht: DhtSection = DhtSection()
    upnp: UpnpSection = UpnpSection()
    relay: RelaySection = RelaySection()
    forwards: Mapping[str, ForwardSection] = field(default_factory=dict)  # by NAME
    socks: SocksSection = SocksSection()
    gateway: GatewaySection = GatewaySection()
    named: Mapping[str, NamedSection] = field(default_factory=dict)
    peers: Mapping[str, PeerSection] = field(default_factory=dict)
    acme: AcmeSection = AcmeSection()
    log: LogSection = LogSection()
    notes: tuple[str, ...] = ()


def parse_node(text: str, file: str = "") -> NodeSettings:
    """Read the daemon's file; `file` names it in messages, and relative paths start from its directory.

    Raises ConfigError for the first mistake.
    """
    ini = Ini(text, file)
    gateway, named = parse_gateway(ini)
    settings = NodeSettings(
        node=ini.section("Node", NodeSection()),
        lan=ini.section("LAN", LanSection()),
        session=ini.section("Session", SessionSection()),
        dial=ini.section("Dial", DialSection()),
        door=ini.section("Door", DoorSection()),
        dht=ini.section("DHT", DhtSection()),
        upnp=ini.section("UPnP", UpnpSection()),
        relay=ini.section("Relay", RelaySection()),
        forwards=ini.named("Forward", ForwardSection()),
        socks=ini.section("SOCKS", SocksSection()),
        gateway=gateway,
        named=named,
        peers=parse_peers(ini),
        acme=ini.section("ACME", AcmeSection()),
        log=ini.section("Log", LogSection()),
    )
    ini.refuse_the_rest()
    _check_ports(ini, settings.node)
    _check_relay(ini, settings)
    _check_gateway(ini, settings)
    _check_windows(ini, settings.session)
    _check_forwards(ini, settings)
    _check_peers(ini, settings)
    beside = Path(file).parent
    node = replace(
        settings.node,
        servicedir=settings.node.servicedir and beside / settings.node.servicedir,
        datadir=settings.node.datadir and beside / settings.node.datadir,
    )
    acme = replace(settings.acme, trust=settings.acme.trust and beside / settings.acme.trust)
    keys = settings.relay.tlsrelay_keys
    relay = replace(settings.relay, tlsrelay_keys=keys and beside / keys)
    return replace(settings, node=node, relay=relay, acme=acme, notes=tuple(ini.notes))


def changed_keys(before: NodeSettings, now: NodeSettings) -> list[str]:
    """The keys that differ, as `[Section] key`, in the order of docs/SETTINGS.md."""
    changed = []
    for section in fields(NodeSettings):
        old, new = getattr(before, section.name), getattr(now, section.name)
        if section.name == "notes" or old == new:
            continue
        if section.name in _BY_NAME:
            kind = _BY_NAME[section.name]
            changed += [f"[{kind}:{name}]" for name in {**old, **new} if old.get(name) != new.get(name)]
            continue
        title = (type(new).__doc__ or "").partition(":")[0]
        changed += [
            f"{title} {key.metadata['rule'].key or key.name}"
            for key in fields(new)
            if getattr(old, key.name) != getattr(new, key.name)
        ]
    return changed


def _check_ports(ini: Ini, node: NodeSection) -> None:
    if node.localport and node.localport == node.p2pport:
        key = "p2pport" if ini.has("Node", "p2pport") else "localport"
        ini.fail("Node", key, f"localport and p2pport are both {node.localport}, expected two different ports")
    for endpoint in node.public:
        if endpoint.port < LOWEST_TOLD and endpoint.port != HTTPS:
            why = f"of the ports below {LOWEST_TOLD} only {HTTPS} is dialled"
            ini.notes.append(f"[Node] public: visitors do not dial {endpoint}: {why}")


def _check_relay(ini: Ini, settings: NodeSettings) -> None:
    for port in settings.relay.ports:
        if port in (settings.node.localport, settings.node.p2pport):
            ini.fail("Relay", "ports", f"port {port} is used already, expected others than localport and p2pport")
    for port in (settings.node.localport, settings.node.p2pport, *settings.relay.ports):
        if port in settings.relay.public_ports:
            ini.fail("Relay", "public_ports", f"port {port} is used already, expected a range without it")
    _check_tlsrelay(ini, settings)
    if bool(settings.relay.public_ports) != bool(settings.relay.public_allow):
        ini.notes.append("[Relay] public_ports and public_allow have no effect without each other")
    names = [name for name, _ in settings.relay.domains]
    for name in names:
        if names.count(name) > 1:
            ini.fail("Relay", "domains", f"{name} stands there twice, expected one node for each name")
    relay = settings.relay
    if not relay.enabled and (relay.allow or relay.ports or relay.public_ports or relay.tlsrelay or names):
        ini.notes.append(
            "[Relay] allow, ports, public_ports, tlsrelay and domains have no effect without enabled = yes"
        )
    if settings.relay.when != "always" and not settings.relay.use:
        ini.notes.append("[Relay] when has no effect without use")
    if relay.enabled and not (relay.allow or names or relay.public_allow or relay.tlsrelay):
        ini.notes.append("[Relay] allow is empty: nobody is served; the log tells who asked")


def _check_tlsrelay(ini: Ini, settings: NodeSettings) -> None:
    relay = settings.relay
    for port in (settings.node.localport, settings.node.p2pport, *relay.ports, *relay.public_ports):
        if port in relay.tlsrelay:
            ini.fail("Relay", "tlsrelay", f"port {port} is used already, expected a range without it")
    if relay.tlsrelay and relay.tlsrelay_keys is None:
        hint = "tlsrelay_keys = the directory with ca.crt.pem, server.crt.pem and server.key.pem"
        ini.fail("Relay", "tlsrelay", "whoever could connect had a port, expected tlsrelay_keys beside it", hint=hint)
    if not relay.tlsrelay and (relay.tlsrelay_keys or relay.tlsrelay_host):
        ini.notes.append("[Relay] tlsrelay_keys and tlsrelay_host have no effect without tlsrelay")


def _check_forwards(ini: Ini, settings: NodeSettings) -> None:
    taken = {
        port: f"port {port} is hardline's own" for port in (settings.node.localport, settings.node.p2pport) if port
    }
    taken |= {port: f"port {port} is one of [Relay] ports" for port in settings.relay.ports}
    check_forwards(ini, settings.forwards, settings.socks, taken)


def _check_peers(ini: Ini, settings: NodeSettings) -> None:
    taken = {port: "hardline's own" for port in (settings.node.localport, settings.node.p2pport) if port}
    taken |= dict.fromkeys(settings.relay.ports, "one of [Relay] ports")
    listened = {one.listen: f"[Forward:{name}]" for name, one in settings.forwards.items() if one.listen}
    listened |= {settings.socks.listen: "[SOCKS]"} if settings.socks.listen else {}
    listened |= dict.fromkeys(settings.gateway.listen, "[Gateway]")
    session = settings.session
    check_peers(
        *(ini, settings.peers, taken, listened),
        windows=(session.stream_window, session.session_window, session.process_window),
    )


def _check_gateway(ini: Ini, settings: NodeSettings) -> None:
    taken = (settings.node.localport, settings.node.p2pport, *(settings.relay.ports if settings.relay.enabled else ()))
    for at in settings.gateway.listen:
        if at.port in taken:
            ini.fail("Gateway", "listen", f"port {at.port} is used already, expected another than localport, p2pport")


def _check_windows(ini: Ini, session: SessionSection) -> None:
    windows = [(key, getattr(session, key)) for key in ("stream_window", "session_window", "process_window")]
    for (small, low), (big, high) in pairwise(windows):
        if low > high:
            key = big if ini.has("Session", big) else small
            wrong = f"{small} is {format_size(low)}, expected at most {big}, which is {format_size(high)}"
            ini.fail("Session", key, wrong, f"set {small} and {big} together")
