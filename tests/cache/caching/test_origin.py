"""Asking local services of every kind, and those that are not there."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest

from hardline.cache.caching.origin import Origin, OriginDown
from hardline.settings.local import LocalService
from hardline.transport.resolver import Resolver
from tests.cache.proxied import answer
from tests.support import needs
from tests.support.dead import dead
from tests.support.lying import Names
from tests.support.tls_devices import certificate, device


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(b"hello"))
    except asyncio.IncompleteReadError:
        pass
    finally:
        writer.close()


async def body_of(service: LocalService, names: Names | Resolver | None = None) -> bytes:
    """What it answers."""
    origin = Origin(service, names.resolver() if isinstance(names, Names) else names)
    try:
        reply = await origin.ask("GET", "/", (("Host", "a"),))
        return b"".join([await reply.read(), await reply.read()])
    finally:
        await origin.aclose()


def test_a_service_on_a_unix_socket_is_asked(tmp_path: Path) -> None:
    async def main() -> None:
        server = await asyncio.start_unix_server(hello, tmp_path / "s")
        async with server:
            assert await body_of(LocalService("unix", path=str(tmp_path / "s"))) == b"hello"
        with pytest.raises(OriginDown) as down:
            await body_of(LocalService("unix", path=str(tmp_path / "nothing")))
        assert down.value.status == 502

    asyncio.run(main())


@needs.tools("openssl")
def test_a_service_over_tls_is_asked_once_its_certificate_is_good_enough(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    subprocess.run([*made, "-subj", "/CN=other", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def main() -> None:
        server = await asyncio.start_server(hello, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with server:
            assert await body_of(LocalService("https", "127.0.0.1", port, verify=False)) == b"hello"
            with pytest.raises(OriginDown, match="one of its own making"):
                await body_of(LocalService("https", "127.0.0.1", port))
            with pytest.raises(OriginDown):
                await body_of(LocalService("tcp", "127.0.0.1", port))

    asyncio.run(main())


def test_nobody_at_home_and_no_such_name_are_told_apart() -> None:
    async def main() -> None:
        with pytest.raises(OriginDown, match="nothing listens"):
            await body_of(LocalService("tcp", "127.0.0.1", 1))
        with pytest.raises(OriginDown, match="host name is not known"):
            await body_of(LocalService("tcp", "no-such-name.invalid", 80))

    asyncio.run(main())


@needs.linux()
def test_an_address_that_swallows_everything_costs_one_step() -> None:
    async def main() -> None:
        server = await asyncio.start_server(hello, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        names = Names({"nas": ["127.0.0.3", "127.0.0.1"]})
        async with server:
            with dead("127.0.0.3", port):
                assert await body_of(LocalService("tcp", "nas", port), names) == b"hello"

    asyncio.run(main())


def test_a_name_that_hangs_is_given_up_and_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardline.cache.caching.origin.CONNECT_TIMEOUT", 0.5)
    names = Names({"nas": ["127.0.0.1"]}, ["printer"])

    async def main() -> None:
        server = await asyncio.start_server(hello, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        resolver = names.resolver()
        async with server:
            visits = [
                asyncio.get_running_loop().create_task(body_of(LocalService("tcp", "printer", port), resolver))
                for _ in range(4)
            ]
            while not names.asked["printer"]:
                await asyncio.sleep(0.001)
            assert await body_of(LocalService("tcp", "nas", port), resolver) == b"hello"
            for failed in await asyncio.gather(*visits, return_exceptions=True):
                assert isinstance(failed, OriginDown)
                assert failed.status == 504
        assert names.asked["printer"] == 1

    try:
        asyncio.run(main())
    finally:
        names.let_go()


@needs.tools("openssl")
def test_without_verification_an_old_device_is_good_enough_and_with_it_the_reason_is_told(tmp_path: Path) -> None:
    with device(*certificate(tmp_path, "rsa:2048"), "-tls1", "-cipher", "ALL:@SECLEVEL=0") as port:
        assert asyncio.run(body_of(LocalService("https", "127.0.0.1", port, verify=False)))
        with pytest.raises(OriginDown, match="no TLS that is still safe"):
            asyncio.run(body_of(LocalService("https", "127.0.0.1", port)))


def test_proxies_named_in_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    async def main() -> None:
        server = await asyncio.start_server(hello, "127.0.0.1", 0)
        async with server:
            assert await body_of(LocalService("tcp", "127.0.0.1", server.sockets[0].getsockname()[1])) == b"hello"

    asyncio.run(main())
