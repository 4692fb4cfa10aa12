"""A service's file: services/NAME.ini → ServiceSettings, or ConfigError(file, line, key, hint).

One line of a class below is one key: its name, its default and the rule that reads it.  docs/SETTINGS.md is the same
table for users.  Reading the file itself, its size and its encoding, is directory.read_ini's.
"""

# ruff: noqa: RUF009  `setting` makes a dataclasses.field
from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from hardline.routes import Endpoint
from hardline.settings import values
from hardline.settings.gateway import Network, User, network, user
from hardline.settings.ini import Ini, seen, setting
from hardline.settings.local import SERVICE_HINT, LocalService
from hardline.settings.units import (
    DAY,
    MB,
    Unreadable,
    choice,
    duration,
    list_of,
    number,
    or_none,
    parse_yes_no,
    size,
)
from hardline.showable import clean_title

EVERYONE, INVITED = "everyone", "invited"
UPLOADS, DROP = "yes", "drop"
PAUSED = "paused: nobody is served until  hardline resume"


@dataclass(frozen=True, slots=True)
class ServiceSection:
    """[Service]: what is offered, and under which name."""

    service: str = setting("", values.text)
    port: int | None = setting(None, number(1, 65_535))
    verify: bool = setting(True, parse_yes_no)
    certfile: Path | None = setting(None, values.path, tabs=True)
    password: str | None = setting(None, values.password, secret=True)
    legacy: bool = setting(True, parse_yes_no)
    max_connections: int | None = setting(None, or_none(number(1, 1_000_000)))
    proxy_protocol: str = setting("no", choice("no", "1", "2"))


@dataclass(frozen=True, slots=True)
class PublicSection:
    """[Public]: for everybody, without hardline.

    `port` is a TCP port at relays; None: no; 0: any port.  `name` is a domain of the owner's, by HTTPS: for `users` and
    `addresses` only, () for all; `rate` requests a second of one source, 0 for any number.
    """

    port: int | None = setting(None, values.public_port)
    relay: tuple[Endpoint, ...] = setting((), list_of(values.endpoint), many=True)
    name: str = setting("", values.domain)
    users: tuple[User, ...] = setting((), list_of(user), many=True, secret=True)
    addresses: tuple[Network, ...] = setting((), list_of(network), many=True)
    rate: int = setting(0, number(0, 1_000_000))


@dataclass(frozen=True, slots=True)
class InfoSection:
    """[Info]: what people see."""

    title: str = setting("", clean_title, many=True)
    listed: bool = setting(True, parse_yes_no)


@dataclass(frozen=True, slots=True)
class AccessSection:
    """[Access]: who may find and use it, and until when: seconds since 1970, None for ever.

    `once` is a word of the daemon's that shared it for as long as a command runs: nobody else knows it.
    """

    use_dht: bool = setting(True, parse_yes_no, key="useDHT")
    clients: str = setting(EVERYONE, values.text, many=True)
    paused: bool = setting(False, parse_yes_no)
    until: float | None = setting(None, values.moment)
    once: str = setting("", values.text)


@dataclass(frozen=True, slots=True)
class HttpSection:
    """[HTTP]: a service that goes by a name of its own.  `changes` says whether anything is set."""

    host: str = setting("", values.host_header)
    origin: str = setting("", values.origin)
    forwarded: str = setting("no", choice("no", "append", "strip"))
    names: tuple[str, ...] = setting((), list_of(values.public_name), many=True)

    @property
    def changes(self) -> bool:
        """Heads are not passed on as they come."""
        return bool(self.host or self.origin or self.forwarded != "no")


@dataclass(frozen=True, slots=True)
class CacheSection:
    """[Cache]: files, cached sites, templates.  Ages in seconds, sizes in bytes, the rate in MB per hour (0: any).

    `max_age` None: a week, for answers that have a version.
    """

    directory: Path | None = setting(None, values.cache_path, tabs=True)
    max_age: float | None = setting(None, duration(0, 36_500 * DAY), key="maxAge")
    max_size: int = setting(256 * MB, size(0, 1 << 50), key="maxSize")
    download_rate_limit: int = setting(1200, number(0, 10**9), key="downloadRateLimit")
    dynamic_content: bool = setting(False, parse_yes_no, key="dynamicContent")
    allow_listing: bool = setting(False, parse_yes_no, key="allowListing")
    hidden: bool = setting(False, parse_yes_no)
    only: str = setting("", values.file_name, tabs=True)
    precompressed: bool = setting(False, parse_yes_no)
    uploads: str = setting("no", choice("no", UPLOADS, DROP))
    max_upload: int = setting(10_000 * MB, size(1, 1 << 50), key="maxUpload")


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
    proxy_protocol: int = 0
    public_port: int | None = None
    public_relays: tuple[Endpoint, ...] = ()
    public: PublicSection = PublicSection()
    http: HttpSection = HttpSection()
    access: AccessSection = AccessSection()
    cache: CacheSection = CacheSection()
    notes: tuple[str, ...] = ()

    @property
    def closed(self) -> str:
        """Why this must not be served to anybody; "" when it may."""
        if self.access.paused:
            return PAUSED
        if self.access.clients.lower() in (EVERYONE, INVITED):
            return ""
        return f"not served: [Access] clients is {self.access.clients[:60]!r}, expected {EVERYONE} or {INVITED}"

    @property
    def for_invited(self) -> bool:
        """Whether only those may visit whom the file NAME.ini.clients names."""
        return self.access.clients.lower() == INVITED


