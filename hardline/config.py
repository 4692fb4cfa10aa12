"""Text of a settings file → typed settings; every mistake with file, line and key.  Without I/O.

    services/NAME.ini ──parse_service──▶ ServiceSettings ┐
    hardline.ini ───────parse_node─────▶ NodeSettings    ┴─ or ConfigError(file, line, key, hint)

One line of a class below is one key: its name, its default and the rule that reads it.  docs/SETTINGS.md
is the same table for users.  A key whose part is not built yet is read and checked like any other and
leaves a sentence in `notes`.  Reading the file itself, its size and its encoding, is servicedir.read_ini's.
"""

# ruff: noqa: RUF009  `setting` makes a dataclasses.field
from __future__ import annotations

import contextlib
import ipaddress
import re
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from hardline.errors import BadLabel, PeerError
from hardline.identity import FREE_TEXT_SIGNS, MAX_OWN_FREE_TEXT, KeyHash, Label
from hardline.ini import Ini, is_control, seen, setting
from hardline.routes import HTTPS, LOWEST_TOLD, Endpoint
from hardline.showable import one_line
from hardline.units import (
    DAY,
    GB,
    HOUR,
    KB,
    MB,
    MINUTE,
    Unreadable,
    choice,
    duration,
    format_size,
    list_of,
    number,
    or_none,
    parse_yes_no,
    size,
)

MAX_FILE = 64 * KB
MAX_TITLE = 200
EVERYONE = "everyone"
MAX_SOCKET_PATH = 107  # sun_path of a unix socket, without its final NUL

_LATER = re.compile(r"(Relay|Gateway|Peer:.*\S.*|Forward:.*\S.*)\Z")


# ── the rules that keys are read by ──────────────────────────────────────────────────────────────────────────


def _text(text: str) -> str:
    return text


def _path(text: str) -> Path | None:
    if text.startswith("~"):
        raise Unreadable("a path without ~", hint="write the whole path, such as /home/ann/hardline")
    return Path(text) if text else None


def _cache_path(text: str) -> Path | None:
    path = _path(text)
    if path is not None and not path.is_absolute() and ".." in path.parts:
        raise Unreadable("a name below cache in the data directory, or a whole path")
    return path


def _endpoint(text: str) -> Endpoint:
    try:
        return Endpoint.parse(text)
    except PeerError:
        raise Unreadable("host:port, such as 203.0.113.9:7008 or [2001:db8::9]:7008") from None


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise Unreadable(
            "IP addresses of this machine", hint="for this machine only, write  bind = 127.0.0.1"
        ) from None


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        if parts.scheme in ("http", "https") and _host(parts.hostname or "") and parts.port != 0:
            return text
    except ValueError:
        pass
    raise Unreadable("a URL that starts with http:// or https://")


def _web_address_or_empty(text: str) -> str:
    return _web_address(text) if text else ""


def _password(text: str) -> str:
    with contextlib.suppress(BadLabel):
        if len(text) <= MAX_OWN_FREE_TEXT:
            return Label.parse(f"{text}-{KeyHash(bytes(20))}").password
    raise Unreadable(
        f"at most {MAX_OWN_FREE_TEXT} {FREE_TEXT_SIGNS}, no dash and no dot",
        hint="it becomes a part of the URL; leave it empty for none",
    )


def clean_title(text: str) -> str:
    """A title as people may safely see it: one line, nothing that steers it, at most MAX_TITLE characters."""
    return one_line(text, MAX_TITLE)


# ── a service: SERVICEDIR/NAME.ini ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class LocalService:
    """Where the thing itself listens.  `host` and `port` are for tcp and https, `path` is for unix."""

    kind: Literal["tcp", "unix", "https"]
    host: str = ""
    port: int = 0
    path: str = ""
    verify: bool = True

    @classmethod
    def parse(cls, text: str, port: int | None = None, verify: bool = True) -> Self:
        """Read `localhost`, `host:port`, `[::1]`, `unix:/path`, `http://host` or `https://host:port`.

        `port` stands where the text names none.  Raises Unreadable saying what was expected.
        """
        if any(is_control(letter) for letter in text):
            raise Unreadable(_SERVICE, _SERVICE_HINT)
        if text.startswith("unix:"):
            return cls("unix", path=_socket_path(text.removeprefix("unix:"), port))
        secure = False
        if "://" in text:
            secure, host, named = _web_host(text)
        else:
            host, named = _host_and_port(text)
        if port is not None and named not in (None, port):
            raise Unreadable(f"port {port}, as the key port says", hint="write the port once")
        found = named or port or (443 if secure else 80)
        return cls("https", host, found, verify=verify) if secure else cls("tcp", host, found)

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        endpoint = str(Endpoint(self.host, self.port))
        return f"https://{endpoint}" if self.kind == "https" else endpoint


