"""Domains at a relay: browsers that name one are joined with the host that has it, and with nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from hardline.errors import HardlineError
from hardline.identity import KeyHash
from hardline.relay.access import Access
from hardline.relay.client import RelayClient
from hardline.relay.handles import make_domain_name, make_handle
from hardline.relay.joins import Joined
from hardline.relay.messages import Kind, Why
from hardline.relay.wanted import Wanted
from hardline.routes import Endpoint, RelayAddress
from hardline.tasks import TaskSet
from hardline.transport.contexts import browser_context
from hardline.transport.tls import TlsStream
from tests.https.certified import a_certificate
from tests.relay.running import NOW, RunningRelay, in_loop, name_of, prover, running_relay, until

NAS, WIKI = "nas.example.org", "wiki.example.org"


class NamedHost:
    """A host with domains for one service, which says who it is for, and then says back what it hears."""

    def __init__(self, address: RelayAddress, *domains: str, key: bytes = b"one") -> None:
        self.me, self.service = prover(), KeyHash(key.ljust(20, b"."))
        self.domains = list(domains)
        self.joined: list[Joined] = []
        self._address, self._key = address, key
        self._tasks, self._running = TaskSet("named"), TaskSet("named")
        self._contexts = {name: browser_context(*a_certificate(name)) for name in domains}
        self.client = RelayClient(
            address, lambda: self.me, self._wanted, self._arrived, lambda: None, clock=lambda: NOW
        )

    def start(self) -> None:
        self._running.start(self.client.run(), "relay")

    async def stop(self) -> None:
        await self._running.aclose()

    async def aclose(self) -> None:
        await self.stop()
        await self._tasks.aclose()

    def has(self, name: str = NAS) -> bool | Why:
        return self.client.has_domain(self.service, name)

    def _wanted(self) -> list[Wanted]:
        relay = self._address.key_hash
        handle = Wanted(self.service, make_handle(self._key, "host", relay, 1))
        return [
            handle,
            *(
                Wanted(self.service, make_domain_name(self._key, "host", relay, name), Kind.DOMAIN, domain=name)
                for name in self.domains
            ),
        ]

    def _arrived(self, joined: Joined) -> None:
        if joined.domain:
            self.joined.append(joined)
            self._tasks.start(self._serve(joined), "serve", expects=HardlineError)
        else:
            joined.tcp.abort()

    async def _serve(self, joined: Joined) -> None:
        tls = await TlsStream.over(joined.tcp, self._contexts[joined.domain])
        await tls.send(f"{joined.domain}\n".encode())
        while data := await tls.receive():
            await tls.send(data)
        await tls.send_eof()
        await tls.aclose()


@contextlib.asynccontextmanager
async def named_host(relay: RunningRelay, *domains: str, key: bytes = b"one") -> AsyncIterator[NamedHost]:
    host = NamedHost(relay.address, *domains, key=key)
    relay.relay.set_access(
        Access(everybody=True, domains={name: name_of(host.me) for name in domains}),
    )
    host.start()
    try:
        yield host
    finally:
        await host.aclose()


async def browse(at: Endpoint, name: str, said: bytes) -> bytes:
    """All that is heard, as by a program that knows nothing of hardline."""
    anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
    anything.set_alpn_protocols(["h2", "http/1.1"])
    reader, writer = await asyncio.open_connection(at.host, at.port, ssl=anything, server_hostname=name)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    writer.write(said)
    heard = await reader.readexactly(len(f"{name}\n".encode() + said))
    await closed(writer)
    return heard


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def alert(at: Endpoint, name: str) -> str:
    with pytest.raises(ssl.SSLError) as failure:
        await browse(at, name, b"x")
    return str(failure.value.reason)


@in_loop
async def test_a_browser_is_joined_with_the_host_that_has_the_name_it_asks_for() -> None:
    async with running_relay() as relay, named_host(relay, NAS, WIKI) as host:
        await until(lambda: host.has(NAS) is True and host.has(WIKI) is True)
        said = bytes(range(256)) * 512
        for name in (NAS, WIKI, NAS):
            assert await browse(relay.endpoint, name, said) == f"{name}\n".encode() + said
        assert [one.domain for one in host.joined] == [NAS, WIKI, NAS]
        assert {one.service for one in host.joined} == {host.service}


@in_loop
async def test_a_name_that_nobody_has_leads_nowhere() -> None:
    async with running_relay() as relay, named_host(relay, NAS) as host:
        await until(lambda: host.has() is True)
        for name in ("other.example.org", f"x.{NAS}", "example.org", "org"):
            assert await alert(relay.endpoint, name) == "TLSV1_UNRECOGNIZED_NAME"
        assert not host.joined
        assert await browse(relay.endpoint, NAS.upper(), b"x") == f"{NAS}\n".encode() + b"x"


@in_loop
async def test_the_name_of_another_node_is_refused_and_nothing_is_made_for_it() -> None:
    async with running_relay() as relay, named_host(relay, NAS) as host:
        await until(lambda: host.has() is True)
        thief = NamedHost(relay.address, NAS, WIKI, key=b"two")
        thief.start()
        try:
            await until(lambda: thief.has(NAS) is Why.DOMAINS and thief.has(WIKI) is Why.DOMAINS)
            assert relay.relay.describe().refused["domains"] >= 2
            assert not relay.relay.has(WIKI)
            await until(lambda: thief.client.registered == 1)  # only the names are refused, not the node
            assert await browse(relay.endpoint, NAS, b"x") == f"{NAS}\n".encode() + b"x"
            assert not thief.joined
        finally:
            await thief.aclose()


@in_loop
async def test_whose_name_is_taken_back_is_cut_with_who_is_there() -> None:
    async with running_relay() as relay, named_host(relay, NAS, WIKI) as host:
        await until(lambda: host.has(NAS) is True and host.has(WIKI) is True)
        anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
        at = relay.endpoint
        reader, writer = await asyncio.open_connection(at.host, at.port, ssl=anything, server_hostname=NAS)
        await reader.readline()
        relay.relay.set_access(replace(Access(everybody=True), domains={WIKI: name_of(host.me)}))
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            assert await reader.read() == b""
        await closed(writer)
        await until(lambda: host.has(NAS) is Why.DOMAINS)
        assert host.has(WIKI) is True
        assert await alert(at, NAS) == "TLSV1_UNRECOGNIZED_NAME"


@in_loop
async def test_a_host_that_comes_back_has_its_name_again_and_one_that_is_away_has_none() -> None:
    async with running_relay() as relay, named_host(relay, NAS) as host:
        await until(lambda: host.has() is True)
        await host.stop()
        await until(lambda: not relay.relay.has(NAS))
        assert await alert(relay.endpoint, NAS) == "TLSV1_UNRECOGNIZED_NAME"
        host.start()
        await until(lambda: relay.relay.has(NAS))
        assert await browse(relay.endpoint, NAS, b"x") == f"{NAS}\n".encode() + b"x"


@in_loop
async def test_a_name_that_is_not_wanted_any_more_is_given_back() -> None:
    async with running_relay() as relay, named_host(relay, NAS) as host:
        await until(lambda: host.has() is True)
        host.domains.remove(NAS)
        host.client.services_changed()
        await until(lambda: not relay.relay.has(NAS))
        assert host.has() is False
        assert await alert(relay.endpoint, NAS) == "TLSV1_UNRECOGNIZED_NAME"


def test_a_star_is_one_label_and_an_exact_name_beats_it() -> None:
    one, two = KeyHash(bytes(20)), KeyHash(bytes([1] * 20))
    access = Access(domains={"*.example.org": one, NAS: two})
    assert access.may_have_domain(one, WIKI)
    assert access.may_have_domain(two, NAS)
    for node, name in ((one, NAS), (two, WIKI), (one, "example.org"), (one, f"a.{WIKI}"), (None, WIKI)):
        assert not access.may_have_domain(node, name)
    assert not replace(access, deny=frozenset({one})).may_have_domain(one, WIKI)
    assert access.serves(one)
    assert access.serves(two)
    assert not access.serves(None)
