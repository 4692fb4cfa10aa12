"""The rules that keys are read by: text → value, or Unreadable saying what was expected.

What is a number, a size, a duration or a word of a few is units.py's.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from hardline.errors import BadKeyHash, BadLabel, PeerError
from hardline.identity import FREE_TEXT_SIGNS, MAX_OWN_FREE_TEXT, KeyHash, Label, label_of
from hardline.routes import HTTPS, LOWEST_TOLD, Endpoint, RelayAddress
from hardline.settings.local import host_of
from hardline.settings.units import Unreadable
from hardline.showable import is_plain, one_line

LONGEST_COMPUTER = 60  # characters; of its bytes a text of DNS-SD has room for 255
YOUR_ADDRESS = "YOUR-PUBLIC-ADDRESS"  # what stands where this program cannot know it
_PART = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z)(?!.*\.[0-9]+\Z){_PART}(?:\.{_PART})+\Z")
_HASH = re.compile(r"[0-9a-f]{40}")
_MAIL = re.compile(r"[!-~]{1,64}@[A-Za-z0-9.-]{1,190}\Z")
_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/?#@,\[\]]+)(?::([0-9]{1,5}))?\Z")


def text(given: str) -> str:
    """As it is."""
    return given


def contact(text: str) -> str:
    """What others are told of how to reach the owner."""
    if len(text) > 200 or not is_plain(text):
        raise Unreadable("at most 200 characters that can be shown, such as a mail address")
    return text


def group(text: str) -> str:
    """A group of users of this computer."""
    if not _GROUP.fullmatch(text):
        raise Unreadable("the name of a group of this computer, such as hardline")
    return text


def computer(text: str) -> str | None:
    """What this computer is called on the network: "" for nothing, None where nothing is said."""
    if text.lower() in ("", "no"):
        return ""
    if one_line(text, LONGEST_COMPUTER) != text:
        raise Unreadable(f"no, or at most {LONGEST_COMPUTER} characters that can be shown, such as atlas")
    return text


def moment(text: str) -> float | None:
    """A day, or a time of one, here where it names no zone: as seconds since 1970; None for never."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except (ValueError, OverflowError, OSError):
        raise Unreadable("a day or a time, such as 2026-12-24 or 2026-12-24T18:00:00Z") from None


def written_moment(seconds: float) -> str:
    """The same as a file has it."""
    return datetime.fromtimestamp(math.ceil(seconds), UTC).isoformat().replace("+00:00", "Z")


def mail_address(text: str) -> str:
    """Of the owner, for who certifies; or nothing."""
    if text and not _MAIL.match(text):
        raise Unreadable("a mail address, such as ann@example.org")
    return text


def path(text: str) -> Path | None:
    """A path without ~; None for none."""
    if text.startswith("~"):
        raise Unreadable("a path without ~", hint="write the whole path, such as /home/ann/hardline")
    return Path(text) if text else None


def cache_path(text: str) -> Path | None:
    """The same, and nothing above the cache in the data directory."""
    found = path(text)
    if found is not None and not found.is_absolute() and ".." in found.parts:
        raise Unreadable("a name below cache in the data directory, or a whole path")
    return found


def file_name(text: str) -> str:
    """One in the directory; or nothing."""
    if "/" in text or text in (".", ".."):
        raise Unreadable("the name of a file in the directory, without /")
    return text


def endpoint(text: str) -> Endpoint:
    """host:port."""
    try:
        return Endpoint.parse(text)
    except PeerError:
        raise Unreadable("host:port, such as 203.0.113.9:7008 or [2001:db8::9]:7008") from None


def listening(text: str) -> Endpoint | None:
    """An address of this computer and a port to listen on there."""
    expected = Unreadable("ADDRESS:PORT, such as 127.0.0.1:2222 or [::1]:2222")
    try:
        found = Endpoint.parse(text)
    except PeerError:
        raise expected from None
    if found.address is None or not found.port:
        raise expected
    return found


def label(text: str) -> Label | None:
    """What stands before .localhost in the service's URL; the whole URL will do."""
    try:
        return label_of(text)
    except (BadKeyHash, BadLabel):
        raise Unreadable("the address of a service", hint="copy what stands before .localhost in its URL") from None


def proxy(text: str) -> Endpoint | None:
    """A web proxy, as host:port or http://host:port; None for none."""
    return endpoint(text.removeprefix("http://").removesuffix("/")) if text else None


def relay(text: str) -> RelayAddress:
    """host:port#KEYHASH."""
    hint = "`hardline relay` prints it on the computer that is the relay"
    try:
        found = RelayAddress.parse(text)
    except (PeerError, BadKeyHash):
        raise Unreadable("host:port#KEYHASH, such as relay.example:443#0123…", hint=hint) from None
    if found.endpoint.host == YOUR_ADDRESS.lower():
        raise Unreadable(f"the relay's own address in place of {YOUR_ADDRESS}")
    address = found.endpoint.address
    if address is not None and (address.is_unspecified or address.is_multicast):
        raise Unreadable("the address of a computer", hint=hint)
    if found.endpoint.port < LOWEST_TOLD and found.endpoint.port != HTTPS:
        raise Unreadable(f"a port that visitors dial: {HTTPS}, or one from {LOWEST_TOLD}", hint=hint)
    return found


