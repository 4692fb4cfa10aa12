"""`--relay`: what passing bytes on costs a relay, beside nginx as a plain `stream` proxy.

    visitor ── relay ── host                   relay_host.py is the host, and reads a ClientHello in both cases

Nobody does TLS here: a relay sees none of it, so neither does what is compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from daemons import Broken, Daemon, ReadySocket, free_port
from measures import Row
from OpenSSL import SSL
from origin import nginx_command, nginx_user
from relay_host import ANSWER, ASKED

from hardline.identity import utc_day
from hardline.relay.handles import make_handle
from hardline.relay.messages import Hello, Kind, Register, encode
from hardline.relay.opening import CONTROL
from hardline.relay.proofs import NODE, prove_registration
from hardline.routes import Endpoint, RelayAddress
from hardline.transport import tcp
from hardline.transport.contexts import visitor_context
from hardline.transport.tls import TlsStream

BULK = 2_000_000_000
SECONDS = 2.0
AT_ONCE = 32
NODES, NAMES = 2000, 5

ROWS = (
    Row("down", "2 GB to the visitor", "MB/s", "more", "ratio", 1.6),
    Row("up", "2 GB to the host", "MB/s", "more", "ratio", 1.6),
    Row("cpu", "  relay's processor time of both", "s/GB", "less", "ratio", 0.5),
    Row("limited", "2 GB with limits set and not reached", "MB/s", "more", "ratio", 1.3),
    Row("small", f"small requests on {AT_ONCE} connections", "1/s", "more", "ratio", 0.6, 0.85),
    Row("new", "a new pair, to the first byte", "ms", "less"),
    Row("pair", "memory for one of 1000 idle pairs", "kB", "less", "figure", 10.0),
    Row("node", f"memory for one of {NODES} nodes", "kB", "less", "figure", 60.0),
    Row("name", f"  and for each of {NAMES} names of theirs", "kB", "less", "figure", 3.0),
)


class Proxied:
    """A way to the host: where the visitor connects, which name he says, and whose processor time counts."""

    def __init__(self, port: int, name: str, daemon: Daemon, relay: RelayAddress | None = None) -> None:
        self.port, self.daemon, self.relay = port, daemon, relay
        connection = SSL.Connection(visitor_context(), None)
        connection.set_connect_state()
        connection.set_tlsext_host_name((name if name != "-" else "0" * 40).encode())
        with contextlib.suppress(SSL.WantReadError):
            connection.do_handshake()
        self._hello = connection.bio_read(65_536)

    def connect(self, order: str, size: int = 0) -> socket.socket:
        """Connected to the host, who does that from now on."""
        made = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.sendall(self._hello + order.encode() + size.to_bytes(8))
        if made.recv(1) != b".":
            raise Broken("the host did not answer")
        return made


def run(
    place: Path, stack: contextlib.ExitStack, rounds: int
) -> tuple[Sequence[Row], dict[str, dict[str, list[float | None]]], list[str]]:
    """All rounds; figures as the loopback's."""
    nginx, direct = _nginx(place, stack)
    ways = {"nginx": nginx, "hardline": _hardline(place / "free", stack, "")}
    limited = _hardline(place / "limited", stack, "rate = 100GB\nrate_per_source = 100GB\nrate_per_pair = 100GB\n")
    figures: dict[str, dict[str, list[float | None]]] = {name: {} for name in (*ways, "direct")}
    errors: list[str] = []

    def note(name: str, key: str, number: int, value: float) -> None:
        figures[name].setdefault(key, [None] * rounds)[number] = value

    for number in range(rounds):
        for name, way in ways.items():
            try:
                began = way.daemon.cpu()
                note(name, "down", number, _download(way))
                note(name, "up", number, _upload(way))
                note(name, "cpu", number, (way.daemon.cpu() - began) / (2 * BULK / 1e9))
                note(name, "limited", number, _download(limited if name == "hardline" else way))
                note(name, "small", number, _small(way))
                note(name, "new", number, _new(way))
                if number == rounds - 1:
                    note(name, "pair", 0, _idle(way))
                if number == rounds - 1 and name == "hardline":
                    node, one = asyncio.run(_registered(limited))
                    note(name, "node", 0, node)
                    note(name, "name", 0, one)
            except (Broken, OSError) as failure:
                errors.append(f"{name}, round {number + 1}: {failure}")
        for key, measure in (("down", _download), ("up", _upload), ("small", _small), ("new", _new)):
            note("direct", key, number, measure(direct))
        print(f"round {number + 1} of {rounds}", flush=True)
    return ROWS, figures, errors


def _download(way: Proxied) -> float:
    buffer = bytearray(1 << 20)
    with way.connect("D", BULK) as made:
        began, left = time.perf_counter(), BULK
        while left:
            if not (count := made.recv_into(buffer)):
                raise Broken(f"ended {left} bytes too early")
            left -= count
        return BULK / (time.perf_counter() - began) / 1e6


def _upload(way: Proxied) -> float:
    piece = bytes(1 << 20)
    with way.connect("U", BULK) as made:
        began, left = time.perf_counter(), BULK
        while left:
            left -= made.send(piece[: min(left, len(piece))])
        if made.recv(1) != b"!":
            raise Broken("the upload was not taken")
        return BULK / (time.perf_counter() - began) / 1e6


