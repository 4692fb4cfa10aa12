"""Carrying bytes between a tunnel's pipe and a local socket until both directions have ended.

A yamux stream is joined with the socket without tasks (session.joint), and so is TLS (direct.py); any other pair of
pipes is copied by two tasks here.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from hardline.errors import ConnectionLost
from hardline.session.joint import Joint
from hardline.session.legacy import LegacyPipe
from hardline.session.stream import Stream
from hardline.streams import ByteStream
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from hardline.tunnel.direct import Direct

# hardline/1 cannot say "I have sent all, but go on": after a local end this many seconds without a byte
# mean that the whole connection is over.
_LEGACY_LINGER = 5.0


class Local(ByteStream, Protocol):
    """The local side: a TcpStream, or what stands for one."""

    def abort(self) -> None:
        """Cut the connection so that the other end sees a reset, not an end."""
        ...


async def carry(
    pipe: ByteStream,
    local: Local,
    idle_timeout: float | None = None,
    *,
    if_silent: bytes = b"",
    ends_with_local: bool = False,
) -> None:
    """Carry bytes both ways; both pipes are closed when this returns.

    The last two are for hardline/1 (docs/PROTOCOL.md 3.3 and 3.4).  `if_silent` is what the local side gets when
    an original ends without having sent a byte, which is how it says no to anything.  With `ends_with_local` the
    local side's end ends both at once, as a host's must; a browser may half-close and still wait for its answer.

    Raises ConnectionLost when one side broke: the other then was cut, so that nobody takes a part for the whole;
    also after `idle_timeout` seconds without a byte.
    """
    if isinstance(pipe, Stream) and isinstance(local, TcpStream):
        await joined(Joint(pipe, local), idle_timeout)
    elif isinstance(pipe, TlsStream) and isinstance(local, TcpStream) and idle_timeout is None:
        await _direct(Direct(pipe, local))
    else:
        await _copied(pipe, local, idle_timeout, if_silent, ends_with_local)


async def _direct(direct: Direct) -> None:
    try:
        await direct.done
    except asyncio.CancelledError:
        direct.abort(ConnectionLost("the node is stopping"))
        raise


async def joined(joint: Joint, idle_timeout: float | None) -> None:
    """Wait until `joint` has carried everything.  Raises as `carry` does; cancelled, it cuts both sides."""
    try:
        if idle_timeout is None:
            await joint.done
            return
        moved = -1
        while not joint.done.done() and joint.moved != moved:
            moved = joint.moved
            await joint.done.within(idle_timeout)
        if not joint.done.done():
            joint.abort(ConnectionLost(f"idle for {idle_timeout:g} s"))
        await joint.done
    except asyncio.CancelledError:
        joint.abort(ConnectionLost("the node is stopping"))
        raise


async def _copied(
    pipe: ByteStream, local: Local, idle_timeout: float | None, if_silent: bytes, ends_with_local: bool
) -> None:
    legacy = isinstance(pipe, LegacyPipe)
    clock = _Clock()
    tasks = TaskSet("pump")
    outward = tasks.start(_copy(local, pipe, clock), "outward", expects=ConnectionLost)
    inward = tasks.start(_copy(pipe, local, clock, if_silent), "inward", expects=ConnectionLost)
    try:
        running = {outward, inward}
        while running:
            limit = _LEGACY_LINGER if legacy and outward not in running else idle_timeout
            ended, running = await asyncio.wait(
                running, timeout=limit and clock.left(limit), return_when=asyncio.FIRST_COMPLETED
            )
            for task in ended:
                task.result()
            if not ended and limit and clock.left(limit) <= 0:
                raise ConnectionLost(f"idle for {limit:g} s")
            if legacy and (inward in ended or (ends_with_local and outward in ended)):
                break
    except ConnectionLost:
        local.abort()
        raise
    finally:
        await tasks.aclose()
        await local.aclose()
        await pipe.aclose()


class _Clock:
    """When the last byte moved."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.moved()

    def moved(self) -> None:
        self._last = self._loop.time()

    def left(self, limit: float) -> float:
        return max(0.0, self._last + limit - self._loop.time())


async def _copy(source: ByteStream, target: ByteStream, clock: _Clock, if_silent: bytes = b"") -> None:
    last_words = if_silent
    try:
        while data := await source.receive(65_536):
            clock.moved()
            await target.send(data)
            clock.moved()
            last_words = b""
    except ConnectionLost:
        if not last_words:
            raise
    if last_words:
        await target.send(last_words)
    await target.send_eof()
