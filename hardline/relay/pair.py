"""Two sockets joined at a relay: bytes, ends and resets of each go to the other, and nobody looks at them.

    visitor's socket ──splice──▶ pipe ──splice──▶ host's socket       and the same back

Nothing is read that could not be passed on at once: what the other end does not take stays in the pipe, and the socket
is not read meanwhile.  A rate is kept in the same way (rates.py).  What is small is copied, which costs less than a
pipe; and so is everything where there are no pipes.
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

from hardline.relay.pipes import CAPACITY, Pipe, Pipes
from hardline.relay.rates import Rates
from hardline.relay.unheard import Unheard, is_gone
from hardline.transport.buffers import Buffers
from hardline.transport.tcp import TcpStream, linger

_TURNS = 4  # reads of one socket before others have their turn
_COPIED = 65_536  # bytes of one read where they are copied
_SMALL = 16_384  # bytes of a read after which the next one is copied again
LOOKS_EVERY = 60.0  # seconds: whether one that has said all still is there to hear the other

_FIONREAD = getattr(termios, "FIONREAD", 0)
_SPLICE_NONBLOCK = getattr(os, "SPLICE_F_NONBLOCK", 0) | getattr(os, "SPLICE_F_MOVE", 0)


class Pair:
    """Owns both sockets, which do not block, and carries until both directions have ended, or one end is gone.

    `source` is whom it counts for; `first` are what was read of each before, the visitor's and the host's; `ended` is
    called once.
    """

    def __init__(
        self,
        visitor: socket.socket,
        host: socket.socket,
        source: str,
        rates: Rates,
        ended: Callable[[Pair], None],
        first: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        self.source = source
        self._sockets = visitor, host
        self._ended: Callable[[Pair], None] | None = ended
        self._look_again: asyncio.TimerHandle | None = None
        self.up = Flow(self, visitor, host, rates, first[0])
        self.down = Flow(self, host, visitor, rates, first[1])

    def start(self) -> None:
        """Begin to carry."""
        self.up.start()
        if self._ended is not None:
            self.down.start()

    @property
    def passed(self) -> int:
        """Bytes, in both directions together."""
        return self.up.passed + self.down.passed

    def close(self, *, reset: bool) -> None:
        """End both connections; with `reset`, so that neither end takes what it has for the whole."""
        ended, self._ended = self._ended, None
        if ended is None:
            return
        if self._look_again is not None:
            self._look_again.cancel()
        self.up.stop()
        self.down.stop()
        for one in self._sockets:
            if reset:
                with contextlib.suppress(OSError):
                    linger(one, on=True)
            one.close()
        ended(self)

    def one_ended(self, quiet: socket.socket) -> None:
        """A direction is over: `quiet` has said all, and is not read any more, so that a reset of it wakes nobody."""
        if self.up.over and self.down.over:
            self.close(reset=False)
        elif self._ended is not None:
            loop = asyncio.get_running_loop()
            self._look_again = loop.call_later(LOOKS_EVERY, self._look, quiet)

    def _look(self, quiet: socket.socket) -> None:
        """Who has closed, rather than only ended, lets the kernel's own questions be answered by a reset."""
        if is_gone(quiet):
            self.close(reset=True)
        else:
            self.one_ended(quiet)


def sockets_of(
    visitor: TcpStream, host: TcpStream
) -> tuple[tuple[socket.socket, bytes], tuple[socket.socket, bytes]] | None:
    """Both sockets for a pair, each with what was read of it before; None where no descriptor is left, or one is gone:
    both are cut then."""
    try:
        first, early, _ = visitor.detach()
    except OSError:
        visitor.abort()
        host.abort()
        return None
    try:
        second, behind, _ = host.detach()
    except OSError:
        first.close()
        host.abort()
        return None
    return (first, early), (second, behind)


