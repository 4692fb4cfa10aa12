"""Listening sockets: a port on some addresses or on all, IPv4 and IPv6.

A port that is taken is an error, never a silent shift: forwards on routers and addresses that others remember name it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence

from hardline.errors import ConfigError
from hardline.routes import Endpoint
from hardline.transport.tcp import TcpStream

ALL_ADDRESSES = ("0.0.0.0", "::")

_BACKLOG = 1024
# What a machine without IPv6 (or without the address) answers; for one of several addresses that is no error.
_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


class Listener:
    """Accepts connections until closed.  Make one with `open`."""

    def __init__(self, servers: Sequence[asyncio.Server], endpoints: Sequence[Endpoint]) -> None:
        self._servers = servers
        self.endpoints = tuple(endpoints)

    @classmethod
    async def open(
        cls, addresses: Sequence[str], port: int, accepted: Callable[[TcpStream], None], *, what: str
    ) -> Listener:
        """Listen on `port` (0: any free one, the same on each) of every address; `accepted` gets each connection.

        `what` names the port in messages.  Raises ConfigError when it is taken or an address is not this machine's.
        """
        sockets = _bind_all(addresses, port, what)
        loop = asyncio.get_running_loop()
        servers = [
            await loop.create_server(lambda: TcpStream(accepted), sock=bound, backlog=_BACKLOG) for bound in sockets
        ]
        return cls(servers, [Endpoint(*bound.getsockname()[:2]) for bound in sockets])

    @property
    def port(self) -> int:
        """The port that is really listened on."""
        return self.endpoints[0].port

    async def aclose(self) -> None:
        """Accept no more.  Connections that were accepted are not touched."""
        for server in self._servers:
            server.close()


def _bind_all(addresses: Sequence[str], port: int, what: str) -> list[socket.socket]:
    bound: list[socket.socket] = []
    try:
        for address in addresses:
            try:
                one = _bind(address, port)
            except OSError as failure:
                if failure.errno in _NO_SUCH_FAMILY and address in ALL_ADDRESSES:
                    continue
                raise _as_config_error(failure, address, port, what) from None
            bound.append(one)
            port = one.getsockname()[1]
        if not bound:
            raise ConfigError(f"{what}: none of {', '.join(addresses)} is an address of this machine")
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
        return ConfigError(
            f"{what}: no permission to listen on {shown}", key=what, hint="ports below 1024 need privileges"
        )
    if failure.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"{what}: {address} is not an address of this machine", key="bind", hint="see: ip address")
    return ConfigError(f"{what}: cannot listen on {shown}: {(failure.strerror or str(failure)).lower()}", key=what)
