"""A service that goes by a name of its own: what its host changes in each request and each answer, without I/O.

    GET / HTTP/1.1                        GET / HTTP/1.1
    Host: KEYHASH.localhost:7009    ──▶   Host: nas.lan
    Origin: http://KEYHASH.local…         Origin: http://nas.lan
    Location: http://nas.lan/x      ──▶   Location: http://KEYHASH.localhost:7009/x

Only what is the visitor's own name becomes the service's.  A page of the internet whose name was pointed at a visitor's
computer (DNS rebinding), and a page of another origin that sends a form, stay what they are: the service tells them
apart by Host and Origin, and goes on to.  Source: RFC 9110, sections 7.2, 10.1.3 and 10.2.2; RFC 6454; RFC 7239.
"""

from __future__ import annotations

import re
from typing import Protocol

from hardline.errors import BadKeyHash, BadLabel
from hardline.http.head import BadHead, Form, Head
from hardline.http.hosts import is_address
from hardline.identity import KeyHash, Label

APPEND, STRIP = "append", "strip"
_FOR_ALL = frozenset((b"host", b"origin", b"referer", b"forwarded"))
KEEP = "keep"

_AUTHORITY = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._~!$&'()*+;=-]+)(?::(?P<port>[0-9]{0,5}))?\Z")
_URL = re.compile(r"(?P<scheme>https?):(?P<authority>//[^/?#@\s]+)(?P<rest>(?:[/?#].*)?)\Z", re.IGNORECASE | re.DOTALL)
_PORTS = {"http": 80, "https": 443}
_PAIR = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|\"(?:[^\"\\]|\\.)*+\")"
_ELEMENT = rf"{_PAIR}(?:[ \t]*;[ \t]*{_PAIR})*+"
_FORWARDED = re.compile(rf"{_ELEMENT}(?:[ \t]*,[ \t]*{_ELEMENT})*+\Z")
_CLAIMS = ("forwarded", "x-real-ip")
_DOMAIN = re.compile(r";[ \t]*+domain[ \t]*+=[ \t]*+\.?(?P<name>[^;]*+)", re.IGNORECASE)


class Naming(Protocol):
    """How one service wants to be asked: settings.service.HttpSection.

    `host` and `origin` are what it gets, "" for what came; `names` are further ones of the visitors' for it, each with
    its scheme, or for http.
    """

    @property
    def host(self) -> str: ...
    @property
    def origin(self) -> str: ...
    @property
    def forwarded(self) -> str: ...
    @property
    def names(self) -> tuple[str, ...]: ...


class Names:
    """Which Host headers are the visitors' own names for `service`."""

    def __init__(self, service: KeyHash, naming: Naming) -> None:
        self._service = service
        self._given = {_normal(*_split(name)): _split(name)[0] for name in naming.names}

    def origin(self, host: str) -> str | None:
        """The origin that a page has which was fetched by `host`; None where that is not the service's name.

        A domain name is nobody's proof: only those are taken that the owner gave.  No page can have its own name
        point to `localhost`, or be an address.
        """
        for scheme in ("http", "https"):
            if self._given.get(_normal(scheme, host)) == scheme:
                return f"{scheme}://{host}"
        match = _AUTHORITY.match(host)
        if match is None:
            return None
        name = match["name"].lower().removesuffix(".")
        if name == "localhost" or is_address(name) or self._is_label(name):
            return f"http://{host}"
        return None

    def _is_label(self, name: str) -> bool:
        rest, _, last = name.rpartition(".")
        if last != "localhost":
            return False
        try:
            return Label.parse(rest.rpartition(".")[2]).key_hash == self._service
        except (BadKeyHash, BadLabel):
            return False


class Asked:
    """What has to be known of a request for its answer: the visitor's `origin`, None where it named another."""

    __slots__ = ("origin",)

    def __init__(self, origin: str | None) -> None:
        self.origin = origin


