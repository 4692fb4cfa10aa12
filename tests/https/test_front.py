"""What comes by a relay that lies, by an authority, by strangers: who is let in, and what never reaches a service."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from hardline.allowance import Allowance
from hardline.errors import ServiceFailed
from hardline.http.virtualhost import VirtualHost
from hardline.https.challenge import proof_certificate
from hardline.https.front import MOST, MOST_PROOFS, OF_A_SOURCE, PROOFS_OF_A_SOURCE, Front, Named
from hardline.https.keeper import Issuer, Keeper
from hardline.https.store import Store
from hardline.identity import KeyHash
from hardline.relay.joins import Joined
from hardline.routes import Endpoint
from hardline.settings.service import PublicSection
from hardline.streams import ByteStream
from hardline.transport.contexts import browser_context, proof_context
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from hardline.tunnel.pump import Local
from hardline.tunnel.serving import Came
from tests.https.certified import a_certificate
from tests.relay.hellos import of_openssl
from tests.relay.running import in_loop, until

NAME, OTHER = "nas.example.org", "wiki.example.org"
SERVICE = KeyHash(bytes(20))
FOR_ALL = PublicSection(name=NAME)
RELAY, CLIENT = Endpoint("192.0.2.1", 443), Endpoint("198.51.100.7", 40_112)
NOW = datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)
ACME_IDENTIFIER = ObjectIdentifier("1.3.6.1.5.5.7.1.31")


class Service:
    """In the place of the host: says back what it gets, or fails."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.came: list[Came] = []
        self.fails: ServiceFailed | None = None

    def virtual_host(self, key_hash: KeyHash) -> VirtualHost | None:
        return None

    async def join(
        self,
        pipe: ByteStream,
        key_hash: KeyHash,
        source: str,
        came: Came,
        first: bytes,
        over: Callable[[TcpStream], Local],
    ) -> None:
        assert key_hash == SERVICE
        self.came.append(came)
        if self.fails is not None:
            raise self.fails
        data = first
        while data:
            self.got.append(data)
            await pipe.send(data)
            data = await pipe.receive()
        await pipe.send_eof()


@dataclass
class Fronted:
    """A front with one name; `says` is what a relay says of who comes."""

    front: Front
    keeper: Keeper
    service: Service
    port: int
    domain: str = NAME
    asked: KeyHash = SERVICE
    source: Endpoint = CLIENT

    async def open(self, name: str = NAME, *protocols: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(protocols)
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=name)

    async def alert(self, name: str = NAME, *protocols: str) -> str:
        with pytest.raises((ssl.SSLError, ConnectionError)) as failure:
            await self.open(name, *protocols)
        return str(failure.value).lower() if isinstance(failure.value, ssl.SSLError) else "reset"


@contextlib.asynccontextmanager
async def fronted(
    directory: Path, public: PublicSection = FOR_ALL, timeout: float = 10.0, most: int = MOST
) -> AsyncIterator[Fronted]:
    async def nobody() -> Issuer:
        raise AssertionError("nobody is asked")

    keeper = Keeper(NAME, Store(directory), nobody, registered=lambda: True, clock=lambda: 0.0, changed=lambda: None)
    keeper.context = browser_context(*a_certificate(NAME))
    allowance = Allowance(public.rate, public.rate) if public.rate else None
    named, service = Named(NAME, SERVICE, public, keeper, allowance), Service()
    one = Front(service, {NAME: named, OTHER: named}.get, timeout, most)

    def arrived(tcp: TcpStream) -> None:
        one.arrived(Joined(tcp, made.source, made.asked, "", RELAY, None, RELAY, made.domain))

    listener = await Listener.open(["127.0.0.1"], 0, arrived, what="test")
    made = Fronted(one, keeper, service, listener.port)
    try:
        yield made
    finally:
        await listener.aclose()
        await one.aclose()


