"""The local service behind a shared key hash: opening a connection to it, or the site that answers in its place.

Its words for what went wrong are those of the stream's status line (docs/PROTOCOL.md 5.4), and never name
addresses of this network.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Awaitable
from typing import Protocol

from hardline.errors import ServiceFailed
from hardline.routes import Endpoint
from hardline.session.stream import Stream
from hardline.settings.local import LocalService
from hardline.transport import tcp
from hardline.transport.descriptors import KEPT_FROM_SERVICES, is_one_of_the_last, scarce
from hardline.transport.resolver import Resolver
from hardline.transport.servicetls import WORDS, handshakes, in_words, service_context
from hardline.transport.tcp import TcpStream

CONNECT_TIMEOUT = 10.0

_HERE = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1", "::1": "::1"}
_OUR_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_TIMEOUT = f"the local service did not answer within {CONNECT_TIMEOUT:g} s"
_UNKNOWN_NAME = "the local service's host name is not known"
_REFUSED = "nothing listens at the local service's address"
_UNREACHABLE = "the local service cannot be reached"
_ERRNO = {
    **{
        code: os.strerror(code).lower()
        for code in (
            *_OUR_LIMITS,
            *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.ECONNRESET, errno.EPIPE),
            *(errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL, errno.EINVAL, errno.ENOTSOCK, errno.ENOTDIR),
        )
    },
    0: _UNREACHABLE,
}
# All that a stream's status says of a local service that was not reached.
DETAILS = WORDS | {_TIMEOUT, _UNKNOWN_NAME, _REFUSED, *_ERRNO.values()}


class LocalSite(Protocol):
    """A service that this program answers itself (hardline.cache)."""

    async def ready(self) -> None:
        """Have it open.  Raises ServiceFailed."""
        ...

    async def serve(self, stream: Stream) -> None:
        """Answer what comes on `stream` until it is over."""
        ...

    async def connect(self, source: str = "") -> TcpStream:
        """A socket whose other end is the site: for what is no stream, and of a visitor of that source."""
        ...


async def open_local(target: LocalService, resolver: Resolver | None = None, *, first: bytes = b"") -> TcpStream:
    """Connect to the local service, which gets `first` before all else, TLS too.

    Raises ServiceFailed, its kind one of the status line's, its detail of DETAILS.
    """
    if scarce(KEPT_FROM_SERVICES):
        raise ServiceFailed("limit", _ERRNO[errno.EMFILE])
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            match target.kind:
                case "tcp":
                    return await _greeted(tcp.connect(Endpoint(target.host, target.port), resolver=resolver), first)
                case "unix":
                    return await _greeted(tcp.connect_unix(target.path), first)
                case "https":
                    return await _connect_https(target, resolver or Resolver.of_services(), first)
    except TimeoutError:
        raise ServiceFailed("timeout", _TIMEOUT) from None
    except ssl.SSLError as failure:
        raise ServiceFailed("unavailable", in_words(failure)) from None
    except socket.gaierror:
        raise ServiceFailed("unavailable", _UNKNOWN_NAME) from None
    except (ConnectionRefusedError, FileNotFoundError):
        raise ServiceFailed("refused", _REFUSED) from None
    except OSError as failure:
        kind = "limit" if failure.errno in _OUR_LIMITS else "unavailable"
        raise ServiceFailed(kind, _ERRNO.get(failure.errno or 0, _UNREACHABLE)) from None


def open_at_once(target: LocalService) -> socket.socket | None:
    """A connection to a service on this machine that takes no time; None where it does, or does not succeed.

    Then `open_local` takes the time, or says what is wrong.
    """
    host = _HERE.get(target.host) if target.kind == "tcp" else None
    raw = tcp.connected_at_once(Endpoint(host, target.port)) if host is not None else None
    if raw is not None and is_one_of_the_last(raw.fileno(), KEPT_FROM_SERVICES):
        raw.close()
        return None
    return raw


async def _greeted(connecting: Awaitable[TcpStream], first: bytes) -> TcpStream:
    local = await connecting
    if first:
        local.transport.write(first)
    return local


async def _connect_https(target: LocalService, resolver: Resolver, first: bytes) -> TcpStream:
    context = await service_context(verify=target.verify)
    raw = await tcp.connected_socket(await resolver.addresses(Endpoint(target.host, target.port)))
    try:
        if first:
            await asyncio.get_running_loop().sock_sendall(raw, first)
        async with handshakes(target):
            _, stream = await asyncio.get_running_loop().create_connection(
                TcpStream, sock=raw, ssl=context, server_hostname=target.host
            )
    except BaseException:
        raw.close()
        raise
    return stream
