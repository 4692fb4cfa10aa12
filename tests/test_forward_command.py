"""`hardline forward LABEL PORT`: a port of this computer as long as the command runs."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import SCRIPTS, Node, free_port
from tests.support.rawtcp import LIMIT, everything, exactly, greets_then_echoes_after_the_end, never_stops, serving
from tests.support.waiting import wait_until

NOBODY = "0" * 40


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """A host that shares a service that speaks first and one that never stops, and a visitor."""
    directory = tmp_path_factory.mktemp("forward")
    host = Node(directory / "host")
    with serving(greets_then_echoes_after_the_end) as echo, serving(never_stops) as endless:
        host.share("echo", echo)
        host.share("endless", endless)
        with host, Node(directory / "visitor") as visitor:
            yield host, visitor


class Forwarding:
    """The command, while it runs."""

    def __init__(self, node: Node, label: str, port: int, *more: str) -> None:
        words = [str(SCRIPTS / "hardline"), "--datadir", str(node.data), "forward", *more, label, str(port)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def listens(self) -> int:
        """The port that it printed."""
        assert self.process.stdout is not None
        host, _, port = self.process.stdout.readline().rpartition(":")
        assert host == "127.0.0.1"
        return int(port)

    def says(self, what: str) -> str:
        """The line with that, once it is told."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if what in line:
                return line
        raise AssertionError(f"it ended without a word of {what!r}")

    def ended(self, number: signal.Signals | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(LIMIT)


@contextlib.contextmanager
def forwarding(node: Node, label: str, port: int = 0, *more: str) -> Iterator[Forwarding]:
    one = Forwarding(node, label, port, *more)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.communicate()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=LIMIT)


def is_closed(port: int) -> bool:
    try:
        connected(port).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_port_leads_there_until_the_command_ends_however(nodes: tuple[Node, Node], end: signal.Signals) -> None:
    host, visitor = nodes
    chosen = free_port()
    with forwarding(visitor, host.url("echo"), chosen) as command:
        port = command.listens()
        assert port == chosen
        with connected(port) as one:
            assert exactly(one, 6) == b"hello\n"
            [row] = visitor.status()["forwards"]
            assert row == {
                "name": "",
                "listen": f"127.0.0.1:{port}",
                "label": host.label("echo"),
                "open": 1,
                "problem": None,
            }
            assert f"hardline forward  127.0.0.1:{port}" in visitor.hardline("status").stdout
            one.sendall(b"abc")
            one.shutdown(socket.SHUT_WR)
            assert everything(one) == b"cba"
        visit = visitor.last_visit(host.label("echo"))
        assert (visit["via"], visit["protocol"], visit["status"]) == ("LAN", "hardline/2", "ok")
        with connected(port) as one:
            assert exactly(one, 6) == b"hello\n"
            code = command.ended(end)
            with pytest.raises(ConnectionResetError):
                everything(one)
        assert code == (130 if end is signal.SIGINT else -end)
        wait_until(lambda: is_closed(port), "the port is closed")
        assert visitor.status()["forwards"] == []


def test_pages_of_other_sites_get_through_only_where_that_was_asked_for(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    page = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n\r\n"
    with forwarding(visitor, host.label("echo")) as command:
        with connected(command.listens()) as one:
            one.sendall(page)
            with pytest.raises(ConnectionResetError):
                everything(one)
        assert "--pages lets it in" in command.says("another site")
    with forwarding(visitor, host.label("echo"), 0, "--pages") as command, connected(command.listens()) as one:
        one.sendall(page)
        one.shutdown(socket.SHUT_WR)
        assert everything(one) == b"hello\n" + page[::-1]


def test_a_port_of_its_own_choice_and_several_at_once(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    with forwarding(visitor, host.label("echo")) as one, forwarding(visitor, host.label("endless")) as other:
        endless = other.listens()
        assert one.listens() != endless
        with connected(endless) as client:
            assert exactly(client, 1 << 20) == b"x" * (1 << 20)
        assert one.ended(signal.SIGINT) == 130
        with connected(endless) as client:
            assert exactly(client, 1 << 20) == b"x" * (1 << 20)


def test_a_port_that_cannot_be_had_is_said_at_once(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    with serving(never_stops) as taken:
        done = visitor.hardline("forward", host.label("echo"), str(taken))
        assert (done.returncode, done.stdout) == (1, "")
        assert f"127.0.0.1:{taken} is taken by another program" in done.stderr
    for own in (visitor.localport, visitor.p2pport):
        done = visitor.hardline("forward", host.label("echo"), str(own))
        assert (done.returncode, done.stdout) == (1, "")
        assert f"port {own} is hardlined's own already" in done.stderr
    assert visitor.status()["forwards"] == []


def test_a_label_that_leads_nowhere_is_said_before_anybody_connects(nodes: tuple[Node, Node]) -> None:
    _, visitor = nodes
    with forwarding(visitor, NOBODY) as command:
        port = command.listens()
        assert NOBODY not in command.says("no route to")
        with connected(port) as one, pytest.raises(ConnectionResetError):
            everything(one)
    assert visitor.hardline("forward", "nas", "2222").returncode == 2
    assert visitor.hardline("forward", NOBODY, "65536").returncode == 2


def test_without_a_daemon_it_is_3_and_a_daemon_that_ends_ends_it(tmp_path: Path, nodes: tuple[Node, Node]) -> None:
    assert Node(tmp_path / "none").hardline("forward", NOBODY, "0").returncode == 3
    host, visitor = nodes
    for end in (visitor.stop, visitor.kill):
        with forwarding(visitor, host.label("echo")) as command:
            command.listens()
            end()
            assert "the hardlined has ended" in command.says("has ended")
            assert command.ended() == 1
        visitor.start()


def test_a_service_of_ours_behind_a_port_of_ours_is_refused_in_words(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    with forwarding(visitor, host.label("echo")) as command:
        port = command.listens()
        done = visitor.hardline("share", str(port))
        assert (done.returncode, done.stdout) == (2, "")
        assert "hardlined itself listens there" in done.stderr
        visitor.share("again", port)
        found = visitor.service("again")
        assert found is not None
        assert "hardlined itself listens there" in found["problem"]
