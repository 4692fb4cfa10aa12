"""The DHT through REST proxies: real ones, and ones that are broken, slow, cut off or hostile."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from hardline import certificates
from hardline.dht import proxy as proxying
from hardline.dht.proxy import Proxies
from hardline.dht.record import info_hash
from hardline.dht.table import NotStored
from tests.dht.island import Dhtnode, dht, marks
from tests.support.beats import beats
from tests.support.waiting import wait_until

CONNECTED = b'{"ipv4":{"good":3,"dubious":0},"ipv6":{"good":0}}'
ISOLATED = b'{"ipv4":{"good":0,"dubious":0},"ipv6":{"good":0}}'
KEY = info_hash("a key")

Behaviour = Callable[[socket.socket, str], None]


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def line(value: bytes) -> bytes:
    return json.dumps({"data": base64.b64encode(value).decode(), "id": "1", "type": 0}).encode() + b"\n"


def unless_asked_how_it_is(behave: Behaviour, info: bytes = CONNECTED) -> Behaviour:
    def both(connection: socket.socket, path: str) -> None:
        if path == "/node/info":
            connection.sendall(answer(info))
        else:
            behave(connection, path)

    return both


@contextlib.contextmanager
def server(behave: Behaviour) -> Iterator[str]:
    """A server on 127.0.0.1 that reads a request and behaves as told."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65_536)
            behave(connection, head.split()[1].decode())

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    threads.append(threading.Thread(target=accept, daemon=True))
    threads[0].start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join(100)


@contextlib.asynccontextmanager
async def proxies(*urls: str) -> AsyncIterator[Proxies]:
    made = Proxies(urls)
    try:
        yield made
    finally:
        await made.aclose()


async def values(made: Proxies, limit: float = 5.0, largest: int = 4096) -> list[bytes]:
    return [value async for value in made.get(KEY, largest, limit)]


def one_get(*urls: str, limit: float = 5.0) -> tuple[list[bytes], float, dict[str, dict[str, object]]]:
    """What is got, how long it took, and what is said of each proxy then."""

    async def run() -> tuple[list[bytes], float, dict[str, dict[str, object]]]:
        async with proxies(*urls) as made:
            began = beats()
            found = await values(made, limit)
            took = beats() - began
            return found, took, {each["url"]: each for each in made.describe()["proxies"]}

    result = asyncio.run(run())
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("dht-proxy")], "no thread is left")
    return result


def two_values(connection: socket.socket, path: str) -> None:
    assert path == f"/key/{KEY}"
    connection.sendall(answer(line(b"one") + line(b"two") + line(b"one") + b'{"expired":true,"data":"b25l"}\n'))


def test_the_values_of_a_key_come_from_a_proxy():
    with server(unless_asked_how_it_is(two_values)) as url:
        found, _, said = one_get(url + "/")
    assert found == [b"one", b"two"]
    assert said[url]["state"] == "connected"
    assert said[url]["good"] == 3


