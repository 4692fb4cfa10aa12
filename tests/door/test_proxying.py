"""The door as an HTTP proxy: real nodes, curl, raw sockets; for names below .localhost and for nothing else."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.node import Node
from tests.support.origin import digest_of_bytes
from tests.support.programs import Answer, RunningOrigin, curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [needs.tools("curl")]

HTML = ("-H", "Accept: text/html")


@pytest.fixture
def host(tmp_path: Path, origin: RunningOrigin) -> Iterator[Node]:
    """A node that shares the origin as "site"."""
    node = Node(tmp_path / "host")
    node.share("site", origin.port)
    with node:
        yield node


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Node]:
    """A node that shares nothing."""
    with Node(tmp_path / "visitor") as node:
        yield node


def through(door: Node, url: str, *options: str | Path) -> Answer:
    """Ask with `door` as proxy, whatever port the URL has."""
    return curl(url, "--noproxy", "", "-x", f"http://127.0.0.1:{door.localport}", *options)


def talk(door: Node, request: bytes) -> bytes:
    """Send bytes, and read until the door ends."""
    with socket.create_connection(("127.0.0.1", door.localport), timeout=100) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65_536), b""))


# Whole URLs.


def test_a_request_with_a_whole_url_reaches_the_service_as_from_a_browser(host: Node, visitor: Node) -> None:
    label = host.label("site")
    told = through(visitor, f"http://{label}.localhost/echo?a=b", "-H", "X-Odd:  two  spaces").json
    assert told["request"] == "GET /echo?a=b HTTP/1.1"
    assert told["headers"]["host"] == f"{label}.localhost"
    assert told["headers"]["x-odd"] == "two  spaces"
    assert told["headers"]["connection"] == "close"
    assert "proxy-connection" not in told["headers"]
    assert visitor.last_visit(label)["status"] == "ok"


def test_the_urls_host_beats_the_header(host: Node, visitor: Node) -> None:
    label = host.label("site")
    told = through(visitor, f"http://{label}.localhost/echo", "-H", "Host: example.com").json
    assert told["headers"]["host"] == f"{label}.localhost"


@pytest.mark.parametrize("how", [(), ("-H", "Transfer-Encoding: chunked")], ids=["length", "chunks"])
def test_an_upload_arrives_whole(host: Node, visitor: Node, tmp_path: Path, how: tuple[str, ...]) -> None:
    file = tmp_path / "upload"
    assert curl(host.url("site", "bytes/5000000"), "-o", file).code == 0
    url = f"http://{host.label('site')}.localhost/sum"
    told = through(visitor, url, "--data-binary", f"@{file}", *how).json
    assert told == {"length": 5_000_000, "sha256": digest_of_bytes(5_000_000)}


def test_a_download_arrives_whole_and_the_client_asks_again_on_a_new_connection(host: Node, visitor: Node) -> None:
    url = f"http://{host.label('site')}.localhost"
    answer = through(visitor, f"{url}/bytes/3000000", f"{url}/bytes/3000000")
    assert answer.code == 0
    assert len(answer.body) == 6_000_000
    assert re.findall(r'"before": (\d+)', through(visitor, f"{url}/echo", f"{url}/echo").text) == ["0", "0"]


def test_a_second_head_never_reaches_the_first_ones_service(host: Node, visitor: Node, origin: RunningOrigin) -> None:
    with running_origin(name="the other") as other:
        host.share("other", other.port)
        first, second = host.label("site"), host.label("other")
        ours = f"GET http://{first}.localhost/echo HTTP/1.1\r\nHost: {first}.localhost\r\n\r\n"
        theirs = f"GET http://{second}.localhost/secret HTTP/1.1\r\nHost: {second}.localhost\r\nCookie: s=1\r\n\r\n"
        answer = talk(visitor, (ours + theirs).encode())
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"secret" not in answer
        told = through(visitor, f"http://{first}.localhost/echo").json
        assert told["before"] == 0


def test_a_body_that_could_be_read_in_two_ways_is_refused(host: Node, visitor: Node) -> None:
    url = f"http://{host.label('site')}.localhost/sum"
    answer = talk(
        visitor, f"POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\n12345\r\n0\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_proxy_client_gets_the_pages_too(host: Node, visitor: Node, origin: RunningOrigin) -> None:
    url = f"http://{host.label('site')}.localhost/"
    assert through(visitor, url).status == 200
    origin.kill()
    page = through(visitor, url, *HTML)
    assert page.status == 502
    assert "<h1>" in page.text
    assert through(visitor, f"http://{'0' * 40}.localhost/").status == 503


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_the_nodes_own_page_is_at_the_doors_own_port_only(visitor: Node, name: str) -> None:
    """Behind other ports of this computer are other programs: nobody who asks for those is given our page."""
    own = f"http://{name}:{visitor.localport}"
    assert "On this network" in through(visitor, f"{own}/").text
    for foreign in ("", ":80", ":8080", f":{visitor.p2pport}"):
        for path in ("/", "/proxy.pac", "/nowhere"):
            assert through(visitor, f"http://{name}{foreign}{path}").status == 421
            if not name.startswith("["):
                assert curl(own + path, "-4", "-H", f"Host: {name}{foreign}").status == 421


def test_a_client_that_breaks_off_ends_the_request_at_the_service(host: Node, visitor: Node) -> None:
    label = host.label("site")
    with socket.create_connection(("127.0.0.1", visitor.localport), timeout=100) as client:
        client.sendall(f"GET http://{label}.localhost/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        heard = b""
        while b"data: 0" not in heard:
            heard += client.recv(65_536)
        assert visitor.status()["sessions"][0]["streams"] == 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: visitor.status()["sessions"][0]["streams"] == 0, "the stream ended")


# Tunnels.


def test_a_tunnel_carries_whatever_is_said_in_it(host: Node, visitor: Node) -> None:
    url = f"http://{host.label('site')}.localhost:1234"
    answer = through(visitor, f"{url}/echo", f"{url}/echo", "-p")
    assert '"before": 1' in answer.text


def test_what_is_sent_before_the_tunnel_stands_is_not_lost(host: Node, visitor: Node) -> None:
    label = host.label("site")
    head = f"CONNECT {label}.localhost:80 HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = talk(visitor, f"{head}GET / HTTP/1.0\r\nHost: {label}.localhost\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"hello from the origin\n")


def test_a_tunnel_to_a_service_that_is_down_is_refused(host: Node, visitor: Node, origin: RunningOrigin) -> None:
    origin.kill()
    label = host.label("site")
    assert talk(visitor, f"CONNECT {label}.localhost:80 HTTP/1.1\r\nHost: x\r\n\r\n".encode()).startswith(
        b"HTTP/1.1 502 "
    )


# Never an open proxy.


@pytest.mark.parametrize("target", ["127.0.0.1:{port}", "localhost:{port}", "example.com:443", "[::1]:{port}"])
@pytest.mark.parametrize("form", ["CONNECT {target} HTTP/1.1", "GET http://{target}/ HTTP/1.1"])
def test_nothing_but_names_below_localhost_is_reached(
    visitor: Node, origin: RunningOrigin, target: str, form: str
) -> None:
    line = form.format(target=target.format(port=origin.port))
    answer = talk(visitor, f"{line}\r\nHost: x\r\n\r\n".encode())
    assert b"hello from the origin" not in answer
    if "CONNECT" in line or "example" in line:
        assert int(answer.split()[1]) in (403, 421)


def test_the_auto_config_file_names_the_door_that_was_asked(visitor: Node) -> None:
    port = visitor.localport
    answer = curl(f"http://localhost:{port}/proxy.pac", "-4", "-i")
    assert "Content-Type: application/x-ns-proxy-autoconfig\r\n" in answer.text
    assert f'"PROXY 127.0.0.1:{port}"' in answer.text
    assert f'"PROXY [::1]:{port}"' in curl(f"http://[::1]:{port}/proxy.pac").text
    assert curl(f"http://{'0' * 40}.localhost:{port}/proxy.pac").status == 503
