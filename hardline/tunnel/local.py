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
from typing import Protocol

from hardline.config import LocalService
from hardline.errors import ServiceFailed
from hardline.routes import Endpoint
from hardline.session.stream import Stream
from hardline.transport import tcp
from hardline.transport.descriptors import KEPT_FROM_SERVICES, scarce
from hardline.transport.tcp import TcpStream

CONNECT_TIMEOUT = 10.0

_OUR_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class LocalSite(Protocol):
    """A service that this program answers itself (hardline.cache)."""

    async def ready(self) -> None:
        """Have it open.  Raises ServiceFailed."""
        ...

    async def serve(self, stream: Stream) -> None:
        """Answer what comes on `stream` until it is over."""
        ...

    async def connect(self) -> TcpStream:
        """A socket whose other end is the site: for what is no stream."""
        ...


async def open_local(target: LocalService) -> TcpStream:
    """Connect to the local service.  Raises ServiceFailed, its kind one of the status line's."""
    if scarce(KEPT_FROM_SERVICES):
        raise ServiceFailed("limit", os.strerror(errno.EMFILE).lower())
    try:
        match target.kind:
            case "tcp":
                return await tcp.connect(Endpoint(target.host, target.port), CONNECT_TIMEOUT)
            case "unix":
                return await tcp.connect_unix(target.path, CONNECT_TIMEOUT)
            case "https":
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    return await _connect_https(target)
    except TimeoutError:
        raise ServiceFailed("timeout", f"the local service did not answer within {CONNECT_TIMEOUT:g} s") from None
    except ssl.SSLCertVerificationError as failure:
        reason = f"the local service's certificate was refused: {failure.verify_message}"
        raise ServiceFailed("unavailable", reason) from None
    except ssl.SSLError as failure:
        raise ServiceFailed("unavailable", f"the local service does not speak TLS: {failure.reason}") from None
    except socket.gaierror:
        raise ServiceFailed("unavailable", "the local service's host name is not known") from None
    except (ConnectionRefusedError, FileNotFoundError):
        raise ServiceFailed("refused", "nothing listens at the local service's address") from None
    except OSError as failure:
        kind = "limit" if failure.errno in _OUR_LIMITS else "unavailable"
        raise ServiceFailed(kind, os.strerror(failure.errno or 0).lower()) from None


async def _connect_https(target: LocalService) -> TcpStream:
    # The standard library's TLS: it checks host names against the system's authorities, which is what is wanted here.
    context = ssl.create_default_context()
    if not target.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _, stream = await asyncio.get_running_loop().create_connection(
        TcpStream, target.host, target.port, ssl=context, server_hostname=target.host
    )
    return stream
