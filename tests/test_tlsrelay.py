"""Row 68: servers that were written for tx_tlsrelay, at our relay, by what is said on its connections and by nothing
else.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.beats import beats
from tests.support.node import Node, free_range, refused
from tests.support.programs import curl, running_origin
from tests.support.rawtcp import LIMIT, everything, exactly
from tests.support.tlsrelay import Keys, Server
from tests.support.waiting import wait_until

MB = 1 << 20
PAIRS = 3

pytestmark = [needs.tools("openssl", "socat", "curl")]


class Relay(Node):
    """One whose control port is the first of `ports`."""

    def __init__(self, directory: Path, keys: Keys, *, more: str = "", settings: str = "") -> None:
        self.keys, self.ports = keys, free_range(1 + 2 * PAIRS)
        self.control, self.reverse, self.public = self.ports[0], self.ports[1 : 1 + PAIRS], self.ports[1 + PAIRS :]
        has = f"enabled = yes\ntlsrelay = {self.ports[0]}-{self.ports[-1]}\ntlsrelay_keys = {keys.directory}\n"
        super().__init__(directory, settings=f"[Relay]\n{has}{more}\n{settings}")

    def server(self, *words: str) -> Server:
        return Server(self.keys, self.control, *words)

    @property
    def served(self) -> dict[str, int]:
        return dict(self.status()["relays"]["served"])

    def is_free(self) -> None:
        """Wait until nobody is there any more."""
        wait_until(lambda: not self.served["tlsrelay"] + self.served["pairs"], "nobody is there")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("tlsrelay") / "keys")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Relay]:
    with Relay(
        tmp_path_factory.mktemp("tlsrelay"), keys, more="new_pairs = 1000\nmax_pairs_per_source = 300\n"
    ) as relay:
        yield relay


@pytest.fixture
def relay(running: Relay) -> Relay:
    running.is_free()
    return running


def connected(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=LIMIT, source_address=(source, 0))


def heard_at(port: int, said: bytes = b"") -> bytes:
    with connected(port) as one:
        if said:
            one.sendall(said)
            one.shutdown(socket.SHUT_WR)
        return everything(one)


def ends(one: socket.socket) -> None:
    """Nothing follows: it was closed, or reset."""
    with contextlib.suppress(ConnectionResetError):
        assert everything(one) == b""


def test_row_68_the_lines_are_those_of_tx_tlsrelay_and_hello_world_comes_back(relay: Relay) -> None:
    with relay.server() as server:
        first, second = server.line(), server.line()
        public = int(first.strip().rpartition(b":")[2])
        reverse = relay.reverse[relay.public.index(public)]
        assert first == f"public_listener 127.0.0.1:{public}\r\n".encode()
        assert second == f"reverse_listener 127.0.0.1:{reverse}\r\n".encode()
        assert relay.served["tlsrelay"] == 1
        assert "1 by tx_tlsrelay" in relay.hardline("relay").stdout
        assert server.silent
        words = ["openssl", "s_client", "-connect", f"127.0.0.1:{public}", *relay.keys.of_a_client]
        trust = ["-CAfile", str(relay.keys.file("ca.crt.pem")), "-verify_return_error", "-quiet"]
        with subprocess.Popen([*words, *trust], stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, bufsize=0) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            assert server.line() == b"new_connection\r\n"
            before = relay.served["passed"]
            with connected(reverse) as dialled, server.secured(dialled) as tls:
                client.stdin.write(b"hello world\n")
                tls.sendall(tls.recv(100))
                assert client.stdout.read(12) == b"hello world\n"
        wait_until(lambda: relay.served["passed"] - before > 1000, "it went by the relay")
        assert server.silent


def test_row_68_a_client_is_told_of_before_it_says_anything_and_the_server_may_speak_first(relay: Relay) -> None:
    with relay.server() as server:
        public, reverse = server.ports()
        with connected(public) as client:
            assert server.line() == b"new_connection\r\n"
            with connected(reverse) as dialled:
                dialled.sendall(b"220 ready\r\n")
                assert exactly(client, 11) == b"220 ready\r\n"


def test_row_68_what_a_client_says_at_once_comes_first_and_an_answer_behind_its_end_is_not_lost(relay: Relay) -> None:
    said = random.Random(68).randbytes(3 * MB)
    with relay.server() as server, ThreadPoolExecutor(1) as pool:
        public, reverse = server.ports()
        answer = pool.submit(heard_at, public, said)
        assert server.line() == b"new_connection\r\n"
        with connected(reverse) as dialled:
            assert everything(dialled) == said
            dialled.sendall(hashlib.sha256(said).hexdigest().encode())
        assert answer.result(LIMIT) == hashlib.sha256(said).hexdigest().encode()


def test_row_68_the_first_dial_is_for_the_first_client_also_where_that_has_left(relay: Relay) -> None:
    with relay.server() as server:
        public, reverse = server.ports()
        with connected(public) as first, connected(public) as second:
            third, fourth = connected(public), connected(public)
            for client, said in ((first, b"one"), (second, b"two"), (third, b"three"), (fourth, b"four")):
                client.sendall(said)
                assert server.line() == b"new_connection\r\n"
            third.close()
            fourth.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wait_until(lambda: relay.served["waiting"] == 4, "all of them wait")
            fourth.close()
            for said in (b"one", b"two"):
                with connected(reverse) as dialled:
                    assert exactly(dialled, len(said)) == said
            for said in (b"three", b"four"):
                with connected(reverse) as dialled:
                    assert everything(dialled) == said
            with connected(reverse) as dialled:
                ends(dialled)
            assert server.silent


def test_row_68_when_all_pairs_are_leased_the_next_server_is_told_so(relay: Relay) -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(relay.server()) for _ in range(PAIRS)]
        pairs = [server.ports() for server in servers]
        assert sorted(pairs) == sorted(zip(relay.public, relay.reverse, strict=True))
        with relay.server() as late:
            assert (late.line(), late.line()) == (b"no_available_listeners\r\n", b"")
        assert all(server.silent for server in servers)
        servers[1].kill()
        wait_until(lambda: relay.served["tlsrelay"] == PAIRS - 1, "one has gone")
        servers[1] = stack.enter_context(relay.server())
        assert servers[1].ports() == pairs[1]
        for server in (servers[2], servers[0]):
            server.kill()
            left = [one.process.poll() for one in servers].count(None)
            wait_until(lambda left=left: relay.served["tlsrelay"] == left, "and more")  # type: ignore[misc]
        assert stack.enter_context(relay.server()).ports() == pairs[2], "what is free for longest goes first"
        assert relay.served["refused"]["ports"] >= 1  # type: ignore[index]


def test_rows_61_and_68_at_a_port_that_nobody_has_that_is_said(relay: Relay) -> None:
    for port in (relay.public[1], relay.reverse[1]):
        assert heard_at(port) == b"no controller linked"
    done = subprocess.run(["socat", "-u", f"TCP:127.0.0.1:{relay.public[2]}", "-"], capture_output=True, timeout=LIMIT)
    assert done.stdout == b"no controller linked"


@pytest.mark.parametrize("said", [b"hello\r\n", b"\r\n", b"x" * 16_385], ids=["a line", "an empty line", "too much"])
def test_row_68_a_line_of_the_servers_own_ends_its_connection(relay: Relay, said: bytes) -> None:
    with relay.server() as server:
        public, _ = server.ports()
        with connected(public) as client:
            assert server.line() == b"new_connection\r\n"
            server.say(said)
            assert server.line() == b""
            ends(client)
        assert heard_at(public) == b"no controller linked"


def test_row_68_bytes_without_the_end_of_a_line_change_nothing(relay: Relay) -> None:
    with relay.server() as server:
        public, reverse = server.ports()
        server.say(b"hello\nthere\r")
        for _ in range(2):
            with connected(public) as client:
                assert server.line() == b"new_connection\r\n"
                with connected(reverse) as dialled:
                    dialled.sendall(b"220 ready\r\n")
                    assert exactly(client, 11) == b"220 ready\r\n"


def test_row_66_without_a_certificate_of_the_authority_nothing_is_leased(relay: Relay, tmp_path: Path) -> None:
    before = relay.served["refused"].get("certificate", 0)  # type: ignore[attr-defined]
    strangers = Keys(tmp_path / "strangers").of_a_client
    for words in (["-no_ticket"], strangers, ["-tls1_2", *strangers]):
        with relay.server(*words) as server:
            assert server.line() == b""
    with connected(relay.control) as plain:
        plain.sendall(b"public_listener 127.0.0.1:1\r\n")
        ends(plain)
    wait_until(lambda: relay.served["refused"].get("certificate", 0) == before + 4, "all were refused")  # type: ignore[attr-defined]
    assert relay.served["tlsrelay"] == 0
    with relay.server("-tls1_2", *relay.keys.of_a_client) as server:
        assert server.line().startswith(b"public_listener ")


def test_row_63_nobody_else_is_joined_to_a_client_that_waits(relay: Relay) -> None:
    with relay.server() as server:
        public, reverse = server.ports()
        with connected(public) as client:
            assert server.line() == b"new_connection\r\n"
            client.sendall(b"a secret")
            with connected(reverse, "127.0.0.9") as stranger:
                ends(stranger)
            with connected(reverse) as dialled:
                assert exactly(dialled, 8) == b"a secret"


def test_row_63_two_hundred_at_once_each_hear_their_own(relay: Relay) -> None:
    with relay.server() as server, ThreadPoolExecutor(400) as pool:
        public, reverse = server.ports()
        said = [f"{number:04}|".encode() * 500 for number in range(200)]

        def echo() -> None:
            with connected(reverse) as dialled:
                dialled.sendall(everything(dialled))

        heard = [pool.submit(heard_at, public, one) for one in said]
        for _ in said:
            assert server.line() == b"new_connection\r\n"
            pool.submit(echo)
        assert [one.result(LIMIT) for one in heard] == said
        assert server.silent


def test_row_67_when_a_server_is_killed_its_clients_are_cut_and_its_ports_are_free(relay: Relay) -> None:
    with relay.server() as server:
        public, reverse = server.ports()
        with connected(public) as joined, connected(reverse) as dialled, connected(public) as waits:
            dialled.sendall(b"hello")
            assert exactly(joined, 5) == b"hello"
            server.kill()
            with pytest.raises(ConnectionResetError):
                everything(joined)
            assert everything(waits) == b""
            with pytest.raises(ConnectionResetError):
                everything(dialled)
    relay.is_free()
    assert heard_at(public) == heard_at(reverse) == b"no controller linked"


def test_row_62_what_waits_for_its_server_costs_the_relay_nothing(relay: Relay) -> None:
    with relay.server() as server:
        public, _ = server.ports()
        with connected(public) as pusher:
            before = relay.pss("Pss_Anon")
            pusher.setblocking(False)
            pushed, stuck_since, piece = 0, beats(), bytes(MB)
            while pushed < 1 << 30 and beats() - stuck_since < 0.5:
                with contextlib.suppress(BlockingIOError):
                    pushed += pusher.send(piece)
                    stuck_since = beats()
            assert relay.pss("Pss_Anon") - before < 4 * MB
        assert pushed < 100 * MB, "it was held back"


def test_curl_reaches_a_web_server_by_socat_alone(relay: Relay) -> None:
    with running_origin() as origin, relay.server() as server:
        public, reverse = server.ports()
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(curl, f"http://127.0.0.1:{public}/")
            assert server.line() == b"new_connection\r\n"
            words = ["socat", f"TCP:127.0.0.1:{reverse}", f"TCP:127.0.0.1:{origin.port}"]
            with subprocess.Popen(words) as socat:
                assert (answer.result().status, answer.result().text) == (200, "hello from the origin\n")
                assert socat.wait(LIMIT) == 0


def test_what_is_told_is_the_owners_word_and_a_relay_that_drains_takes_nobody(tmp_path: Path, keys: Keys) -> None:
    with Relay(tmp_path, keys, more="tlsrelay_host = relay.example\n") as relay, relay.server() as server:
        assert server.line() == f"public_listener relay.example:{relay.public[0]}\r\n".encode()
        assert server.line() == f"reverse_listener relay.example:{relay.reverse[0]}\r\n".encode()
        assert relay.hardline("relay", "--drain").returncode == 0
        with relay.server() as late:
            assert (late.line(), late.line()) == (b"no_available_listeners\r\n", b"")
        assert heard_at(relay.public[0]) == b""
        assert server.silent


@pytest.mark.full
def test_what_cannot_be_is_said_at_start(tmp_path: Path, keys: Keys) -> None:
    missing, readable, swapped = (Keys(tmp_path / name) for name in ("missing", "readable", "swapped"))
    missing.file("ca.crt.pem").unlink()
    readable.file("server.key.pem").chmod(0o644)
    swapped.file("server.key.pem").write_bytes(keys.file("client.key.pem").read_bytes())
    for own, said in (
        (missing, "ca.crt.pem: this file is missing"),
        (readable, "other users may read or write this private key"),
        (swapped, "OpenSSL does not take these files: key values mismatch"),
    ):
        code, log = refused(Relay(tmp_path / f"relay-{own.directory.name}", own))
        assert code == 1
        assert "[Relay] tlsrelay_keys: " in log
        assert said in log
