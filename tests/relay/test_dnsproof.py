"""Domains by the word of the DNS: a server of its own answers, and whoever it does not name has nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import dns.flags
import dns.message
import dns.rrset
import pytest

from hardline.identity import KeyHash
from hardline.relay.access import Access
from hardline.relay.dnsproof import AT_ONCE, MOST_WAITING, OF_A_SOURCE, DnsProofs, names_node, resolver_at
from hardline.relay.messages import Hello, Kind, Register, Unregister, Why, encode
from hardline.relay.proofs import NODE as NODE_PURPOSE
from hardline.relay.proofs import prove_registration
from hardline.routes import Endpoint
from tests.relay.running import in_loop, name_of, prover, running_relay, until
from tests.relay.test_domains import NAS, WIKI, NamedHost, browse
from tests.relay.test_relay import control

NODE = KeyHash(bytes(range(20)))


class Names(asyncio.DatagramProtocol):
    """A DNS server with `texts` by name, and nothing else; `asked` is what it was asked for."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.asked: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        [question] = query.question
        name = str(question.name).removesuffix(".")
        self.asked.append(name)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name in self.texts:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "TXT", *self.texts[name]))
        else:
            answer.set_rcode(3)
        self._transport.sendto(answer.to_wire(), source)


@contextlib.asynccontextmanager
async def running_dns() -> AsyncIterator[tuple[Names, DnsProofs]]:
    transport, names = await asyncio.get_running_loop().create_datagram_endpoint(Names, local_addr=("127.0.0.1", 0))
    try:
        yield names, DnsProofs(resolver_at(Endpoint("127.0.0.1", transport.get_extra_info("sockname")[1])))
    finally:
        transport.close()


@in_loop
async def test_a_node_that_the_domain_names_has_it_and_another_has_not() -> None:
    async with running_dns() as (names, proofs), running_relay(access=Access(everybody=True), dns=proofs) as relay:
        host, other = NamedHost(relay.address, NAS, WIKI), NamedHost(relay.address, NAS, key=b"two")
        names.texts[f"_hardline.{NAS}"] = ['"v=spf1"', f'"node={name_of(host.me)}"']
        names.texts[f"_hardline.{WIKI}"] = [f'"node={NODE}"']
        host.start()
        other.start()
        try:
            await until(lambda: host.has(NAS) is True and host.has(WIKI) is Why.DOMAINS)
            await until(lambda: other.has(NAS) is Why.DOMAINS)
            assert await browse(relay.endpoint, NAS, b"x") == f"{NAS}\n".encode() + b"x"
            assert len(host.joined) == 1
            assert not relay.relay.has(WIKI)
            # What it finds counts for the next registration, not for ever.
            del names.texts[f"_hardline.{NAS}"]
            await host.stop()
            host.start()
            await until(lambda: host.has(NAS) is Why.DOMAINS)
            assert not relay.relay.has(NAS)
        finally:
            await host.aclose()
            await other.aclose()


@in_loop
async def test_what_the_list_gives_to_somebody_the_dns_gives_to_nobody() -> None:
    async with running_dns() as (names, proofs), running_relay(access=Access(), dns=proofs) as relay:
        host = NamedHost(relay.address, NAS, WIKI)
        for name in (NAS, WIKI):
            names.texts[f"_hardline.{name}"] = [f'"node={name_of(host.me)}"']
        relay.relay.set_access(Access(everybody=True, domains={NAS: NODE}))
        host.start()
        try:
            await until(lambda: host.has(NAS) is Why.DOMAINS and host.has(WIKI) is True)
            assert names.asked == [f"_hardline.{WIKI}"]
            relay.relay.set_access(Access(everybody=True, domains={NAS: NODE, WIKI: NODE}))
            await until(lambda: host.has(WIKI) is Why.DOMAINS)
        finally:
            await host.aclose()


@in_loop
async def test_who_proves_his_domain_and_not_his_service_is_cut_as_anybody(caplog: pytest.LogCaptureFixture) -> None:
    async with running_dns() as (names, proofs), running_relay(access=Access(everybody=True), dns=proofs) as relay:
        node, service = prover(), prover()
        names.texts[f"_hardline.{NAS}"] = [f'"node={name_of(node)}"']
        tls = await control(relay)
        exporter = tls.exporter(NODE_PURPOSE)
        tls.put(encode(Hello(node.prove(NODE_PURPOSE, exporter))))
        forged = replace(prove_registration(service, exporter), signature=bytes(64))
        with caplog.at_level("WARNING", "hardline"):
            tls.put(encode(Register(1, Kind.DOMAIN, forged, NAS)))
            await until(lambda: names.asked == [f"_hardline.{NAS}"])
            await until(lambda: relay.relay.describe().nodes == 0)
        assert not [one for one in caplog.records if one.getMessage() == "task.failed"]
        tls.abort()


@in_loop
async def test_what_is_wanted_no_more_while_it_is_looked_up_is_not_registered() -> None:
    asked, answered = asyncio.Event(), asyncio.Event()
    node, service = prover(), prover()

    async def slow(name: str) -> Sequence[bytes]:
        asked.set()
        await answered.wait()
        return [f"node={name_of(node)}".encode()]

    async with running_relay(access=Access(everybody=True), dns=DnsProofs(slow)) as relay:
        tls = await control(relay)
        exporter = tls.exporter(NODE_PURPOSE)
        tls.put(encode(Hello(node.prove(NODE_PURPOSE, exporter))))
        proof = prove_registration(service, exporter)
        tls.put(encode(Register(1, Kind.DOMAIN, proof, NAS)))
        await asked.wait()
        tls.put(encode(Unregister(1)) + encode(Register(2, Kind.DOMAIN, proof, WIKI)))
        await until(lambda: len(relay.relay._registrar._tasks) == 2)
        answered.set()
        await until(lambda: relay.relay.has(WIKI))
        assert not relay.relay.has(NAS)
        assert not relay.relay._registrar._looked_up
        tls.abort()


@in_loop
async def test_a_name_server_that_says_nothing_is_not_waited_for_by_others() -> None:
    forever, asked = asyncio.Event(), 0

    async def silent(name: str) -> Sequence[bytes]:
        nonlocal asked
        asked += 1
        await forever.wait()
        return [f"node={NODE}".encode()]

    proofs = DnsProofs(silent)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:

        def look(source: str) -> asyncio.Task[bool | None]:
            return group.create_task(proofs.look(NODE, NAS, source))

        looking = [look("greedy") for _ in range(MOST_WAITING)]
        await until(lambda: asked == OF_A_SOURCE)
        assert await proofs.look(NODE, NAS, "greedy") is None, "so many wait, and no more"
        for source in range(AT_ONCE // OF_A_SOURCE - 1):
            looking += [look(f"192.0.2.{source}") for _ in range(OF_A_SOURCE)]
        await until(lambda: asked == AT_ONCE)
        other = look("198.51.100.7")
        await asyncio.sleep(0.05)
        assert asked == AT_ONCE, "so many and no more"
        forever.set()
        assert await other
        assert all([await one for one in looking])
        assert await proofs.look(NODE, NAS, "greedy")
    assert not proofs._sources


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"node={NODE}", True),
        (f"NODE={str(NODE).upper()} ", True),
        (f"node={NODE} node={NODE}", False),
        (f"node={NODE}0", False),
        (f"node = {NODE}", False),
        (str(NODE), False),
        ("node=", False),
        ("", False),
        ("\xff" * 600, False),
    ],
)
def test_what_a_record_says(text: str, named: bool) -> None:
    assert names_node(text.encode("latin-1"), NODE) is named