@dataclass(frozen=True, slots=True)
class ServiceSection:
    """[Service]: what is offered, and under which name."""

    service: str = setting("", _text)
    port: int | None = setting(None, number(1, 65_535))
    verify: bool = setting(True, parse_yes_no)
    certfile: Path | None = setting(None, _path, tabs=True)
    password: str | None = setting(None, _password, secret=True)
    legacy: bool = setting(True, parse_yes_no)
    max_connections: int | None = setting(None, or_none(number(1, 1_000_000)))


@dataclass(frozen=True, slots=True)
class InfoSection:
    """[Info]: what people see."""

    title: str = setting("", clean_title, many=True)
    listed: bool = setting(True, parse_yes_no)


@dataclass(frozen=True, slots=True)
class AccessSection:
    """[Access]: who may find and use it."""

    use_dht: bool = setting(True, parse_yes_no, key="useDHT")
    clients: str = setting(EVERYONE, _text, many=True)


@dataclass(frozen=True, slots=True)
class CacheSection:
    """[Cache]: files, cached sites, templates.  Ages in seconds, sizes in bytes, the rate in MB per hour (0: any).

    `max_age` None: a week, for answers that have a version.
    """

    directory: Path | None = setting(None, _cache_path, tabs=True)
    max_age: float | None = setting(None, duration(0, 36_500 * DAY), key="maxAge")
    max_size: int = setting(256 * MB, size(0, 1 << 50), key="maxSize")
    download_rate_limit: int = setting(1200, number(0, 10**9), key="downloadRateLimit")
    dynamic_content: bool = setting(False, parse_yes_no, key="dynamicContent")
    allow_listing: bool = setting(False, parse_yes_no, key="allowListing")
    hidden: bool = setting(False, parse_yes_no)
    precompressed: bool = setting(False, parse_yes_no)


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """A whole service file.  `password` is None where the .hash file decides, "" where there is none.

    `target` is None for a service of files only, which has a `cache.directory`.
    """

    target: LocalService | None
    title: str
    listed: bool = True
    certfile: Path | None = None
    password: str | None = field(default=None, repr=False)
    legacy: bool = True
    max_connections: int | None = None
    access: AccessSection = AccessSection()
    cache: CacheSection = CacheSection()
    notes: tuple[str, ...] = ()

    @property
    def closed(self) -> str:
        """Why this must not be served to anybody; "" when it may."""
        if self.access.clients.lower() == EVERYONE:
            return ""
        return "not served: who may visit cannot be enforced yet"


def parse_service(text: str, file: str) -> ServiceSettings:
    """Read a service's file; `file` names it in messages, and its last part is the default title.

    Raises ConfigError for the first mistake.
    """
    ini = Ini(text, file)
    service = ini.section("Service", ServiceSection())
    info = ini.section("Info", InfoSection())
    access = ini.section("Access", AccessSection())
    cache = ini.section("Cache", CacheSection())
    ini.refuse_the_rest()

    target = None
    if service.service:
        try:
            target = LocalService.parse(service.service, service.port, service.verify)
        except Unreadable as wrong:
            ini.fail("Service", "service", seen("service", service.service, wrong), wrong.hint)
    elif not cache.directory:
        ini.fail("Service", "service", "service is missing: what should be shared?", _SERVICE_HINT)
    if (target is None or target.kind != "https") and ini.has("Service", "verify"):
        ini.notes.append("[Service] verify has no effect: the service is not https")
    if cache != CacheSection() and not cache.directory:
        ini.notes.append("[Cache] has no effect without its key directory")
    if service.max_connections is not None and (target is None or cache.directory):
        ini.notes.append("[Service] max_connections has no effect with [Cache] directory")
    name = Path(file).name.removesuffix(".ini")
    return ServiceSettings(
        target=target,
        title=info.title or clean_title(name) or "untitled",
        listed=info.listed,
        certfile=service.certfile,
        password=service.password,
        legacy=service.legacy,
        max_connections=service.max_connections,
        access=access,
        cache=cache,
        notes=tuple(ini.notes),
    )


