"""The ports that one try is made from: they listen, and connect, and share them with a connection to a relay.

    Ports.open(local) ─▶ named to the other side ─▶ punch: listen and connect for 4 s ──TcpStream──▶ opened

A full cone lets the other side in where it never lets us out: without a listener such a pair would not connect.
Source: docs/PROTOCOL.md, section 10.2.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections.abc import Callable, Sequence

from hardline.outcome import Outcome
from hardline.punch.plan import Patience
from hardline.routes import Endpoint
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.tcp import TcpStream

WINDOW = 4.0  # seconds
MOST_ACCEPTED = 4  # connections in one try: anybody may find the port

_BACKLOG = 8


class Ports:
    """Those of one try: one of each family, 4 and 6, that we can connect from."""

    def __init__(self) -> None:
        self._listeners: dict[int, socket.socket] = {}
        self._local: dict[int, Endpoint] = {}

    @classmethod
    def open(cls, local: Endpoint, six: str = "") -> Ports:
        """Listen at `local`, where a connection that shares its port comes from, and at any port of the IPv6 address
        `six`.

        Raises OSError.
        """
        ports = cls()
        try:
            ports._listen(local)
            if six and 6 not in ports.families:
                ports._listen(Endpoint(six, 0))
        except BaseException:
            ports.close()
            raise
        return ports

    @property
    def families(self) -> frozenset[int]:
        """4, 6."""
        return frozenset(self._local)

    @property
    def six(self) -> tuple[Endpoint, ...]:
        """The one of IPv6, where there is one."""
        return (self._local[6],) if 6 in self._local else ()

    def close(self) -> None:
        """Listen no more.  Idempotent."""
        for listener in self._listeners.values():
            listener.close()

    async def punch(self, targets: Sequence[Endpoint], opened: Callable[[TcpStream], None], enough: Outcome) -> None:
        """Listen, and connect to `targets`, for WINDOW seconds; each connection is `opened`'s from then on.

        Once there is `enough`, nothing new begins; but what is under way is not ended before its time: a router keeps
        the number of what went out, and would drop the other side's.  Closes the ports.  Cancelled, it ends at once.
        """
        tasks = TaskSet("punch")
        try:
            for listener in self._listeners.values():
                tasks.start(self._accept(listener, opened), "accept", expects=OSError)
            for target in targets:
                tasks.start(self._knock(target, opened, enough), f"knock.{target}", expects=OSError)
            await asyncio.sleep(WINDOW)
        finally:
            await tasks.aclose()
            self.close()

    async def _accept(self, listener: socket.socket, opened: Callable[[TcpStream], None]) -> None:
        for _ in range(MOST_ACCEPTED):
            raw, _ = await asyncio.get_running_loop().sock_accept(listener)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tcp.keep_alive(raw)
            opened(await tcp.over_socket(raw))

    async def _knock(self, target: Endpoint, opened: Callable[[TcpStream], None], enough: Outcome) -> None:
        loop, patience, local = asyncio.get_running_loop(), Patience(), self._local[_family(target)]
        while patience.left > 1 and not enough.done():
            began = loop.time()
            manner = tcp.Manner(shares=True, local=local, knocks=patience.left)
            try:
                raw = await tcp.connected_socket([target], manner)
            except OSError as failure:
                if failure.errno == errno.EADDRNOTAVAIL:
                    return  # the other side's connection was there first, and is accepted
                patience.refused(loop.time() - began)
                await asyncio.sleep(patience.pause(random.random()))
                continue
            opened(await tcp.over_socket(raw))
            return

    def _listen(self, at: Endpoint) -> None:
        family = _family(at)
        listener = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_STREAM)
        self._listeners[family] = listener
        listener.setblocking(False)
        tcp.share(listener)
        if family == 6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((at.host, at.port))
        listener.listen(_BACKLOG)
        self._local[family] = Endpoint(at.host, listener.getsockname()[1])


def _family(at: Endpoint) -> int:
    return 6 if ":" in at.host else 4