def node(text: str) -> KeyHash | None:
    """The key hash of a node; None for `*`, which is every node."""
    try:
        return None if text == "*" else KeyHash.parse(text)
    except BadKeyHash:
        raise Unreadable("key hashes of nodes (40 hex digits, in `hardline status` there), or *") from None


def public_port(text: str) -> int | None:
    """A port at a relay: 0 for any, None for no."""
    match text.lower():
        case "no":
            return None
        case "yes":
            return 0
    if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65_535:
        return int(text)
    raise Unreadable("yes, no, or a port of 1 to 65535")


def port_range(text: str) -> range:
    """Ports with one name, `20000-20099`; at most 1000."""
    first, dash, last = text.partition("-")
    ends = [first.strip(), last.strip() if dash else first.strip()]
    if all(one.isascii() and one.isdigit() and len(one) <= 5 for one in ends):
        low, high = map(int, ends)
        if 1024 <= low <= high <= 65_535 and high - low < 1000:
            return range(low, high + 1)
    raise Unreadable("a range of at most 1000 ports between 1024 and 65535, such as 20000-20099")


def tlsrelay_ports(text: str) -> range:
    """A control port, and behind it as many reverse ports as public ones."""
    if len(found := port_range(text)) % 2 and len(found) > 1:
        return found
    raise Unreadable("a control port and then an even number of others, such as 12000-12200")


def denied_node(text: str) -> KeyHash:
    """The key hash of a node."""
    if (found := node(text)) is None:
        raise Unreadable("key hashes of nodes", hint="to serve nobody, leave allow empty")
    return found


def named_node(text: str) -> KeyHash:
    """The key hash of a node, each by its own."""
    if (found := node(text)) is None:
        raise Unreadable("key hashes of nodes", hint="a public port is only for nodes that are named")
    return found


def domain(text: str) -> str:
    """A name in the DNS that is public, in lower case; "" for none.  It must not tell what a label is."""
    name = text.lower().removesuffix(".")
    if name and not _DOMAIN.match(name):
        raise Unreadable(
            "a name with a dot in it, such as nas.example.org", hint="other letters are written as in the DNS: xn--…"
        )
    if _HASH.search(name):
        raise Unreadable("a name without a key hash in it", hint="the name is public, the key hash is the secret")
    return name


def domain_of_node(text: str) -> tuple[str, KeyHash]:
    """A domain, `*.` being any one label, and the node that may have it."""
    name, _, whose = text.partition(" ")
    star = "*." if name.startswith("*.") else ""
    with contextlib.suppress(Unreadable, BadKeyHash):
        if (found := domain(name.removeprefix("*."))) and found.count("."):
            return star + found, KeyHash.parse(whose.strip())
    raise Unreadable("names, each with a node's key hash behind it, such as nas.example.org 0123…")


def address(text: str) -> str:
    """An IP address, with brackets or without."""
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise Unreadable(
            "IP addresses of this machine", hint="for this machine only, write  bind = 127.0.0.1"
        ) from None


def web_address(text: str) -> str:
    """A URL of http or https."""
    try:
        parts = urlsplit(text)
        if parts.scheme in ("http", "https") and host_of(parts.hostname or "") and parts.port != 0:
            return text
    except ValueError:
        pass
    raise Unreadable("a URL that starts with http:// or https://")


def web_address_or_empty(text: str) -> str:
    """The same, or nothing."""
    return web_address(text) if text else ""


def host_header(text: str) -> str:
    """What stands in a Host header: a name or an address, perhaps with a port; or nothing."""
    if text and not _is_host(text):
        raise Unreadable(
            "a host, such as nas.lan or nas.lan:8080", hint="write it as it stands in the URL of the service"
        )
    return text


def origin(text: str) -> str:
    """A scheme, a host and perhaps a port; `keep`; or nothing."""
    scheme, _, authority = text.partition("://")
    if text and text != "keep" and not (scheme in ("http", "https") and _is_host(authority)):
        raise Unreadable("an origin, such as https://nas.lan, or keep")
    return text


def public_name(text: str) -> str:
    """A name that visitors have for a service, with or without its scheme."""
    scheme, _, authority = text.rpartition("://")
    if scheme not in ("", "http", "https") or not _is_host(authority):
        raise Unreadable("names such as nas.example.org or https://nas.example.org")
    return text


def _is_host(text: str) -> bool:
    match = _HOST.match(text)
    with contextlib.suppress(Unreadable):
        return match is not None and bool(host_of(match[1].strip("[]"))) and 0 < int(match[2] or 1) < 65_536
    return False


def host_or_empty(text: str) -> str:
    """A name or an IP address, with brackets or without, by which this computer is reached; or nothing."""
    host = text.removeprefix("[").removesuffix("]")
    if text and not (host.isascii() and _is_host(f"[{host}]" if ":" in host else host)):
        raise Unreadable("a name or an address, such as relay.example.org")
    return host


def password(text: str) -> str:
    """The free text of a label."""
    with contextlib.suppress(BadLabel):
        if len(text) <= MAX_OWN_FREE_TEXT:
            return Label.parse(f"{text}-{KeyHash(bytes(20))}").password
    raise Unreadable(
        f"at most {MAX_OWN_FREE_TEXT} {FREE_TEXT_SIGNS}, no dash and no dot",
        hint="it becomes a part of the URL; leave it empty for none",
    )
