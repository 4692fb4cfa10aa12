"""What an owner sets of a socket, and what the kernel makes of it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from hardline.routes import Endpoint
from hardline.transport.listener import Listener
from hardline.transport.socketoptions import SocketOptions, less_than_asked, seen, why_not
from hardline.transport.tcp import Manner, TcpStream, connect_any
from tests.support import needs

KERNEL = Path("/proc/sys/net")
SET = SocketOptions(nodelay=False, send_buffer=32_768, receive_buffer=65_536, congestion="reno")


def at(stream: TcpStream) -> SocketOptions | None:
    return seen(stream.transport.get_extra_info("socket"))


@needs.linux()
def test_what_is_set_holds_for_the_connection_that_is_made_and_for_those_that_are_accepted():
    async def story() -> None:
        accepted: asyncio.Queue[TcpStream] = asyncio.Queue()
        listener = await Listener.open(
            ["127.0.0.1"], 0, accepted.put_nowait, what="test", options=SocketOptions(congestion="reno")
        )
        stream = await connect_any([Endpoint("127.0.0.1", listener.port)], Manner(options=SET))
        other = await accepted.get()
        assert at(stream) == SET
        theirs = at(other)
        assert theirs is not None
        assert (theirs.congestion, theirs.nodelay) == ("reno", True)
        await stream.aclose()
        await other.aclose()
        await listener.aclose()

    asyncio.run(story())


def test_what_is_not_set_is_as_it_always_was():
    async def story() -> None:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        stream = await connect_any([Endpoint(*server.sockets[0].getsockname())])
        now = at(stream)
        assert now is not None
        assert now.nodelay
        with socket.socket() as plain:
            usual = seen(plain)
        assert usual is not None
        assert now.congestion == usual.congestion
        await stream.aclose()
        assert seen(None) is None
        server.close()

    asyncio.run(story())


@needs.linux()
def test_a_congestion_control_that_cannot_be_had_is_told_with_those_that_can():
    has = (KERNEL / "ipv4/tcp_available_congestion_control").read_text().split()
    assert why_not("reno") == ""
    assert why_not("nonsense") == f"this kernel has {', '.join(has)}"


@needs.linux()
def test_a_size_beyond_the_kernels_own_limit_is_told():
    try:
        most = int((KERNEL / "core/rmem_max").read_text())
    except OSError:
        needs.cannot("net.core.rmem_max")
    assert less_than_asked(SocketOptions(receive_buffer=65_536)) == []
    [told] = less_than_asked(SocketOptions(receive_buffer=most + 1))
    assert told == f"receive_buffer: the kernel gives {most} bytes instead of {most + 1} (sysctl net.core.rmem_max)"
