"""Protocols that nobody here wrote, by their own programs: psql and redis-cli, each by every way that is no browser's.

    psql, redis-cli ──┬── [Forward:NAME] of the visitor ────┐
                      ├── hardline forward LABEL ───────────┼── host ── PostgreSQL, Redis
                      └── the public port at the relay ─────┘

One daemon is relay and visitor, and one the host: the first two ways are paths of the LAN, the third is the relay's.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from hardline import certificates
from tests.support import needs
from tests.support.databases import ENVIRONMENT, PASSWORD, postgresql, psql, redis_cli, running_postgres, running_redis
from tests.support.node import SCRIPTS, Node, free_port, free_range
from tests.support.rawtcp import LIMIT
from tests.support.size import FULL
from tests.support.waiting import wait_until

FORWARD, COMMAND, PUBLIC = "a forward", "hardline forward", "a public port"
WAYS = pytest.mark.parametrize("way", [FORWARD, COMMAND, PUBLIC])
TWO_WAYS = pytest.mark.parametrize("way", [FORWARD, PUBLIC, pytest.param(COMMAND, marks=pytest.mark.full)])
ROWS = 300_000 if FULL else 30_000
COMMANDS = 20_000


@dataclass(frozen=True, slots=True)
class World:
    """`ports[way]` leads to the one service, which has `label`, and itself is at `straight`."""

    outside: Node
    label: str
    straight: int
    ports: dict[str, int]

    def was_the(self, way: str, least: int, passed: int) -> None:
        """So many bytes went that way, of which the relay had `passed` before."""
        if way == PUBLIC:
            wait_until(lambda: self.passed() - passed >= least, "they went by the relay")
            return
        assert self.passed() - passed < least
        visit = self.outside.last_visit(self.label)
        assert (visit["via"], visit["protocol"], visit["status"]) == ("LAN", "hardline/2", "ok")

    def passed(self) -> int:
        """What the relay has carried."""
        return int(self.outside.status()["relays"]["served"]["passed"])


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node, dict[str, int]]]:
    """Who is outside, the host, which shares nothing yet, and the ports of its services-to-be that lead there."""
    directory = tmp_path_factory.mktemp("tcp")
    host, ports, public = Node(directory / "host"), dict[str, int](), free_range(2)
    settings = f"[Relay]\nenabled = yes\npublic_ports = {public[0]}-{public[-1]}\npublic_allow = {host.key_hash}\n"
    for name in ("postgres", "redis"):
        ports[name], label = free_port(), certificates.load_or_create(host.services / f"{name}.ini.cert").key_hash
        settings += f"[Forward:{name}]\nlabel = {label}\nlisten = 127.0.0.1:{ports[name]}\n"
    outside = Node(directory / "outside", settings=settings)
    use = f"127.0.0.1:{outside.p2pport}#{outside.key_hash}"
    host = Node(directory / "host", settings=f"[Relay]\nuse = {use}\n")
    with outside, host:
        yield outside, host, ports


def led_to(nodes: tuple[Node, Node, dict[str, int]], name: str, straight: int, stack: ExitStack) -> World:
    """Share what is at that port, by all ways; what is started for that ends with `stack`."""
    outside, host, ports = nodes
    host.write(name, f"[Service]\nservice = 127.0.0.1\nport = {straight}\n[Public]\nport = yes\n")
    label = host.label(name)
    words = [str(SCRIPTS / "hardline"), "--datadir", str(outside.data), "forward", label, "0"]
    command = stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
    stack.callback(command.terminate)
    assert command.stdout is not None
    chosen = int(command.stdout.readline().rpartition(":")[2])
    [at] = wait_until(lambda: (host.service(name) or {}).get("public"), "it has a public port")
    return World(outside, label, straight, {FORWARD: ports[name], COMMAND: chosen, PUBLIC: int(at.rpartition(":")[2])})


@pytest.fixture(scope="module")
def database(nodes: tuple[Node, Node, dict[str, int]]) -> Iterator[World]:
    with running_postgres() as port, ExitStack() as stack:
        yield led_to(nodes, "postgres", port, stack)


@pytest.fixture(scope="module")
def cache(nodes: tuple[Node, Node, dict[str, int]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_redis(tmp_path_factory.mktemp("redis")) as port, ExitStack() as stack:
        yield led_to(nodes, "redis", port, stack)


def run(command: Sequence[str], said: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=said, capture_output=True, env=ENVIRONMENT, timeout=LIMIT, check=False)


def told(command: Sequence[str], said: bytes = b"") -> bytes:
    """What a program prints that ends well."""
    done = run(command, said)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


@postgresql()
@WAYS
def test_psql_loads_asks_and_fetches(database: World, way: str) -> None:
    port, before = database.ports[way], database.passed()
    table = way.replace(" ", "_")
    rows = b"".join(b"%d\tline %d\n" % (number, number * 7) for number in range(ROWS))
    told(psql(port, "-c", f"CREATE TABLE {table} (n int, line text)", "-c", f"\\copy {table} FROM pstdin"), rows)
    asked = told(psql(database.straight, "-c", f"SELECT count(*), sum(n) FROM {table}"))
    assert asked == b"%d|%d\n" % (ROWS, ROWS * (ROWS - 1) // 2)
    assert told(psql(port, "-c", f"\\copy (SELECT * FROM {table} ORDER BY n) TO pstdout")) == rows
    database.was_the(way, 2 * len(rows), before)


@postgresql()
@TWO_WAYS
def test_psql_hears_of_mistakes_and_can_cancel(database: World, way: str) -> None:
    port = database.ports[way]
    wrong = run(psql(port, "-c", "SELECT 1/0"))
    assert (wrong.returncode, wrong.stdout, wrong.stderr.strip()) == (1, b"", b"ERROR:  division by zero")
    stranger = run([word if word != "ada" else "eve" for word in psql(port, "-c", "SELECT 1")])
    assert stranger.returncode == 2
    assert b'password authentication failed for user "eve"' in stranger.stderr
    words = psql(port, "-c", "SELECT pg_sleep(600)")
    with subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.PIPE) as asleep:
        count = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
        wait_until(lambda: told(psql(database.straight, "-c", count)) == b"1\n", "it sleeps")
        asleep.send_signal(signal.SIGINT)  # which has psql connect once more, with a word about this one
        _, said = asleep.communicate(timeout=LIMIT)
    assert b"canceling statement due to user request" in said
    assert told(psql(database.straight, "-c", count)) == b"0\n"


@needs.tools("redis-server", "redis-cli")
@WAYS
def test_redis_cli_sets_gets_and_hears_what_is_published(cache: World, way: str) -> None:
    port, before = cache.ports[way], cache.passed()
    value = bytes(range(256)) * 4096
    told(redis_cli(port, "-x", "SET", "blob"), value)
    assert told(redis_cli(port, "GET", "blob")) == value + b"\n"
    cache.was_the(way, 2 * len(value), before)
    commands = b"".join(b"INCRBY count %d\r\n" % number for number in range(COMMANDS))
    assert b"errors: 0, replies: %d" % COMMANDS in told(redis_cli(port, "--pipe"), commands)
    assert told(redis_cli(cache.straight, "GETDEL", "count")) == b"%d\n" % (COMMANDS * (COMMANDS - 1) // 2)
    with subprocess.Popen(redis_cli(port, "SUBSCRIBE", "news"), env=ENVIRONMENT, stdout=subprocess.PIPE) as listens:
        assert listens.stdout is not None
        try:
            assert [listens.stdout.readline() for _ in range(3)] == [b"subscribe\n", b"news\n", b"1\n"]
            for word in (b"one", b"two"):  # nobody has asked for it: the server speaks
                assert told(redis_cli(cache.straight, "PUBLISH", "news", word.decode())) == b"1\n"
                assert [listens.stdout.readline() for _ in range(3)] == [b"message\n", b"news\n", word + b"\n"]
        finally:
            listens.terminate()
    wait_until(lambda: told(redis_cli(cache.straight, "PUBSUB", "NUMSUB", "news")) == b"news\n0\n", "it is heard of")


@needs.tools("redis-server", "redis-cli")
@TWO_WAYS
def test_redis_cli_hears_that_a_password_is_wrong(cache: World, way: str) -> None:
    refused = run(redis_cli(cache.ports[way], "-a", PASSWORD[:-1], "PING"))
    assert refused.stdout == b"NOAUTH Authentication required.\n\n"
    assert b"WRONGPASS" in refused.stderr
