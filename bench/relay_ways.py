"""Ways to a host for `--relay`, each to a relay_host.py of its own: by a relay, by nginx, and by nobody.

Nobody does TLS here: a relay sees none of it, so neither does what is compared.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

from daemons import Broken, Daemon, ReadySocket, free_port
from OpenSSL import SSL
from origin import nginx_command, nginx_user

from hardline import certificates
from hardline.routes import Endpoint, RelayAddress
from hardline.transport.contexts import visitor_context


def client_hello(name: str) -> bytes:
    """What a visitor says first."""
    connection = SSL.Connection(visitor_context(), None)
    connection.set_connect_state()
    connection.set_tlsext_host_name(name.encode())
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(65_536)


class Proxied:
    """A way to the host: where the visitor connects, which name he says, and whose processor time counts."""

    def __init__(
        self, port: int, name: str, daemon: Daemon, relay: RelayAddress | None = None, data: Path = Path()
    ) -> None:
        self.port, self.daemon, self.relay, self.data = port, daemon, relay, data
        self._hello = client_hello(name if name != "-" else "0" * 40)

    def connect(self, order: str, size: int = 0) -> socket.socket:
        """Connected to the host, who does that from now on."""
        made = self.begin(order, size)
        if made.recv(1) != b".":
            made.close()
            raise Broken("the host did not answer")
        return made

    def begin(self, order: str, size: int = 0, source: str = "127.0.0.1") -> socket.socket:
        """The same, from an address of this machine, before the host's first byte: a dot."""
        made = socket.create_connection(("127.0.0.1", self.port), timeout=30, source_address=(source, 0))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.sendall(self._hello + order.encode() + size.to_bytes(8))
        return made

    @property
    def opening(self) -> int:
        """Bytes that `connect` sends and gets."""
        return len(self._hello) + 10


def by_nginx(place: Path, stack: contextlib.ExitStack) -> tuple[Proxied, Proxied]:
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


def by_hardline(here: Path, stack: contextlib.ExitStack, limits: str) -> Proxied:
    """By a relay, and these limits of [Relay]."""
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
    node = certificates.load(here / "data" / "node.cert")
    relay = RelayAddress(Endpoint("127.0.0.1", port), node.key_hash)
    _, name = _host(here, stack, str(relay))
    return Proxied(port, name, daemon, relay, here / "data")


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
