"""Asking the local service: one request, and its answer while it comes.

    proxy ─▶ Origin.ask(method, target, fields, body) ─▶ a connection of its own ─▶ the local service
          ◀─ Reply: status, fields, then read(), read() … b""

What is asked goes out as it was given: no field is added, no redirect followed, no cookie remembered, nothing unpacked.
Every request has a connection of its own, which ends with its answer: whatever a service sends behind that, at once or
late, is an answer to nobody (docs/decisions/0009-own-connections.md).  So a request is sent once.  There is no time
limit on silence: streams are silent for hours.  A request's body may still be on its way when the answer comes.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from hardline.cache.caching.headfirst import HeadFirst, Interim
from hardline.cache.caching.upgraded import Handover, UpgradedEnd
from hardline.errors import ConnectionLost, HardlineError
from hardline.http.fields import Fields, first, from_raw
from hardline.routes import Endpoint
from hardline.settings.local import LocalService
from hardline.transport.resolver import Resolver
from hardline.transport.servicetls import handshakes, in_words, service_context
from hardline.transport.tcp import STAGGER, keep_alive

CONNECT_TIMEOUT = 10.0
_MAX_HEAD = 262_144
_MAX_FIELDS = 1024
_READ_BUFFER, _SPARING = 262_144, 32_768  # bytes; aiohttp stops reading when it has twice as many


class OriginDown(HardlineError):
    """There is no answer: nobody listens, nobody answers, or the connection broke before an answer began.

    Visitors read the message: it names no address of this network.  What exactly happened is the cause.
    """

    def __init__(self, message: str, *, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class _BrokenOff(aiohttp.ClientError):
    """A connection ended before an answer began."""


class Reply:
    """An answer whose body is still coming.  Whoever has it reads it to its end, or closes it."""

    def __init__(self, response: aiohttp.ClientResponse, *, sparing: bool) -> None:
        self._response, self._sparing = response, sparing
        self.status = response.status
        self.reason = (response.reason or "").encode("utf-8", "replace").decode("latin-1")
        self.fields: Fields = from_raw(response.raw_headers)

    async def read(self) -> bytes:
        """What has arrived, at least a byte; b"" at the end.  Raises ConnectionLost when it breaks off before that."""
        try:
            content = self._response.content
            return await (content.read(_SPARING) if self._sparing else content.readany())
        except (aiohttp.ClientError, HttpProcessingError, OSError) as failure:
            self.close()
            raise ConnectionLost(f"the local service broke off: {failure or type(failure).__name__}") from failure

    def close(self) -> None:
        """Be done with it; a body that has not been read to its end costs its connection."""
        self._response.close()

    def hand_over(self, end: UpgradedEnd) -> None:
        """After 101: the raw connection is `end`'s, with what has arrived already.  Raises ConnectionLost."""
        connection = self._response.connection
        if connection is None or connection.transport is None or connection.protocol is None:
            raise ConnectionLost("the local service broke off")
        connection.protocol.set_parser(Handover(end), None)
        end.take_over(connection.transport)


class Origin:
    """The local service.  Belongs to one event loop, from the first `ask` to `aclose`."""

    def __init__(self, service: LocalService, resolver: Resolver | None = None) -> None:
        self._service = service
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        method: str,
        target: str,
        fields: Fields,
        body: AsyncIterator[bytes] | None = None,
        interim: Interim | None = None,
        *,
        sparing: bool = False,
    ) -> Reply:
        """Send a request; return its answer as soon as its head is there.  `interim` hears of 1xx before that.
        `sparing` reads little ahead: many such answers may have to wait for whoever reads them.

        A body goes out with the Content-Length among `fields`, chunked without one.  Raises OriginDown.  Cancelled, the
        connection is closed.
        """
        asking = _Asking(interim or _ignore)
        _ASKING.set(asking)
        sent = None if body is None else _unless_it_breaks(body, asking)
        try:
            session = await self._opened()
            response = await session.request(
                method,
                self._url(target),
                headers=_outgoing(fields),
                data=sent,
                allow_redirects=False,
                read_bufsize=_SPARING if sparing else _READ_BUFFER,
            )
        except _BrokenOff as failure:
            why = asking.connection.failure if asking.connection is not None else ""
            raise OriginDown(f"the local service {why or 'broke off'}") from failure
        except (TimeoutError, aiohttp.ConnectionTimeoutError) as failure:
            said = f"the local service did not answer within {CONNECT_TIMEOUT:g} s"
            raise OriginDown(said, status=504) from failure
        except (aiohttp.ClientConnectorError, aiohttp.ClientSSLError) as failure:
            raise OriginDown(_why(failure)) from failure
        except aiohttp.ClientResponseError as failure:
            raise OriginDown("the local service does not speak HTTP") from failure
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            raise OriginDown("the local service cannot be asked") from failure
        if response.status == 101 and first(fields, "upgrade") is None:
            response.close()
            raise OriginDown("the local service changes to a protocol that nobody asked for")
        if asking.connection is not None:
            asking.connection.counts(response.content)
        return Reply(response, sparing=sparing)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _url(self, target: str) -> URL:
        service = self._service
        scheme = "https" if service.kind == "https" else "http"
        # aiohttp sends a target that it has as a path letter by letter, whatever stands in it.
        return URL.build(
            scheme=scheme, host=service.host or "localhost", port=service.port or None, path=target, encoded=True
        )

    async def _opened(self) -> aiohttp.ClientSession:
        secure = self._service.kind == "https"
        context = await service_context(verify=self._service.verify) if secure else None
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._connector(context),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=CONNECT_TIMEOUT, sock_read=None),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=["Accept", "Accept-Encoding", "User-Agent", "Content-Type"],
                max_line_size=_MAX_HEAD,
                max_field_size=_MAX_HEAD,
                max_headers=_MAX_FIELDS,
                read_bufsize=_READ_BUFFER,
                middlewares=[_once],
            )
        return self._session

    def _connector(self, context: ssl.SSLContext | None) -> aiohttp.BaseConnector:
        service = self._service
        if service.kind == "unix":
            return _UnixConnector(service.path, limit=0)
        resolver = self._resolver or Resolver.of_services()
        return _TLSConnector(service, resolver, context) if context else _TCPConnector(resolver)


