"""The gateway's sections of the node's own file: [Gateway] and [Gateway:NAME]; without I/O.

A name is public: it stands in DNS, in URLs and in logs, so nothing in it may tell what its label is.
"""

# ruff: noqa: RUF009  `setting` makes a dataclasses.field
from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from hardline.errors import BadKeyHash, BadLabel
from hardline.identity import Label
from hardline.routes import Endpoint
from hardline.settings import values
from hardline.settings.ini import Ini, setting
from hardline.settings.units import (
    DAY,
    HOUR,
    KB,
    MB,
    MINUTE,
    Unreadable,
    duration,
    list_of,
    number,
    parse_yes_no,
    size,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_NAMES = 200  # services of a gateway

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_HASH = re.compile(r"[0-9a-f]{40}")
_USER_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
_USER = re.compile(_USER_NAME.pattern.join("()") + r":(scrypt\$1[0-7]\$[A-Za-z0-9_-]{22}\$[A-Za-z0-9_-]{43})\Z")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may use a service: his name, and his password as hashlib's scrypt has left it."""

    name: str
    hashed: str


def is_name(text: str) -> bool:
    """Whether a service of a gateway can be called so."""
    return _NAME.match(text) is not None


def is_user_name(text: str) -> bool:
    """Whether a user can be called so."""
    return _USER_NAME.fullmatch(text) is not None


def _listen(text: str) -> Endpoint:
    found = values.endpoint(text)
    if found.address is None:
        raise Unreadable("an IP address and a port, such as 127.0.0.1:7080, 0.0.0.0:80 or [::]:80")
    return found


def _domain(text: str) -> str:
    name = text.lower().removesuffix(".")
    if len(name) > 190 or not _DOMAIN.match(name):
        raise Unreadable("names of hosts, such as example.org")
    return name


def network(text: str) -> Network:
    """An address or a network."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise Unreadable("addresses or networks, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32") from None


def user(text: str) -> User:
    """Somebody and his password."""
    found = _USER.match(text)
    if found is None:
        raise Unreadable("lines that begin with a name", hint="`hardline gateway user NAME` asks for a password")
    return User(found[1], found[2])


def _label(text: str) -> Label | None:
    if "*" in text:
        raise Unreadable("the label of one service", hint="a gateway leads to what is named, never to everything")
    name = text.strip().removeprefix("http://").partition("/")[0].partition(":")[0]
    try:
        return Label.parse(name.removesuffix(".localhost").rpartition(".")[2])
    except (BadKeyHash, BadLabel):
        raise Unreadable("the label of a service: what stands before .localhost in its URL") from None


@dataclass(frozen=True, slots=True)
class GatewaySection:
    """[Gateway]: services for plain browsers.  Times in seconds; `listen` () for no gateway."""

    listen: tuple[Endpoint, ...] = setting((), list_of(_listen), many=True)
    domain: tuple[str, ...] = setting((), list_of(_domain), many=True)
    trusted: tuple[Network, ...] = setting((), list_of(network), many=True)
    https: bool = setting(False, parse_yes_no)
    metrics: tuple[Network, ...] = setting((), list_of(network), many=True)
    access_log: bool = setting(True, parse_yes_no)
    head_timeout: float = setting(10.0, duration(0.1, HOUR))
    max_head: int = setting(32 * KB, size(KB, MB))
    keepalive: float = setting(75.0, duration(1, HOUR))
    answer_timeout: float = setting(2.0 * MINUTE, duration(1, HOUR))
    idle_timeout: float = setting(10.0 * MINUTE, duration(1, 365 * DAY))
    max_connections: int = setting(2000, number(1, 1_000_000))
    max_per_source: int = setting(200, number(1, 1_000_000))


@dataclass(frozen=True, slots=True)
class NamedSection:
    """[Gateway:NAME]: one service under its public name.  `users` and `addresses` (): everybody."""

    label: Label | None = setting(None, _label, secret=True)
    users: tuple[User, ...] = setting((), list_of(user), many=True, secret=True)
    addresses: tuple[Network, ...] = setting((), list_of(network), many=True)
    mixed: bool = setting(False, parse_yes_no)
    listed: bool = setting(True, parse_yes_no)


def parse_gateway(ini: Ini) -> tuple[GatewaySection, Mapping[str, NamedSection]]:
    """Both, the second by name.  Raises ConfigError for the first mistake."""
    gateway, named = ini.section("Gateway", GatewaySection()), ini.named("Gateway", NamedSection())
    for name, section in named.items():
        _check_name(ini, name, section)
    if len(named) > MAX_NAMES:
        ini.fail("Gateway", "", f"there are {len(named)} sections [Gateway:NAME], expected at most {MAX_NAMES}")
    if gateway.listen and not named:
        ini.notes.append("[Gateway] leads nowhere: no [Gateway:NAME] is there")
    if named and not gateway.listen:
        ini.notes.append("[Gateway:NAME] has no effect without [Gateway] listen")
    return gateway, named


def _check_name(ini: Ini, name: str, section: NamedSection) -> None:
    title = f"Gateway:{name}"
    if name == "*":
        ini.fail(title, "", "[Gateway:*] is refused: a gateway leads to what is named, never to everything")
    if not is_name(name):
        hint = "small letters, digits and dashes, at most 63: it becomes a part of a host name"
        ini.fail(title, "", f"[{title[:80]}] is no public name", hint)
    if section.label is None:
        ini.fail(title, "label", f"[{title}] has no label", "write  label =  and what stands before .localhost")
    if _HASH.search(name) or (section.label.password and section.label.password in name):
        ini.fail(title, "", "a public name has a part of its label in it", "choose another: the label is the secret")
