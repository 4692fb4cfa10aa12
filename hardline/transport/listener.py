"""Listening sockets: a port on some addresses or on all, IPv4 and IPv6.

A port that is taken is an error, never a silent shift: forwards on routers and addresses that others remember name it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence

from hardline import log
from hardline.errors import ConfigError
from hardline.routes import Endpoint
from hardline.tasks import TaskSet, keep_running
from hardline.transport.descriptors import is_one_of_the_last, scarce
from hardline.transport.socketoptions import AS_THE_KERNEL_HAS_IT, SocketOptions, prepare
from hardline.transport.tcp import TcpStream, linger

ALL_ADDRESSES = ("0.0.0.0", "::")

_BACKLOG = 1024
_PRIVILEGES = (
    "ports below 1024 need privileges: sysctl -w net.ipv4.ip_unprivileged_port_start=443, or "
    "setcap cap_net_bind_service=+ep on the Python that runs hardlined"
)
_LOOK_AGAIN = 0.25  # seconds, while descriptors are scarce
# What a machine without IPv6 (or without the address) answers; for one of several addresses that is no error.
_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


class Listener:
    """Accepts connections until closed.  Make one with `open`.

    While descriptors are scarce it leaves connections to wait in the kernel's queue, and takes them up again when
    others have gone.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], accepted: Callable[[TcpStream], None], what: str, *, resets: bool
    ) -> None:
        self._ports = [_Port(bound, accepted, what, resets) for bound in sockets]
        self._tasks = TaskSet("listener")
        self.endpoints = tuple(Endpoint(*bound.getsockname()[:2]) for bound in sockets)

    @classmethod
    async def open(
        cls,
        addresses: Sequence[str],
        port: int,
        accepted: Callable[[TcpStream], None],
        *,
        what: str,
        resets: bool = False,
        options: SocketOptions = AS_THE_KERNEL_HAS_IT,
    ) -> Listener:
        """Listen on `port` (0: any free one, the same on each) of every address; `accepted` gets each connection.

        `what` names the port in messages.  With `resets` the end of a connection is a cut, also when the process is
        killed, unless TcpStream.close ends it: many answers end with theirs, and a part must not look whole.
        What is accepted inherits `options`.
        Raises ConfigError when the port is taken or an address is not ours.
        """
        bound = _bind_all(addresses, port, what)
        for one in bound:
            if resets:
                linger(one, on=True)  # what is accepted inherits it
            prepare(one, options)
        listener = cls(bound, accepted, what, resets=resets)
        try:
            for port_of_one in listener._ports:
                await port_of_one.start()
                listener._tasks.start(keep_running(port_of_one.pause_while_scarce, what), what)
        except BaseException:
            await listener.aclose()
            raise
        return listener

    @property
    def port(self) -> int:
        """The port that is really listened on."""
        return self.endpoints[0].port

    async def aclose(self) -> None:
        """Accept no more.  Connections that were accepted are not touched."""
        await self._tasks.aclose()
        for port in self._ports:
            port.close()


class _Port:
    """One listening socket.

    uvloop's way out when none is left (accept what waits by a spare descriptor, and close it) ends in a busy loop
    when a thread takes the spare in between; so accepting stops while there still are some.
    """

    def __init__(self, bound: socket.socket, accepted: Callable[[TcpStream], None], what: str, resets: bool) -> None:
        self._bound, self._accepted, self._what, self._resets = bound, accepted, what, resets
        self._scarce = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        # A duplicate: closing the server closes it, and what waits to be accepted waits on with the original.
        await self._accept(self._bound.dup())

    async def pause_while_scarce(self) -> None:
        while True:
            await self._scarce.wait()
            await self._pause()
            log.warning("accept.paused", port=self._what, reason="descriptors are scarce", hint="ulimit -n")
            await asyncio.sleep(_LOOK_AGAIN)
            taken = self._bound.dup()  # or the one that was just given back would make it look as if one were left
            try:
                while scarce():  # noqa: ASYNC110  nobody tells when descriptors are free again
                    await asyncio.sleep(_LOOK_AGAIN)
            except BaseException:
                taken.close()
                raise
            await self._accept(taken)
            self._scarce.clear()

    async def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        if self._server is not None and isinstance(loop, asyncio.SelectorEventLoop):
            for one in self._server.sockets:
                loop.remove_reader(one.fileno())
            await asyncio.sleep(0)  # asyncio gives a connection to its server a turn after it was accepted
        self._stop()

    async def _accept(self, taken: socket.socket) -> None:
        # Of asyncio's own loop it is also how many are accepted in one go, before any is told: it may then be too late.
        one_by_one = isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)
        backlog = 1 if one_by_one else _BACKLOG
        try:
            self._server = await asyncio.get_running_loop().create_server(self._stream, sock=taken, backlog=backlog)
            self._bound.listen(_BACKLOG)
        except BaseException:
            taken.close()
            raise

    def close(self) -> None:
        self._stop()
        self._bound.close()

    def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _stream(self) -> TcpStream:
        return TcpStream(self._came, resets=self._resets)

    def _came(self, stream: TcpStream) -> None:
        if is_one_of_the_last(stream.transport.get_extra_info("socket").fileno()):
            self._scarce.set()
        self._accepted(stream)


def _bind_all(addresses: Sequence[str], port: int, what: str) -> list[socket.socket]:
    bound: list[socket.socket] = []
    try:
        for address in addresses:
            try:
                one = _bind(address, port)
            except OSError as failure:
                if failure.errno in _NO_SUCH_FAMILY and address in (*ALL_ADDRESSES, "::1"):
                    continue
                raise _as_config_error(failure, address, port, what) from None
            bound.append(one)
            port = one.getsockname()[1]
        if not bound:
            raise ConfigError(
                f"{what}: none of {', '.join(addresses)} is an address of this machine", hint="ip addr  shows them"
            )
    except BaseException:
        for one in bound:
            one.close()
        raise
    return bound


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that say that they are TCP, and accepted ones say what this one does.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        info = socket.getaddrinfo(address, port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        bound.bind(info[0][4])
        bound.listen(_BACKLOG)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


def _as_config_error(failure: OSError, address: str, port: int, what: str) -> ConfigError:
    shown = Endpoint(address, port)
    if failure.errno == errno.EADDRINUSE:
        hint = f"stop the program that listens there (ss -ltnp 'sport = {port}'), or choose another {what}"
        return ConfigError(f"{what}: {shown} is taken by another program", key=what, hint=hint)
    if failure.errno == errno.EACCES:
        return ConfigError(f"{what}: no permission to listen on {shown}", key=what, hint=_PRIVILEGES)
    if failure.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"{what}: {address} is not an address of this machine", key="bind", hint="see: ip address")
    return ConfigError(f"{what}: cannot listen on {shown}: {(failure.strerror or str(failure)).lower()}", key=what)