def parse_service(text: str, file: str) -> ServiceSettings:
    """Read a service's file; `file` names it in messages, and its last part is the default title.

    Raises ConfigError for the first mistake.
    """
    ini = Ini(text, file)
    service = ini.section("Service", ServiceSection())
    info = ini.section("Info", InfoSection())
    access = ini.section("Access", AccessSection())
    http = ini.section("HTTP", HttpSection())
    cache = ini.section("Cache", CacheSection())
    public = ini.section("Public", PublicSection())
    ini.refuse_the_rest()

    target = None
    if service.service:
        try:
            target = LocalService.parse(service.service, service.port, service.verify)
        except Unreadable as wrong:
            ini.fail("Service", "service", seen("service", service.service, wrong), wrong.hint)
    elif not cache.directory:
        ini.fail("Service", "service", "service is missing: what should be shared?", SERVICE_HINT)
    if (target is None or target.kind != "https") and ini.has("Service", "verify"):
        ini.notes.append("[Service] verify has no effect: the service is not https")
    if cache != CacheSection() and not cache.directory:
        ini.notes.append("[Cache] has no effect without its key directory")
    if cache.only and (target is not None or cache.uploads != "no" or cache.dynamic_content):
        ini.fail("Cache", "only", "one file stands alone, expected no [Service] service, uploads or dynamicContent")
    if cache.uploads != "no":
        _check_uploads(ini, cache, target)
    if service.max_connections is not None and (target is None or cache.directory):
        ini.notes.append("[Service] max_connections has no effect with [Cache] directory")
    if (http != HttpSection() or service.proxy_protocol != "no") and (target is None or cache.directory):
        ini.notes.append("[HTTP] and [Service] proxy_protocol have no effect with [Cache] directory")
    if http.names and not http.changes:
        ini.notes.append("[HTTP] names has no effect without host, origin or forwarded")
    if public.port is not None and (target is None or cache.directory):
        ini.fail("Public", "port", "a public port leads to a service, expected one without [Cache] directory")
    if public.port is not None and access.clients.lower() != EVERYONE:
        ini.fail("Public", "port", f"anybody may come by a public port, expected [Access] clients = {EVERYONE}")
    if public.relay and public.port is None and not public.name:
        ini.notes.append("[Public] relay has no effect without port or name")
    if public.port is not None and service.password:
        ini.notes.append("[Service] password is not asked of those who come by [Public] port")
    _check_name(ini, public, service, access)
    name = Path(file).name.removesuffix(".ini")
    return ServiceSettings(
        target=target,
        title=info.title or clean_title(name) or "untitled",
        listed=info.listed,
        certfile=service.certfile,
        password=service.password,
        legacy=service.legacy,
        max_connections=service.max_connections,
        proxy_protocol=0 if service.proxy_protocol == "no" else int(service.proxy_protocol),
        public_port=public.port,
        public_relays=public.relay,
        public=public,
        http=_by_its_public_name(http, public.name),
        access=access,
        cache=cache,
        notes=tuple(ini.notes),
    )


def _check_uploads(ini: Ini, cache: CacheSection, target: LocalService | None) -> None:
    if not cache.directory or target is not None:
        wrong = "visitors bring files into a directory, expected one, and no [Service] service"
        ini.fail("Cache", "uploads", wrong)
    if cache.dynamic_content:
        wrong = "visitors would bring programs: templates are some, expected no dynamicContent beside it"
        ini.fail("Cache", "uploads", wrong)


def _check_name(ini: Ini, public: PublicSection, service: ServiceSection, access: AccessSection) -> None:
    if public.name and access.clients.lower() != EVERYONE and not public.users:
        wrong = f"anybody may come by a public name, expected [Access] clients = {EVERYONE}, or users here"
        ini.fail("Public", "name", wrong)
    if public.name and service.password and service.password in public.name:
        ini.fail("Public", "name", "a public name has the password in it", "choose another: the password is a secret")
    if public.name and service.password and not public.users:
        ini.notes.append("[Service] password is not asked of those who come by [Public] name")
    if not public.name and (public.users or public.addresses or public.rate):
        ini.notes.append("[Public] users, addresses and rate have no effect without name")


def _by_its_public_name(http: HttpSection, name: str) -> HttpSection:
    """Its visitors by HTTPS name it so."""
    return replace(http, names=(*http.names, f"https://{name}")) if name and http.changes else http
