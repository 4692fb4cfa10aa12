"""What books.py names, without C: Python does all of it, and what C would do first is the same method."""

from __future__ import annotations

from typing import Any


class Window:
    """What a peer may still send (`left`), was allowed in all (`given`), and will be given soon (`owed`)."""

    __slots__ = ("given", "left", "owed", "size")
    given: int
    left: int
    owed: int
    size: int


class Ways:
    """A stream's two directions, as yamux has them; `announced`: our SYN or ACK is out."""

    __slots__ = ("announced", "local_ended", "remote_ended", "send_window")
    announced: bool
    local_ended: bool
    remote_ended: bool
    send_window: int


class Use:
    """What a stream has sent (`used`) in which `turn`, and what of its data is `held` for its reader."""

    __slots__ = ("held", "turn", "used")
    held: int
    turn: int
    used: int


class Held:
    """What a session holds, and what the process knows of that (`noted`)."""

    __slots__ = ("held", "noted")
    held: int
    noted: int


class Budget:
    """How many frames may be looked at in this turn of the loop."""

    __slots__ = ("left",)
    left: int


class Reasons:
    """Why a socket is not read: bits."""

    __slots__ = ("reasons",)
    reasons: int


class Marks:
    """When a peer was heard, asked and pinged, and when somebody looks at that; infinity for what did not happen."""

    __slots__ = ("alarm_at", "asked_at", "heard_at", "interval", "pinged_at", "timeout")
    alarm_at: float
    asked_at: float
    heard_at: float
    interval: float
    pinged_at: float
    timeout: float


class Sizes:
    """When a connection sent last, and how many bytes are `left` that go in small records."""

    __slots__ = ("left", "sent_at")
    left: int
    sent_at: float


class Frames:
    """Frames that came, bytes of a header that has begun, and where in a frame what comes next is."""

    __slots__ = ("frames", "header", "payload_flags", "payload_left", "payload_stream")
    frames: int
    header: int
    payload_flags: int
    payload_left: int
    payload_stream: int


class Box:
    """One session: what is staged, and who shares a turn of the loop.  It has `end_turn`."""

    fill: int
    turn: int
    senders: int
    share: int
    sent: int
    received: int
    tick_due: bool
    over: bool
    unheard: bool
    ready: bool  # frames may go straight to their lanes
    patient: bool
    staging: Any

    def __init_subclass__(cls) -> None:
        if "end_turn" in cls.__dict__:
            cls.tick = cls.end_turn  # type: ignore[method-assign]

    def end_turn(self) -> None:
        raise NotImplementedError

    def tick(self) -> None:
        """The end of a turn of the event loop."""
        raise NotImplementedError

    def carry(self, data: memoryview, most: int) -> tuple[int, int]:
        """Bring the frames at the start of `data` to their sockets, `most` of them; where the first one is that is not
        plain DATA of a lane, and how many began."""
        return 0, 0

    def link(self, *others: object) -> None:
        """Whom else C needs to know, until `unlink`.  Nothing where there is no C."""

    def unlink(self) -> None:
        """It is over: neither its session nor any lane is held any more.  Idempotent."""
        self.ready, self.over = False, True


class Lane:
    """A stream and its socket.  It has `room_for`, `took`, and what C calls of the rest (box.c, lane.c)."""

    moved: int
    gate: Any
    place: memoryview | None
    counted: bool
    hears: bool
    linked = False

    def __init_subclass__(cls) -> None:
        if "took" in cls.__dict__:
            cls.get_buffer, cls.buffer_updated = cls.room_for, cls.took  # type: ignore[method-assign]

    def room_for(self, sizehint: int = -1) -> memoryview:
        raise NotImplementedError

    def took(self, nbytes: int) -> None:
        raise NotImplementedError

    def get_buffer(self, sizehint: int) -> memoryview:
        """As asyncio.BufferedProtocol."""
        raise NotImplementedError

    def buffer_updated(self, nbytes: int) -> None:
        """As asyncio.BufferedProtocol."""
        raise NotImplementedError

    def link(self, *others: object) -> None:
        """Frames may go to its socket, and what that says to the session, without Python; until `part`."""

    def part(self) -> None:
        """All is Python's again.  Idempotent."""

    def offer(self, fd: int, unwatched: int) -> None:
        """`unwatched` bytes that come next may go to the descriptor `fd`; -1 for none, until the next offer."""


class Wire:
    """A TLS connection's socket.  It has `took_in`, and what C calls of the rest (wire.c, box.c)."""

    written: int
    burst: int
    fd: int
    blocked: bool
    direct: bool  # linked, and nothing has ended or failed
    transport: Any
    view: memoryview

    def __init_subclass__(cls) -> None:
        if "took_in" in cls.__dict__:
            cls.buffer_updated = cls.took_in  # type: ignore[method-assign]

    def took_in(self, nbytes: int) -> None:
        raise NotImplementedError

    def get_buffer(self, sizehint: int) -> memoryview:
        """As asyncio.BufferedProtocol."""
        return self.view

    def buffer_updated(self, nbytes: int) -> None:
        """As asyncio.BufferedProtocol."""
        raise NotImplementedError

    def link(self, *others: object) -> None:
        """Who decrypts, and for whom, until `part`."""

    def part(self) -> None:
        """All is Python's again.  Idempotent."""
        self.direct = False