class VirtualHost:
    """Changes heads for one service.  `scheme` is what it speaks, which a bare `host` is prefixed with."""

    def __init__(self, service: KeyHash, naming: Naming, scheme: str) -> None:
        self._naming = naming
        self._names = Names(service, naming)
        self._origin = naming.origin
        if not self._origin and naming.host:
            self._origin = f"{scheme}://{naming.host}"
        self._keeps_origin = self._origin in ("", KEEP)
        home = f"{scheme}://{naming.host}" if self._keeps_origin else self._origin
        self._home = _normal(*_split(home)) if naming.host or not self._keeps_origin else None

    def request(self, head: Head, raw: bytes, client: str) -> tuple[bytes, Asked]:
        """`raw`, read as `head`, as the service gets it.  `client` is who asks, as RFC 7239 writes it.

        Raises BadHead for what no service is asked.
        """
        if head.form is Form.AUTHORITY:
            raise BadHead(400, "a CONNECT to a service that is no proxy")
        own = self._names.origin(head.host)
        first, *lines = raw.split(b"\r\n")[:-2]
        if head.form is Form.ABSOLUTE:
            first = f"{head.method} {head.target} HTTP/{head.version}".encode("latin-1")
        host = self._naming.host if own is not None and self._naming.host else head.host
        kept = [first, *(b"Host: " + host.encode("latin-1") for _ in (0,) if head.form is Form.ABSOLUTE)]
        for line in lines:
            name, _, value = line.partition(b":")
            match name.lower():
                case b"host":
                    if head.form is Form.ORIGIN:
                        kept.append(line if host == head.host else name + b": " + host.encode("latin-1"))
                case b"origin" | b"referer" if own is not None and not self._keeps_origin:
                    kept.append(name + b": " + self._renamed(value.strip(b" \t").decode("latin-1"), own))
                case b"connection" if _FOR_ALL.intersection(map(bytes.strip, value.lower().split(b","))):
                    # A proxy behind the service's name would drop what is said here (RFC 9110, section 7.6.1).
                    raise BadHead(400, "Connection names a field that is for whoever answers")
                case _:
                    kept.append(line)
        return b"\r\n".join([*self._claims(kept, head.host, client, own), b"", b""]), Asked(own)

    def answer(self, raw: bytes, asked: Asked) -> bytes:
        """A head of an answer to `asked`, as the visitor gets it."""
        if asked.origin is None or self._home is None:
            return raw
        lines = raw.split(b"\r\n")
        for at, line in enumerate(lines):
            name, colon, value = line.partition(b":")
            match name.lower():
                case b"location" | b"content-location" if colon:
                    lines[at] = self._back(line, name, value, asked.origin)
                case b"set-cookie" if colon:
                    lines[at] = self._of_visitor(line)
        return b"\r\n".join(lines)

    def _renamed(self, value: str, own: str) -> bytes:
        """Origin or Referer, where it is the visitor's own."""
        mine = _normal(*_split(own))
        whole = _URL.match(value)
        if whole is not None and _normal(whole["scheme"], whole["authority"][2:]) == mine:
            return (self._origin + whole["rest"]).encode("latin-1")
        return value.encode("latin-1")

    def _claims(self, lines: list[bytes], host: str, client: str, own: str | None) -> list[bytes]:
        """What the head says of whom it comes from: as the settings want it."""
        if self._naming.forwarded == STRIP:
            return [line for line in lines if not _claims(line)]
        if self._naming.forwarded != APPEND:
            return lines
        scheme = _split(own)[0] if own is not None else "http"
        named = f';host="{host}"' if _AUTHORITY.match(host) else ""
        said = f"for={client}{named};proto={scheme}"
        earlier, rest = [], []
        for line in lines:
            name, _, value = line.partition(b":")
            if name.lower() != b"forwarded":
                rest.append(line)
            elif _FORWARDED.match(text := value.strip(b" \t").decode("latin-1")):
                earlier.append(text)  # what is malformed could hide what stands behind it
        return [*rest, f"Forwarded: {', '.join([*earlier, said])}".encode("latin-1")]

    def _back(self, line: bytes, name: bytes, value: bytes, own: str) -> bytes:
        text = value.strip(b" \t").decode("latin-1")
        scheme = self._home[0] if self._home is not None else ""
        whole = _URL.match(text if not text.startswith("//") else f"{scheme}:{text}")
        if whole is None or _normal(whole["scheme"], whole["authority"][2:]) != self._home:
            return line
        return name + b": " + (own + whole["rest"]).encode("latin-1")

    def _of_visitor(self, line: bytes) -> bytes:
        """A cookie for the service's own name, or what that is below, is the visitor's name's alone."""
        name = self._home[1] if self._home is not None else ""

        def without(match: re.Match[str]) -> str:
            domain = match["name"].rstrip(" \t").lower()
            return "" if domain and (name == domain or name.endswith(f".{domain}")) else match[0]

        return _DOMAIN.sub(without, line.decode("latin-1")).encode("latin-1")


def client_of(address: str, port: int) -> str:
    """Who asks, for RFC 7239, section 6: an address with its port, or `unknown`."""
    if not is_address(address := address.partition("%")[0]):
        return "unknown"
    return f'"[{address}]:{port}"' if ":" in address else f'"{address}:{port}"'


def _split(origin: str) -> tuple[str, str]:
    scheme, _, authority = origin.partition("://")
    return (scheme.lower(), authority) if authority else ("http", origin)


def _normal(scheme: str, authority: str) -> tuple[str, str, int]:
    """For comparing: scheme, name and port; of what is none, nothing that anything else is."""
    match = _AUTHORITY.match(authority)
    if match is None:
        return scheme.lower(), authority, -1
    return scheme.lower(), match["name"].lower().removesuffix("."), int(match["port"] or _PORTS[scheme.lower()])


def _claims(line: bytes) -> bool:
    name = line.partition(b":")[0].lower().decode("latin-1").replace("_", "-")  # gateways of languages read both alike
    return name in _CLAIMS or name.startswith("x-forwarded-")
