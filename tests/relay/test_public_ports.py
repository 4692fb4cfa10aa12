"""Public ports of a relay, seen from outside: by sockets that know nothing of hardline."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hardline.errors import HardlineError, PeerError
from hardline.identity import KeyHash
from hardline.relay.access import Access
from hardline.relay.client import RelayClient
from hardline.relay.handles import handle_of, make_port_name
from hardline.relay.joins import Joined
from hardline.relay.limits import RelayLimits
from hardline.relay.messages import Kind, Why
from hardline.relay.ports import Ports
from hardline.relay.registry import RegistryLimits
from hardline.relay.wanted import Wanted
from hardline.routes import RelayAddress
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.contexts import visitor_context
from hardline.transport.tls import TlsStream
from tests.relay.running import NOW, RunningRelay, in_loop, name_of, prover, running_host, running_relay, until
from tests.relay.test_inside import OnlyTls

LIMITS = RelayLimits(registry=RegistryLimits(), pairs=300, pairs_per_source=600, new_pairs=1000)


def free_ports(count: int) -> list[int]:
    """Below those that the system gives to whoever connects, as an owner would choose them."""
    with contextlib.ExitStack() as bound:
        ports: list[int] = []
        for port in random.sample(range(20_000, 32_000), 1000):
            with contextlib.suppress(OSError):
                bound.enter_context(socket.socket()).bind(("127.0.0.1", port))
                ports.append(port)
            if len(ports) == count:
                break
        return sorted(ports)


@contextlib.asynccontextmanager
async def relay_with_ports(
    file: Path, ports: list[int], access: Access, limits: RelayLimits = LIMITS
) -> AsyncIterator[RunningRelay]:
    public = Ports(ports, file)
    async with running_relay(limits, access, ports=public) as relay:
        try:
            await public.open(["127.0.0.1"], relay.relay.public)
            yield relay
        finally:
            await public.aclose()


class PublicHost:
    """A host whose service greets, and then says back what it hears until the visitor has said all."""

    def __init__(self, address: RelayAddress, key: bytes = b"one", wanted: int = 0) -> None:
        self.me, self.service = prover(), KeyHash(key.ljust(20, b"."))
        self.wanted = [
            Wanted(self.service, make_port_name(key, "host", address.key_hash), Kind.PORT, port=wanted),
        ]
        self.joined: list[Joined] = []
        self._tasks, self._running = TaskSet("public"), TaskSet("public")
        self.client = RelayClient(
            address, lambda: self.me, lambda: self.wanted, self._arrived, lambda: None, clock=lambda: NOW
        )

    def start(self) -> None:
        self._running.start(self.client.run(), "relay")

    async def stop(self) -> None:
        await self._running.aclose()

    async def aclose(self) -> None:
        await self.stop()
        await self._tasks.aclose()

    @property
    def port(self) -> int | Why | None:
        return self.client.port_of(self.service)

    async def has_port(self) -> int:
        await until(lambda: isinstance(self.port, int))
        assert isinstance(self.port, int)
        return self.port

    def _arrived(self, joined: Joined) -> None:
        assert joined.public
        self.joined.append(joined)
        self._tasks.start(self._serve(joined), "serve", expects=HardlineError)

    async def _serve(self, joined: Joined) -> None:
        stream = joined.tcp
        try:
            await stream.send(b"hello\n")
            while data := await stream.receive():
                await stream.send(data)
            await stream.send(b"bye\n")
            await stream.send_eof()
            await stream.aclose()
        finally:
            stream.abort()  # where the host ends before its visitor


@contextlib.asynccontextmanager
async def public_host(host: PublicHost) -> AsyncIterator[PublicHost]:
    host.start()
    try:
        yield host
    finally:
        await host.aclose()


async def visit(port: int, said: bytes) -> bytes:
    """All that is heard by one that says all at once, and that this is all."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    writer.write_eof()
    got = await reader.read()
    writer.close()
    return got


