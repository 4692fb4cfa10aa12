"""What the log keeps: one past-tense event, then fields with units.

    INFO    dial.won     service=e8684237 via=lan endpoint=[fe80::1%eth0]:7684 took_s=0.084

Never a payload or a private key.  Whoever catches an error logs it or raises it, not both.

An address is a secret, too: it is the right to visit.  Whatever a field says, at any level, of a label only the
first 8 digits are written, of a URL scheme and host, and of what was asked for nothing behind the question mark:

    e8684237             for sesame-e8684237….localhost
    https://ip.example   for https://user:word@ip.example/token?key=…

Strangers can make things happen as often as they like, so of one event at most BURST lines are kept at once and
PER_SECOND in the long run; the next line that is kept says how many were not:

    INFO    visitor.came service=e8684237 endpoint=192.168.1.9:51034 protocol=hardline/2 not_shown=4711
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hardline.showable import is_plain

_LABEL = re.compile(r"(?<![0-9A-Za-z])(?:[0-9A-Za-z]{0,23}-)?([0-9A-Fa-f]{8})[0-9A-Fa-f]{32}(?![0-9A-Za-z])")
_URL = re.compile(r"((?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,20}://)(?:[^/?#@\s]*@)?([^/?#\s'\"]*)[^\s'\"]*")
_SHORT = 128  # characters of a value that is known again
_TARGETS = frozenset(("path", "target"))  # fields with the target of a request

_logger = logging.getLogger("hardline")
_access_line: Callable[[float, Mapping[str, object]], str] | None = None  # where they are written


class Public(str):
    """Text with a key hash in it that is no right to visit anything: a node's own.  It is written as it is."""


LEVELS = ("debug", "info", "warning", "error")

BURST, PER_SECOND = 100, 10  # lines of one event


def event(name: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one event; None fields are left out."""
    if _logger.isEnabledFor(level):
        _logger.log(level, name, extra={"fields": {k: v for k, v in fields.items() if v is not None}})


def debug(name: str, /, **fields: object) -> None:
    """Write an event that helps whoever debugs a network."""
    event(name, level=logging.DEBUG, **fields)


def warning(name: str, /, **fields: object) -> None:
    """Write an event that the owner should look at."""
    event(name, level=logging.WARNING, **fields)


def access(**fields: object) -> None:
    """Write what a client asked and got; None fields are left out.  All are written: the owner wants to count them."""
    if _access_line is not None:
        line = _access_line(time.time(), fields)
        with contextlib.suppress(OSError, ValueError):  # as logging: nobody is served less because nobody reads it
            sys.stderr.write(f"{line}\n")


def set_up(level: str = "info", style: str = "text", clock: Callable[[], float] = time.monotonic) -> None:
    """Send events to stderr, as text or as JSON lines.  `clock` is seconds on any monotonic clock."""
    global _access_line
    handler = logging.StreamHandler()
    handler.addFilter(_Bound(clock))
    handler.setFormatter(_Json() if style == "json" else _Text())
    _logger.handlers[:] = [handler]
    _logger.propagate = False
    _logger.setLevel(level.upper())
    # Not by logging, which does for each line more than the rest of a request costs.
    line = functools.partial(_json if style == "json" else _text, "INFO", "gateway.access")
    _access_line = line if _logger.isEnabledFor(logging.INFO) else None


class _Bound:
    """Keeps back lines of an event that comes too often."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._events: dict[str, _Lines] = {}  # as many as there are names of events in the program

    def filter(self, record: logging.LogRecord) -> bool:
        lines, now = self._events.setdefault(record.msg, _Lines()), self._clock()
        lines.left = min(BURST, lines.left + (now - lines.counted) * PER_SECOND)
        lines.counted = now
        if lines.left < 1:
            lines.not_shown += 1
            return False
        lines.left -= 1
        if lines.not_shown:
            record.fields = _fields(record) | {"not_shown": lines.not_shown}
            lines.not_shown = 0
        return True


@dataclass(slots=True)
class _Lines:
    left: float = BURST
    counted: float = 0.0
    not_shown: int = 0


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _text(record.levelname, record.getMessage(), record.created, _fields(record))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _json(record.levelname, record.getMessage(), record.created, _fields(record))


def _text(level: str, event: str, when: float, fields: Mapping[str, object]) -> str:
    pairs = " ".join(
        [
            _short_pair(key, value) if type(value) is str and len(value) <= _SHORT else _pair(key, value)
            for key, value in fields.items()
            if value is not None
        ]
    )
    return f"{_clock(int(when))} {level:<7} {event:<20} {pairs}".rstrip()


def _json(level: str, event: str, when: float, fields: Mapping[str, object]) -> str:
    told = {key: _without_secrets(key, value) for key, value in fields.items() if value is not None}
    return json.dumps({"time": round(when, 3), "level": level.lower(), "event": event} | told)


@functools.lru_cache(2)
def _clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def _pair(key: str, value: object) -> str:
    if type(value) is int:
        return f"{key}={value}"
    if type(value) is float:
        return f"{key}={value:.3f}"
    return f"{key}={_quoted(_without_secrets(key, value))}"


@functools.lru_cache(512)
def _short_pair(key: str, value: str) -> str:
    """The same line comes again and again with another number in it."""
    return f"{key}={_quoted(_without_secrets(key, value))}"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "fields", {})


def _without_secrets(key: str, value: object) -> object:
    if value is None or isinstance(value, bool | int | float | Public):
        return value
    text = str(value)
    if key in _TARGETS:
        text = text.partition("?")[0]
    return _LABEL.sub(r"\1", _URL.sub(r"\1\2", text))


def _quoted(value: object) -> str:
    text = str(value)
    # A peer's words must not be able to forge a field or a line of the log.
    if not is_plain(text):
        return json.dumps(text)
    bare = text and not set(text) & set('"=') and len(text.split()) == 1 and text == text.strip()
    return text if bare else json.dumps(text, ensure_ascii=False)
