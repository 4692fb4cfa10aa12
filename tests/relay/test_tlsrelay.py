"""The ports for servers of tx_tlsrelay, within their bounds: who is too much, too slow or too late."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hardline.errors import ConfigError
from hardline.relay.limits import RelayLimits
from hardline.relay.rates import Rates
from hardline.relay.server import RelayState
from hardline.relay.tlsrelay import credentials
from hardline.relay.tlsrelay.server import OF_A_SOURCE, TlsRelay, _Server
from hardline.relay.visits import Visits
from tests.relay.running import in_loop, until
from tests.relay.test_public_ports import LIMITS, free_ports
from tests.support import needs
from tests.support.tlsrelay import Keys

pytestmark = needs.tools("openssl")

NOBODY_ELSE = RelayState(0, 0, 0, 0, 0, 0, {}, draining=False, used_up=False, public_ports=0)
Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("tlsrelay") / "keys")


class Running:
    """One with two pairs."""

    def __init__(self, keys: Keys, limits: RelayLimits, timeout: float) -> None:
        self.keys, self.ports, self.visits = keys, free_ports(5), Visits(limits)
        self.context = credentials.load(keys.directory)
        self.relay = TlsRelay(self.ports, "", self.context, self.visits, Rates(limits.rates), timeout)
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def state(self) -> RelayState:
        return self.relay.describe(NOBODY_ELSE)

    async def connected(self, port: int, source: str = "127.0.0.1") -> Pipe:
        pipe = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        self._writers.append(pipe[1])
        return pipe

    async def server(self, at: str = "127.0.0.1") -> asyncio.StreamReader:
        """A control connection."""
        context = ssl.create_default_context(cafile=str(self.keys.file("ca.crt.pem")))
        context.check_hostname = False
        context.load_cert_chain(self.keys.file("client.crt.pem"), self.keys.file("client.key.pem"))
        reader, writer = await asyncio.open_connection(at, self.ports[0], ssl=context)
        self._writers.append(writer)
        return reader

    async def leased(self) -> tuple[asyncio.StreamReader, int, int]:
        """One, and its public and its reverse port."""
        server = await self.server()
        public, reverse = [int((await server.readline()).rpartition(b":")[2]) for _ in range(2)]
        return server, public, reverse

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def running(keys: Keys, limits: RelayLimits = LIMITS, timeout: float = 10.0) -> AsyncIterator[Running]:
    found = Running(keys, limits, timeout)
    await found.relay._open(["127.0.0.1", "::1"] if socket.has_ipv6 else ["127.0.0.1"])
    try:
        yield found
    finally:
        found.close()
        await found.relay.aclose()
        assert found.state == NOBODY_ELSE or found.state.pairs == found.state.waiting == 0
        assert found.visits.names == ()


@in_loop
async def test_a_client_for_whom_nobody_dials_is_closed_and_the_next_dial_is_not_his(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardline.relay.tlsrelay.server.DIALS_WITHIN", 0.3)
    async with running(keys) as relay:
        server, public, reverse = await relay.leased()
        late, _ = await relay.connected(public)
        assert await server.readline() == b"new_connection\r\n"
        assert await late.read() == b""
        assert relay.state.refused == {"nobody_joined": 1}
        _, next_ = await relay.connected(public)
        next_.write(b"in time")
        assert await server.readline() == b"new_connection\r\n"
        dialled, _ = await relay.connected(reverse)
        assert await dialled.readexactly(7) == b"in time"


@in_loop
async def test_who_fills_the_places_of_those_who_wait_gives_way_to_others(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardline.relay.visits.MAX_WAITING", 2)
    async with running(keys) as relay:
        server, public, _ = await relay.leased()
        first, _ = await relay.connected(public, "127.0.0.5")
        second, _ = await relay.connected(public, "127.0.0.5")
        await until(lambda: relay.state.waiting == 2)
        await relay.connected(public)
        for _ in range(3):
            assert await server.readline() == b"new_connection\r\n"
        assert await first.read() == b""
        assert (relay.state.waiting, relay.state.refused) == (2, {"waiting": 1})
        assert not second.at_eof()


@in_loop
async def test_a_server_that_came_by_ipv6_is_told_an_address_without_brackets_and_dials_there(keys: Keys) -> None:
    if not socket.has_ipv6:
        needs.cannot("IPv6")
    async with running(keys) as relay:
        server = await relay.server("::1")
        public, reverse = await server.readline(), await server.readline()
        assert (public, reverse) == (
            f"public_listener ::1:{relay.ports[3]}\r\n".encode(),
            f"reverse_listener ::1:{relay.ports[1]}\r\n".encode(),
        )
        _, client = await asyncio.open_connection("::1", relay.ports[3])
        client.write(b"six")
        assert await server.readline() == b"new_connection\r\n"
        dialled, back = await asyncio.open_connection("::1", relay.ports[1])
        assert await dialled.readexactly(3) == b"six"
        client.close()
        back.close()
        await until(lambda: relay.state.pairs == 0)


@in_loop
async def test_the_kernel_looks_whether_a_server_is_still_there(keys: Keys) -> None:
    async with running(keys) as relay:
        await relay.leased()
        [server] = relay.relay._servers
        assert server.tls.socket is not None
        assert server.tls.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert server.tls.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


@in_loop
async def test_where_a_port_is_full_the_network_that_has_most_gives_way(keys: Keys) -> None:
    async with running(keys, replace(LIMITS, pairs_of_port=3)) as relay:
        server, public, reverse = await relay.leased()
        here = [await relay.connected(public) for _ in range(3)]
        for _ in here:
            assert await server.readline() == b"new_connection\r\n"
        carried, _ = await relay.connected(reverse)
        await until(lambda: relay.state.pairs == 1)
        await relay.connected(public, "127.0.0.9")
        assert await server.readline() == b"new_connection\r\n"
        assert relay.state.refused == {"gave_way": 1}
        assert relay.state.pairs + relay.state.waiting == 3
        one_more, _ = await relay.connected(public)
        assert await one_more.read() == b"", "he has most of them himself"
        assert relay.state.refused == {"gave_way": 1, "pairs": 1}
        assert carried is not None


@in_loop
async def test_who_comes_too_often_from_one_network_is_closed(keys: Keys) -> None:
    async with running(keys, replace(LIMITS, pairs_per_source=2)) as relay:
        _, public, _ = await relay.leased()
        here = [await relay.connected(public) for _ in range(2)]
        await until(lambda: relay.state.waiting == 2)
        more, _ = await relay.connected(public)
        assert await more.read() == b""
        assert (len(here), relay.state.refused) == (2, {"pairs_per_source": 1})


@in_loop
async def test_who_shows_no_certificate_in_time_is_cut_and_too_many_of_them_do_not_even_wait(keys: Keys) -> None:
    async with running(keys, timeout=1.0) as relay:
        waiting = [await relay.connected(relay.ports[0]) for _ in range(OF_A_SOURCE)]
        more, _ = await relay.connected(relay.ports[0])
        with contextlib.suppress(ConnectionResetError):
            assert await more.read() == b""
        assert relay.state.refused == {"connections": 1}
        for reader, _ in waiting:
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        await until(lambda: relay.state.refused == {"connections": 1, "certificate": OF_A_SOURCE})
        await relay.leased()


@in_loop
async def test_when_the_month_is_used_up_all_are_cut_and_nobody_new_comes(keys: Keys) -> None:
    async with running(keys) as relay:
        server, public, _ = await relay.leased()
        waits, _ = await relay.connected(public)
        assert await server.readline() == b"new_connection\r\n"
        relay.visits.used_up = True
        relay.relay.cut()
        assert await waits.read() == b""
        assert await (await relay.connected(public))[0].read() == b""
        assert await (await relay.server()).read() == b"no_available_listeners\r\n"


class DoesNotRead:
    """A TlsStream whose other end does not."""

    blocked = True

    def __init__(self) -> None:
        self.put_size, self.closed = 0, False

    def put(self, data: bytes) -> None:
        self.put_size += len(data)

    def close_soon(self) -> None:
        self.closed = True


def test_a_server_that_does_not_read_is_cut() -> None:
    tls, left = DoesNotRead(), list[str]()
    server = _Server(tls, lambda one, why: left.append(why))  # type: ignore[arg-type]
    for _ in range(1000):
        server.say(b"new_connection\r\n")
    assert (tls.closed, left) == (True, ["it does not read"])
    assert tls.put_size == 64 * 16


@pytest.mark.parametrize("name", ["ca.crt.pem", "server.crt.pem", "server.key.pem"])
def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path: Path, keys: Keys, name: str) -> None:
    for each in ("ca.crt.pem", "server.crt.pem", "server.key.pem"):
        (tmp_path / each).write_bytes(keys.file(each).read_bytes())
        (tmp_path / each).chmod(0o600)
    credentials.load(tmp_path)
    (tmp_path / name).write_text("nothing of the kind")
    with pytest.raises(ConfigError, match=r"\[Relay\] tlsrelay_keys: .* does not take these files: .") as wrong:
        credentials.load(tmp_path)
    assert name in wrong.value.hint
    (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match=f"{name}: this file is missing"):
        credentials.load(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, keys: Keys, mode: int) -> None:
    for each in ("ca.crt.pem", "server.crt.pem", "server.key.pem"):
        (tmp_path / each).write_bytes(keys.file(each).read_bytes())
    (tmp_path / "server.key.pem").chmod(mode)
    with pytest.raises(ConfigError, match=f"its mode is {mode:04o}") as wrong:
        credentials.load(tmp_path)
    assert wrong.value.hint == f"chmod 600 {tmp_path}/server.key.pem"