def _small(way: Proxied) -> float:
    """Each of many connections asks again as soon as it was answered."""
    made = [way.connect("R") for _ in range(AT_ONCE)]
    left = {one: len(ANSWER) for one in made}
    done, until = 0, time.perf_counter() + SECONDS
    with selectors.DefaultSelector() as ready:
        for one in made:
            one.setblocking(False)
            ready.register(one, selectors.EVENT_READ)
            one.send(bytes(ASKED))
        while time.perf_counter() < until:
            for key, _ in ready.select(1):
                one = key.fileobj
                assert isinstance(one, socket.socket)
                got = len(one.recv(65_536))
                if not got:
                    raise Broken("a connection ended")
                left[one] -= got
                if not left[one]:
                    left[one], done = len(ANSWER), done + 1
                    one.send(bytes(ASKED))
    for one in made:
        one.close()
    return done / SECONDS


def _new(way: Proxied) -> float:
    took = []
    for _ in range(100):
        began = time.perf_counter()
        way.connect("D").close()
        took.append(time.perf_counter() - began)
    return 1e3 * sorted(took)[len(took) // 2]


def _idle(way: Proxied) -> float:
    before = way.daemon.pss()
    made = [way.connect("D") for _ in range(1000)]
    after = way.daemon.pss()
    for one in made:
        one.close()
    return (after - before) * 1e6 / len(made) / 1e3


async def _registered(way: Proxied) -> tuple[float, float]:
    """kB for a node, and for a name."""
    assert way.relay is not None
    context, protocol = visitor_context(protocol=CONTROL.encode()), CONTROL.encode()
    code, made = way.relay.key_hash.rolling(utc_day(time.time())), list[TlsStream]()
    before = way.daemon.pss()
    for number in range(NODES):
        source = f"127.0.{1 + number // 200}.{1 + number % 200}", 0  # what one may prove in a second is limited
        raw = socket.create_connection((way.relay.endpoint.host, way.relay.endpoint.port), source_address=source)
        raw.setblocking(False)
        stream = await tcp.over_socket(raw)
        made.append(await TlsStream.over(stream, context, code, target=way.relay.key_hash, protocol=protocol))
        made[-1].put(encode(Hello()))
    await asyncio.sleep(1)
    nodes = way.daemon.pss()
    for number, tls in enumerate(made):
        for name in range(NAMES):
            handle = make_handle(f"{number} {name}".encode(), "bench", way.relay.key_hash, 1)
            proof = prove_registration(handle, tls.exporter(NODE))
            await tls.send(encode(Register(name, Kind.HANDLE, proof)))
        while NAMES and b"registered" not in await tls.receive():
            pass
    await asyncio.sleep(3)
    names = way.daemon.pss()
    for tls in made:
        tls.abort()
    return (nodes - before) * 1e3 / NODES, (names - nodes) * 1e3 / NODES / NAMES


def _host(place: Path, stack: contextlib.ExitStack, relay: str) -> tuple[int, str]:
    """The host's port, and its name at the relay."""
    port = free_port()
    script = Path(__file__).with_name("relay_host.py")
    process = subprocess.Popen([sys.executable, script, str(port), relay], stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.kill)
    assert process.stdout is not None
    if not (name := process.stdout.readline().strip()):
        raise Broken("the host did not start")
    return port, name


def _nginx(place: Path, stack: contextlib.ExitStack) -> tuple[Proxied, Proxied]:
    """By nginx, and to the same host without it."""
    here = place / "nginx"
    here.mkdir()
    target, name = _host(here, stack, "")
    port = free_port()
    module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    config = here / "nginx.conf"
    config.write_text(
        f"""{f"load_module {module};" if module.exists() else ""}
{nginx_user()}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {here}/nginx.pid;
error_log {here}/nginx.err error;
events {{ worker_connections 8192; }}
stream {{
  tcp_nodelay on;
  proxy_buffer_size 64k;
  proxy_timeout 1h;
  server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass 127.0.0.1:{target}; }}
}}
"""
    )
    daemon = Daemon("nginx", nginx_command(here, config), here / "log")
    stack.callback(daemon.stop)
    daemon.wait_listening("127.0.0.1", port)
    return Proxied(port, name, daemon), Proxied(target, name, daemon)


def _hardline(here: Path, stack: contextlib.ExitStack, limits: str) -> Proxied:
    here.mkdir()
    (here / "services").mkdir()
    port, ready = free_port(), ReadySocket(here / "ready")
    config = here / "hardline.ini"
    config.write_text(
        f"[Node]\nbind = 127.0.0.1\nlocalport = 0\np2pport = {port}\n[LAN]\nenabled = no\n[DHT]\nenabled = no\n"
        "[UPnP]\nenabled = no\n[Relay]\nenabled = yes\nallow = *\nmax_pairs = 100000\n"
        "max_pairs_per_source = 100000\nnew_pairs = 10000\n"
        f"max_per_address = 100000\nmax_per_network = 100000\nmax_registrations = 100000\n{limits}"
    )
    command = [sys.executable, "-m", "hardline.hardlined", "--config", str(config)]
    command += ["--datadir", str(here / "data"), "--servicedir", str(here / "services")]
    daemon = Daemon("relay", command, here / "log", ready.env)
    stack.callback(daemon.stop)
    ready.wait(daemon)
    from hardline import certificates

    node = certificates.load(here / "data" / "node.cert")
    relay = RelayAddress(Endpoint("127.0.0.1", port), node.key_hash)
    _, name = _host(here, stack, str(relay))
    return Proxied(port, name, daemon, relay)
