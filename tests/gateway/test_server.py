"""Who gets a place among the gateway's connections."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from hardline.gateway.server import Gateway
from hardline.routes import Endpoint
from hardline.settings.gateway import GatewaySection
from hardline.transport.tcp import TcpStream
from tests.support import clock
from tests.support.check_byte_stream import read_all
from tests.support.pairs import tcp_pair


def test_an_ipv6_network_is_one_source(monkeypatch, tmp_path):
    async def story() -> None:
        section = replace(GatewaySection(), max_per_source=2)
        gateway = Gateway(section, {}, None, {}, tmp_path)  # type: ignore[arg-type]
        served = []
        async with contextlib.AsyncExitStack() as stack:
            for host in ("2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2::3", "2001:db8:1:3::1"):
                client, ours = await stack.enter_async_context(tcp_pair())
                monkeypatch.setattr(TcpStream, "peer", Endpoint(host, 1))
                gateway.accepted(ours)
                served.append(not ours.transport.is_closing())
                if not served[-1]:
                    assert (await read_all(client)).startswith(b"HTTP/1.1 503 ")
            assert served == [True, True, False, True]
            await gateway.aclose()

    clock.run(story)
