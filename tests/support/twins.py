"""A host's session with its joints, between a TLS connection and sockets that a test plays: by C, or by Python alone.

Whatever is done to both, `state` is the same: what they have sent, and every number that they count by.
"""

from __future__ import annotations

import math
import socket
import struct

from hardline.errors import ConnectionLost
from hardline.native import books
from hardline.routes import Endpoint
from hardline.session.frames import FrameTurns
from hardline.session.joint import Joint
from hardline.session.session import Session, SessionLimits
from hardline.session.stream import Stream
from hardline.session.yamux import SYN, WINDOW
from hardline.transport.engine import Scratch

HEADER = struct.Struct(">BBHII")


def frame(kind: int, flags: int, number: int, length: int, payload: bytes = b"") -> bytes:
    return HEADER.pack(0, kind, flags, number, length) + payload


class Gate:
    """Has to see one byte in 5000; passes a copy of what has a length divided by 7; hears of a change now and then."""

    stopped = settled = opaque = partial = over = hopeless = astray = False
    patience = 60.0

    def __init__(self) -> None:
        self.got = 0
        self.said = bytearray()

    @property
    def unwatched(self) -> int:
        return 4999 - self.got % 5000

    def count(self, count: int) -> None:
        assert count <= self.unwatched, "a byte went by that had to be looked at"
        self.got += count

    def heard(self, data: memoryview) -> bool:
        self.got += len(data)
        return not self.got % 11

    def asked(self, data: memoryview | bytes) -> memoryview | bytes:
        self.said += data
        return data if len(data) % 7 else bytes(data)

    def released(self) -> bytes:
        return b""


class Transport:
    """What the event loop has of a socket; `paused`: it is not read."""

    def __init__(self, near: socket.socket) -> None:
        self.near = near
        self.paused = self.closing = False
        self.kept = bytearray()

    def get_extra_info(self, name: str) -> object:
        return self.near if name == "socket" else None

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_write_buffer_size(self) -> int:
        return len(self.kept)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def write(self, data: bytes) -> None:
        self.kept += data

    def write_eof(self) -> None:
        self.near.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        self.closing = True

    close = abort


class Tcp:
    """A TcpStream that was handed nothing yet."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)
        self.transport = Transport(self.near)

    def hand_over(self, joint: Joint) -> tuple[bytes, bool]:
        return b"", False

    def close(self) -> None:
        self.transport.close()


class Tls(books.Wire):
    """A connection without TLS: what is written is kept."""

    peer = Endpoint("192.0.2.1", 7009)
    local = ""
    acknowledged = None

    def __init__(self, *, by_c: bool) -> None:
        self.can_link = by_c
        self.fd, self.written, self.blocked = -1, 0, False
        self.said = bytearray()
        self.held = False

    def link_to(self, box: books.Box) -> None:
        """There is no cipher for C: Python writes."""

    def attach(self, receiver: Session) -> None: ...

    def hold(self) -> None:
        self.held = True

    def go_on(self) -> None:
        self.held = False

    def write(self, source: Scratch, count: int) -> None:
        self.said += source.view[:count]
        self.written += count

    def close_soon(self) -> None: ...

    def abort(self) -> None: ...


class Twin:
    """The host's end.  Needs a running loop, whose turns are the sessions'."""

    def __init__(self, streams: int, gated: frozenset[int], *, by_c: bool) -> None:
        self.tls = Tls(by_c=by_c)
        self.tcps: dict[int, Tcp] = {}
        self.joints: dict[int, Joint] = {}
        self.streams: dict[int, Stream] = {}
        self.gates = {number: Gate() for number in gated}
        self.got: dict[int, bytearray] = {}
        self.session = Session(self.tls, SessionLimits(), client=False, accept=self._accept)  # type: ignore[arg-type]
        self.session._frames = FrameTurns()  # one of its own: what the other has looked at is not counted here
        self.session.start()
        self.hear(b"".join(frame(WINDOW, SYN, 1 + 2 * index, 0) for index in range(streams)))

    def _accept(self, stream: Stream) -> None:
        tcp = self.tcps[stream.number] = Tcp()
        self.streams[stream.number] = stream
        self.got[stream.number] = bytearray()
        joint = Joint(stream, tcp, gate=self.gates.get(stream.number))  # type: ignore[arg-type]
        self.joints[stream.number] = joint

    def hear(self, data: bytes) -> None:
        """A read from the peer, in the middle of which nothing else happens."""
        if self.session.lives:
            self.session.plaintext_received(memoryview(data))
        for number, tcp in self.tcps.items():
            try:
                while piece := tcp.far.recv(1 << 20):
                    self.got[number] += piece
            except BlockingIOError:
                pass

    def say(self, number: int, data: bytes) -> int:
        """What a local socket sends, as much of it as one read brings; how much that is."""
        joint, tcp = self.joints[number], self.tcps[number]
        if tcp.transport.paused or tcp.transport.closing:
            return -1
        room = joint.get_buffer(-1)
        count = min(len(room), len(data))
        room[:count] = data[:count]
        joint.buffer_updated(count)
        return count

    def end(self, number: int) -> None:
        """A local socket ends its direction."""
        if not self.tcps[number].transport.closing:
            self.joints[number].eof_received()

    def abort(self, number: int) -> None:
        """Whoever has the joint cuts it."""
        self.joints[number].abort(ConnectionLost("cut"))

    def deaf(self, number: int) -> None:
        """A local socket takes nothing more: the next write to it fails."""
        self.tcps[number].far.shutdown(socket.SHUT_RD)

    def block(self, blocked: bool) -> None:
        """Whether the connection takes nothing now."""
        self.tls.blocked = blocked
        if not blocked and self.session.lives:
            self.session.writable()

    def state(self) -> dict[str, object]:
        session, box = self.session, self.session._outbox
        marks, yamux = session._watch.marks, session._yamux
        return {
            "said": bytes(self.tls.said),
            "got": {number: bytes(data) for number, data in self.got.items()},
            "turns": (box.fill, box.turn, box.senders, box.share, box.sent, box.received, box.tick_due, box.over),
            "streams": {n: (one.turn, one.used, one.held, one.finished, one.ended) for n, one in self.streams.items()},
            "windows": {
                n: (one.send_window, one.receive_window.left, one.receive_window.owed, one.receive_window.size)
                for n, one in yamux._streams.items()
            },
            "frames": (yamux.frames, yamux.empty, yamux.header, yamux.payload_left, yamux.pinged),
            "frame_of": yamux.payload_stream if yamux.payload_left else 0,
            "held": (session._holding.held, session._holding.noted, session._frames.left, self.tls.held),
            "marks": (math.isfinite(marks.asked_at), math.isfinite(marks.pinged_at)),
            "joints": {
                n: (one.moved, self.tcps[n].transport.paused, one.done.done()) for n, one in self.joints.items()
            },
            "gates": {number: (gate.got, bytes(gate.said)) for number, gate in self.gates.items()},
        }

    def close(self) -> None:
        self.session.abort(ConnectionError("the test is over"))  # type: ignore[arg-type]
        for tcp in self.tcps.values():
            tcp.near.close()
            tcp.far.close()
