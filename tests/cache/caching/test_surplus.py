"""Bytes behind an answer, in the same moment or late, are nobody's answer, and are kept for nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.cache.proxied import DAY, Answer, Asked, answer, proxied, until
from tests.support import clock, needs

EVIL = answer(b"<script>evil()</script>", Cache_Control="public, max-age=31536000", ETag='"evil"')
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </evil>; rel=preload\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
PRIVATE = {"Cache_Control": "private"}

# What a service answers, and what it sends behind it that it should not.
SLIPS = {
    "HEAD with a body": ("HEAD", answer(b"", Content_Length=str(len(EVIL)), **PRIVATE), EVIL),
    "letters counted": ("GET", answer(b"hello", **PRIVATE), EVIL),
    "letters counted, and kept": ("GET", answer(b"hello", Cache_Control="max-age=60"), EVIL),
    "half a head": ("GET", answer(b"hello", **PRIVATE), EVIL[:40]),
    "hints": ("GET", answer(b"hello", **PRIVATE), HINTS),
    "another protocol": ("GET", answer(b"hello", **PRIVATE), SWITCHING),
    "behind the last chunk": ("GET", CHUNKED, EVIL),
    "204 with a body": ("GET", answer(b"", "204 No Content", Content_Length=str(len(EVIL))), EVIL),
    "304 with a body": ("GET", answer(b"", "304 Not Modified", Content_Length=str(len(EVIL))), EVIL),
    "an error": ("GET", answer(b"hello", "500 Internal Server Error"), EVIL),
    "OPTIONS": ("OPTIONS", answer(b"hello", **PRIVATE), EVIL),
    "POST": ("POST", answer(b"hello", **PRIVATE), EVIL),
}


WHEN = ("at once", "with its end", "late")


def slipping(said: bytes, surplus: bytes, when: str) -> Answer:
    """Says `said`, and `surplus` behind it."""
    head, end, body = said.partition(b"\r\n\r\n")

    async def slip(asked: Asked) -> None:
        if when == "at once":
            await asked.send(said + surplus)
        elif when == "with its end":
            await asked.send(head + end)
            await asyncio.sleep(0.05)
            await asked.send(body + surplus)
        else:
            await asked.send(said)
            await asyncio.sleep(0.2)
            await asked.send(surplus)

    return slip


async def inbox(asked: Asked) -> None:
    await asked.send(answer(f"{asked.target} of {asked.get('cookie') or 'nobody'}".encode(), ETag='"1"'))


@needs.linux()
@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize("when", WHEN)
def test_what_comes_behind_an_answer_is_an_answer_to_nobody(tmp_path: Path, slip: str, when: str) -> None:
    method, said, surplus = SLIPS[slip]

    async def main() -> None:
        async with proxied(tmp_path, {"/slip": slipping(said, surplus, when), "/a": inbox, "/b": inbox}) as site:
            condition = {"If-None-Match": '"x"'} if slip.startswith("304") else {}
            await site.ask(method, "/slip", **condition)
            for visitor, target in (("alice", "/a"), ("bob", "/b"), ("", "/a"), ("", "/b")):
                got = await site.get(target, **({"Cookie": visitor} if visitor else {}))
                assert (got.status, got.body, got.interim) == (200, f"{target} of {visitor or 'nobody'}".encode(), [])
            assert not any(b"evil" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    clock.run(main)


def test_every_request_has_a_connection_of_its_own_which_ends_with_its_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"hello", ETag='"1"')}, max_age=DAY) as site:
            visitor = await site.visitor()
            for method in ("GET", "HEAD", "OPTIONS", "POST", "PROPFIND", "GET"):
                visitor.send(f"{method} /a HTTP/1.1\r\nHost: a\r\nCache-Control: no-cache\r\n\r\n".encode())
                assert (await visitor.reply(method)).status == 200
                await until(lambda: not site.origin._open, "its connection has ended")
            assert site.origin.connections == site.origin.count() == 6
            assert all(asked.get("connection") is None for asked in site.origin.asked)

    asyncio.run(main())


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_protocol_that_nobody_asked_for_is_a_bad_gateway(tmp_path: Path, method: str) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": slipping(SWITCHING, b"evil", "at once")}) as site:
            assert (await site.ask(method, "/a")).status == 502

    asyncio.run(main())
