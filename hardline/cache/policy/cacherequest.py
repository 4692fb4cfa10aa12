"""A visitor's request as a cache sees it, without I/O.

GET http://host/a?b HTTP/1.1     ──▶  method, target "/a?b", host, end-to-end fields
Transfer-Encoding: x, chunked    ──▶  Refused: two programs might read it in two ways
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from hardline.cache.policy import cachecontrol
from hardline.cache.policy.cachecontrol import Directives
from hardline.errors import PeerError
from hardline.http.fields import Fields, combined, end_to_end, first, from_raw, names_in, values, without

_CONDITIONS = frozenset(["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"])
_SHORT = frozenset(["connection", "cache-control", "pragma", "transfer-encoding", "expect", "upgrade"])  # read for each
_MOST_OPTIONS = 4096  # bytes of all these
_HOST = re.compile(r"[A-Za-z0-9._~%:\[\]-]*\Z")


class Refused(PeerError):
    """A request that is answered with `status` and nothing else."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class CacheRequest:
    """One request.  `names` are those of its fields in lower case; `upgrade` is what it wants to go on with, or ""."""

    method: str
    target: str
    host: str
    fields: Fields
    names: frozenset[str]
    directives: Directives
    upgrade: str
    expects_continue: bool

    @property
    def reads(self) -> bool:
        return self.method in ("GET", "HEAD")

    @property
    def is_conditional(self) -> bool:
        return not self.names.isdisjoint(_CONDITIONS)

    @property
    def range(self) -> str | None:
        return first(self.fields, "range") if "range" in self.names else None


def read(method: str, target: str, raw: Iterable[tuple[bytes, bytes]]) -> CacheRequest:
    """Read a request's head.  Raises Refused."""
    received = from_raw(raw)
    hosts = values(received, "host")
    if len(hosts) > 1:
        raise Refused(400, "a request has one host")
    if sum(len(value) for name, value in received if name.lower() in _SHORT) > _MOST_OPTIONS:
        raise Refused(431, "nobody has so much to say about the connection or the cache")
    host = hosts[0].strip() if hosts else ""
    if method == "CONNECT":
        raise Refused(405, "this is no proxy for other hosts")
    if not target.startswith("/"):
        target, host = _from_absolute(target)
        received = (("Host", host), *without(received, ("host",)))
    if not _HOST.match(host):
        raise Refused(400, "this is no name of a host")
    if not target.isprintable() or " " in target:
        raise Refused(400, "a target has no such characters")
    coding = combined(received, "transfer-encoding")
    if coding is not None and (coding.strip().lower() != "chunked" or first(received, "content-length") is not None):
        raise Refused(400, "how the request's body ends is not clear")
    if len(set(values(received, "content-length"))) > 1:
        raise Refused(400, "how the request's body ends is not clear")
    fields = without(end_to_end(received), ("expect", "proxy-authorization"))
    upgrade = combined(received, "upgrade") if "upgrade" in names_in(received, "connection") else None
    return CacheRequest(
        method,
        target,
        host,
        fields,
        frozenset(name.lower() for name, _ in fields),
        cachecontrol.of_request(fields),
        upgrade or "",
        "100-continue" in names_in(received, "expect"),
    )


def _from_absolute(target: str) -> tuple[str, str]:
    """`http://host/path?query` as path and host (RFC 9112, section 3.2.2)."""
    try:
        parts = urlsplit(target)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise Refused(400, "this is no target of a request")
    rest = target.partition("://")[2]
    start = min((rest.index(letter) for letter in "/?" if letter in rest), default=len(rest))
    path = rest[start:]
    return path if path.startswith("/") else f"/{path}", parts.netloc
