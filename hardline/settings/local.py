"""Where a service itself listens, and the ways to write that.

localhost   host:8123   [::1]   unix:/run/app.sock   http://host   https://host:8443  ──▶ LocalService
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import urlsplit

from hardline.errors import PeerError
from hardline.routes import Endpoint
from hardline.settings.ini import is_control
from hardline.settings.units import Unreadable, number

MAX_SOCKET_PATH = 107  # sun_path of a unix socket, without its final NUL
SERVICE_HINT = "for a web server on this machine, write  service = localhost  and  port = 8000"
_SERVICE = "localhost, a host name or address, unix:/path, http://host or https://host"


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
            raise Unreadable(_SERVICE, SERVICE_HINT)
        if text.startswith("unix:"):
            return cls("unix", path=_socket_path(text.removeprefix("unix:"), port))
        secure = False
        if "://" in text:
            secure, host, named = _webhost_of(text)
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


def _webhost_of(text: str) -> tuple[bool, str, int | None]:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Unreadable(_SERVICE, SERVICE_HINT) from None
    if parts.scheme not in ("http", "https"):
        raise Unreadable(_SERVICE, SERVICE_HINT)
    if "@" in parts.netloc:
        raise Unreadable("no user name or password in the URL", hint="visitors are asked by the service itself")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        hint = f"share the whole host with  service = {parts.scheme}://{parts.netloc}  and visit the path under its URL"
        raise Unreadable("no path after the host: paths cannot be mapped", hint=_short_hint(hint))
    if port == 0:
        raise Unreadable("a port from 1 to 65535")
    return parts.scheme == "https", host_of(host), port


def _host_and_port(text: str) -> tuple[str, int | None]:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(bare)), None
    except ValueError:
        pass
    host, colon, digits = text.rpartition(":")
    if not colon:
        return host_of(text), None
    try:
        return host_of(host.removeprefix("[").removesuffix("]")), number(1, 65_535)(digits)
    except Unreadable as wrong:
        raise Unreadable(wrong.expected, wrong.hint or SERVICE_HINT) from None


def host_of(text: str) -> str:
    """A host name or an address.  Raises Unreadable."""
    try:
        return Endpoint.parse(f"[{text}]:1" if ":" in text else f"{text}:1").host
    except PeerError:
        raise Unreadable(_SERVICE, SERVICE_HINT) from None


def _short_hint(text: str) -> str:
    return text if len(text) <= 200 else "share the whole host, and visit the path under its URL"
