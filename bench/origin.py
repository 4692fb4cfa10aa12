"""The service that everybody proxies: nginx with a large and a tiny file, and a sink for uploads.

One origin serves all contestants.  It must not be what limits them: files come by sendfile, uploads are discarded.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path

from daemons import Broken, Daemon, free_port

TINY = (b"0123456789abcdef" * 64)[:1024]
_PIECE = 100_000_000
_HERE = Path(__file__).parent

_CONFIG = """
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {directory}/origin.pid;
error_log {directory}/origin.log error;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_timeout 600s;
  keepalive_requests 100000000;
  open_file_cache max=16 inactive=600s;
  client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2; fastcgi_temp_path {directory}/t3;
  uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
  server {{
    listen {address}:{port} backlog=4096;
    root {directory}/files;
    location = /cold {{ access_log {directory}/asked.log; }}
  }}
}}
"""


class Origin:
    """`files_port` answers GET /bulk, /tiny and, counted, /cold, at `address` or everywhere; `sink_port` takes POST."""

    def __init__(self, directory: Path, bulk_bytes: int, address: str = "127.0.0.1") -> None:
        if _nginx() is None:
            raise Broken("nginx is not installed: apt-get install nginx-light libnginx-mod-stream")
        directory.mkdir()
        files = directory / "files"
        files.mkdir()
        self.bulk_bytes = bulk_bytes
        self._asked = directory / "asked.log"
        self.bulk = files / "bulk"
        noise = random.Random(7009)
        with self.bulk.open("wb") as file:
            while file.tell() < bulk_bytes:
                file.write(noise.randbytes(min(_PIECE, bulk_bytes - file.tell())))
        (files / "tiny").write_bytes(TINY)
        self.files_port, self.sink_port = free_port(), free_port()
        config = directory / "origin.conf"
        settings = {"user": nginx_user(), "directory": directory, "address": address, "port": self.files_port}
        config.write_text(_CONFIG.format(**settings))
        self._daemons = [
            Daemon("origin", nginx_command(directory, config), directory / "origin.out"),
            Daemon("sink", [sys.executable, str(_HERE / "sink.py"), str(self.sink_port)], directory / "sink.out"),
        ]
        for daemon, port in zip(self._daemons, (self.files_port, self.sink_port), strict=True):
            daemon.wait_listening("127.0.0.1", port)

    def make_cold(self, size: int) -> None:
        """Have /cold, of this size, which nobody has seen before."""
        self.bulk.with_name("cold").write_bytes(random.randbytes(size))

    def asked(self) -> int:
        """How often /cold was asked for."""
        return len(self._asked.read_text().splitlines()) if self._asked.exists() else 0

    def stop(self) -> None:
        """End it."""
        for daemon in self._daemons:
            daemon.stop()


def nginx_command(prefix: Path, config: Path) -> list[str]:
    """nginx with nothing of the system's own configuration."""
    return [_nginx() or "nginx", "-p", str(prefix), "-e", str(prefix / "nginx.err"), "-c", str(config)]


def nginx_user() -> str:
    """As root, workers would otherwise become www-data, which cannot read our directory."""
    return "user root;" if os.geteuid() == 0 else ""


def _nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
