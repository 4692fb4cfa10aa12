"""An authority that is not there, says nonsense, or says no: why is told in words, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec

from hardline.https import authority as authority_module
from hardline.https.authority import Authority, NotIssued
from hardline.https.bounded import MOST
from hardline.https.store import Store
from tests.relay.running import in_loop, until
from tests.support.clock import run

NAME = "nas.example.org"
Answer = Callable[[str, str], tuple[int, dict[str, str], object]]  # of a method and a path: status, fields, body


@contextlib.asynccontextmanager
async def says(answer: Answer) -> AsyncIterator[str]:
    """An HTTP server that answers so; its address."""
    serving = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal serving
        serving += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            length = next((int(one.split(":")[1]) for one in lines if one.lower().startswith("content-length")), 0)
            await reader.readexactly(length)
            method, path, _ = lines[0].split()
            status, fields, body = answer(method, path) if method != "HEAD" else (200, {}, {})
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            kind = {"Content-Type": "application/json" if status < 400 else "application/problem+json"}
            said = {**kind, "Replay-Nonce": "bm9uY2Vub25jZQ", **fields, "Content-Length": str(len(data))}
            more = "".join(f"{key}: {value}\r\n" for key, value in said.items())
            head = f"HTTP/1.1 {status} X\r\nConnection: close\r\n{more}\r\n".encode()
            writer.write(head + (b"" if method == "HEAD" else data))
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        serving -= 1

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.sleep(0.1)  # who was accepted already is served
        await until(lambda: not serving)


async def why_not(directory: Path, url: str) -> str:
    shown = list[object]()
    authority = Authority(f"{url}/dir", "", None, Store(directory / "https"))
    with pytest.raises(NotIssued) as failure:
        await authority.certificate(NAME, ec.generate_private_key(ec.SECP256R1()), shown.append)
    assert shown in ([], [None]) or shown[-1] is None, "nothing is shown any more"
    assert "\n" not in failure.value.message
    assert len(failure.value.message) < 500
    return failure.value.message


def directory(at: str) -> dict[str, object]:
    return {"newNonce": f"{at}/nonce", "newAccount": f"{at}/account", "newOrder": f"{at}/order"}


@in_loop
async def test_one_that_is_not_there(tmp_path: Path) -> None:
    async with says(lambda method, path: (200, {}, {})) as url:
        pass
    assert await why_not(tmp_path, url) == "the certificate authority cannot be reached: no connection"


@pytest.mark.parametrize(
    "body", [b"", b"<html>no</html>", b"[]", b"{}", b'{"newNonce": 1}', b"\xff\xfe", b'{"meta": []}', b"null", b"7"]
)
def test_one_that_says_nonsense(tmp_path: Path, body: bytes) -> None:
    @in_loop
    async def story() -> None:
        async with says(lambda method, path: (200, {}, body)) as url:
            assert "certificate authority" in await why_not(tmp_path, url)

    story()


@pytest.mark.parametrize("at", ["/account", "/order"])
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"authorizations": 7, "status": "pending"}'])
def test_one_that_says_nonsense_later(tmp_path: Path, at: str, body: bytes) -> None:
    @in_loop
    async def story() -> None:
        where = ""

        def answer(method: str, path: str) -> tuple[int, dict[str, str], object]:
            if path == "/dir":
                return 200, {}, directory(where)
            return 201, {"Location": f"{where}/it"}, body if path == at else {"status": "valid", "contact": []}

        async with says(answer) as url:
            where = url
            assert "certificate authority" in await why_not(tmp_path, url)

    story()


@in_loop
async def test_its_own_words_are_told_in_one_line(tmp_path: Path) -> None:
    where, problem = "", {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many\n\x1b[31mof them " * 99}

    def answer(method: str, path: str) -> tuple[int, dict[str, str], object]:
        return (200, {}, directory(where)) if path == "/dir" else (429, {}, problem)

    async with says(answer) as url:
        where = url
        said = await why_not(tmp_path, url)
    assert said.startswith("the certificate authority says: too many")
    assert "\x1b" not in said


@in_loop
async def test_one_that_takes_no_nonce_is_not_asked_for_ever(tmp_path: Path) -> None:
    where, asked = "", 0

    def answer(method: str, path: str) -> tuple[int, dict[str, str], object]:
        nonlocal asked
        asked += 1
        if path == "/dir":
            return 200, {}, directory(where)
        return 400, {}, {"type": "urn:ietf:params:acme:error:badNonce", "detail": "no"}

    async with says(answer) as url:
        where = url
        assert "nonce" in await why_not(tmp_path, url)
    assert asked < 20


def test_the_wait_for_those_that_are_looked_at_first_is_no_time_of_a_name(tmp_path: Path) -> None:
    class Slow(Authority):
        """Sees no name until the last moment, and says no then."""

        async def _open(self) -> None:  # type: ignore[override]
            pass

        async def _ask(self, work: object) -> SimpleNamespace:  # type: ignore[override]
            return SimpleNamespace(authorizations=[SimpleNamespace(body=SimpleNamespace(status=None))])

        async def _prove(self, *_: object) -> None:
            await asyncio.sleep(authority_module._DECIDES_WITHIN - 1)
            raise NotIssued("looked at")

    async def story() -> None:
        authority, key = Slow("", "", None, Store(tmp_path / "https")), ec.generate_private_key(ec.SECP256R1())
        names = (authority.certificate(f"n{number}.example.org", key, lambda _: None) for number in range(20))
        failures = await asyncio.gather(*names, return_exceptions=True)
        assert {str(failure) for failure in failures} == {"looked at"}

    run(story)


@in_loop
async def test_an_account_that_must_be_made_elsewhere_is_said(tmp_path: Path) -> None:
    where = ""

    def answer(method: str, path: str) -> tuple[int, dict[str, str], object]:
        return 200, {}, {**directory(where), "meta": {"externalAccountRequired": True}}

    async with says(answer) as url:
        where = url
        assert "an account that was made elsewhere" in await why_not(tmp_path, url)


@in_loop
async def test_an_answer_that_does_not_end_in_size_or_time_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped = {"Content-Encoding": "gzip"}
    for body, fields in ((bytes(MOST + 1), {}), (gzip.compress(bytes(64 * MOST)), zipped)):
        async with says(lambda method, path, said=(body, fields): (200, said[1], said[0])) as url:  # type: ignore[misc]
            assert f"an answer of more than {MOST} bytes" in await why_not(tmp_path, url)

    async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not over.is_set():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        ended.set()

    over, ended = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(authority_module, "_ENDS_WITHIN", 0.3)
    server = await asyncio.start_server(drips, "127.0.0.1", 0)
    try:
        said = await why_not(tmp_path, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert said == "the certificate authority did not answer in time"
    finally:
        over.set()
        await ended.wait()
        server.close()


CAA = {"type": "urn:ietf:params:acme:error:caa", "detail": "CAA record for nas.example.org prevents issuance"}


@pytest.mark.parametrize(
    ("authorization", "order", "said"),
    [
        ({"status": "pending"}, {}, "was not understood: "),
        ({"status": "pending", "challenges": []}, {}, "does not know the challenge tls-alpn-01"),
        ({"status": "valid"}, {"status": "invalid", "error": CAA}, "says: CAA record for nas.example.org prevents"),
        ({"status": "pending"}, {"authorizations": 5000}, "came to no end in time"),
    ],
)
def test_what_it_says_of_an_order_is_told(
    tmp_path: Path,
    authorization: dict[str, object],
    order: dict[str, object],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "authorizations" in order:
        monkeypatch.setattr(authority_module, "_ALL_WITHIN", 0.5)

    @in_loop
    async def story() -> None:
        where = ""

        def answer(method: str, path: str) -> tuple[int, dict[str, str], object]:
            whole = {"status": "pending", "authorizations": [], "finalize": f"{where}/finalize", **order}
            if path == "/dir":
                return 200, {}, directory(where)
            if path == "/order":
                many = order.get("authorizations", 1)
                assert isinstance(many, int)
                return 201, {"Location": f"{where}/it"}, {**whole, "authorizations": many * [f"{where}/one"]}
            if path == "/one":
                return 200, {}, {"identifier": {"type": "dns", "value": NAME}, **authorization}
            return 200, {"Location": f"{where}/account/1"}, {**whole, "authorizations": []}

        async with says(answer) as url:
            where = url
            assert said in await why_not(tmp_path, url)

    story()


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("0", 0.4, 1.0),
        ("-7", 0.4, 1.0),
        ("3", 2.0, 3.5),
        ("99999999", 14.0, 15.5),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 14.0, 15.5),
    ],
)
def test_it_is_asked_again_within_reason(said: str, least: float, most: float) -> None:
    response = requests.Response()
    response.headers["Retry-After"] = said
    before = datetime.datetime.now()
    after = (authority_module._Client.retry_after(response, 5) - before).total_seconds()
    assert least <= after <= most + (datetime.datetime.now() - before).total_seconds()
