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
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from hardline.errors import ConnectionLost, afresh
from hardline.outcome import Outcome
from hardline.routes import Endpoint
from hardline.streams import DEFAULT_RECEIVE
from hardline.tasks import TaskSet
from hardline.transport.brake import Brake
from hardline.transport.buffers import Buffers
from hardline.transport.inbox import Inbox
from hardline.transport.resolver import Resolver
from hardline.transport.socketoptions import AS_THE_KERNEL_HAS_IT, SocketOptions, prepare, set_nodelay

READ_AHEAD = 65_536  # what an inbox holds before its socket is paused
MAX_UNREAD = 8_388_608  # beyond what kernels hold for one socket by default
STAGGER = 0.25  # seconds between attempts at the addresses of one name

_FULL = 1  # why a socket is not read: its inbox is

_STANDS = (0, errno.EISCONN)

_RESETS, _ENDS = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)  # struct linger

_BYTES_RECEIVED = 128  # where struct tcp_info has its tcpi_bytes_received
_LAST_SENT, _LAST_RECEIVED = 44, 52  # its tcpi_last_data_sent and _recv, in milliseconds before now
_MIN_RTT, _NO_RTT = 148, (0, 0xFFFFFFFF)  # and its tcpi_min_rtt, in microseconds; what that is where none is known

