"""From outside: curl ─▶ a real node ─▶ nginx, whose service is a virtual host behind the PROXY protocol."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.node import Node, free_port
from tests.support.waiting import wait_until

pytestmark = needs.tools("curl")

NGINX = """
daemon off; pid {directory}/pid; user root; error_log stderr; worker_processes 1;
events {{ worker_connections 100; }}
http {{
  access_log off; client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;
  fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
  server {{ listen 127.0.0.1:{port} proxy_protocol default_server; return 421; }}
  server {{
    listen 127.0.0.1:{port} proxy_protocol; server_name nas.lan;
    location /moved {{ return 302 http://nas.lan/there; }}
    location /elsewhere {{ return 302 http://other.lan/there; }}
    location / {{ return 200 "$host|$http_origin|$http_forwarded|$proxy_protocol_addr\\n"; }}
  }}
}}
"""


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[int]:
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        pytest.skip("needs nginx: see tests/support/install.sh")
    directory, port = tmp_path / "nginx", free_port()
    directory.mkdir()
    (directory / "conf").write_text(NGINX.format(directory=directory, port=port))
    command = [binary, "-p", str(directory), "-e", str(directory / "err"), "-c", str(directory / "conf")]
    running = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: curl("--haproxy-protocol", f"http://127.0.0.1:{port}/"), "nginx listens")
        yield port
    finally:
        running.terminate()
        running.wait(10)


def curl(*arguments: str) -> str:
    return subprocess.run(["curl", "-s", "-m", "20", *arguments], capture_output=True, text=True, check=False).stdout


def test_a_virtual_host_that_checks_host_and_origin_is_visited(nginx: int, tmp_path: Path) -> None:
    with Node(tmp_path / "node") as node:
        node.write(
            "nas",
            f"[Service]\nservice = 127.0.0.1\nport = {nginx}\nproxy_protocol = 2\n"
            "[HTTP]\nhost = nas.lan\nforwarded = append\n",
        )
        node.serves("nas")
        url, label = node.url("nas"), node.label("nas")
        own = url.rstrip("/")
        resolve = ("--resolve", f"{label}.localhost:{node.localport}:127.0.0.1")
        host, origin, forwarded, address = curl(*resolve, "-H", f"Origin: {own}", url).strip().split("|")
        assert (host, origin, address) == ("nas.lan", "http://nas.lan", "127.0.0.1")
        assert forwarded.startswith('for="127.0.0.1:')
        assert forwarded.endswith(f';host="{label}.localhost:{node.localport}";proto=http')
        assert curl(*resolve, "-H", "Origin: http://evil.example", url).split("|")[1] == "http://evil.example"

        moved = ("-o", "/dev/null", "-w", "%{redirect_url}")
        assert curl(*resolve, *moved, f"{own}/moved") == f"{own}/there"
        assert curl(*resolve, *moved, f"{own}/elsewhere") == "http://other.lan/there"
        # Three requests on one connection, all of them changed.
        kept = curl(*resolve, "-w", "%{num_connects} ", url, url, url)
        assert kept.count("nas.lan|") == 3
        assert [word for word in kept.split() if word.isdigit()] == ["1", "0", "0"]
