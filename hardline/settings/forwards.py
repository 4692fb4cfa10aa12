"""The sections of the node's own file for programs that speak no HTTP: [Forward:NAME] and [SOCKS]; without I/O."""

# ruff: noqa: RUF009  `setting` makes a dataclasses.field
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hardline.addresses import Kind, kind_of
from hardline.identity import Label
from hardline.routes import Endpoint
from hardline.settings import values
from hardline.settings.gateway import Network, network
from hardline.settings.ini import Ini, setting
from hardline.settings.units import list_of, number, parse_yes_no
from hardline.showable import as_escapes

MOST = 256  # connections at a time, unless something else is set

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ForwardSection:
    """[Forward:NAME]: a port here that leads to somebody's service, and its name for SOCKS.  Without a label there is
    none."""

    label: Label | None = setting(None, values.label, secret=True)
    listen: Endpoint | None = setting(None, values.listening)
    max_connections: int = setting(MOST, number(1, 1_000_000))
    pages: bool = setting(False, parse_yes_no)


@dataclass(frozen=True, slots=True)
class SocksSection:
    """[SOCKS]: a port here that leads to services by their names.  `clients` are whose programs may connect, besides
    this computer's."""

    listen: Endpoint | None = setting(None, values.listening)
    clients: tuple[Network, ...] = setting((), list_of(network), many=True)
    max_connections: int = setting(MOST, number(1, 1_000_000))


def check_forwards(
    ini: Ini, forwards: Mapping[str, ForwardSection], socks: SocksSection, taken: Mapping[int, str]
) -> None:
    """Raise ConfigError for the first mistake; `taken` says of ports which cannot be used, and why."""
    listened: dict[Endpoint, str] = {}
    names: set[str] = set()
    for name, forward in forwards.items():
        section = ini.section_of("Forward", name)
        if forward.label is None:
            ini.fail(section, "label", "label is missing, expected that of the service that the port leads to")
        if socks.listen is not None and name.lower() in names:
            ini.fail(
                section, "", f"[{as_escapes(section)[:80]}] has the name of another for SOCKS, where case is nothing"
            )
        names.add(name.lower())
        if forward.listen is None:
            if socks.listen is None:
                ini.fail(section, "listen", "listen is missing, expected ADDRESS:PORT, such as 127.0.0.1:2222")
            if not _NAME.match(name):
                hint = "letters, digits and dashes: it becomes a host name"
                ini.fail(section, "", f"[{as_escapes(section)[:80]}] has no port, and is no name for SOCKS", hint)
            continue
        _check_listen(ini, section, forward.listen, taken, listened)
        listened[forward.listen] = "another forward listens"
        if not _is_loopback(forward.listen):
            ini.notes.append(
                f"[{as_escapes(section)}] listen: whoever can connect to {forward.listen} reaches this service"
            )
    if socks.listen is not None:
        _check_listen(ini, "SOCKS", socks.listen, taken, listened)
        if not _is_loopback(socks.listen) and not socks.clients:
            hint = "name those who may connect:  clients = 192.168.1.0/24"
            message = (
                f"others than this computer's programs could connect to {socks.listen}, expected 127.0.0.1 or [::1]"
            )
            ini.fail("SOCKS", "listen", message, hint)
    elif socks.clients:
        ini.notes.append("[SOCKS] clients has no effect without listen")


def _check_listen(
    ini: Ini, section: str, at: Endpoint, taken: Mapping[int, str], listened: Mapping[Endpoint, str]
) -> None:
    if at.port in taken:
        ini.fail(section, "listen", f"{taken[at.port]}, expected another one")
    if at in listened:
        ini.fail(section, "listen", f"{listened[at]} on {at}, expected a port of its own")


def _is_loopback(at: Endpoint) -> bool:
    return at.address is not None and kind_of(at.address) is Kind.LOOPBACK