class Flow:
    """One direction.

    It reads, waits for its rate (`waiting`), or waits until the other end takes what was read; over after the end.
    """

    __slots__ = (
        "_bulk",
        "_first",
        "_from",
        "_held",
        "_loop",
        "_pair",
        "_pipe",
        "_rates",
        "_reads",
        "_receive",
        "_scratch",
        "_send",
        "_to",
        "_unheard",
        "_unsaid_end",
        "_writes",
        "over",
        "passed",
        "waiting",
    )

    def __init__(self, pair: Pair, origin: socket.socket, to: socket.socket, rates: Rates, first: bytes) -> None:
        self._pair, self._from, self._to, self._rates = pair, origin, to, rates
        self._loop = asyncio.get_running_loop()
        self._first = memoryview(first)  # goes before everything else: copied, or read before there was a pair
        self._pipe: Pipe | None = None
        self._held = 0  # bytes in the pipe
        self._bulk = False  # the last read was a large one
        self._scratch = Buffers.of_this_loop().local
        self._unheard = Unheard.of_this_loop()
        self._receive, self._send = origin.recv_into, to.send
        self._reads = self._writes = self._unsaid_end = False
        self.over = self.waiting = False
        self.passed = 0

    @property
    def source(self) -> str:
        """Whom it counts for."""
        return self._pair.source

    @property
    def pair(self) -> Pair:
        """What it is a direction of."""
        return self._pair

    @property
    def origin(self) -> socket.socket:
        """Where it reads."""
        return self._from

    @property
    def readable(self) -> int:
        """Bytes that have arrived and were not read yet."""
        return _unread_size(self._from.fileno())

    def start(self) -> None:
        if self._first:
            self.passed += len(self._first)
            self._rates.used(self, len(self._first))
        self._push()

    def stop(self) -> None:
        """Nothing more is carried."""
        self.over = True
        self._read(False)
        self._write(False)
        self._rates.forget(self)
        if self._pipe is not None:
            pipe, self._pipe = self._pipe, None
            Pipes.of_this_loop().drop(pipe)

    def go(self) -> None:
        """Its rate allows something again."""
        self._carry()

    def once_more(self) -> None:
        """Its socket is gone, which the event loop has said already: read to the end of what is there."""
        passed = -1
        while self._reads and passed != self.passed:
            passed = self.passed
            self._readable()

    # What the event loop calls.

    def _readable(self) -> None:
        if self._bulk or self._rates.limited:
            self._carry()
            return
        try:
            count = self._receive(self._scratch)
        except BlockingIOError:
            return
        except OSError:
            self._pair.close(reset=True)
            return
        self.passed += count
        self._rates.volume += count
        self._unheard.heard(self)
        sent = 0
        if count:
            with contextlib.suppress(OSError):  # `_push` finds out which
                sent = self._send(self._scratch[:count])
        else:
            self._unsaid_end = True
        if sent < count or not count:
            self._first = memoryview(bytes(self._scratch[sent:count]))
            self._push()
        elif count == len(self._scratch):
            self._bulk = True
            self._carry()

    def _carry(self) -> None:
        for _ in range(_TURNS):
            granted = self._rates.grant(self, CAPACITY)
            if not granted:
                self._read(False)  # `go` comes
                return
            try:
                count = self._take(granted)
            except BlockingIOError:
                self._rates.used(self, 0, granted)
                self._let_go()
                self._read(True)
                return
            except OSError:
                self._pair.close(reset=True)
                return
            self.passed += count
            self._rates.used(self, count, granted)
            self._unheard.heard(self)
            if not count:
                self._unsaid_end = True
            if not self._push() or self._unsaid_end:
                return
            if count < granted and count < _COPIED:
                self._bulk = count > _SMALL
                return  # that was all: epoll says when there is more

    def _push(self) -> bool:
        """Give the other end what is held; whether it took all of it, and this reads on."""
        try:
            while self._first:
                self._first = self._first[self._to.send(self._first) :]
            while self._held:
                assert self._pipe is not None, "something is held in it"
                self._held -= os.splice(self._pipe.read, self._to.fileno(), self._held, flags=_SPLICE_NONBLOCK)
        except BlockingIOError:
            self._read(False)
            self._write(True)
            return False
        except OSError:
            self._pair.close(reset=True)
            return False
        self._write(False)
        self._let_go()
        if self._unsaid_end:
            self._end()
            return False
        self._read(True)
        return True

    def _let_go(self) -> None:
        if self._pipe is not None:
            Pipes.of_this_loop().give_back(self._pipe)
            self._pipe = None

    def _end(self) -> None:
        self._read(False)
        self.over = True
        self._rates.forget(self)
        with contextlib.suppress(OSError):  # it is gone already, which its own direction will find
            self._to.shutdown(socket.SHUT_WR)
        self._pair.one_ended(self._from)

    def _take(self, most: int) -> int:
        """Read at most so much.  Raises OSError."""
        if self._pipe is None:
            self._pipe = Pipes.of_this_loop().take()
        if self._pipe is not None:
            self._held = os.splice(self._from.fileno(), self._pipe.write, most, flags=_SPLICE_NONBLOCK)
            return self._held
        self._first = memoryview(self._from.recv(min(most, _COPIED)))
        return len(self._first)

    def _read(self, wanted: bool) -> None:
        if wanted != self._reads:
            self._reads = wanted
            if wanted:
                self._loop.add_reader(self._from.fileno(), self._readable)
            else:
                self._loop.remove_reader(self._from.fileno())

    def _write(self, wanted: bool) -> None:
        if wanted != self._writes:
            self._writes = wanted
            if wanted:
                self._loop.add_writer(self._to.fileno(), self._push)
            else:
                self._loop.remove_writer(self._to.fileno())


def _unread_size(fd: int) -> int:
    """How many bytes have arrived at a socket and were not read yet; where nobody can tell, at least one."""
    try:
        return int.from_bytes(fcntl.ioctl(fd, _FIONREAD, bytes(4)), sys.byteorder) or 1  # an end counts, too
    except OSError:
        return 1
