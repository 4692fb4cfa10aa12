"""[Peer:NAME] of the node's own file: links that are kept warm; without I/O.

NAME is read by people and stands in logs, on pages and in what systemd shows, so nothing in it may tell what its label
is.  What is None holds as [Session] has it.
"""

# ruff: noqa: RUF009  `setting` makes a dataclasses.field
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from hardline.addresses import Kind, kind_of
from hardline.identity import KeyHash, Label
from hardline.routes import Endpoint
from hardline.settings import values
from hardline.settings.ini import Ini, setting
from hardline.settings.local import host_of
from hardline.settings.units import (
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
    parse_yes_no,
    size,
)
from hardline.showable import is_plain

MAX_PEERS = 100

_HASH = re.compile(r"[0-9a-f]{40}", re.IGNORECASE)
_CONGESTION = re.compile(r"[a-z0-9_-]{1,15}\Z")  # what the kernel has room for
_OF_LISTEN = ("hosts", "forwarded", "max_connections")


def congestion(text: str) -> str:
    """The name of a congestion control; "" for the kernel's own choice."""
    if text and not _CONGESTION.match(text.lower()):
        raise Unreadable("the name of a congestion control, such as bbr or cubic")
    return text.lower()


def _always_or(read: Callable[[str], float]) -> Callable[[str], float | None]:
    """A reader that takes the word `always` as well, which is None."""

    def read_or_always(text: str) -> float | None:
        if text.lower() == "always":
            return None
        try:
            return read(text)
        except Unreadable as wrong:
            raise Unreadable(f"always, or {wrong.expected}", wrong.hint) from None

    return read_or_always


def _host_name(text: str) -> str:
    if text == "*":
        return text
    try:
        return host_of(text).removesuffix(".")
    except Unreadable:
        raise Unreadable("names of hosts without port, such as app.example.org, or * for any") from None


@dataclass(frozen=True, slots=True)
class PeerSection:
    """[Peer:NAME]: a session with the host of one service, kept from the start on.  Times in seconds, sizes in bytes.

    `keepwarm` is None for always.  Buffers of 0 are as the kernel has them.
    """

    label: Label | None = setting(None, values.label, secret=True)
    address: tuple[Endpoint, ...] = setting((), list_of(values.endpoint), many=True)
    keepwarm: float | None = setting(None, _always_or(duration(1, 7 * DAY)))
    connect_interval: float = setting(5.0, duration(0.1, HOUR))
    ping_interval: float = setting(2.0, duration(0.1, HOUR))
    idle_timeout: float = setting(4.5, duration(0.2, 2 * HOUR))
    bundle: int = setting(1, number(1, 16))
    max_streams: int | None = setting(None, number(1, 1_000_000))
    stream_window: int | None = setting(None, size(256 * KB, GB))
    session_window: int | None = setting(None, size(256 * KB, 1 << 40))
    nodelay: bool = setting(True, parse_yes_no)
    send_buffer: int = setting(0, size(0, GB))
    receive_buffer: int = setting(0, size(0, GB))
    congestion: str = setting("", congestion)
    ready: str = setting("attempt", choice("attempt", "start"))
    listen: Endpoint | None = setting(None, values.listening)
    hosts: tuple[str, ...] = setting((), list_of(_host_name), many=True)
    forwarded: str = setting("no", choice("no", "append"))
    max_head: int = setting(32 * KB, size(KB, MB))
    head_timeout: float = setting(10.0, duration(0.1, HOUR))
    answer_timeout: float = setting(2.0 * MINUTE, duration(1, HOUR))
    stall_timeout: float = setting(10.0 * MINUTE, duration(1, 365 * DAY))
    max_connections: int = setting(1000, number(1, 1_000_000))


def parse_peers(ini: Ini) -> Mapping[str, PeerSection]:
    """By NAME.  Raises ConfigError for the first mistake."""
    peers, hosts = ini.named("Peer", PeerSection()), set[KeyHash]()
    for name, one in peers.items():
        _check(ini, name, one)
        assert one.label is not None, "it was checked"
        if one.label.key_hash in hosts:
            ini.fail(_title(ini, name), "label", "another [Peer:NAME] leads to the same service, expected one for each")
        hosts.add(one.label.key_hash)
    if len(peers) > MAX_PEERS:
        ini.fail(_title(ini, name), "", f"there are {len(peers)} sections [Peer:NAME], expected at most {MAX_PEERS}")
    return peers


def check_peers(
    ini: Ini,
    peers: Mapping[str, PeerSection],
    taken: Mapping[int, str],
    listened: Mapping[Endpoint, str],
    *,
    windows: tuple[int, int, int],
) -> None:
    """Raise ConfigError for the first that does not go with the rest of the file.

    `taken` says whose a port is, `listened` who listens where; `windows` are [Session]'s of a stream, a session and the
    process.
    """
    listens = dict(listened)
    for name, one in peers.items():
        title = _title(ini, name)
        _check_windows(ini, title, one, windows)
        if one.listen is None:
            continue
        if one.listen.port in taken:
            ini.fail(title, "listen", f"port {one.listen.port} is {taken[one.listen.port]}, expected another one")
        if one.listen in listens:
            ini.fail(title, "listen", f"{listens[one.listen]} listens on {one.listen}, expected a port of its own")
        listens[one.listen] = f"[{title}]"
        address = one.listen.address
        if address is None or kind_of(address) is not Kind.LOOPBACK:
            ini.notes.append(f"[{title}] listen: whoever can connect to {one.listen} reaches this service")


def _check_windows(ini: Ini, title: str, one: PeerSection, windows: tuple[int, int, int]) -> None:
    stream, session, process = windows
    all_of_it = (
        ("stream_window", one.stream_window or stream),
        ("session_window", one.session_window or session),
        ("[Session] process_window", process),
    )
    for (small, low), (big, high) in pairwise(all_of_it):
        if low > high:
            key = small if ini.has(title, small) else big
            ini.fail(title, key, f"{small} is {format_size(low)}, expected at most {big}, which is {format_size(high)}")


def _title(ini: Ini, name: str) -> str:
    return ini.section_of("Peer", name)


def _check(ini: Ini, name: str, one: PeerSection) -> None:
    title = _title(ini, name)
    if len(name) > 64 or not is_plain(name):
        ini.fail(title, "", "the name of a [Peer:NAME] has at most 64 characters that can be shown")
    if one.label is None:
        ini.fail(title, "label", "label is missing, expected that of the service that the link leads to")
    password = one.label.password
    if _HASH.search(name) or (password and password in name.lower()):
        ini.fail(title, "", "the name of a [Peer:NAME] has a part of its label in it", "choose another")
    if one.idle_timeout - one.ping_interval < 0.1:
        key = "idle_timeout" if ini.has(title, "idle_timeout") else "ping_interval"
        wrong = "idle_timeout is not longer than ping_interval, expected time for an answer between them"
        ini.fail(title, key, wrong, f"set idle_timeout to more than {one.ping_interval:g}")
    if one.listen is None and (unused := [key for key in _OF_LISTEN if ini.has(title, key)]):
        ini.notes.append(f"[{title}] {', '.join(unused)} have no effect without listen")