# ── the daemon: hardline.ini ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class NodeSection:
    """[Node]: where things are and where we listen.  None and () are the defaults that the daemon knows."""

    servicedir: Path | None = setting(None, _path, tabs=True)
    datadir: Path | None = setting(None, _path, tabs=True)
    localport: int = setting(7009, number(0, 65_535))
    p2pport: int = setting(7008, number(0, 65_535))
    bind: tuple[str, ...] = setting((), list_of(_address), many=True)
    public: tuple[Endpoint, ...] = setting((), list_of(_endpoint), many=True)
    ip_service: str = setting("", _web_address_or_empty)


@dataclass(frozen=True, slots=True)
class LanSection:
    """[LAN]: finding each other on the local network."""

    enabled: bool = setting(True, parse_yes_no)
    multicast: bool = setting(True, parse_yes_no)
    broadcast: bool = setting(True, parse_yes_no)
    mdns: bool = setting(True, parse_yes_no)


@dataclass(frozen=True, slots=True)
class SessionSection:
    """[Session]: connections between nodes.  Durations in seconds, windows in bytes."""

    keepwarm: float = setting(10.0 * MINUTE, duration(0, 7 * DAY))
    ping_interval: float = setting(15.0, duration(1, HOUR))
    ping_timeout: float = setting(3.0, duration(0.1, 10 * MINUTE))
    stream_window: int = setting(16 * MB, size(256 * KB, GB))
    session_window: int = setting(64 * MB, size(256 * KB, 1 << 40))
    process_window: int = setting(256 * MB, size(256 * KB, 1 << 40))
    max_sessions: int = setting(1000, number(1, 1_000_000))
    max_streams: int = setting(1000, number(1, 1_000_000))
    max_streams_per_source: int = setting(1000, number(1, 1_000_000))
    max_handshakes_per_source: int = setting(16, number(1, 1_000_000))
    hello_timeout: float = setting(10.0, duration(0.1, 10 * MINUTE))


@dataclass(frozen=True, slots=True)
class DialSection:
    """[Dial]: how a host is reached.  In seconds."""

    stagger: float = setting(0.25, duration(0.01, 10))
    timeout: float = setting(10.0, duration(0.1, 10 * MINUTE))
    negative_cache: float = setting(5.0, duration(0, HOUR))


@dataclass(frozen=True, slots=True)
class DoorSection:
    """[Door]: what browsers connect to.  `idle_timeout` is None where nothing is too long."""

    head_timeout: float = setting(10.0, duration(0.1, HOUR))
    max_head: int = setting(32 * KB, size(KB, MB))
    idle_timeout: float | None = setting(None, or_none(duration(1, 365 * DAY)))


@dataclass(frozen=True, slots=True)
class DhtSection:
    """[DHT]: finding hosts anywhere.  Port 0 is any free one."""

    enabled: bool = setting(True, parse_yes_no)
    bootstrap: tuple[Endpoint, ...] = setting((Endpoint("bootstrap.jami.net", 4222),), list_of(_endpoint), many=True)
    proxies: tuple[str, ...] = setting(("https://dhtproxy.jami.net",), list_of(_web_address), many=True)
    port: int = setting(0, number(0, 65_535))
    network: int = setting(0, number(0, 2**32 - 1))
    originals: bool = setting(False, parse_yes_no)


@dataclass(frozen=True, slots=True)
class UpnpSection:
    """[UPnP]: ports that the router opens for us."""

    enabled: bool = setting(True, parse_yes_no)
    lease: float = setting(30.0 * MINUTE, duration(MINUTE, 7 * DAY))


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
    log: LogSection = LogSection()
    notes: tuple[str, ...] = ()