async def is_closed_at_once(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    return True


def allowing(*hosts: PublicHost) -> Access:
    return Access(ports=frozenset(name_of(host.me) for host in hosts))


@in_loop
async def test_anybody_reaches_it_also_who_has_said_all_before_the_host_came(tmp_path: Path) -> None:
    ports = free_ports(2)
    async with (
        relay_with_ports(tmp_path / "ports", ports, Access()) as relay,
        public_host(PublicHost(relay.address)) as host,
    ):
        relay.relay.set_access(allowing(host))
        host.client.network_changed()
        port = await host.has_port()
        assert port == ports[0]
        assert await visit(port, b"abc") == b"hello\nabcbye\n"
        assert host.client.registered == 0, "it is not found by name"
        assert await is_closed_at_once(ports[1])


@in_loop
async def test_the_service_may_speak_first(tmp_path: Path) -> None:
    ports = free_ports(1)
    async with (
        relay_with_ports(tmp_path / "ports", ports, Access()) as relay,
        public_host(PublicHost(relay.address)) as host,
    ):
        relay.relay.set_access(allowing(host))
        host.client.network_changed()
        reader, writer = await asyncio.open_connection("127.0.0.1", await host.has_port())
        assert await reader.readline() == b"hello\n"
        writer.close()


@in_loop
async def test_everybody_served_is_not_everybody_with_a_port(tmp_path: Path) -> None:
    ports = free_ports(1)
    access = Access(everybody=True)
    async with (
        relay_with_ports(tmp_path / "ports", ports, access) as relay,
        running_host(relay.address) as other,
        public_host(PublicHost(relay.address)) as host,
    ):
        await until(lambda: host.port is Why.ALLOW)
        assert relay.relay.describe().refused["allow"] >= 1
        assert other.client.tested, "who wants no port is served as ever"
        assert await is_closed_at_once(ports[0])
        relay.relay.set_access(replace(access, ports=frozenset({name_of(host.me)}), deny=frozenset()))
        host.client.network_changed()
        await host.has_port()


@in_loop
async def test_no_more_hosts_than_ports_and_each_has_its_own(tmp_path: Path) -> None:
    ports = free_ports(2)
    async with relay_with_ports(tmp_path / "ports", ports, Access()) as relay:
        hosts = [PublicHost(relay.address, key) for key in (b"a", b"b", b"c")]
        relay.relay.set_access(allowing(*hosts))
        async with public_host(hosts[0]), public_host(hosts[1]):
            assert {await hosts[0].has_port(), await hosts[1].has_port()} == set(ports)
            async with public_host(hosts[2]):
                await until(lambda: hosts[2].port is Why.PORTS)


@in_loop
async def test_it_is_the_same_again_after_a_restart_of_either(tmp_path: Path) -> None:
    ports, file = free_ports(3), tmp_path / "ports"
    async with relay_with_ports(file, ports, Access()) as relay:
        first, second = PublicHost(relay.address, b"a"), PublicHost(relay.address, b"b", wanted=ports[2])
        relay.relay.set_access(allowing(first, second))
        async with public_host(first), public_host(second):
            assert (await first.has_port(), await second.has_port()) == (ports[0], ports[2])
            await first.stop()
            await until(lambda: len(relay.relay.describe().refused) == 0 and relay.relay.describe().nodes == 1)
            assert await is_closed_at_once(ports[0]), "nobody waits for one that is away"
            first.start()
            await until(lambda: relay.relay.describe().names == 2)
            assert await visit(await first.has_port(), b"x") == b"hello\nxbye\n"
            assert await first.has_port() == ports[0]
    kept = json.loads(file.read_text())["ports"]
    assert sorted(kept.values()) == [ports[0], ports[2]]
    public = Ports(ports, file)
    await public.open(["127.0.0.1"], lambda tcp, name: tcp.close())
    try:
        assert {public.lease(name) for name in kept} == {ports[0], ports[2]}
        assert [public.lease(name) for name in kept] == list(kept.values())
    finally:
        await public.aclose()


@in_loop
async def test_many_at_once_each_get_their_own(tmp_path: Path) -> None:
    ports = free_ports(1)
    async with relay_with_ports(tmp_path / "ports", ports, Access()) as relay:
        host = PublicHost(relay.address)
        relay.relay.set_access(allowing(host))
        async with public_host(host):
            port = await host.has_port()
            said = [f"client {number}\n".encode() for number in range(200)]
            heard = await asyncio.gather(*(visit(port, one) for one in said))
            assert heard == [b"hello\n" + one + b"bye\n" for one in said]


@in_loop
async def test_who_takes_it_back_cuts_who_is_there(tmp_path: Path) -> None:
    ports = free_ports(1)
    async with relay_with_ports(tmp_path / "ports", ports, Access()) as relay:
        host = PublicHost(relay.address)
        relay.relay.set_access(allowing(host))
        async with public_host(host):
            reader, writer = await asyncio.open_connection("127.0.0.1", await host.has_port())
            assert await reader.readline() == b"hello\n"
            relay.relay.set_access(Access(everybody=True))
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            await until(lambda: host.port is Why.ALLOW)
            assert await is_closed_at_once(ports[0])
            assert host.client.state != "refused", "only the port is, not the node"


@in_loop
async def test_a_reset_before_the_host_came_leaves_nobody_behind(tmp_path: Path) -> None:
    ports = free_ports(1)
    async with relay_with_ports(tmp_path / "ports", ports, Access()) as relay:
        host = PublicHost(relay.address)
        relay.relay.set_access(allowing(host))
        async with public_host(host):
            port = await host.has_port()
            for _ in range(20):
                raw = socket.create_connection(("127.0.0.1", port))
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raw.close()
            await until(lambda: not relay.relay.describe().waiting and not relay.relay.describe().pairs)
            assert await visit(port, b"x") == b"hello\nxbye\n"


@in_loop
async def test_a_host_that_is_away_keeps_its_port_for_a_while_and_its_visits_end_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardline.relay.registrar.OUTLIVES", 0.5)
    ports = free_ports(1)
    async with relay_with_ports(tmp_path / "ports", ports, Access()) as relay:
        host, other = PublicHost(relay.address, b"a"), PublicHost(relay.address, b"b")
        relay.relay.set_access(allowing(host, other))
        async with public_host(host):
            reader, writer = await asyncio.open_connection("127.0.0.1", await host.has_port())
            assert await reader.readline() == b"hello\n"
            await host.stop()
            await until(lambda: relay.relay.describe().nodes == 0)
            assert await is_closed_at_once(ports[0])
            writer.write(b"still there")
            assert await reader.readexactly(11) == b"still there", "its connections are no control connection"
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            await until(lambda: not relay.relay.describe().public_ports)
        async with public_host(other):
            assert await other.has_port() == ports[0]


@in_loop
async def test_more_than_a_host_joins_at_once_have_their_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardline.relay.joins.MAX_JOINS", 2)
    ports = free_ports(1)
    async with relay_with_ports(tmp_path / "ports", ports, Access()) as relay:
        host = PublicHost(relay.address)
        relay.relay.set_access(allowing(host))
        async with public_host(host):
            port = await host.has_port()
            heard = await asyncio.gather(*(visit(port, b"%d" % number) for number in range(30)))
            assert heard == [b"hello\n%dbye\n" % number for number in range(30)]


@in_loop
async def test_a_port_has_room_of_its_own(tmp_path: Path) -> None:
    ports = free_ports(1)
    limits = replace(LIMITS, pairs=1, pairs_of_port=2)
    async with relay_with_ports(tmp_path / "ports", ports, Access(), limits) as relay:
        host = PublicHost(relay.address)
        relay.relay.set_access(allowing(host))
        async with public_host(host):
            port = await host.has_port()
            there = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            assert [await reader.readline() for reader, _ in there] == [b"hello\n"] * 2
            assert await is_closed_at_once(port)
            assert relay.relay.describe().refused["pairs"] == 1
            there[0][1].close()
            await until(lambda: relay.relay.describe().pairs == 1)
            assert await visit(port, b"x") == b"hello\nxbye\n"
            there[1][1].close()


@in_loop
async def test_nobody_says_his_way_to_a_port(tmp_path: Path) -> None:
    async with (
        relay_with_ports(tmp_path / "ports", free_ports(1), Access(everybody=True)) as relay,
        public_host(PublicHost(relay.address)) as host,
    ):
        relay.relay.set_access(replace(allowing(host), everybody=True))
        host.client.network_changed()
        await host.has_port()
        stream, name = await tcp.connect_any([relay.endpoint]), handle_of(host.wanted[0].prover)
        with pytest.raises(PeerError):
            await TlsStream.over(stream, visitor_context(), name, target=host.service)
        assert not host.joined


@pytest.mark.parametrize("kept", [b"{", b"[" * 100_000, b"x" * 200_000, b'{"ports":7}'])
def test_a_file_that_cannot_be_read_counts_as_none(tmp_path: Path, kept: bytes) -> None:
    ports = free_ports(1)
    (tmp_path / "ports").write_bytes(kept)

    @in_loop
    async def story() -> None:
        public = Ports(ports, tmp_path / "ports")
        try:
            await public.open(["127.0.0.1"], lambda tcp, name: tcp.close())
            assert public.lease("0" * 40) == ports[0]
        finally:
            await public.aclose()
        assert json.loads((tmp_path / "ports").read_text()) == {"ports": {"0" * 40: ports[0]}}

    story()


@in_loop
async def test_who_has_most_of_a_full_port_gives_way_to_others(tmp_path: Path) -> None:
    ports = free_ports(1)
    async with relay_with_ports(tmp_path / "ports", ports, Access(), replace(LIMITS, pairs_of_port=3)) as relay:
        host = PublicHost(relay.address)
        relay.relay.set_access(allowing(host))

        async def comes(source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
            assert await reader.readline() == b"hello\n"
            return reader, writer

        async with public_host(host):
            port = await host.has_port()
            greedy = [await comes("127.0.0.1") for _ in range(3)]
            assert await is_closed_at_once(port), "one more of his own does not"
            others = [await comes("127.0.0.2")]
            with pytest.raises(ConnectionResetError):
                await greedy[0][0].read()
            others.append(await comes("127.0.0.3"))
            with pytest.raises(ConnectionResetError):
                await greedy[1][0].read()
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.4", 0))
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b"", "nobody has more than he would"
            for there, also in (greedy[2], *others):
                also.write(b"x")
                assert await there.readexactly(1) == b"x"
            assert relay.relay.describe().refused["gave_way"] == 2
            for _, one in (*greedy, *others, (reader, writer)):
                one.close()


@in_loop
async def test_a_host_that_only_tls_gets_out_of_has_one_too(tmp_path: Path) -> None:
    ports = free_ports(1)
    async with relay_with_ports(tmp_path / "ports", ports, Access()) as relay:
        firewall = OnlyTls(relay.endpoint)
        host = PublicHost(RelayAddress(await firewall.open(), relay.address.key_hash))
        relay.relay.set_access(allowing(host))
        try:
            async with public_host(host):
                port = await host.has_port()
                for said in (b"abc", bytes(1_000_000)):
                    assert await visit(port, said) == b"hello\n" + said + b"bye\n"
                assert host.client.inside_tls
                assert firewall.refused == 2, "twice it was tried as it is"
        finally:
            await firewall.aclose()
