"""Connections that are looked at before it is known who gets them.

    TcpStream ─ first bytes ─▶ read(bytes) ─┬─ None: more of them are waited for
                                            ├─ PeerError, too late, too many: cut
                                            └─ something ──▶ known(TcpStream, something)

Nothing is taken off a connection here.  Source: docs/PROTOCOL.md, section 9.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hardline import log
from hardline.deadlines import Deadlines
from hardline.errors import PeerError
from hardline.relay.clienthello import MAX_SIZE
from hardline.transport.newcomers import Newcomers
from hardline.transport.tcp import TcpStream

MAX_PIECES = 256  # each of them is looked at with all that came before

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Waiting(Generic[T]):
    known: Callable[[TcpStream, T], None]
    pieces: int = 0  # in which its first bytes came so far


class FirstBytes(Generic[T]):
    """Waits for them, `timeout` seconds at most, of `most` connections and of `of_a_source` of one source.

    `read` says what they are; None while that is not known.  It raises PeerError for what is nothing.
    """

    def __init__(self, read: Callable[[bytes], T | None], *, most: int, of_a_source: int, timeout: float) -> None:
        self._read = read
        self._newcomers: Newcomers[TcpStream] = Newcomers(most, of_a_source)
        self._impatient: Deadlines[TcpStream] = Deadlines(timeout, self._cut)
        self._waiting: dict[TcpStream, _Waiting[T]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def accepted(self, tcp: TcpStream, known: Callable[[TcpStream, T], None], source: str = "") -> None:
        """A connection came in, from `source` or its peer, which `known` gets once it is known what it is."""
        for leaving in self._newcomers.come(tcp, source or tcp.peer.host):
            self._cut(leaving)
            if leaving is tcp:
                return
        self._waiting[tcp] = _Waiting(known)
        self._impatient.add(tcp)
        tcp.when_heard(self._heard)

    def close(self) -> None:
        """Nobody is waited for any more."""
        self._impatient.close()
        for tcp in tuple(self._waiting):
            self._cut(tcp)

    def _heard(self, tcp: TcpStream) -> None:
        waiting, said = self._waiting.get(tcp), tcp.heard
        if waiting is None:
            return
        try:
            found = self._read(said)
        except PeerError as failure:
            log.debug("relay.opening_refused", endpoint=tcp.peer, reason=failure.message)
            self._cut(tcp)
            return
        if found is not None:
            self._forget(tcp)
            waiting.known(tcp, found)
            return
        waiting.pieces += 1
        if tcp.ended or len(said) > MAX_SIZE or waiting.pieces > MAX_PIECES:
            self._cut(tcp)
        else:
            tcp.when_heard(self._heard, beyond=len(said))

    def _cut(self, tcp: TcpStream) -> None:
        self._forget(tcp)
        tcp.abort()

    def _forget(self, tcp: TcpStream) -> None:
        self._newcomers.known(tcp)
        self._impatient.discard(tcp)
        self._waiting.pop(tcp, None)