def parse_node(text: str, file: str) -> NodeSettings:
    """Read the daemon's file; `file` names it in messages, and relative paths start from its directory.

    Raises ConfigError for the first mistake.
    """
    ini = Ini(text, file)
    settings = NodeSettings(
        node=ini.section("Node", NodeSection()),
        lan=ini.section("LAN", LanSection()),
        session=ini.section("Session", SessionSection()),
        dial=ini.section("Dial", DialSection()),
        door=ini.section("Door", DoorSection()),
        dht=ini.section("DHT", DhtSection()),
        upnp=ini.section("UPnP", UpnpSection()),
        log=ini.section("Log", LogSection()),
    )
    ini.refuse_the_rest(_LATER)
    _check_ports(ini, settings.node)
    _check_windows(ini, settings.session)
    beside = Path(file).parent
    node = replace(
        settings.node,
        servicedir=settings.node.servicedir and beside / settings.node.servicedir,
        datadir=settings.node.datadir and beside / settings.node.datadir,
    )
    return replace(settings, node=node, notes=tuple(ini.notes))


def changed_keys(before: NodeSettings, now: NodeSettings) -> list[str]:
    """The keys that differ, as `[Section] key`, in the order of docs/SETTINGS.md."""
    changed = []
    for section in fields(NodeSettings):
        old, new = getattr(before, section.name), getattr(now, section.name)
        if section.name == "notes" or old == new:
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


def _check_windows(ini: Ini, session: SessionSection) -> None:
    windows = [(key, getattr(session, key)) for key in ("stream_window", "session_window", "process_window")]
    for (small, low), (big, high) in pairwise(windows):
        if low > high:
            key = big if ini.has("Session", big) else small
            wrong = f"{small} is {format_size(low)}, expected at most {big}, which is {format_size(high)}"
            ini.fail("Session", key, wrong, f"set {small} and {big} together")


# ── the spellings of a local service ─────────────────────────────────────────────────────────────────────────

_SERVICE_HINT = "for a web server on this machine, write  service = localhost  and  port = 8000"
_SERVICE = "localhost, a host name or address, unix:/path, http://host or https://host"


def _socket_path(path: str, port: int | None) -> str:
    if path.startswith("///"):
        path = path[2:]
    if not path.startswith("/") or path.startswith("//") or len(path) < 2:
        raise Unreadable("the whole path of a socket, such as unix:/run/app.sock")
    if len(path.encode(errors="replace")) > MAX_SOCKET_PATH:
        raise Unreadable(f"a path of at most {MAX_SOCKET_PATH} bytes", hint="the system allows no longer one")
    if port is not None:
        raise Unreadable("no port beside a unix socket", hint="remove the key port")
    return path


def _web_host(text: str) -> tuple[bool, str, int | None]:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Unreadable(_SERVICE, _SERVICE_HINT) from None
    if parts.scheme not in ("http", "https"):
        raise Unreadable(_SERVICE, _SERVICE_HINT)
    if "@" in parts.netloc:
        raise Unreadable("no user name or password in the URL", hint="visitors are asked by the service itself")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        hint = f"share the whole host with  service = {parts.scheme}://{parts.netloc}  and visit the path under its URL"
        raise Unreadable("no path after the host: paths cannot be mapped", hint=_short_hint(hint))
    if port == 0:
        raise Unreadable("a port from 1 to 65535")
    return parts.scheme == "https", _host(host), port


def _host_and_port(text: str) -> tuple[str, int | None]:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(bare)), None
    except ValueError:
        pass
    host, colon, digits = text.rpartition(":")
    if not colon:
        return _host(text), None
    try:
        return _host(host.removeprefix("[").removesuffix("]")), number(1, 65_535)(digits)
    except Unreadable as wrong:
        raise Unreadable(wrong.expected, wrong.hint or _SERVICE_HINT) from None


def _host(text: str) -> str:
    try:
        return Endpoint.parse(f"[{text}]:1" if ":" in text else f"{text}:1").host
    except PeerError:
        raise Unreadable(_SERVICE, _SERVICE_HINT) from None


def _short_hint(text: str) -> str:
    return text if len(text) <= 200 else "share the whole host, and visit the path under its URL"
