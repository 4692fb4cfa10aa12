"""Ways of a plain browser to the same services, for `--gateway`: all but the last by the same daemon and its session.

load ──▶ gateway ─────────┐
load ──▶ nginx ──▶ door ──┼══ TLS 1.3 ══▶ host ──▶ service
load ──────────▶ door ────┘
load ──▶ nginx ──────────────────────────────────▶ service      straight
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from contestants import Hardline, wait_served_sink
from daemons import Daemon, free_port
from load import Door, wait_served
from origin import Origin, nginx_command, nginx_user
from sites import Site

_DOMAIN = "bench.test"


class Town(Hardline):
    """A host with three services and a visitor with a door and a gateway: where each is asked for what."""

    def __init__(self, origin: Origin, site: Site, directory: Path) -> None:
        super().__init__(origin, site, directory)
        self.ports = {"files": origin.files_port, "sink": origin.sink_port, "live": free_port()}

    def start(self) -> None:
        live = [sys.executable, str(Path(__file__).with_name("live.py")), str(self.ports["live"])]
        self._live = Daemon("live", live, self.directory / "live.log")
        self._live.wait_listening("127.0.0.1", self.ports["live"])
        services = self.directory / "services"
        services.mkdir()
        for name, port in self.ports.items():
            (services / f"{name}.ini").write_text(f"[Service]\nservice = 127.0.0.1\nport = {port}\n")
        self._data = self.directory / "host"
        self._node("host", services, self.site.host_address, door=False)[1]()
        self._labels = self._shared()
        at = free_port()
        self.settings = f"[Gateway]\nlisten = 127.0.0.1:{at}\ndomain = {_DOMAIN}\nmax_per_source = 2000\n" + "".join(
            f"[Gateway:{name}]\nlabel = {self._labels[name]}\n" for name in self.ports
        )
        port, ready = self._node("visitor", self._nothing(), self.site.visitor_address, door=True)
        ready()
        self.gateway = {name: Door(at, f"{name}.{_DOMAIN}") for name in self.ports}
        self.door = {name: Door(port, f"{self._labels[name]}.localhost:{port}") for name in self.ports}
        for doors in (self.door, self.gateway):
            wait_served(doors["files"])
            wait_served_sink(doors["sink"])
            wait_served_sink(doors["live"])

    def stop(self) -> None:
        super().stop()
        self._live.stop()

    @property
    def visitor(self) -> Daemon:
        """The daemon of the gateway and of the door."""
        return self.daemons[-1]


class Nginx:
    """One nginx in front of `doors`, as its manual says: it keeps connections to them, and waits for nothing.

    It writes its access log, as the gateway does.
    """

    def __init__(self, name: str, directory: Path, doors: Mapping[str, Door]) -> None:
        directory.mkdir()
        self.doors = {service: Door(free_port(), f"{service}.{_DOMAIN}") for service in doors}
        config = directory / "nginx.conf"
        config.write_text(
            f"""
{nginx_user()}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {directory}/nginx.pid;
error_log {directory}/nginx.err error;
events {{ worker_connections 8192; }}
http {{
  access_log {directory}/access.log;
  tcp_nodelay on;
  keepalive_timeout 600s;
  keepalive_requests 100000000;
  client_max_body_size 0;
  client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2; fastcgi_temp_path {directory}/t3;
  uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
{"".join(self._server(service, door) for service, door in doors.items())}
}}
"""
        )
        self.daemon = Daemon(name, nginx_command(directory, config), directory / "log")
        self.daemon.wait_listening("127.0.0.1", self.doors["files"].port)

    def _server(self, service: str, door: Door) -> str:
        return f"""
  upstream {service} {{ server 127.0.0.1:{door.port}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{self.doors[service].port} backlog=4096;
    location / {{
      proxy_pass http://{service};
      proxy_http_version 1.1;
      proxy_set_header Host {door.host};
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_buffer_size 64k;
      proxy_buffers 8 64k;
    }}
  }}"""
