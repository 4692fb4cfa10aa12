"""TLS over a TCP stream as a ByteStream.

How a connection is secured and who is at its other end, is the business of its Handshake (handshake.py).
Source: docs/PROTOCOL.md, section 2.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import sys
import termios
from collections.abc import Callable
from typing import Protocol

from OpenSSL import SSL, crypto

from hardline.errors import ConnectionLost, PeerError, afresh
from hardline.identity import KeyHash
from hardline.native.books import Box, Wire
from hardline.outcome import Outcome
from hardline.proof import Purpose
from hardline.routes import Endpoint
from hardline.streams import DEFAULT_RECEIVE
from hardline.transport.brake import Brake
from hardline.transport.buffers import Buffers
from hardline.transport.engine import FRUITLESS, MOST_OVERHEAD, PIECE, Engine, Scratch, Stand, forget_errors, reason
from hardline.transport.handshake import ALPN_2, Accepting, ByCertificate, Handshake, Names, Visiting, exporter
from hardline.transport.inbox import Inbox
from hardline.transport.native import NativeEngine, best_engine
from hardline.transport.outlet import push
from hardline.transport.records import SMALL, Records
from hardline.transport.sources import source_of
from hardline.transport.tcp import TcpStream, cut, keep_alive, local_address, peer_endpoint, shortest_trip, unread
from hardline.transport.turns import Turns

_DRAIN = 1.0  # seconds that an orderly close gives the last bytes

_READ_AHEAD = 262_144
_BURST = 1_048_576  # ciphertext after which other sockets get their turn: libuv would read this one up to 32 times
_WHILE = 10.0  # seconds in which FRUITLESS bytes may give no data
_DONE, _NO_ROOM, _IS_OVER, _JUDGE = (int(stand) for stand in Stand)  # compared in every read
_OVERHEAD = {"TLSv1.3": 22}  # bytes of a record that are no data: header, type and tag

# Why the socket is not read.
_FULL, _UNTURNED, _BURSTING, _HELD = 1, 2, 4, 8

_NOTSENT_LOWAT = 262_144  # what the kernel holds unsent: more would only make a ping or a small request wait


class Receiver(Protocol):
    """Who gets the plaintext of a TlsStream pushed, instead of asking for it."""

    def plaintext_received(self, data: memoryview) -> None:
        """Take `data`, which is valid only until this returns."""
        ...

    def plaintext_ended(self, failure: Exception | None) -> None:
        """Nothing follows: in order (None), or because of `failure`.  Called once."""
        ...

    def writable(self) -> None:
        """The socket took everything that was written."""
        ...


class TlsStream(Wire, asyncio.BufferedProtocol):
    """A ByteStream of TLS over a TCP stream that it takes over.

    Make one with `over`.  It is read either with `receive` or, after `attach`, by a Receiver that gets
    everything pushed.  `record_limit` caps the plaintext of one record (docs/PROTOCOL.md 3.2).
    """

    def __init__(self, engine: Engine, handshake: Handshake) -> None:
        self._engine = engine
        self._handshake = handshake
        self.transport = None
        self.fd = -1
        buffers = Buffers.of_this_loop()
        self._rx, self._plain, self._cipher = buffers.received, buffers.plain, buffers.cipher
        self.view = self._rx.view
        self.direct = False
        self._inbox = Inbox(self._taken)
        self._receiver: Receiver | None = None
        self._brake: Brake | None = None
        self._turns: Turns | None = None  # of a server's handshakes: strangers decide how many come at once
        self._source = ""  # whose turn it is
        self._unturned = b""  # came in before the turn
        self._clock = asyncio.get_running_loop().time
        self._counting_since = self._clock()
        self._records = Records()
        self.blocked = False  # the kernel did not take everything yet: `Receiver.writable` tells when it did
        self._room: asyncio.Future[None] | None = None
        self._secured = Outcome()
        self._failure: Exception | None = None
        self._broken: OSError | None = None  # a write failed; what had come is still to be read
        self._closing = False
        self.written = 0  # bytes of ciphertext given to the socket, sent or not
        self.burst = 0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.record_limit = 0
        self.bare_end = False  # hardline/1: a peer that ends TCP without close_notify ended in order (3.4)

    @classmethod
    async def over(
        cls,
        tcp: TcpStream,
        context: SSL.Context,
        server_name: str | None = None,
        *,
        target: KeyHash | None = None,
        protocol: bytes = ALPN_2,
        names: Names | None = None,
        engine: Callable[[SSL.Connection], Engine] = best_engine,
    ) -> TlsStream:
        """Shake hands over `tcp`, which this stream owns from now on: as client with a `server_name`, else as server.

        With a `target`, as its visitor, who speaks `protocol`; with `names`, as the host that has them; else as
        `context` says.

        Raises PeerError when the peer does not speak TLS as we do or is not the target, ConnectionLost when it went
        away.  No time limit inside.  Cancelled or failed, it leaves no connection behind.
        """
        connection = _connection(context, server_name)
        handshake: Handshake = ByCertificate(connection)
        if target is not None and server_name is not None:
            handshake = Visiting(connection, target, server_name, protocol)
        elif names is not None:
            handshake = Accepting(connection, names)
        stream = cls(engine(connection), handshake)
        if server_name is None:
            stream._turns, stream._source = Turns.of_this_loop(), source_of(tcp.peer.host)
        return await stream.secured(tcp)

    @classmethod
    def visiting(cls, context: SSL.Context, server_name: str, target: KeyHash) -> TlsStream:
        """As `over` for a visitor of `target`, in two steps: its first message, which takes a millisecond or more to
        compute, is made here, and `secured` sends it once there is a connection."""
        connection = _connection(context, server_name)
        handshake = Visiting(connection, target, server_name)
        stream = cls(best_engine(connection), handshake)
        with contextlib.suppress(SSL.Error):  # that it wants an answer, or what `secured` will hear again
            handshake.step()
        return stream

    async def secured(self, tcp: TcpStream) -> TlsStream:
        """Itself once the handshake over `tcp` is done.  Raises, and may be cancelled, as `over`."""
        self._take_over(tcp)
        try:
            await self._secured
        except BaseException:
            self._transport_or_fail().abort()
            raise
        return self

    @property
    def peer(self) -> Endpoint:
        """The other end's address."""
        return peer_endpoint(self._transport_or_fail())

    @property
    def socket(self) -> socket.socket | None:
        """What it goes by, to be looked at."""
        found: socket.socket | None = self._transport_or_fail().get_extra_info("socket")
        return found

    @property
    def shortest_trip(self) -> float | None:
        """As tcp.shortest_trip."""
        return shortest_trip(self._transport_or_fail())

    @property
    def local(self) -> str:
        """This end's IP address, without scope; empty for what has none."""
        return local_address(self._transport_or_fail())

    @property
    def key_hash(self) -> KeyHash | None:
        """hardline/2: the service that this connection leads to, proven by its host; None for hardline/1."""
        return self._handshake.key_hash

    def exporter(self, purpose: Purpose, service: KeyHash | None = None) -> bytes:
        """What a proof of `purpose` for this connection signs (docs/PROTOCOL.md 2.2)."""
        return exporter(self._engine.connection, purpose, service)

    @property
    def peer_key_hash(self) -> KeyHash | None:
        """The hash of the certificate that the other end showed in the handshake; None if it showed none."""
        certificate = self._engine.connection.get_peer_certificate()
        if certificate is None:
            return None
        return KeyHash.of_certificate(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))

    @property
    def alpn(self) -> bytes:
        """The protocol agreed on by ALPN; b"" for none."""
        return self._engine.connection.get_alpn_proto_negotiated()

    @property
    def version(self) -> str:
        """`TLSv1.3` or `TLSv1.2`."""
        return self._engine.connection.get_protocol_version_name()

    @property
    def server_name(self) -> str:
        """The server name that the client asked for; "" for none."""
        return (self._engine.connection.get_servername() or b"").decode("ascii", "replace")

    @property
    def silent(self) -> bool:
        """It stands, and the other end has said nothing that was not received."""
        return self._inbox.silent

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE) -> bytes:
        """As ByteStream.receive."""
        return await self._inbox.receive(max_bytes)

    async def send(self, data: bytes) -> None:
        """As ByteStream.send."""
        self.put(data)
        while self.blocked:
            self._room = self._room or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)
            self._raise_if_unusable()

    def put(self, data: bytes) -> None:
        """Queue `data`, however much waits already: look at `blocked`.  Raises ConnectionLost as `send`."""
        self._raise_if_unusable()
        step = self.record_limit or len(data) or 1
        for start in range(0, len(data), step):
            self._engine.encrypt_bytes(data[start : start + step])
            self._to_wire()

    async def send_eof(self) -> None:
        """As ByteStream.send_eof, by TLS's close_notify, which in TLS 1.3 ends one direction only."""
        self.end()

    def end(self) -> None:
        """As `send_eof`, which never waits."""
        if not self._closing:
            self._closing = True
            self._say_goodbye()

    async def aclose(self) -> None:
        """As ByteStream.aclose."""
        self.close_soon()
        await asyncio.shield(self.closed)

    def close_soon(self) -> None:
        """Begin to close: what was sent is still delivered if the other end takes it within a second."""
        if not self._closing:
            self._closing = True
            self._say_goodbye()
        transport = self._transport_or_fail()
        if not self.closed.done() and not transport.is_closing():
            transport.close()
            deadline = asyncio.get_running_loop().call_later(_DRAIN, self.abort)
            self.closed.add_done_callback(lambda _: deadline.cancel())
        self._inbox.end(ConnectionLost("the pipe was closed"))

    def abort(self) -> None:
        """Cut the connection."""
        cut(self._transport_or_fail())

    def keep_alive(self, idle: int = 60) -> None:
        """Have the kernel ask, after `idle` seconds of silence, whether the other end is still there."""
        raw = self._transport_or_fail().get_extra_info("socket")
        if raw is not None:
            keep_alive(raw, idle=idle)

    @property
    def acknowledged(self) -> int | None:
        """How many bytes the peer's kernel has confirmed; None where this system does not tell."""
        if self.fd < 0 or not hasattr(termios, "TIOCOUTQ"):
            return None
        try:
            pending = fcntl.ioctl(self.fd, termios.TIOCOUTQ, bytes(4))
        except OSError:
            return None
        return self.written - int.from_bytes(pending, sys.byteorder)

    # What a Receiver uses.

    def attach(self, receiver: Receiver) -> None:
        """From now on push everything to `receiver`; what was received already comes first."""
        self._receiver = receiver
        self._reading.release(_FULL)
        early, ended, failure = self._inbox.drain(), self._inbox.ended, self._inbox.failure
        if early:
            receiver.plaintext_received(memoryview(early))
        if ended:
            receiver.plaintext_ended(failure)

    def hold(self) -> None:
        """Read no more until `go_on`; what has been read already may still be pushed."""
        self._reading.hold(_HELD)

    def go_on(self) -> None:
        """Undo `hold`."""
        self._reading.release(_HELD)

    def write(self, source: Scratch, count: int) -> None:
        """Encrypt and send the first `count` bytes of `source`, which may be overwritten.

        It never waits: look at `blocked`.  Raises ConnectionLost when the connection is gone.
        """
        for _ in range(self._records.small(count, self._clock())):
            self._write(source, SMALL)
            count -= SMALL
            source.view[:count] = source.view[SMALL : SMALL + count]
        self._write(source, count)

    def _write(self, source: Scratch, count: int) -> None:
        if self._failure:
            raise afresh(self._failure)
        if self._broken is not None:
            return
        transport = self._transport_or_fail()
        fd = -1 if self.blocked or transport.is_closing() else self.fd
        written, rest, code = self._engine.send(source, count, fd, self._cipher)
        self.written += written
        self.sent(rest, code)

    def sent(self, rest: bytes | None, code: int) -> None:
        """The socket has not taken the `rest`, and is broken with the errno `code`, 0 for not."""
        transport = self._transport_or_fail()
        if code:
            self._is_broken(OSError(code, os.strerror(code)))
        elif rest and not transport.is_closing():
            transport.write(rest)

    @property
    def can_link(self) -> bool:
        """C may decrypt and encrypt by itself."""
        return isinstance(self._engine, NativeEngine) and self._failure is None and not self._inbox.ended

    def link_to(self, box: Box) -> None:
        """C has what comes for the session of `box`, and what leaves it, until `part`, as far as it is data."""
        assert isinstance(self._engine, NativeEngine), "what can_link says"
        buffers = self._rx.data, self._plain.data, self._plain.view, self._cipher.data
        self.link(box, self._engine.cipher, self._records, *buffers)

    def refusal(self) -> ConnectionLost:
        """Why OpenSSL took nothing from C."""
        return ConnectionLost(f"TLS: {self._engine.why_not()}")

    # What the event loop calls.

    def took_in(self, nbytes: int) -> None:
        """As buffer_updated, which C may do: so many bytes are in the buffer."""
        self.burst += nbytes
        if self.burst >= _BURST and not self._reading.held:
            self._reading.hold(_BURSTING)
            asyncio.get_running_loop().call_soon(self._next_burst)
        if self._inbox.ended:
            return
        if self._secured.done():
            if self._failure is None:
                self._pull(0, nbytes)
        elif self._turns is None:
            self._go_through(nbytes)
        else:
            if not self._unturned:
                self._turns.ask(self._in_turn, self._source)
            self._unturned += self._rx.view[:nbytes]
            if len(self._unturned) >= _READ_AHEAD:
                self._reading.hold(_UNTURNED)

    def eof_received(self) -> bool:
        orderly = self._secured.done() and self.bare_end
        self._ended(None if orderly else ConnectionLost("the peer ended the connection without saying goodbye"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.fd = -1
        self.part()
        self._ended(ConnectionLost(str(exc) if exc else "the connection was closed"))
        self._inbox.let_go()
        self._receiver = None
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False
        self._wake_sender()
        if self._receiver is not None:
            self._receiver.writable()

    # How it works.

    def _in_turn(self) -> None:
        data, self._unturned = self._unturned, b""
        self._take_in(data)
        self._reading.release(_UNTURNED)

    def _take_in(self, data: bytes) -> None:
        """Take ciphertext that was read already."""
        for start in range(0, len(data), self._rx.size):
            if self._inbox.ended or self.closed.done():
                return
            piece = data[start : start + self._rx.size]
            self._rx.view[: len(piece)] = piece
            self._go_through(len(piece))

    def _go_through(self, count: int) -> None:
        """Take `count` bytes of what was received."""
        fed = 0
        while not self._secured.done():
            if fed == count:
                return
            fed += self._feed(fed, count)
            self._shake_hands()
            self._see_whether_fruitful()
        if self._failure is None:
            self._pull(fed, count)

    def _feed(self, start: int, end: int) -> int:
        """Let OpenSSL have a piece of what was received; return its size."""
        step = min(PIECE, end - start)
        self._engine.feed(self._rx, start, step)
        self._engine.fruitless += step
        return step

    def _see_whether_fruitful(self) -> None:
        if self._engine.fruitless <= FRUITLESS or self._failure is not None:
            return
        now = self._clock()
        if self.blocked or now - self._counting_since < _WHILE:  # our answers to them wait, too
            self._ended(PeerError(f"TLS: {FRUITLESS >> 10} KB of its own messages, and hardly any data"))
        self._counting_since, self._engine.fruitless = now, 0

    def _take_over(self, tcp: TcpStream) -> None:
        self.transport = transport = tcp.transport
        self._brake = Brake(transport)
        early, ended = tcp.hand_over(self)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            self.fd = raw.fileno()
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT)
        transport.set_write_buffer_limits(high=0)
        self._shake_hands()
        for start in range(0, len(early), self._rx.size):
            piece = early[start : start + self._rx.size]
            self._rx.view[: len(piece)] = piece
            self.took_in(len(piece))
        if ended:
            self.eof_received()
        if transport.is_closing():
            self._ended(ConnectionLost("the connection was closed"))

    def _next_burst(self) -> None:
        self.burst = 0
        self._reading.release(_BURSTING)

    def _shake_hands(self) -> None:
        forget_errors()
        try:
            self._handshake.step()
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self._ended(PeerError("TLS handshake: the other end left"))
        except SSL.Error as failure:
            self._ended(PeerError(f"TLS handshake: {reason(failure)}"))
        except PeerError as failure:
            self._ended(failure)
        else:
            self._engine.overhead = _OVERHEAD.get(self.version, MOST_OVERHEAD)
            self._secured.settle()
        self._to_wire()

    def _pull(self, fed: int, end: int) -> None:
        """Decrypt all that is there, and what was received from `fed` to `end`, and pass it on."""
        stand = _NO_ROOM
        while stand != _DONE and self._failure is None:
            try:
                stand, fed, ready, answer = self._engine.receive(self._rx, fed, end, self._plain, self._cipher)
            except PeerError as failure:
                self._broke_the_rules(failure)
                return
            if not self._pulled(stand, ready, answer):
                return

    def _pulled(self, stand: int, ready: int, answer: bytes) -> bool:
        """Pass on what was decrypted, and see to what else OpenSSL says.  False when that was the end."""
        if ready:
            self._deliver(self._plain.view[:ready])
        if answer:
            self._say(memoryview(answer))
        if stand == _IS_OVER:
            self._ended(None)
            return False
        if stand == _JUDGE:
            self._see_whether_fruitful()
        return True

    def went_on(self, stand: int, fed: int, end: int, ready: int, answer: bytes) -> None:
        """From C: what is not as it mostly is, and all behind it."""
        if self._pulled(stand, ready, answer) and stand != _DONE:
            self._pull(fed, end)

    def pull_failed(self) -> None:
        """From C: what came is no TLS."""
        self._broke_the_rules(PeerError(f"TLS: {self._engine.why_not()}"))

    def _broke_the_rules(self, failure: PeerError) -> None:
        self._ended(failure)
        self._to_wire()  # what TLS says to that

    def _deliver(self, data: memoryview) -> None:
        if self._receiver is not None:
            self._receiver.plaintext_received(data)
            return
        self._inbox.put(bytes(data))
        if self._inbox.size >= _READ_AHEAD:
            self._reading.hold(_FULL)

    def _to_wire(self) -> None:
        """Give the kernel what OpenSSL has for it; only what it does not take becomes an object of its own."""
        count = self._cipher.size
        while count == self._cipher.size:  # else that was all
            count = self._engine.drain(self._cipher)
            if not count:
                return
            self._say(self._cipher.view[:count])

    def _say(self, ciphertext: memoryview) -> None:
        if self._broken is not None:
            return
        transport = self._transport_or_fail()
        self.written += len(ciphertext)
        try:
            push(-1 if self.blocked or transport.is_closing() else self.fd, transport, ciphertext)
        except OSError as failure:
            self._is_broken(failure)

    def _is_broken(self, failure: OSError) -> None:
        """A write failed.  What the other end said before it broke off may still be there: why it did, mostly."""
        if self._broken is None:
            self._broken = failure
            self.direct = False
            asyncio.get_running_loop().call_soon(self._read_last_words)  # not in the middle of reading something else

    def _read_last_words(self) -> None:
        assert self._broken is not None, "called when it broke"
        if not self._reading.held and not self._transport_or_fail().is_closing():
            self._take_in(unread(self.fd))
        self._ended(ConnectionLost(str(self._broken)))
        self._transport_or_fail().abort()

    def _say_goodbye(self) -> None:
        with contextlib.suppress(SSL.Error):
            self._engine.connection.shutdown()
        self._to_wire()

    def _ended(self, failure: Exception | None) -> None:
        """Nothing more will be received; with a failure, nothing can be sent either."""
        self.direct = False
        first = not self._inbox.ended
        self._inbox.end(failure)
        if failure:
            self._failure = self._failure or failure
            self._wake_sender()
            self._secured.settle(failure)
        if first and self._receiver is not None:
            self._receiver.plaintext_ended(failure)

    def _raise_if_unusable(self) -> None:
        if self._failure:
            raise afresh(self._failure)
        if self._closing:
            raise ConnectionLost("the pipe was closed")

    def _wake_sender(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def _taken(self, count: int) -> None:
        if self._inbox.size < _READ_AHEAD // 2:
            self._reading.release(_FULL)

    @property
    def _reading(self) -> Brake:
        assert self._brake is not None, "used before it took a socket over"
        return self._brake

    def _transport_or_fail(self) -> asyncio.Transport:
        transport: asyncio.Transport | None = self.transport
        assert transport is not None, "used before it took a socket over"
        return transport


def _connection(context: SSL.Context, server_name: str | None) -> SSL.Connection:
    """Between memory BIOs: a client's with a `server_name`, else a server's."""
    connection = SSL.Connection(context, None)
    if server_name is None:
        connection.set_accept_state()
    else:
        connection.set_connect_state()
        connection.set_tlsext_host_name(server_name.encode("ascii"))
    return connection
