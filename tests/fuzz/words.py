"""Names, addresses, amounts and settings files: what any text may be taken for."""

from __future__ import annotations

import configparser
import contextlib
import io
import ipaddress
import re
import socket
import unicodedata
from collections.abc import Callable

from hardline.addresses import Way
from hardline.errors import BadKeyHash, BadLabel, ConfigError, PeerError
from hardline.identity import Label
from hardline.routes import MAX_HOSTS, Candidate, Endpoint, FoundBy, PathKind, Trust, format_wan_hosts, parse_wan_hosts
from hardline.settings.ini import Ini
from hardline.settings.node import parse_node
from hardline.settings.service import parse_service
from hardline.settings.units import (
    Unreadable,
    choice,
    format_duration,
    format_size,
    list_of,
    number,
    or_none,
    parse_duration,
    parse_number,
    parse_size,
    parse_yes_no,
)
from hardline.showable import clean_title
from hardline.tunnel.attempts import refusal

_BIGGEST = 1e12  # amounts beyond are no longer exact as a float
_READERS: tuple[Callable[[str], object], ...] = (
    parse_number,
    parse_yes_no,
    number(1, 65_535),
    choice("debug", "info"),
    or_none(parse_size),
    list_of(parse_duration),
)


def label(data: bytes) -> None:
    """A label is ASCII and is printed as it was read, in lower case."""
    text = data.decode("utf-8", "replace")
    try:
        found = Label.parse(text)
    except (BadKeyHash, BadLabel):
        return
    assert text.isascii()
    assert str(found) == text.lower().removeprefix("-")
    assert Label.parse(str(found)) == found


def wan_hosts(data: bytes) -> None:
    """Endpoints read as they are printed; none that is dialled leads back to this computer by its number."""
    hosts = parse_wan_hosts(data.decode("utf-8", "replace"))
    assert len(hosts) <= MAX_HOSTS
    assert len(set(hosts)) == len(hosts)
    assert parse_wan_hosts(format_wan_hosts(hosts)) == hosts
    for endpoint in hosts:
        assert Endpoint.parse(str(endpoint)) == endpoint
        assert 1 <= endpoint.port <= 65_535
        if refusal(Candidate(endpoint, PathKind.DIRECT, FoundBy("hello", Trust.SIGNED)), lambda _: Way.ROUTED) is None:
            assert not _leads_here(endpoint.host), endpoint


def endpoint(data: bytes) -> None:
    """One endpoint, or PeerError."""
    with contextlib.suppress(PeerError):
        found = Endpoint.parse(data.decode("utf-8", "replace"))
        assert Endpoint.parse(str(found)) == found


def amount(data: bytes) -> None:
    """What is read as an amount is printed so that it is read as the same."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(Unreadable):
        seconds = parse_duration(text)
        assert seconds >= 0
        assert seconds > _BIGGEST or abs(parse_duration(format_duration(seconds)) - seconds) <= 0.0005
    with contextlib.suppress(Unreadable):
        size = parse_size(text)
        assert size >= 0
        assert size > _BIGGEST or parse_size(format_size(size)) == size
    for read in _READERS:
        with contextlib.suppress(Unreadable):
            read(text)


def ini(data: bytes) -> None:
    """The library's own parser reads the same sections and keys, and each is where its line number says."""
    text = data.decode("utf-8", "replace")
    lines = list(io.StringIO(text.removeprefix("\ufeff"), newline=None))
    try:
        found = Ini(text, "some.ini")
    except ConfigError as wrong:
        _check_message(wrong, len(lines))
        return
    plain = configparser.RawConfigParser(strict=True, default_section="", empty_lines_in_values=False)
    plain.read_file(lines)
    for section in plain.sections():
        assert f"[{section}]" in lines[_line_of(found, section, "") - 1]
        for key in plain[section]:
            assert found.has(section, key)
            assert re.split("[=:]", lines[_line_of(found, section, key) - 1].strip())[0].rstrip().lower() == key


def service_file(data: bytes) -> None:
    """Settings, or one ConfigError that can be shown on a terminal."""
    text = data.decode("utf-8", "replace")
    try:
        settings = parse_service(text, "services/wiki.ini")
    except ConfigError as wrong:
        _check_message(wrong, text.count("\n") + text.count("\r") + 1)
        return
    assert settings.title == clean_title(settings.title) != ""
    assert settings.target.kind == "unix" or 1 <= settings.target.port <= 65_535
    assert not any(map(_has_control, settings.notes))


def node_file(data: bytes) -> None:
    """As `service_file`."""
    text = data.decode("utf-8", "replace")
    try:
        settings = parse_node(text, "etc/hardline.ini")
    except ConfigError as wrong:
        _check_message(wrong, text.count("\n") + text.count("\r") + 1)
        return
    session = settings.session
    assert session.stream_window <= session.session_window <= session.process_window
    assert not any(map(_has_control, settings.notes))


def _leads_here(host: str) -> bool:
    """What the system's resolver takes for a number of this computer, without asking anybody."""
    try:
        found = socket.getaddrinfo(host, 1, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return False
    for entry in found:
        address = ipaddress.ip_address(str(entry[4][0]).partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        address = mapped or address
        if address.is_loopback or address.is_unspecified or address.is_multicast:
            return True
    return False


def _line_of(found: Ini, section: str, key: str) -> int:
    try:
        found.fail(section, key, "told")
    except ConfigError as told:
        return told.line


def _check_message(wrong: ConfigError, lines: int) -> None:
    assert 0 <= wrong.line <= lines
    assert len(wrong.message) + len(wrong.hint) < 1000
    assert not _has_control(wrong.message)
    assert not _has_control(wrong.hint)


def _has_control(text: str) -> bool:
    return any(unicodedata.category(letter) == "Cc" for letter in text)
