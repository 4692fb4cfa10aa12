"""Services at public ports of a relay, through whole daemons, visited by programs that know nothing of hardline."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.beats import beats
from tests.support.node import Node, free_port, free_range
from tests.support.programs import curl, running_origin
from tests.support.rawtcp import LIMIT, everything, exactly, greets_then_echoes_after_the_end, never_stops, serving
from tests.support.servers import sshd
from tests.support.waiting import wait_until

MB = 1 << 20

pytestmark = [needs.tools("curl", "socat")]


def pair(
    directory: Path, ports: range, *, may: bool = True, more: str = "", bind: tuple[str, ...] = ("127.0.0.1",)
) -> tuple[Node, Node]:
    """A relay that has these, and a host that uses it; neither runs yet."""
    allowed = f"public_allow = {Node(directory / 'host').key_hash}\n" if may else "allow = *\n"
    has = f"[Relay]\nenabled = yes\npublic_ports = {ports[0]}-{ports[-1]}\n{allowed}{more}"
    relay = Node(directory / "relay", settings=has, bind=bind)
    use = f"127.0.0.1:{relay.p2pport}#{relay.key_hash}"
    return relay, Node(directory / "host", settings=f"[Relay]\nuse = {use}\n")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """A relay with as many ports as the tests want that have services of their own there, and a host, both running."""
    bind = ("127.0.0.1", "::1") if socket.has_ipv6 else ("127.0.0.1",)
    relay, host = pair(tmp_path_factory.mktemp("public"), free_range(12), more="new_pairs = 1000\n", bind=bind)
    with relay, host:
        yield relay, host


def share(host: Node, name: str, target: str, port: str = "yes", more: str = "") -> None:
    host.write(name, f"[Service]\nservice = {target}\n{more}\n[Public]\nport = {port}\n")


def public_port(relay: Node, host: Node, name: str) -> int:
    """Wait until it has one, as status says."""

    def found() -> list[str] | None:
        service = host.service(name)
        return None if service is None else service.get("public")

    [at] = wait_until(found, f"it has a public port:\n{host.log[-3000:]}\n{relay.log[-3000:]}")
    return int(at.rpartition(":")[2])


def why_none(host: Node, name: str) -> str:
    """Wait until status says why it has none."""

    def found() -> list[str] | None:
        service = host.service(name)
        whys = [] if service is None else service.get("not_public", [])
        return [why for why in whys if "not asked yet" not in why]

    [why] = wait_until(found, "it hears why it has no public port")
    return why


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=LIMIT)


def socat(address: str, said: bytes) -> bytes:
    """What is heard at `address` until the end, after all was said and its own end, too."""
    words = ["socat", "-t", str(LIMIT), "-", address]
    done = subprocess.run(words, input=said, capture_output=True, timeout=2 * LIMIT, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def closes_at_once(port: int) -> bool:
    with connected(port) as one, contextlib.suppress(ConnectionResetError):
        return one.recv(1) == b""
    return True


def test_row_60_curl_reaches_it_and_again_after_a_restart_of_either(tmp_path: Path) -> None:
    ports = free_range(3)
    relay, host = pair(tmp_path, ports)
    own = {"first": ports[0], "third": ports[2]}
    with running_origin() as origin:
        for name, port in own.items():
            share(host, name, f"http://127.0.0.1:{origin.port}", "yes" if name == "first" else str(port))
        with relay, host:
            for restarted in (host, relay, None):
                assert {name: public_port(relay, host, name) for name in own} == own
                for port in (*own.values(), ports[0]):
                    answer = curl(f"http://127.0.0.1:{port}/")
                    assert (answer.status, answer.text) == (200, "hello from the origin\n")
                if restarted is not None:
                    restarted.stop()
                    assert restarted is relay or closes_at_once(ports[0])
                    restarted.start()
            for command in ("status", "ls"):
                assert f"public at 127.0.0.1:{ports[2]}" in host.hardline(command).stdout
            assert ", 2 public ports, " in relay.hardline("relay").stdout
            labels = [host.label(name) for name in own]
    kept = (relay.data / "relay-ports.json").read_text()
    assert sorted(json.loads(kept)["ports"].values()) == [ports[0], ports[2]]
    assert not [label for label in labels if label in relay.log + kept], "the relay does not learn the right to visit"


@needs.tools("ssh", "sshd", "ssh-keygen")
@needs.root()
def test_row_58_sshd_greets_first_and_ssh_works(tmp_path: Path, together: tuple[Node, Node]) -> None:
    relay, host = together
    with sshd(tmp_path) as listens:
        share(host, "shell", f"127.0.0.1:{listens}")
        port = public_port(relay, host, "shell")
        with connected(port) as silent:
            assert exactly(silent, 8) == b"SSH-2.0-"
        words = ["ssh", "-F", "none", "-p", str(port), "-i", tmp_path / "user_key", "-o", "BatchMode=yes"]
        words += ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={tmp_path}/known"]
        words += [f"{getpass.getuser()}@127.0.0.1", "rev; exit 7"]
        said, before = b"ab" * 500_000 + b"\n", relay.status()["relays"]["served"]["passed"]
        done = subprocess.run(words, input=said, capture_output=True, timeout=LIMIT, check=False)
        assert (done.returncode, done.stdout) == (7, b"ba" * 500_000 + b"\n"), done.stderr
        assert relay.status()["relays"]["served"]["passed"] - before > 2 * len(said), "it went by the relay"


def test_rows_59_61_a_pool_of_two_is_full_for_the_third_until_one_is_given_back(tmp_path: Path) -> None:
    ports = free_range(2)
    relay, host = pair(tmp_path, ports)
    with running_origin() as origin, relay, host:
        assert all(map(closes_at_once, ports)), "bound from the start, and nobody's"
        target = f"http://127.0.0.1:{origin.port}"
        for number, name in enumerate(("first", "second")):
            share(host, name, target)
            assert public_port(relay, host, name) == ports[number]
        share(host, "third", target)
        why = why_none(host, "third")
        assert re.fullmatch(rf"127.0.0.1:{relay.p2pport}: .* none is left, .*", why)
        assert f"no public port at {why}" in host.hardline("status").stdout
        assert [curl(f"http://127.0.0.1:{port}/").status for port in ports] == [200, 200]
        host.write("first", f"[Service]\nservice = {target}\n")
        assert public_port(relay, host, "third") == ports[0]
        assert curl(f"http://127.0.0.1:{ports[0]}/").status == 200
        assert "no public port" not in host.hardline("status").stdout
        (host.services / "third.ini").unlink()
        wait_until(lambda: closes_at_once(ports[0]), "it is nobody's")
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", ports[0]))


def test_rows_62_64_what_is_said_at_once_and_before_an_end_arrives_whole_and_in_order(
    together: tuple[Node, Node],
) -> None:
    relay, host = together
    said, begin = random.Random(1).randbytes(3 * MB), threading.Event()

    def digests_late(client: socket.socket) -> None:
        begin.wait(LIMIT)
        digest = hashlib.sha256()
        while data := client.recv(4096):
            digest.update(data)
        client.sendall(digest.hexdigest().encode())

    with serving(digests_late) as late, serving(greets_then_echoes_after_the_end) as echo:
        share(host, "late", f"127.0.0.1:{late}")
        share(host, "echo", f"127.0.0.1:{echo}")
        with connected(public_port(relay, host, "late")) as one:
            one.setblocking(False)
            left = memoryview(said)
            left = left[one.send(left) :]
            begin.set()
            one.settimeout(LIMIT)
            one.sendall(left)
            one.shutdown(socket.SHUT_WR)
            assert everything(one) == hashlib.sha256(said).hexdigest().encode()
        at = f"TCP:127.0.0.1:{public_port(relay, host, 'echo')}"
        for words in (b"x", b"", said):
            assert socat(at, words) == b"hello\n" + words[::-1]


def test_row_62_a_service_that_does_not_read_costs_its_relay_nothing(together: tuple[Node, Node]) -> None:
    relay, host = together
    over = threading.Event()

    def stalls(client: socket.socket) -> None:
        over.wait(LIMIT)

    with serving(stalls) as stalled:
        share(host, "stalled", f"127.0.0.1:{stalled}")
        with connected(public_port(relay, host, "stalled")) as pusher:
            pusher.sendall(bytes(65_536))
            before = relay.pss("Pss_Anon"), host.pss("Pss_Anon")
            pusher.setblocking(False)
            pushed, stuck_since, piece = 0, beats(), bytes(MB)
            while pushed < 1 << 30 and beats() - stuck_since < 1:
                with contextlib.suppress(BlockingIOError):
                    pushed += pusher.send(piece)
                    stuck_since = beats()
            after = relay.pss("Pss_Anon"), host.pss("Pss_Anon")
            over.set()
        assert pushed < 100 * MB, "it was held back"
        assert after[0] - before[0] < 4 * MB
        assert after[1] - before[1] < 4 * MB


def test_row_63_two_hundred_at_once_each_hear_their_own(together: tuple[Node, Node]) -> None:
    relay, host = together
    all_here = threading.Barrier(200)

    def talk(number: int) -> bool:
        said = f"{number:04}|".encode() * 2000
        while True:
            with connected(port) as one:
                if exactly(one, 6) != b"hello\n":
                    continue  # its host did not come in time: this machine is busy
                all_here.wait(LIMIT)
                one.sendall(said)
                one.shutdown(socket.SHUT_WR)
                return everything(one) == said[::-1]

    with serving(greets_then_echoes_after_the_end) as echo:
        share(host, "crowd", f"127.0.0.1:{echo}")
        port = public_port(relay, host, "crowd")
        with ThreadPoolExecutor(200) as pool:
            assert all(pool.map(talk, range(200)))
        wait_until(lambda: relay.status()["relays"]["served"]["pairs"] == 0, "nobody is left")


def test_row_66_who_is_not_named_has_no_port_until_he_is(tmp_path: Path) -> None:
    ports = free_range(1)
    relay, host = pair(tmp_path, ports, may=False)
    with running_origin() as origin, relay, host:
        target = f"http://127.0.0.1:{origin.port}"
        share(host, "site", target)
        assert "public_allow" in why_none(host, "site")
        assert f"[Relay] public_allow = {host.key_hash}" in relay.log
        assert relay.status()["relays"]["served"]["public_ports"] == 0
        assert closes_at_once(ports[0])
        wait_until(lambda: host.status()["relays"]["used"][0]["tested"], "it is served otherwise")
        with connected(relay.p2pport) as stranger:  # who does not know the relay's key hash gets no control connection
            stranger.sendall(b'{"hello":{"v":1}}\n{"register":{"n":1,"as":"port","cert":"YQ==","sig":"YQ=="}}\n')
            with contextlib.suppress(ConnectionResetError):
                assert everything(stranger) == b""
        settings = relay.data.parent / "hardline.ini"
        settings.write_text(settings.read_text().replace("[Relay]\n", f"[Relay]\npublic_allow = {host.key_hash}\n"))
        relay.signal(signal.SIGHUP)
        wait_until(lambda: "public_allow" in relay.log.rpartition("settings.")[2], "it was read again")
        share(host, "other", target, "no")  # or it would ask again within a minute
        assert public_port(relay, host, "site") == ports[0]
        assert curl(f"http://127.0.0.1:{ports[0]}/").status == 200


def test_row_67_a_host_that_is_killed_is_the_end_of_its_visits(tmp_path: Path) -> None:
    ports = free_range(1)
    relay, host = pair(tmp_path, ports)
    with serving(never_stops) as endless, relay:
        share(host, "endless", f"127.0.0.1:{endless}")
        for _ in range(2):
            with host, connected(public_port(relay, host, "endless")) as one:
                assert exactly(one, MB) == b"x" * MB
                host.kill()
                with contextlib.suppress(ConnectionResetError):
                    everything(one)
            wait_until(lambda: closes_at_once(ports[0]), "nobody is there")
            wait_until(lambda: relay.status()["relays"]["served"]["pairs"] == 0, "nothing is carried")


@pytest.mark.full
def test_row_67_its_port_is_released_within_a_minute(tmp_path: Path) -> None:
    ports = free_range(1)
    named = Node(tmp_path / "other").key_hash
    relay, host = pair(tmp_path, ports, more=f" {named}\n")
    use = f"[Relay]\nuse = 127.0.0.1:{relay.p2pport}#{relay.key_hash}\n"
    other = Node(tmp_path / "other", settings=use)
    with running_origin() as origin, relay, other:
        target = f"http://127.0.0.1:{origin.port}"
        share(host, "site", target)
        with host:
            assert public_port(relay, host, "site") == ports[0]
            share(other, "site", target)
            assert "none is left" in why_none(other, "site")
            host.kill()
        wait_until(lambda: (other.service("site") or {}).get("public"), "it was released", 100, 1.0)
        assert curl(f"http://127.0.0.1:{ports[0]}/").status == 200


def test_row_69_by_ipv6(together: tuple[Node, Node]) -> None:
    if not socket.has_ipv6:
        needs.cannot("IPv6")
    relay, host = together
    with running_origin() as origin, serving(greets_then_echoes_after_the_end) as echo:
        share(host, "six", f"http://127.0.0.1:{origin.port}")
        answer = curl(f"http://[::1]:{public_port(relay, host, 'six')}/", "-6")
        assert (answer.status, answer.text) == (200, "hello from the origin\n")
        share(host, "six", f"127.0.0.1:{echo}")
        wait_until(lambda: host.serves("six")["target"].endswith(f":{echo}"), "it leads elsewhere")
        assert socat(f"TCP6:[::1]:{public_port(relay, host, 'six')}", b"abc") == b"hello\ncba"


NGINX = """
daemon off; pid {directory}/pid; user root; error_log stderr; worker_processes 1;
events {{ worker_connections 100; }}
http {{
  access_log off; client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;
  fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
  server {{
    listen 127.0.0.1:{port} proxy_protocol;
    location / {{ return 200 "$proxy_protocol_addr $proxy_protocol_server_addr:$proxy_protocol_server_port $host\\n"; }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(directory: Path) -> Iterator[int]:
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        pytest.skip("needs nginx: see tests/support/install.sh")
    port = free_port()
    directory.mkdir()
    (directory / "conf").write_text(NGINX.format(directory=directory, port=port))
    command = [binary, "-p", str(directory), "-e", str(directory / "err"), "-c", str(directory / "conf")]
    running = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: curl(f"http://127.0.0.1:{port}/", "--haproxy-protocol").status, "nginx listens")
        yield port
    finally:
        running.terminate()
        running.wait(10)


@needs.root()
def test_a_service_that_asks_is_told_who_comes(tmp_path: Path, together: tuple[Node, Node]) -> None:
    relay, host = together
    with nginx(tmp_path / "nginx") as port:
        for name, more in (
            ("one", "proxy_protocol = 1\n"),
            ("two", "proxy_protocol = 2\n"),
            ("three", "proxy_protocol = 2\n[HTTP]\nhost = nas.lan\n"),
        ):
            share(host, name, f"http://127.0.0.1:{port}", more=more)
            at = public_port(relay, host, name)
            said = curl(f"http://127.0.0.1:{at}/", "--interface", "127.0.0.9").text
            assert said == f"127.0.0.9 127.0.0.1:{at} {'nas.lan' if name == 'three' else '127.0.0.1'}\n"


def test_row_71_a_host_that_starts_while_its_relay_is_down_says_so_and_is_there_once_that_is_up(tmp_path: Path) -> None:
    ports = free_range(1)
    relay, host = pair(tmp_path, ports)
    at = f"127.0.0.1:{relay.p2pport}"

    def used() -> dict[str, str]:
        [one] = host.status()["relays"]["used"]
        return dict(one)

    with running_origin() as origin:
        share(host, "site", f"http://127.0.0.1:{origin.port}")
        with host:
            wait_until(lambda: used()["problem"], "status says that it is down", 5)
            assert (used()["state"], used()["problem"]) == ("connecting", "connection refused")
            assert len(re.findall(rf"relay\.lost +relay={at} reason=.connection refused", host.log)) == 1
            with relay:
                assert public_port(relay, host, "site") == ports[0]
                assert curl(f"http://127.0.0.1:{ports[0]}/").text == "hello from the origin\n"
                assert used()["state"] == "registered"
