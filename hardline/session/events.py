"""What a yamux peer did, as `Yamux.receive` tells it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class DataReceived:
    """Payload for a stream.  `data` is a view of what was passed to `receive`, valid until the next call."""

    stream: int
    data: memoryview


@dataclass(slots=True)
class StreamOpened:
    """The peer opened a stream."""

    stream: int


@dataclass(slots=True)
class StreamEnded:
    """The peer ended its direction."""

    stream: int


@dataclass(slots=True)
class StreamReset:
    """The peer ended both directions; the stream is gone."""

    stream: int


@dataclass(slots=True)
class WindowGrew:
    """More may be sent on a stream."""

    stream: int


@dataclass(slots=True)
class PongReceived:
    """The answer to a ping."""

    value: int


@dataclass(slots=True)
class GoneAway:
    """The peer accepts no new streams; those that are open go on."""

    reason: int


Event = DataReceived | StreamOpened | StreamEnded | StreamReset | WindowGrew | PongReceived | GoneAway
