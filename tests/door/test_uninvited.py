"""What a page of another site can make this node do: nothing that leaves the machine, counted in packets."""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardline.discovery.lpd import GROUP_4, PORT
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until

PARTS = {
    "image": ("cross-site", "no-cors", "image"),
    "script": ("cross-site", "no-cors", "script"),
    "fetch": ("cross-site", "cors", "empty"),
    "websocket": ("cross-site", "websocket", "websocket"),
    "frame": ("cross-site", "navigate", "iframe"),
    "object": ("cross-site", "navigate", "object"),
    "websocket of Chromium": ("Origin: http://evil.example", "Upgrade: websocket", "Connection: Upgrade"),
}
INVITED = {
    "typed": ("none", "navigate", "document"),
    "a link": ("cross-site", "navigate", "document"),
    "its own image": ("same-origin", "no-cors", "image"),
    "its own frame": ("same-origin", "navigate", "iframe"),
    "no browser": None,
}


def told(asks: tuple[str, str, str] | None) -> list[str]:
    if asks is None:
        return []
    if ":" in asks[0]:
        return [word for line in asks for word in ("-H", line)]
    names = ("Site", "Mode", "Dest")
    return [word for name, value in zip(names, asks, strict=True) for word in ("-H", f"Sec-Fetch-{name}: {value}")]


class Ear:
    """Hears what is searched for on this computer's loopback network."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind((GROUP_4, PORT))
        membership = struct.pack("4s4s", socket.inet_aton(GROUP_4), socket.inet_aton("127.0.0.1"))
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        self._socket.setblocking(False)

    def heard(self) -> int:
        """How many packets came since the last time."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(4096):
                count += 1
        return count

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node")) as node:
        wait_until(lambda: "node.look" not in node.status()["process"]["tasks"], "it has looked around by itself")
        yield node


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    yield ear
    ear.close()


@pytest.mark.parametrize("asks", PARTS.values(), ids=PARTS)
def test_for_a_part_of_another_sites_page_nobody_is_searched(node: Node, ear: Ear, asks: tuple[str, str, str]) -> None:
    wait_until(lambda: ear.heard() == 0, "it is quiet")
    visits = node.status()["visits"]
    for _ in range(5):
        answer = curl(node.url_of(secrets.token_hex(20)), *told(asks))
        assert answer.status == 403
        assert curl(f"http://localhost:{node.localport}/", *told(asks)).status == 403
    assert ear.heard() == 0
    assert node.status()["visits"] == visits


@pytest.mark.parametrize("asks", INVITED.values(), ids=INVITED)
def test_what_a_person_or_a_program_opens_is_searched_for(
    node: Node, ear: Ear, asks: tuple[str, str, str] | None
) -> None:
    ear.heard()
    assert curl(node.url_of(secrets.token_hex(20)), *told(asks)).status == 503
    assert ear.heard() > 0


@pytest.mark.parametrize("asks", PARTS.values(), ids=PARTS)
def test_a_host_that_is_connected_already_is_shown_in_other_sites_pages(
    tmp_path: Path, node: Node, asks: tuple[str, str, str]
) -> None:
    with running_origin() as origin, Node(tmp_path / "host") as host:
        host.share("site", origin.port)
        url = node.url_of(host.label("site"))
        assert curl(url, *told(asks)).status == 403
        assert curl(url).status == 200
        assert curl(url, *told(asks)).status == 200


def test_the_home_page_asks_the_network_once_a_second_however_often_it_is_opened(node: Node, ear: Ear) -> None:
    url = f"http://localhost:{node.localport}/"
    wait_until(lambda: ear.heard() == 0, "it is quiet")
    assert curl(url).status == 200
    one = ear.heard()
    assert one > 0
    began = time.monotonic()
    for _ in range(60):
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert answer.status == 200
    assert ear.heard() <= one * (time.monotonic() - began + 2)