# Silent for so long, then asked every 15 s: who answers none of four is gone.  TCP_KEEPALIVE is macOS's name.
_IDLE = ("TCP_KEEPIDLE", "TCP_KEEPALIVE")
_KEEP_ALIVE = {"TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


class TcpStream(asyncio.BufferedProtocol):
    """A ByteStream over one socket.  `connected` is called once, when there is a transport.

    `resets`: its listener has set that its end is a cut, also when the process is killed, unless `close` ends it.
    """

    def __init__(self, connected: Callable[[TcpStream], None] | None = None, *, resets: bool = False) -> None:
        self._connected, self._resets = connected, resets
        self._transport: asyncio.Transport | None = None
        self._scratch = Buffers.of_this_loop().local
        self._inbox = Inbox(self._taken)
        self._brake: Brake | None = None
        self._write_failure: Exception | None = None
        self._room: asyncio.Future[None] | None = None
        self.eof_sent = False  # in order: all that was to be said has been
        self._handed_over = False
        self._tell: Callable[[TcpStream], None] | None = None
        self._closed = Outcome()

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

    def when_heard(self, tell: Callable[[TcpStream], None], beyond: int = 0) -> None:
        """Have `tell` called once, when there are more than `beyond` bytes to `receive`, or the end, or a failure."""
        self._tell = tell
        if self._inbox.size > beyond or self._inbox.ended:
            self._heard()

    @property
    def heard(self) -> bytes:
        """What has come and was not received yet."""
        return self._inbox.waiting

    @property
    def heard_size(self) -> int:
        """How many bytes that are."""
        return self._inbox.size

    @property
    def ended(self) -> bool:
        """Nothing will come behind what is `heard`."""
        return self._inbox.ended

    @property
    def congested(self) -> bool:
        """Who sends now waits until the other end has taken more."""
        return self._room is not None

    def forget_heard(self) -> None:
        """It was received, in another way."""
        self._inbox.drain()

    def skip(self, count: int) -> None:
        """The first `count` bytes of what is `heard` were received; what is behind them was not."""
        self._inbox.skip(count)

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE) -> bytes:
        """As ByteStream.receive."""
        return await self._inbox.receive(max_bytes)

    async def send(self, data: bytes) -> None:
        """As ByteStream.send: waits while the transport holds more than its high-water mark."""
        if self._write_failure:
            raise afresh(self._write_failure)
        if self.eof_sent or self.transport.is_closing():
            raise ConnectionLost("the pipe was closed")
        self.transport.write(data)
        if self._room is not None:
            await asyncio.shield(self._room)
            if self._write_failure:
                raise afresh(self._write_failure)

    async def send_eof(self) -> None:
        """As ByteStream.send_eof."""
        if not self.eof_sent:
            self.eof_sent = True
            if self.transport.can_write_eof() and not self.transport.is_closing():
                try:
                    self.transport.write_eof()
                except OSError as failure:  # asyncio's: the other end reset it, and that was not heard of yet
                    raise ConnectionLost(str(failure)) from None

    async def aclose(self) -> None:
        """As ByteStream.aclose: what was sent is still delivered if the other end takes it within a second."""
        if self._handed_over:
            return
        self.close()
        try:
            async with asyncio.timeout(1):
                await self._closed
        except TimeoutError:
            cut(self.transport)
        finally:
            self._inbox.end(ConnectionLost("the pipe was closed"))

    async def close_patiently(self) -> None:
        """The same, however long the other end takes.  Cancelled, it has not cut the connection yet."""
        self.close()
        await self._closed

    def close(self) -> None:
        """Close the socket in order, once what was written is out, whoever has it.  One that was cut stays cut."""
        if not self.transport.is_closing():
            if self._resets:
                _linger(self.transport, on=False)
            self.transport.close()

    def abort(self) -> None:
        """Cut the connection so that the other end sees a reset, not an end."""
        cut(self.transport)

    def hand_over(self, protocol: asyncio.BaseProtocol) -> tuple[bytes, bool]:
        """Give the socket to `protocol`; return what was read and not taken, and whether the end was seen.

        This stream is dead afterwards; the new owner closes the transport.
        """
        self._handed_over = True
        self.transport.set_protocol(protocol)
        self._reading.release(_FULL)
        self._inbox.let_go()
        return self._inbox.drain(), self._inbox.ended

    def detach(self) -> tuple[socket.socket, bytes, bool]:
        """Take the socket away from the event loop; return it, what was read and not taken, and whether the end was
        seen.

        This stream is dead afterwards, and what it had not written yet is lost; the caller closes the socket.
        Raises OSError where there is no descriptor for it.
        """
        raw = socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))
        raw.setblocking(False)
        early, ended = self._inbox.drain(), self._inbox.ended
        self._handed_over, self._tell = True, None
        self.transport.abort()  # closes the loop's own descriptor, of which the other end hears nothing
        return raw, early, ended

    def take_back(self, *, paused: bool, ended: bool) -> None:
        """Undo `hand_over`: the new owner used nothing of what it was given.

        `paused`: it had stopped reading; `ended`: it has seen the end.
        """
        self._handed_over = False
        self._inbox.come_back(self._taken)
        self.transport.set_protocol(self)
        if paused and not self.transport.is_closing():
            self.transport.resume_reading()
        if ended:
            self._inbox.end()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._brake = Brake(self._transport)
        if self._connected:
            self._connected(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        self._inbox.put(bytes(self._scratch[:nbytes]))
        if self._inbox.size >= READ_AHEAD:
            self._reading.hold(_FULL)
        self._heard()

    def eof_received(self) -> bool:
        self._inbox.end()
        self._heard()
        return True  # the other direction stays open

    def connection_lost(self, exc: Exception | None) -> None:
        failure = ConnectionLost(str(exc) if exc else "the pipe was closed")
        if exc is not None and self.transport.get_extra_info("sslcontext") is None:
            raw = self.transport.get_extra_info("socket")
            self._inbox.put(unread(raw.fileno() if raw is not None else -1))
        self._inbox.end(failure)
        self._inbox.let_go()
        self._write_failure = failure
        self._heard()
        self.resume_writing()
        self._closed.settle()

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def _heard(self) -> None:
        if (tell := self._tell) is not None:
            self._tell = None
            tell(self)

    def _taken(self, count: int) -> None:
        if self._inbox.size < READ_AHEAD // 2:
            self._reading.release(_FULL)

    @property
    def _reading(self) -> Brake:
        assert self._brake is not None, "used before connection_made"
        return self._brake


async def connect(endpoint: Endpoint, timeout: float | None = None, *, resolver: Resolver | None = None) -> TcpStream:
    """Open a TCP connection to what the owner of this node named, or to whatever else its resolver knows.

    Raises OSError, TimeoutError after `timeout` seconds.  Safe to cancel: no socket outlives the call.
    """
    async with asyncio.timeout(timeout):
        return await connect_any(await (resolver or Resolver.of_services()).addresses(endpoint))


@dataclass(frozen=True, slots=True)
class Manner:
    """How a connection is made, where not as usual.

    `segment` limits the bytes of a packet's payload, in both directions.  With `shares`, others may use its local port,
    as long as they share, too; `local` is the address and port that it comes from.  `knocks` is how many packets the
    kernel sends at most until one is answered, two at least.  `options` are the owner's.
    """

    segment: int = 0
    shares: bool = False
    local: Endpoint | None = None
    knocks: int = 0
    options: SocketOptions = AS_THE_KERNEL_HAS_IT


AS_USUAL, SHARING = Manner(), Manner(shares=True)


async def connect_any(addresses: Sequence[Endpoint], manner: Manner = AS_USUAL) -> TcpStream:
    """Open a TCP connection to the first of `addresses` that takes it.  As `connected_socket`."""
    stream = await over_socket(await connected_socket(addresses, manner))
    if not manner.options.nodelay and (raw := stream.transport.get_extra_info("socket")) is not None:
        set_nodelay(raw, manner.options)
    return stream


async def over_socket(raw: socket.socket) -> TcpStream:
    """Over one that is connected, and this stream's from now on."""
    try:
        return (await asyncio.get_running_loop().create_connection(TcpStream, sock=raw))[1]
    except BaseException:
        raw.close()
        raise


def connected_at_once(address: Endpoint) -> socket.socket | None:
    """A socket that is connected to `address`, where that takes no time, as on this machine; else None."""
    try:
        raw, code = _begun(address, AS_USUAL)
    except OSError:
        return None
    if code in _STANDS:
        return raw
    raw.close()
    return None


def send_at_once(raw: socket.socket, data: bytes) -> int:
    """How many bytes of `data` a socket that has no transport yet takes now; of one that broke its transport tells."""
    try:
        return raw.send(data) if data else 0
    except OSError:
        return 0


async def connected_socket(addresses: Sequence[Endpoint], manner: Manner = AS_USUAL) -> socket.socket:
    """A socket that is connected to one of `addresses` (no names), the next one tried after STAGGER seconds or at once
    when one fails (RFC 8305, section 5), until all have failed.

    Raises OSError: that somebody refused says most, else the last failure.  Safe to cancel: no socket outlives the
    call.
    """
    if not addresses:
        raise OSError("the name has no address")
    if len(addresses) == 1:
        return await _connected(addresses[0], manner)
    waiting, failures = deque(addresses), list[OSError]()
    tasks, running = TaskSet("connect"), set[asyncio.Task[socket.socket]]()
    try:
        while waiting or running:
            if waiting:
                address = waiting.popleft()
                running.add(tasks.start(_connected(address, manner), str(address), expects=OSError))
            done, running = await asyncio.wait(
                running, timeout=STAGGER if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            won = [task.result() for task in done if task.exception() is None]
            if won:
                for late in won[1:]:
                    late.close()
                return won[0]
            failures += [failure for task in done if isinstance(failure := task.exception(), OSError)]
        failures.sort(key=lambda failure: isinstance(failure, ConnectionRefusedError))
        raise failures[-1]
    finally:
        failures.clear()  # they hold this frame, which would hold them
        for task in running:
            task.add_done_callback(_close_late)
        await tasks.aclose()


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connected(address: Endpoint, manner: Manner) -> socket.socket:
    """One connection."""
    raw, code = _begun(address, manner)
    try:
        if code in (errno.EALREADY, errno.EINPROGRESS):
            await _writable(raw)
            code = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code not in _STANDS:
            raise OSError(code, os.strerror(code))
    except BaseException:
        raw.close()
        raise
    return raw


def _begun(address: Endpoint, manner: Manner) -> tuple[socket.socket, int]:
    """A socket that is on its way to `address`, and the errno that says how far; to this machine it is there."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    where: tuple[object, ...] = (address.host, address.port)
    if "%" in address.host:  # nothing is looked up, but a scope becomes a number
        where = socket.getaddrinfo(address.host, address.port, flags=socket.AI_NUMERICHOST)[0][4]
    else:
        socket.inet_pton(family, address.host)  # or `connect` would look it up, and take its time
    raw = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        raw.setblocking(False)
        prepare(raw, manner.options)
        if manner.segment:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, manner.segment)
        if manner.shares:
            share(raw)
        if manner.local is not None:
            raw.bind((manner.local.host, manner.local.port))
        elif manner.shares:
            # The kernel gives one port to several that are connected without this, also to some that share with nobody.
            raw.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 0))
        if manner.knocks and hasattr(socket, "TCP_SYNCNT"):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, max(1, manner.knocks - 1))
        # The first call says that it is under way, the second one how it ended, if it did.
        code = raw.connect_ex(where)
        if code == errno.EINPROGRESS:
            code = raw.connect_ex(where)
        if not address.host.startswith("127.") and address.host != "::1":
            keep_alive(raw)
    except BaseException:
        raw.close()
        raise
    return raw, code


def share(raw: socket.socket) -> None:
    """Let other sockets of this user have its local port, if they share, too."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


async def _writable(raw: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    happened: asyncio.Future[None] = loop.create_future()
    loop.add_writer(raw, _happened, happened)
    try:
        await happened
    finally:
        loop.remove_writer(raw)


def _happened(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def keep_alive(raw: socket.socket, *, idle: int = 60) -> None:
    """Have the kernel ask, after `idle` seconds of silence, whether the other machine is still there: without power it
    says no goodbye.

    TCP_USER_TIMEOUT is not set: it would also end connections whose other end is there and does not read.
    """
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in {**_KEEP_ALIVE, **dict.fromkeys(_IDLE, idle)}.items():
            if hasattr(socket, name):
                raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


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


def has_received(transport: asyncio.BaseTransport) -> bool:
    """Whether any data came over this connection; False where the system does not tell."""
    return any(_tcp_info(transport)[_BYTES_RECEIVED:])


def spoke_last(transport: asyncio.BaseTransport) -> bool:
    """Whether this end, which has sent data, did so after the other one, and so may wait for an answer; False where the
    system does not tell."""
    info = _tcp_info(transport)
    sent, received = (int.from_bytes(info[at : at + 4], sys.byteorder) for at in (_LAST_SENT, _LAST_RECEIVED))
    # At the beginning both are as old as the connection.
    return len(info) == _BYTES_RECEIVED + 8 and (sent < received or not any(info[_BYTES_RECEIVED:]))


def _tcp_info(transport: asyncio.BaseTransport) -> bytes:
    """What the kernel counts of a connection, as far as _BYTES_RECEIVED; less, or nothing, where it does not tell."""
    raw = transport.get_extra_info("socket")
    if raw is None or not hasattr(socket, "TCP_INFO"):
        return b""
    try:
        return bytes(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED + 8))
    except (OSError, ValueError):  # ValueError: it is closed already
        return b""


def shortest_trip(transport: asyncio.BaseTransport) -> float | None:
    """Seconds that the kernel needed at least to the other end's kernel and back, whatever this machine was busy with;
    None where the system does not tell."""
    raw = transport.get_extra_info("socket")
    if raw is None or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _MIN_RTT + 4)
    except (OSError, ValueError):  # ValueError: it is closed already
        return None
    micros = int.from_bytes(info[_MIN_RTT:], sys.byteorder)
    return micros / 1e6 if len(info) == _MIN_RTT + 4 and micros not in _NO_RTT else None


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
    _linger(transport, on=True)
    transport.abort()


def _linger(transport: asyncio.Transport, *, on: bool) -> None:
    raw = transport.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed already
            linger(raw, on=on)


def linger(raw: socket.socket, *, on: bool) -> None:
    """Whether the end of a socket, or of all that it accepts, is a reset."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS if on else _ENDS)
