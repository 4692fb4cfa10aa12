"""TCP (or a Unix socket, or a library's TLS transport) as a ByteStream.

    kernel ──▶ get_buffer / buffer_updated ──▶ Inbox ──▶ receive()
    kernel ◀── transport.write ◀────────────────────── send()

A TcpStream can hand its socket over to another protocol of the event loop (TLS, or a yamux stream that
it is joined with): what had been read and not taken goes with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import cast

from hardline.errors import ConnectionLost, afresh
from hardline.routes import Endpoint
from hardline.streams import DEFAULT_RECEIVE
from hardline.transport.inbox import Inbox

# One buffer for all sockets: the loop reads into it and calls buffer_updated before it does anything else.
_SCRATCH = memoryview(bytearray(65_536))

READ_AHEAD = 65_536  # what an inbox holds before its socket is paused
MAX_UNREAD = 8_388_608  # beyond what kernels hold for one socket by default


class TcpStream(asyncio.BufferedProtocol):
    """A ByteStream over one socket.  `connected` is called once, when there is a transport."""

    def __init__(self, connected: Callable[[TcpStream], None] | None = None) -> None:
        self._connected = connected
        self._transport: asyncio.Transport | None = None
        self._inbox = Inbox(self._taken)
        self._paused_reading = False
        self._write_failure: Exception | None = None
        self._room: asyncio.Future[None] | None = None
        self._eof_sent = False
        self._handed_over = False
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def transport(self) -> asyncio.Transport:
        """The event loop's transport under this stream."""
        assert self._transport is not None, "used before connection_made"
        return self._transport

    @property
    def peer(self) -> Endpoint:
        """The other end's address; a Unix socket has host "unix"."""
        return peer_endpoint(self.transport)

    @property
    def local(self) -> Endpoint:
        """This end's address."""
        return Endpoint(*self.transport.get_extra_info("sockname")[:2])

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE) -> bytes:
        """As ByteStream.receive."""
        return await self._inbox.receive(max_bytes)

    async def send(self, data: bytes) -> None:
        """As ByteStream.send: waits while the transport holds more than its high-water mark."""
        if self._write_failure:
            raise afresh(self._write_failure)
        if self._eof_sent or self.transport.is_closing():
            raise ConnectionLost("the pipe was closed")
        self.transport.write(data)
        if self._room is not None:
            await asyncio.shield(self._room)
            if self._write_failure:
                raise afresh(self._write_failure)

    async def send_eof(self) -> None:
        """As ByteStream.send_eof."""
        if not self._eof_sent:
            self._eof_sent = True
            if self.transport.can_write_eof() and not self.transport.is_closing():
                self.transport.write_eof()

    async def aclose(self) -> None:
        """As ByteStream.aclose: what was sent is still delivered if the other end takes it within a second."""
        if self._handed_over:
            return
        close(self.transport)
        try:
            async with asyncio.timeout(1):
                await asyncio.shield(self._closed)
        except TimeoutError:
            cut(self.transport)
        finally:
            self._inbox.end(ConnectionLost("the pipe was closed"))

    def abort(self) -> None:
        """Cut the connection so that the other end sees a reset, not an end."""
        cut(self.transport)

    def hand_over(self, protocol: asyncio.BaseProtocol) -> tuple[bytes, bool]:
        """Give the socket to `protocol`; return what was read and not taken, and whether the end was seen.

        This stream is dead afterwards; the new owner closes the transport.
        """
        self._handed_over = True
        self.transport.set_protocol(protocol)
        if self._paused_reading:
            self.transport.resume_reading()
        self._inbox.let_go()
        return self._inbox.drain(), self._inbox.ended

    def take_back(self, *, paused: bool, ended: bool) -> None:
        """Undo `hand_over`: the new owner used nothing of what it was given.

        `paused`: it had stopped reading; `ended`: it has seen the end.
        """
        self._handed_over = False
        self._inbox.come_back(self._taken)
        self.transport.set_protocol(self)
        self._paused_reading = False
        if paused and not self.transport.is_closing():
            self.transport.resume_reading()
        if ended:
            self._inbox.end()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._connected:
            self._connected(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _SCRATCH

    def buffer_updated(self, nbytes: int) -> None:
        self._inbox.put(bytes(_SCRATCH[:nbytes]))
        if self._inbox.size >= READ_AHEAD and not self._paused_reading:
            self._paused_reading = True
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._inbox.end()
        return True  # the other direction stays open

    def connection_lost(self, exc: Exception | None) -> None:
        failure = ConnectionLost(str(exc) if exc else "the pipe was closed")
        if exc is not None and self.transport.get_extra_info("sslcontext") is None:
            raw = self.transport.get_extra_info("socket")
            self._inbox.put(unread(raw.fileno() if raw is not None else -1))
        self._inbox.end(failure)
        self._inbox.let_go()
        self._write_failure = failure
        self.resume_writing()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def _taken(self, count: int) -> None:
        if self._paused_reading and self._inbox.size < READ_AHEAD // 2:
            self._paused_reading = False
            self.transport.resume_reading()


async def connect(endpoint: Endpoint, timeout: float | None = None) -> TcpStream:
    """Open a TCP connection; a name's addresses are tried in the resolver's order, `localhost` without asking it.

    Raises OSError, that of the last address, or TimeoutError after `timeout` seconds.  Safe to cancel: no socket
    outlives the call.
    """
    loop = asyncio.get_running_loop()
    raw = _connected_at_once(endpoint)
    if raw is not None:
        try:
            return (await loop.create_connection(TcpStream, sock=raw))[1]
        except BaseException:
            raw.close()
            raise
    failure: OSError = OSError("the name has no address")
    try:
        async with asyncio.timeout(timeout):
            for address in await resolve(endpoint):
                try:
                    return (await loop.create_connection(TcpStream, address.host, address.port))[1]
                except OSError as error:
                    failure = error
        raise failure
    finally:
        del failure  # it holds this frame, which would hold it


def _connected_at_once(endpoint: Endpoint) -> socket.socket | None:
    """A shortcut to services of this machine, where a connection stands when the call returns.

    None when it does not: then connecting in the ordinary way says why.
    """
    address = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1"}.get(endpoint.host)
    if address is None:
        return None
    raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The first call says that it is under way, the second one how it ended.
        raw.connect_ex((address, endpoint.port))
        if raw.connect_ex((address, endpoint.port)) in (0, errno.EISCONN):
            return raw
    except OSError:
        pass
    raw.close()
    return None


async def resolve(endpoint: Endpoint) -> list[Endpoint]:
    """The addresses of a name, in the resolver's order; an address is its own.  Raises socket.gaierror."""
    if endpoint.host == "localhost":
        return [Endpoint("127.0.0.1", endpoint.port), Endpoint("::1", endpoint.port)]
    if endpoint.address is not None:
        return [endpoint]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    return [Endpoint(host, endpoint.port) for host in dict.fromkeys(str(entry[4][0]) for entry in found)]


async def connect_unix(path: str, timeout: float | None = None) -> TcpStream:
    """Open a Unix stream socket.  Raises OSError, TimeoutError as `connect`."""
    async with asyncio.timeout(timeout):
        return (await asyncio.get_running_loop().create_unix_connection(TcpStream, path))[1]


def peer_endpoint(transport: asyncio.BaseTransport) -> Endpoint:
    """Who is at the other end of a transport."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple) or len(name) < 2:
        return Endpoint("unix", 0)
    host = str(name[0]).removeprefix("::ffff:")
    scope = name[3] if len(name) > 3 else 0
    if scope and host.startswith("fe80:") and "%" not in host:
        with contextlib.suppress(OSError):
            host = f"{host}%{socket.if_indextoname(scope)}"
    return Endpoint(host, int(name[1]))


def local_address(transport: asyncio.BaseTransport) -> str:
    """The IP address of this end, without scope; empty for what has none."""
    name = transport.get_extra_info("sockname")
    if not isinstance(name, tuple) or len(name) < 2:
        return ""
    return str(name[0]).removeprefix("::ffff:").partition("%")[0]


def unread(fd: int) -> bytes:
    """What a socket that broke had got before and nobody has read, MAX_UNREAD of it at most; nothing for -1."""
    pieces: list[bytes] = []
    with contextlib.suppress(OSError):
        while fd >= 0 and len(pieces) < MAX_UNREAD // READ_AHEAD and (piece := os.read(fd, READ_AHEAD)):
            pieces.append(piece)
    return b"".join(pieces)


def cut(transport: asyncio.Transport) -> None:
    """Drop a connection with a reset: an orderly FIN would tell the other end that it has everything."""
    reset_at_close(transport)
    transport.abort()


def close(transport: asyncio.Transport) -> None:
    """Close a connection in order, once what was written is out.  One that was cut stays cut."""
    if not transport.is_closing():
        _linger(transport, on=False)
        transport.close()


def reset_at_close(transport: asyncio.BaseTransport) -> None:
    """From now on the end of this connection is a cut, also when the process is killed, unless `close` ends it."""
    _linger(transport, on=True)


def _linger(transport: asyncio.BaseTransport, *, on: bool) -> None:
    raw = transport.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed already
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", on, 0))
