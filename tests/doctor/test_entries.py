"""A ping that a real node of the DHT answers, and what is told of a port where none is."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator

import pytest

from hardline.doctor.entries import look, ping
from hardline.doctor.facts import Entry
from hardline.routes import Endpoint
from tests.support import needs
from tests.support.node import free_port
from tests.support.waiting import wait_until

NETWORK = 77


@pytest.fixture(params=[0, NETWORK])
def node(request: pytest.FixtureRequest) -> Iterator[tuple[Endpoint, int]]:
    """Debian's dhtnode, in the usual network or in one of its own."""
    port = free_port()
    command = ["dhtnode", "-s", "-p", str(port), "-n", str(request.param)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as running:
        try:
            yield Endpoint("127.0.0.1", port), request.param
        finally:
            running.kill()


def found(at: Endpoint, network: int = 0) -> Entry:
    [entry] = asyncio.run(look([at], network))
    return entry


@needs.tools("dhtnode")
def test_a_node_answers_in_its_own_network(node: tuple[Endpoint, int]) -> None:
    at, network = node
    wait_until(lambda: found(at, network) == Entry(str(at), True, "open", "refused"), "it answered")


def test_a_port_where_nothing_is_says_so() -> None:
    at = Endpoint("127.0.0.1", free_port())
    assert found(at) == Entry(str(at), True, "refused", "refused")


def test_a_name_that_nobody_knows_says_so() -> None:
    at = Endpoint("a..b", 4222)
    assert found(at) == Entry(str(at), False)


def test_a_ping_is_as_long_as_it_says() -> None:
    assert ping(bytes(20), bytes(4)).startswith(b"\x85\xa1a\x81\xa2id\xc4\x14")
    assert ping(bytes(20), bytes(4), 1).endswith(b"\xa1n\xce\x00\x00\x00\x01")
