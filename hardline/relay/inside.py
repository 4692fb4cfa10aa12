"""A joined connection inside TLS, as one of plain TCP: what carries it takes sockets.

    TLS of the other end ══ Inside ── a pair of TCP sockets on this machine ── whoever carries or serves it

Bytes, each direction's end and resets go from one to the other, and nothing is read that the other one does not
take.  The pair is of TCP since a Unix socket knows no reset: an end would be taken for the whole.
Source: docs/PROTOCOL.md, section 9.4.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import cast

from hardline.errors import ConnectionLost
from hardline.relay.lines import read_line
from hardline.routes import Endpoint
from hardline.streams import ByteStream
from hardline.transport.tcp import TcpStream, cut
from hardline.transport.tls import TlsStream

_MOST_STRANGERS = 16  # of this machine, that connect to a listener which is there for a moment


async def unwrapped(tls: TlsStream) -> TcpStream:
    """What `tls` carries from now on, as a TCP stream of the same peer; `tls` is owned by that.

    Raises OSError where there are no sockets for it, and has cut `tls` then.  Safe to cancel.
    """
    ours: socket.socket | None = None
    theirs: socket.socket | None = None
    try:
        ours, theirs = _pair()
        loop = asyncio.get_running_loop()
        peer = tls.peer
        _, stream = await loop.create_connection(lambda: _Unwrapped(peer), sock=theirs)
        theirs = None
        try:
            await loop.create_connection(lambda: _Inside(tls), sock=ours)
        except BaseException:
            stream.abort()
            raise
        return stream
    except BaseException:
        for one in (ours, theirs):
            if one is not None:
                one.close()
        tls.abort()
        raise


async def line_bytes(stream: ByteStream, said: bytes = b"") -> bytes:
    """Receive a line, of which `said` has come, to its end, and nothing of what is behind it.

    Raises PeerError for what is none, ConnectionLost.
    """
    while read_line(said) is None:
        piece = await stream.receive(1 if said[-1:] == b"\r" else 2)
        if not piece:
            raise ConnectionLost("the other end closed the connection")
        said += piece
    return said


class _Unwrapped(TcpStream):
    """Its other end counts as the one of the TLS."""

    def __init__(self, peer: Endpoint) -> None:
        super().__init__()
        self._peer = peer

    @property
    def peer(self) -> Endpoint:
        return self._peer


class _Inside(asyncio.Protocol):
    """Both ends in this process: the socket's protocol, and the Receiver of the TLS."""

    def __init__(self, tls: TlsStream) -> None:
        self._tls = tls
        self._socket: asyncio.Transport | None = None
        self._heard_end = self._said_end = False

    # The socket's.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.Transport, transport)
        self._tls.closed.add_done_callback(lambda _: self._tls_is_gone())
        self._tls.attach(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._tls.put(data)
        except ConnectionLost:
            self._tls_is_gone()
            return
        if self._tls.blocked:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._said_end = True
        self._tls.end()
        self._close_after_both()
        return True

    def pause_writing(self) -> None:
        self._tls.hold()

    def resume_writing(self) -> None:
        self._tls.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None or not (self._heard_end and self._said_end):
            self._tls.abort()

    # The TLS's.

    def plaintext_received(self, data: memoryview) -> None:
        if not self._transport.is_closing():
            self._transport.write(bytes(data))

    def plaintext_ended(self, failure: Exception | None) -> None:
        if failure is not None:
            self._tls_is_gone()
            self._tls.abort()
            return
        self._heard_end = True
        if not self._transport.is_closing():
            with contextlib.suppress(OSError):  # it was reset, which `connection_lost` hears
                self._transport.write_eof()
        self._close_after_both()

    def writable(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
        self._close_after_both()

    def _tls_is_gone(self) -> None:
        if not (self._heard_end and self._said_end) and not self._transport.is_closing():
            cut(self._transport)

    def _close_after_both(self) -> None:
        """What was said last may still wait for the other end, however slow it is."""
        if self._heard_end and self._said_end and not self._tls.blocked:
            self._transport.close()
            self._tls.close_soon()

    @property
    def _transport(self) -> asyncio.Transport:
        assert self._socket is not None, "used before connection_made"
        return self._socket


def _pair() -> tuple[socket.socket, socket.socket]:
    """Two sockets that are connected with each other, and with nobody else.  Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        listener.settimeout(1.0)  # the connection is there already
        ours = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            ours.settimeout(1.0)
            ours.connect(listener.getsockname())
            for _ in range(_MOST_STRANGERS):
                theirs, peer = listener.accept()
                if peer == ours.getsockname():
                    break
                theirs.close()
            else:
                raise OSError("others of this machine took its connection")
        except BaseException:
            ours.close()
            raise
    for one in (ours, theirs):
        one.setblocking(False)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, theirs
