"""Whose program the other end of a connection from this machine is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from hardline.routes import Endpoint
from hardline.transport.owner import is_same_user, owner
from tests.support import needs

pytestmark = needs.linux()

SOMEBODY = 12_345
# Connects, says so, does what it is told to its socket, and stays.
CLIENT = """
import os, socket, sys
family, host, port, then = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
os.setuid(int(sys.argv[5]))
client = socket.socket(family)
client.connect((host, port))
{"stays": lambda: None, "ends": lambda: client.shutdown(socket.SHUT_WR), "closes": client.close}[then]()
print("done", flush=True)
sys.stdin.read()
"""
WAYS = {
    "IPv4": (socket.AF_INET, "127.0.0.1"),
    "IPv6": (socket.AF_INET6, "::1"),
    "IPv4 by a socket of IPv6": (socket.AF_INET6, "::ffff:127.0.0.1"),
}


@contextmanager
def connected(way: str, user: int, then: str = "stays") -> Iterator[tuple[Endpoint, Endpoint]]:
    """A connection that a program of `user` made: our end and its end."""
    family, host = WAYS[way]
    listens = host if ":" in host and "." not in host else "127.0.0.1"
    with ExitStack() as stack:
        kind = socket.AF_INET6 if ":" in listens else socket.AF_INET
        listening = stack.enter_context(socket.create_server((listens, 0), family=kind))
        command = [
            sys.executable,
            "-c",
            CLIENT,
            str(int(family)),
            host,
            str(listening.getsockname()[1]),
            then,
            str(user),
        ]
        client = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        stack.callback(client.kill)
        ours, _ = listening.accept()
        stack.enter_context(ours)
        assert client.stdout is not None
        assert client.stdout.readline() == b"done\n"
        yield Endpoint(*ours.getsockname()[:2]), Endpoint(*ours.getpeername()[:2])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("then", ["stays", "ends"])
def test_a_program_of_the_same_user_is_known(way, then):
    with connected(way, os.geteuid(), then) as (ours, theirs):
        assert owner(ours, theirs) == os.geteuid()
        assert is_same_user(ours, theirs)


@needs.root()
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("then", ["stays", "ends"])
def test_a_program_of_another_user_is_not_taken_for_one_of_this(way, then):
    with connected(way, SOMEBODY, then) as (ours, theirs):
        assert owner(ours, theirs) == SOMEBODY
        assert not is_same_user(ours, theirs)


@needs.root()
@pytest.mark.parametrize("way", WAYS)
def test_a_socket_that_is_closed_already_is_nobodys_whatever_the_kernel_says(way):
    """The kernel writes user 0 for it: whoever asks and closes at once would be root."""
    with connected(way, SOMEBODY, "closes") as (ours, theirs):
        assert owner(ours, theirs) is None
        assert not is_same_user(ours, theirs)


@pytest.mark.parametrize("way", WAYS)
def test_this_process_itself_does_not_count_as_its_user(way):
    """What it connects to is others' to say: a service that leads to its own door would show them all."""
    family, host = WAYS[way]
    listens = host if ":" in host and "." not in host else "127.0.0.1"
    kind = socket.AF_INET6 if ":" in listens else socket.AF_INET
    with socket.create_server((listens, 0), family=kind) as listening, socket.socket(family) as client:
        client.connect((host, listening.getsockname()[1]))
        ours, _ = listening.accept()
        with ours:
            ends = Endpoint(*ours.getsockname()[:2]), Endpoint(*ours.getpeername()[:2])
            assert owner(*ends) == os.geteuid()
            assert not is_same_user(*ends)


def test_the_ends_are_not_mixed_up():
    with connected("IPv4", os.geteuid()) as (ours, theirs):
        assert owner(theirs, ours) == os.geteuid()
        assert owner(ours, Endpoint("127.0.0.1", ours.port)) is None
        assert owner(ours, Endpoint("somewhere.example", theirs.port)) is None
