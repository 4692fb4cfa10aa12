"""A TLS connection and a local socket, joined without a task in between.

    socket ── get_buffer/buffer_updated ──▶ encrypted and written ──▶ TLS
    socket ◀── os.write ◀── plaintext_received ◀────────────────── TLS

What either end does not take at once is kept by its transport, and the other one is read no more until it is gone.  So
a slow reader costs a buffer, and nobody else's time.  A cut is a cut: what broke on one side is reset on the other.
"""

from __future__ import annotations

import asyncio

from hardline.errors import ConnectionLost
from hardline.outcome import Outcome
from hardline.transport.brake import Brake
from hardline.transport.buffers import Buffers
from hardline.transport.outlet import push
from hardline.transport.tcp import TcpStream, cut
from hardline.transport.tls import TlsStream

_FULL = 1  # why the socket is not read


class Direct(asyncio.BufferedProtocol):
    """Carries bytes both ways until both directions have ended or one side broke.

    It owns both from its making on.  `done` then says how it went: a result for in order, ConnectionLost for a cut.
    """

    def __init__(self, tls: TlsStream, tcp: TcpStream) -> None:
        self._tls, self._tcp, self._transport = tls, tcp, tcp.transport
        self._out = Buffers.of_this_loop().outgoing
        self._brake = Brake(self._transport)
        raw = self._transport.get_extra_info("socket")
        # What a library's TLS transport encrypts cannot be written around it.
        plain = raw is not None and self._transport.get_extra_info("sslcontext") is None
        self._fd = raw.fileno() if raw is not None and plain else -1
        self._said_all = self._heard_all = False  # the service has; the client has
        self._over = False
        self.done = Outcome()
        early, ended = tcp.hand_over(self)
        self._transport.set_write_buffer_limits(high=0)
        self._behind = self._transport.get_write_buffer_size() > 0
        if self._behind:
            tls.hold()
        tls.closed.add_done_callback(self._tls_closed)
        if early:
            self._say(early)
        if ended and not self._over:
            self.eof_received()
        if not self._over:
            tls.attach(self)
        if self._transport.is_closing():
            self.connection_lost(None)

    def abort(self, failure: Exception) -> None:
        """Cut both sides.  Idempotent."""
        if not self._over:
            self._finish(failure)
            cut(self._transport)
            self._tls.abort()

    # What the event loop calls for the socket.

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._out.view

    def buffer_updated(self, nbytes: int) -> None:
        if self._over:
            return
        try:
            self._tls.write(self._out, nbytes)
        except ConnectionLost as failure:
            self.abort(failure)
            return
        self._wait_if_blocked()

    def eof_received(self) -> bool:
        self._said_all = True
        if not self._over:
            self._tls.end()
        self._close_if_over()
        return self._transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fd = -1
        if exc is None and self._said_all:
            self._heard_all = True  # a service behind TLS has no half of an end
            self._close_if_over()
        else:
            self.abort(ConnectionLost(str(exc) if exc else "the local connection was closed"))

    def pause_writing(self) -> None:
        self._behind = True
        self._tls.hold()

    def resume_writing(self) -> None:
        self._behind = False
        if not self._over:
            self._tls.go_on()
        # Not at once: asyncio's transport does not expect to be closed in here.
        asyncio.get_running_loop().call_soon(self._close_if_over)

    # What the TLS connection calls.

    def plaintext_received(self, data: memoryview) -> None:
        if self._over or self._transport.is_closing():
            return
        try:
            push(-1 if self._behind else self._fd, self._transport, data)
        except OSError as failure:
            self.abort(ConnectionLost(str(failure)))

    def plaintext_ended(self, failure: Exception | None) -> None:
        if self._over:
            return
        if failure is not None:
            self.abort(ConnectionLost(str(failure)))
            return
        self._heard_all = True
        if self._transport.can_write_eof() and not self._transport.is_closing():
            try:
                self._transport.write_eof()
            except OSError as broken:  # asyncio's: the other end reset it, and that was not heard of yet
                self.abort(ConnectionLost(str(broken)))
                return
        self._close_if_over()

    def writable(self) -> None:
        self._brake.release(_FULL)
        self._close_if_over()

    # How it goes on, and ends.

    def _say(self, data: bytes) -> None:
        """Of what was read from the socket before."""
        try:
            self._tls.put(data)
        except ConnectionLost as failure:
            self.abort(failure)
            return
        self._wait_if_blocked()

    def _wait_if_blocked(self) -> None:
        if self._tls.blocked and not self._over:
            self._brake.hold(_FULL)

    def _tls_closed(self, _: object) -> None:
        """The client has gone; a service that has nothing to say would not hear of it."""
        self.abort(ConnectionLost("the client left"))

    def _close_if_over(self) -> None:
        """Both directions ended and everything is out."""
        if self._said_all and self._heard_all and not (self._behind or self._tls.blocked or self._over):
            self._finish(None)
            self._tcp.close()
            self._tls.close_soon()

    def _finish(self, failure: Exception | None) -> None:
        self._over, self._fd = True, -1
        self._tls.closed.remove_done_callback(self._tls_closed)
        self.done.settle(failure)
