"""`hardline nc`: stdin and stdout as a connection to a service, through two whole daemons."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.node import SCRIPTS, Node
from tests.support.rawtcp import everything, greets_then_echoes_after_the_end, never_stops, serving
from tests.support.servers import sshd

LIMIT = 60
NOBODY = "0" * 40


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """A host that shares a service that answers after the end and one that never stops, and a visitor."""
    directory = tmp_path_factory.mktemp("nodes")
    host = Node(directory / "host")
    with serving(greets_then_echoes_after_the_end) as echo, serving(never_stops) as endless:
        host.share("echo", echo)
        host.share("endless", endless)
        with host, Node(directory / "visitor") as visitor:
            yield host, visitor


def command(node: Node, address: str) -> list[str]:
    return [str(SCRIPTS / "hardline"), "--datadir", str(node.data), "nc", address]


def nc(node: Node, address: str, said: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    words = [*command(node, address), *options]
    return subprocess.run(words, input=said, capture_output=True, timeout=LIMIT, check=False)


def test_what_the_service_answers_after_the_end_arrives_whole(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    said = os.urandom(3_000_000)
    for address in (host.label("echo"), host.url("echo")):
        done = nc(visitor, address, said)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == b"hello\n" + said[::-1]
    visit = visitor.last_visit(host.label("echo"))
    assert (visit["via"], visit["protocol"], visit["status"]) == ("LAN", "hardline/2", "ok")


def test_a_host_that_is_killed_is_a_cut_and_then_cannot_be_reached(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    label = host.label("endless")
    with subprocess.Popen(command(visitor, label), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        assert len(one.stdout.read(1 << 20)) == 1 << 20
        host.kill()
        one.stdout.read()
        assert one.wait(LIMIT) == 1
    done = nc(visitor, label, b"x")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"hardline: error: ")
    host.start()


def test_what_is_no_address_is_a_wrong_argument_and_without_a_daemon_it_is_3(
    tmp_path: Path, nodes: tuple[Node, Node]
) -> None:
    done = nc(nodes[1], "nobody", b"")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"40 hex digits" in done.stderr or b"address of the service" in done.stderr
    assert nc(Node(tmp_path / "none"), NOBODY, b"").returncode == 3


def handed(node: Node, address: str, *, flag: str) -> tuple[subprocess.CompletedProcess[bytes], bytes, list[int]]:
    """What became of the command whose stdout is a socket; and what came there: bytes, and descriptors."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            words = [*command(node, address), flag]
            done = subprocess.run(
                words, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, timeout=LIMIT, check=False
            )
        said, descriptors, _, _ = socket.recv_fds(ours, 100, 2)
        return done, said, list(descriptors)


def test_the_connection_itself_is_handed_over_before_anything_of_it_was_read(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    done, byte, descriptors = handed(visitor, host.label("echo"), flag="--fdpass")
    assert (done.returncode, done.stderr, byte, len(descriptors)) == (0, b"", b"\0", 1)
    said = os.urandom(3_000_000)
    with socket.socket(fileno=descriptors[0]) as service:
        service.settimeout(LIMIT)
        service.sendall(said)
        service.shutdown(socket.SHUT_WR)
        assert everything(service) == b"hello\n" + said[::-1]
    visit = visitor.last_visit(host.label("echo"))
    assert (visit["kind"], visit["protocol"], visit["status"]) == ("LAN", "hardline/2", "ok")


def test_what_is_no_socket_and_who_is_not_reached_get_none(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    piped = nc(visitor, host.label("echo"), b"", "--fdpass")
    assert (piped.returncode, piped.stdout) == (1, b"")
    assert b"stdout is no socket" in piped.stderr
    assert b"ProxyUseFdpass=yes" in piped.stderr
    done, said, descriptors = handed(visitor, NOBODY, flag="-F")
    assert (done.returncode, said, descriptors) == (1, b"", [])
    assert done.stderr.startswith(b"hardline: error: ")


@needs.tools("ssh", "sshd", "ssh-keygen")
@needs.root()
def test_ssh_goes_by_it_and_takes_the_connection_itself(tmp_path: Path) -> None:
    with sshd(tmp_path) as port, Node(tmp_path / "host") as host, Node(tmp_path / "visitor") as visitor:
        host.share("shell", port)
        words = ["ssh", "-F", "none", "-i", tmp_path / "user_key", "-o", "StrictHostKeyChecking=no"]
        words += ["-o", f"UserKnownHostsFile={tmp_path}/known", "-o", "BatchMode=yes"]
        by, said = command(visitor, host.label("shell")), b"ab" * 500_000 + b"\n"
        for count, way in enumerate(([*by], [*by, "--fdpass"]), 1):
            passed = "yes" if way[-1] == "--fdpass" else "no"
            options = ["-o", f"ProxyCommand={shlex.join(way)}", "-o", f"ProxyUseFdpass={passed}"]
            whole = [*words, *options, f"{getpass.getuser()}@nas", "rev; exit 7"]
            done = subprocess.run(whole, input=said, capture_output=True, timeout=LIMIT, check=False)
            assert (done.returncode, done.stdout) == (7, b"ba" * 500_000 + b"\n"), done.stderr
            visits = [one for one in visitor.status()["visits"] if one["label"] == host.label("shell")]
            assert [one["via"] for one in visits] == ["LAN"] * count