def test_values_come_as_they_are_found():
    gate = threading.Event()

    def slowly(connection: socket.socket, path: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for value in (b"one", b"two"):
            connection.sendall(b"%x\r\n%s\r\n" % (len(line(value)), line(value)))
            gate.wait(100)
        connection.sendall(b"0\r\n\r\n")

    async def run(url: str) -> None:
        async with proxies(url) as made, contextlib.aclosing(made.get(KEY, 4096, 10)) as found:
            assert await anext(found) == b"one"
            gate.set()
            assert await anext(found) == b"two"
            assert [value async for value in found] == []

    with server(unless_asked_how_it_is(slowly)) as url:
        asyncio.run(run(url))


def test_a_proxy_that_answers_and_is_cut_off_from_the_dht_is_not_used():
    with (
        server(unless_asked_how_it_is(lambda c, _: c.sendall(answer(line(b"stale"))), ISOLATED)) as zombie,
        server(unless_asked_how_it_is(two_values)) as good,
    ):
        found, _, said = one_get(zombie, good)
    assert found == [b"one", b"two"]
    assert (said[zombie]["state"], said[zombie]["reason"]) == ("isolated", "it has no good nodes")


def drip(connection: socket.socket, path: str) -> None:
    """A byte now and then, for ever: no read ever times out."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


def drip_the_head(connection: socket.socket, path: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def endless(connection: socket.socket, path: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(10**9):
        text = line(b"%d" % number) * 20
        connection.sendall(b"%x\r\n%s\r\n" % (len(text), text))


def one_endless_line(connection: socket.socket, path: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65_536)


def silent(connection: socket.socket, path: str) -> None:
    connection.recv(1)


BAD = {
    "drip": drip,
    "drip the head": drip_the_head,
    "one endless line": one_endless_line,
    "silent": silent,
    "closing": lambda connection, path: None,
    "no http": lambda connection, path: connection.sendall(b"220 mail.example ESMTP\r\n"),
    "an error": lambda connection, path: connection.sendall(answer(b"", "502 Bad Gateway")),
    "a redirect": lambda connection, path: connection.sendall(
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    ),
    "html": lambda connection, path: connection.sendall(answer(b"<html>It works!</html>")),
    "junk": lambda connection, path: connection.sendall(answer(b'{"data":7}\n[]\n"x"\n{"data":"%%%"}\n\xff\n')),
    "a huge chunk": lambda connection, path: connection.sendall(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\nx"
    ),
    "gzip": lambda connection, path: connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    ),
}


@pytest.mark.parametrize("behave", BAD.values(), ids=BAD)
def test_a_bad_proxy_costs_its_time_and_no_more(behave):
    with server(unless_asked_how_it_is(behave)) as url:
        found, took, _ = one_get(url, limit=1.0)
    assert found == []
    assert took < 4


@pytest.mark.parametrize("behave", BAD.values(), ids=BAD)
def test_a_proxy_that_is_bad_from_the_start_makes_room_for_the_next(behave, monkeypatch):
    monkeypatch.setattr(proxying, "LOOK_LIMIT", 0.5)
    with server(behave) as bad, server(unless_asked_how_it_is(two_values)) as good:
        found, _, said = one_get(bad, good)
    assert found == [b"one", b"two"]
    assert said[bad]["state"] == "failing"


def test_a_proxy_that_breaks_off_is_followed_by_the_next_and_nothing_comes_twice():
    def breaks_off(connection: socket.socket, path: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + line(b"one"))

    with server(unless_asked_how_it_is(breaks_off)) as bad, server(unless_asked_how_it_is(two_values)) as good:
        found, _, said = one_get(bad, good)
    assert found == [b"one", b"two"]
    assert said[bad]["state"] == "failing"


def test_an_endless_answer_ends_at_a_thousand_values():
    with server(unless_asked_how_it_is(endless)) as url:
        found, took, _ = one_get(url, limit=10.0)
    assert len(found) <= 1000
    assert took < 10


def test_a_value_that_is_too_large_is_left_out():
    with server(unless_asked_how_it_is(lambda c, _: c.sendall(answer(line(bytes(4097)) + line(b"small"))))) as url:
        assert one_get(url)[0] == [b"small"]


def test_a_proxy_that_nobody_can_reach_is_said_so():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    found, _, said = one_get(url)
    assert found == []
    assert said[url]["reason"] == "cannot be reached"


def test_a_tls_handshake_that_never_ends_costs_its_time_and_no_more(monkeypatch):
    monkeypatch.setattr(proxying, "LOOK_LIMIT", 0.5)

    def accept(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"\x16\x03\x03\x40\x00")
            while True:
                connection.sendall(b"\x02")
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,))
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        found, took, said = one_get(url, limit=1.0)
        thread.join(100)
    assert found == []
    assert took < 4
    assert said[url]["state"] == "failing"


def test_a_proxy_with_somebody_elses_certificate_is_not_used(tmp_path):
    identity = certificates.load_or_create(tmp_path / "one.cert")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate_path, identity.private_key_path)

    def accept(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,))
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        found, _, said = one_get(url)
        thread.join(100)
    assert found == []
    assert said[url]["reason"] == "its certificate is not valid"


def test_a_put_fails_with_the_reasons_of_all():
    async def run(*urls: str) -> None:
        async with proxies(*urls) as made:
            with pytest.raises(NotStored, match=r"no good nodes.*answered 502"):
                await made.put(KEY, b"value", 5)

    with (
        server(unless_asked_how_it_is(two_values, ISOLATED)) as zombie,
        server(unless_asked_how_it_is(BAD["an error"])) as bad,
    ):
        asyncio.run(run(zombie, bad))


def test_without_proxies_nothing_is_found_and_nothing_stored():
    async def run() -> None:
        async with proxies() as made:
            assert not made.connected
            assert await values(made) == []
            with pytest.raises(NotStored, match="no proxy"):
                await made.put(KEY, b"value", 5)

    asyncio.run(run())


def test_closing_ends_what_is_under_way():
    under_way = threading.Event()

    def tell_and_drip(connection: socket.socket, path: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        under_way.set()
        drip(connection, path)

    async def run(url: str) -> None:
        async with proxies(url) as made:
            task = asyncio.get_running_loop().create_task(values(made, limit=60))
            while not (made._cuts and under_way.is_set()):
                await asyncio.sleep(0.01)
            began = beats()
            await made.aclose()
            await task
            assert beats() - began < 5

    with server(unless_asked_how_it_is(tell_and_drip)) as url:
        asyncio.run(run(url))


class TestReal:
    pytestmark = marks("dhtnode", "curl")

    def test_what_is_put_by_a_proxy_is_found_by_a_node_and_the_other_way_round(self):
        with dht(processes=2, each=4) as (island, nodes):
            first = Dhtnode(island, nodes[0].endpoints[0], 5180)
            second = Dhtnode(island, nodes[1].endpoints[0], 5190)
            for each in (first, second):
                wait_until(each.has_good_nodes, "the proxy has good nodes")

            async def story() -> None:
                async with proxies(first.url) as writing, proxies(second.url) as reading:
                    await writing.put(KEY, b"by a proxy", 10)
                    assert await values(reading) == [b"by a proxy"]

            island.run(story)
            assert bytes.fromhex(nodes[0].ask("get", key=KEY)[0]) == b"by a proxy"

    def test_a_proxy_without_a_dht_is_found_out(self):
        with dht(processes=1, each=4) as (island, nodes):
            alone, good = Dhtnode(island, None, 5180), Dhtnode(island, nodes[0].endpoints[0], 5190)
            wait_until(good.has_good_nodes, "the proxy has good nodes")

            async def story() -> None:
                async with proxies(alone.url, good.url) as made:
                    await made.put(KEY, b"value", 10)
                    assert await values(made) == [b"value"]
                    states = [each["state"] for each in made.describe()["proxies"]]
                    assert states == ["isolated", "connected"]

            island.run(story)
            assert nodes[0].ask("get", key=KEY) == [b"value".hex()]