@dataclass(slots=True)
class _Asking:
    """One sending of a request, and the connection it went over."""

    interim: Interim
    connection: HeadFirst | None = None

    def over(self, connection: Connection) -> Connection:
        # The connector's own force_close would send `Connection: close`.  Some servers (Jetty) answer that with bodies
        # that only the end of the connection ends, and one that breaks off would look whole.
        if connection.protocol is not None:
            connection.protocol.force_close()
        self.connection = HeadFirst.on(connection, self.interim)
        return connection


_ASKING: ContextVar[_Asking] = ContextVar("asking")


class _TCPConnector(aiohttp.TCPConnector):
    def __init__(self, resolver: Resolver, context: ssl.SSLContext | None = None) -> None:
        super().__init__(
            limit=0,
            resolver=_LookUps(resolver),
            use_dns_cache=False,
            happy_eyeballs_delay=STAGGER,
            socket_factory=_socket,
            ssl=True if context is None else context,
        )

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        return _ASKING.get().over(await super().connect(req, traces, timeout))


class _TLSConnector(_TCPConnector):
    def __init__(self, service: LocalService, resolver: Resolver, context: ssl.SSLContext) -> None:
        super().__init__(resolver, context)
        self._service = service

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        async with asyncio.timeout(CONNECT_TIMEOUT), handshakes(self._service):
            return await super().connect(req, traces, timeout)


class _LookUps(AbstractResolver):
    """Our look-ups, as aiohttp wants them; it has no time limit for them itself."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            found = await self._resolver.addresses(Endpoint(host, port))
        return [
            ResolveResult(
                hostname=host,
                host=one.host,
                port=port,
                family=socket.AF_INET6 if ":" in one.host else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for one in found
        ]

    async def close(self) -> None:
        """Nothing: the resolver is everybody's."""


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol = address[:3]
    raw = socket.socket(family, kind, protocol)
    raw.setblocking(False)
    keep_alive(raw)
    return raw


class _UnixConnector(aiohttp.UnixConnector):
    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        return _ASKING.get().over(await super().connect(req, traces, timeout))


async def _unless_it_breaks(body: AsyncIterator[bytes], asking: _Asking) -> AsyncIterator[bytes]:
    """`body`; when nothing can be sent any more, whatever was answered is heard before anybody learns of that.

    aiohttp takes a failure to send for the outcome of the whole request, at once.
    """
    async for data in body:
        yield data
        if asking.connection is not None and asking.connection.is_breaking:
            await asking.connection.lost.wait()
            return


def _ignore(_: int, __: Fields) -> None:
    """Nobody wants to hear of it."""


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating what broke off: it does so where something may have happened, too."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as failure:
        raise _BrokenOff(str(failure) or type(failure).__name__) from failure


def _outgoing(fields: Fields) -> CIMultiDict[str]:
    """As aiohttp takes them: lines of one field spelled alike, in UTF-8; other octets are seen as Latin-1."""
    outgoing: CIMultiDict[str] = CIMultiDict()
    spelled: dict[str, str] = {}
    for name, value in fields:
        name = spelled.setdefault(name.lower(), name)
        try:
            outgoing.add(name, value.encode("latin-1").decode())
        except UnicodeDecodeError:
            outgoing.add(name, value)
    return outgoing


def _why(failure: aiohttp.ClientError) -> str:
    said = failure.certificate_error if isinstance(failure, aiohttp.ClientConnectorCertificateError) else failure
    if isinstance(said, aiohttp.ClientConnectorError):
        said = said.os_error
    if isinstance(said, ssl.SSLError):
        return in_words(said)
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return "the local service's host name is not known"
    return "nothing listens at the local service's address"
