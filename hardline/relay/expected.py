"""Lines that connections to this node are to begin with, because somebody in it has asked for them.

    expect(PROBE, id, take) ─┐
    Listener ─▶ accepted ────┴─▶ HARDLINE-PROBE id ─▶ take          any other line ─▶ the end
                    └─ whatever is no such line, and everything while nothing is expected ─▶ host

A line is good once, and for a time.  What stands behind it stays in the stream, for whoever takes that.
Source: docs/PROTOCOL.md, sections 9.1 and 9.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from hardline.relay.firstbytes import FirstBytes
from hardline.relay.lines import BEGINNING, Line, Verb, read_line
from hardline.transport.tcp import TcpStream

MOST = 256  # lines that are expected at once

Take: TypeAlias = Callable[[TcpStream], None]


@dataclass(frozen=True, slots=True)
class _NoLine:
    """Something else than a line of a relay, or no beginning of one any more."""


class Expected:
    """Waits for the first bytes, `timeout` seconds at most, of `most` connections and of `of_a_source` of one source;
    only while something is expected.
    """

    def __init__(self, *, most: int, of_a_source: int, timeout: float) -> None:
        self._takes: dict[tuple[Verb, str], tuple[Take, float]] = {}  # until when, by the loop
        self._coming: FirstBytes[Line | _NoLine] = FirstBytes(
            _read, most=most, of_a_source=of_a_source, timeout=timeout
        )

    def expect(self, verb: Verb, rest: str, take: Take, seconds: float) -> None:
        """From now on, and for so long, `take` gets the first connection that begins so, without that line.

        It must be told apart from everything that others could guess.  Of MOST the oldest is forgotten.
        """
        self._forget_old()
        self._takes.pop((verb, rest), None)
        self._takes[verb, rest] = take, asyncio.get_running_loop().time() + seconds
        if len(self._takes) > MOST:
            del self._takes[next(iter(self._takes))]

    def forget(self, verb: Verb, rest: str) -> None:
        """It is not expected any more."""
        self._takes.pop((verb, rest), None)

    def accepted(self, tcp: TcpStream, host: Take) -> None:
        """A connection came in, which is for `host` unless it begins with a line."""
        if self._takes:
            self._forget_old()
        if not self._takes:
            host(tcp)
            return

        def known(tcp: TcpStream, found: Line | _NoLine) -> None:
            if isinstance(found, _NoLine):
                host(tcp)
            elif not self.take(tcp, found):
                tcp.abort()

        self._coming.accepted(tcp, known)

    def take(self, tcp: TcpStream, line: Line) -> bool:
        """Give `tcp` to whoever expects `line`, which is still to be received.  Returns whether somebody does."""
        self._forget_old()
        found = self._takes.pop((line.verb, line.rest), None)
        if found is None:
            return False
        tcp.skip(line.size)
        found[0](tcp)
        return True

    def close(self) -> None:
        """Nothing is expected any more, and nobody waited for."""
        self._takes.clear()
        self._coming.close()

    def _forget_old(self) -> None:
        now = asyncio.get_running_loop().time()
        for key in [key for key, (_, until) in self._takes.items() if until <= now]:
            del self._takes[key]


def _read(said: bytes) -> Line | _NoLine | None:
    if not said:
        return None
    return read_line(said) if BEGINNING.startswith(said[: len(BEGINNING)]) else _NoLine()