async def ended(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@in_loop
async def test_a_browser_is_let_in_and_the_service_is_told_what_the_relay_says(tmp_path: Path) -> None:
    async with fronted(tmp_path) as made:
        reader, writer = await made.open(NAME, "h2", "http/1.1")
        writer.write(b"GET / HTTP/1.1\r\n")
        assert await reader.readexactly(16) == b"GET / HTTP/1.1\r\n"
        assert made.service.came == [Came(CLIENT, RELAY)]
        assert made.front.open_streams == 1
        await ended(writer)
        await until(lambda: made.front.open_streams == 0)


@in_loop
async def test_a_relay_that_brings_somebody_for_another_name_or_service_gets_nothing(tmp_path: Path) -> None:
    async with fronted(tmp_path) as made:
        assert "unrecognized name" in await made.alert(OTHER)
        made.domain = "nobody.example.org"
        assert await made.alert() == "reset"
        made.domain, made.asked = NAME, KeyHash(bytes([1] * 20))
        assert await made.alert() == "reset"
        assert not made.service.came


@in_loop
async def test_an_authority_sees_the_proof_while_it_is_wanted_and_never_the_service(tmp_path: Path) -> None:
    async with fronted(tmp_path) as made:
        digest = bytes(range(32))
        assert "no application protocol" in await made.alert(NAME, "acme-tls/1")
        made.keeper.proof = proof_context(*proof_certificate(NAME, digest, NOW))
        made.keeper.context = None
        assert "no application protocol" in await made.alert(NAME, "acme-tls/1", "http/1.1")
        reader, writer = await made.open(NAME, "acme-tls/1")
        shown = writer.get_extra_info("ssl_object")
        assert shown.selected_alpn_protocol() == "acme-tls/1"
        certificate = x509.load_der_x509_certificate(shown.getpeercert(binary_form=True))
        found = certificate.extensions.get_extension_for_oid(ACME_IDENTIFIER)
        assert found.critical
        assert isinstance(found.value, x509.UnrecognizedExtension)
        assert found.value.value == b"\x04\x20" + digest
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [one.value for one in names] == [NAME]
        assert await reader.read() == b"", "the handshake is all of it"
        await ended(writer)
        assert "internal error" in await made.alert(), "there is no certificate yet"
        assert not made.service.came


@in_loop
async def test_who_only_says_that_he_is_an_authority_keeps_out_none(tmp_path: Path) -> None:
    async with fronted(tmp_path) as made:
        made.keeper.proof = proof_context(*proof_certificate(NAME, bytes(32), NOW))
        hello = of_openssl(NAME, ["acme-tls/1"])
        silent = [await asyncio.open_connection("127.0.0.1", made.port) for _ in range(MOST_PROOFS)]
        for _, writer in silent:
            writer.write(hello)
        cut = MOST_PROOFS - PROOFS_OF_A_SOURCE
        await until(lambda: sum(reader.exception() is not None for reader, _ in silent) == cut)
        made.source = Endpoint("203.0.113.9", 1)
        _, writer = await made.open(NAME, "acme-tls/1")
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "acme-tls/1"
        for one in (*(one for _, one in silent), writer):
            await ended(one)


@in_loop
async def test_what_is_no_tls_or_says_nothing_is_cut(tmp_path: Path) -> None:
    async with fronted(tmp_path, timeout=0.2) as made:
        for said in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03", b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
            writer.write(said)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
        assert not made.service.came


@in_loop
async def test_one_network_gets_its_share_and_no_more(tmp_path: Path) -> None:
    async with fronted(tmp_path) as made:
        some = [await made.open() for _ in range(OF_A_SOURCE)]
        assert "internal error" in await made.alert()
        made.source = Endpoint("198.51.100.8", 40_112)
        some.append(await made.open())
        for _, writer in some:
            await ended(writer)
        made.source = CLIENT
        await until(lambda: made.front.open_streams == 0)
        _, writer = await made.open()
        await ended(writer)


@in_loop
async def test_where_all_places_are_taken_who_has_most_gives_way(tmp_path: Path) -> None:
    async with fronted(tmp_path, most=6) as made:
        many = [await made.open() for _ in range(5)]
        for _, writer in many[:4]:
            writer.write(b"x")
        for reader, _ in many[:4]:
            assert await reader.readexactly(1) == b"x"
        made.source = Endpoint("203.0.113.9", 1)
        one = await made.open()
        made.source = Endpoint("192.0.2.55", 1)
        other = await made.open()
        with contextlib.suppress(ConnectionError):
            assert await many[4][0].read() == b"", "the one that says nothing"
        for reader, writer in (one, other):
            writer.write(b"y")
            assert await reader.readexactly(1) == b"y"
        made.source = CLIENT
        assert "internal error" in await made.alert()
        for _, writer in (*many, one, other):
            await ended(writer)


@in_loop
async def test_who_is_not_let_in_reads_why_and_the_service_is_not_even_opened(tmp_path: Path) -> None:
    public = PublicSection(name=NAME, addresses=(ip_network("203.0.113.0/24"),), rate=2)
    async with fronted(tmp_path, public) as made:
        for source, wanted in (
            (CLIENT, b"403"),
            (Endpoint("203.0.113.9", 1), b"421"),
            (Endpoint("203.0.113.9", 1), b""),
        ):
            made.source = source
            reader, writer = await made.open()
            host = b"other" if wanted == b"421" else NAME.encode()
            writer.write(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            answer = await reader.readline()
            assert answer.startswith(b"HTTP/1.1 " + wanted if wanted else b"GET / HTTP/1.1")
            await ended(writer)
        assert len(made.service.came) == 1


@pytest.mark.parametrize(
    ("kind", "status"), [("refused", b"502"), ("unavailable", b"502"), ("timeout", b"504"), ("limit", b"503")]
)
def test_a_service_that_does_not_answer_is_told_of(tmp_path: Path, kind: str, status: bytes) -> None:
    @in_loop
    async def story() -> None:
        async with fronted(tmp_path) as made:
            made.service.fails = ServiceFailed(kind, "why")
            reader, writer = await made.open()
            writer.write(b"GET / HTTP/1.1\r\nHost: nas.example.org\r\n\r\n")
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert b"why" not in answer
            await ended(writer)

    story()
