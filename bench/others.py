"""The programs that hardline is measured against, each set up as well as its manual allows.

All use TLS 1.3 with the cipher that hardline prefers and an Ed25519 certificate, or what is nearest to that: what is
compared is the program, not the key.
"""

from __future__ import annotations

import datetime
import getpass
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from contestants import Contestant
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from daemons import Broken, Daemon, free_port
from load import Door
from origin import nginx_command, nginx_user

_CIPHER = "TLS_AES_128_GCM_SHA256"
_SSH_CIPHER = "aes128-gcm@openssh.com"


class Nginx(Contestant):
    """Two nginx `stream` hops, the yardstick."""

    name = "nginx"
    unable = frozenset({"cold"})

    def start(self) -> None:
        module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
        load = f"load_module {module};" if module.exists() else ""
        certificate, key = make_certificate(self.directory)
        with self.site.at_host():
            inner = [free_port(), free_port()]
        with self.site.at_visitor():
            outer = [free_port(), free_port()]
        host = "".join(
            f"""
  server {{
    listen {self.site.host_address}:{port} ssl backlog=4096;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites {_CIPHER};
    ssl_session_cache shared:bench{port}:1m;
    ssl_session_timeout 1h;
    proxy_pass 127.0.0.1:{target};
  }}"""
            for port, target in zip(inner, (self.origin.files_port, self.origin.sink_port), strict=True)
        )
        visitor = "".join(
            f"""
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    proxy_pass {self.site.host_address}:{target};
    proxy_ssl on;
    proxy_ssl_protocols TLSv1.3;
    proxy_ssl_conf_command Ciphersuites {_CIPHER};
    proxy_ssl_session_reuse on;
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate {certificate};
    proxy_ssl_name bench;
  }}"""
            for port, target in zip(outer, inner, strict=True)
        )
        with self.site.at_host():
            self._nginx("host", load, host).wait_listening(self.site.host_address, inner[1])
        with self.site.at_visitor():
            self._nginx("visitor", load, visitor).wait_listening("127.0.0.1", outer[1])
        self.files, self.sink = (Door(port, "bench") for port in outer)
        self._wait()

    def _nginx(self, name: str, load: str, servers: str) -> Daemon:
        config = self.directory / f"{name}.conf"
        config.write_text(
            f"""
{load}
{nginx_user()}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {self.directory}/{name}.pid;
error_log {self.directory}/{name}.err error;
events {{ worker_connections 8192; }}
stream {{
  tcp_nodelay on;
  proxy_buffer_size 64k;
  proxy_timeout 1h;
{servers}
}}
"""
        )
        return self._run(name, nginx_command(self.directory, config))


class Stunnel(Contestant):
    """stunnel on both sides."""

    name = "stunnel"
    optional = True
    unable = frozenset({"cold"})

    def start(self) -> None:
        binary = shutil.which("stunnel")
        if binary is None:
            raise Broken("not installed (apt-get install stunnel4)")
        certificate, key = make_certificate(self.directory)
        with self.site.at_host():
            inner = [free_port(), free_port()]
        with self.site.at_visitor():
            outer = [free_port(), free_port()]
        common = f"""
foreground = yes
pid =
syslog = no
debug = err
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
sslVersion = TLSv1.3
ciphersuites = {_CIPHER}
"""
        host = f"{common}cert = {certificate}\nkey = {key}\n" + "".join(
            f"[h{port}]\naccept = {self.site.host_address}:{port}\nconnect = 127.0.0.1:{target}\n"
            for port, target in zip(inner, (self.origin.files_port, self.origin.sink_port), strict=True)
        )
        visitor = f"{common}client = yes\nverifyPeer = yes\nCAfile = {certificate}\n" + "".join(
            f"[v{port}]\naccept = 127.0.0.1:{port}\nconnect = {self.site.host_address}:{target}\n"
            for port, target in zip(outer, inner, strict=True)
        )
        for name, text, enter, address, port in (
            ("host", host, self.site.at_host, self.site.host_address, inner[1]),
            ("visitor", visitor, self.site.at_visitor, "127.0.0.1", outer[1]),
        ):
            config = self.directory / f"{name}.conf"
            config.write_text(text)
            with enter():
                self._run(name, [binary, str(config)]).wait_listening(address, port)
        self.files, self.sink = (Door(port, "bench") for port in outer)
        self._wait()


class Haproxy(Contestant):
    """haproxy on both sides."""

    name = "haproxy"
    optional = True
    unable = frozenset({"cold"})

    def start(self) -> None:
        binary = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
        if binary is None:
            raise Broken("not installed (apt-get install haproxy)")
        certificate, key = make_certificate(self.directory)
        both = self.directory / "both.pem"
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        with self.site.at_host():
            inner = [free_port(), free_port()]
        with self.site.at_visitor():
            outer = [free_port(), free_port()]
        host, visitor = self.site.host_address, "127.0.0.1"
        tls = f"ssl-min-ver TLSv1.3 ciphersuites {_CIPHER}"
        checked = f"ssl verify required ca-file {certificate} sni str(bench) verifyhost bench {tls}"
        targets = (self.origin.files_port, self.origin.sink_port)
        at_host = _hops(host, f"ssl crt {both} {tls}", "127.0.0.1", "", inner, targets)
        at_visitor = _hops(visitor, "", host, checked, outer, inner)
        for name, enter, address, port, text in (
            ("host", self.site.at_host, host, inner[1], at_host),
            ("visitor", self.site.at_visitor, visitor, outer[1], at_visitor),
        ):
            config = self.directory / f"{name}.cfg"
            config.write_text(text)
            with enter():
                self._run(name, [binary, "-db", "-f", str(config)]).wait_listening(address, port)
        self.files, self.sink = (Door(port, "bench") for port in outer)
        self._wait()


def _hops(here: str, accepts: str, there: str, connects: str, ports: Sequence[int], targets: Sequence[int]) -> str:
    """Its configuration: each of `ports` here leads to one of `targets` there."""
    hops = "".join(
        f"listen p{port}\n  bind {here}:{port} {accepts}\n  server s {there}:{target} {connects}\n"
        for port, target in zip(ports, targets, strict=True)
    )
    return f"""
global
  maxconn 8192
  nbthread 1
  tune.bufsize 65536
defaults
  mode tcp
  maxconn 8192
  timeout connect 10s
  timeout client 1h
  timeout server 1h
{hops}"""


class Ssh(Contestant):
    """`ssh -L`: one connection for all, as people tunnel by hand."""

    name = "ssh"
    optional = True
    unable = frozenset({"cold"})

    def start(self) -> None:
        host = self.site.host_address
        with self.site.at_host():
            inner = free_port()
            argv = ssh_server(self.directory, host, inner, f"Ciphers {_SSH_CIPHER}\n")
            self._run("host", argv).wait_listening(host, inner)
        with self.site.at_visitor():
            outer = [free_port(), free_port()]
        targets = (self.origin.files_port, self.origin.sink_port)
        forwards = [f"127.0.0.1:{port}:127.0.0.1:{target}" for port, target in zip(outer, targets, strict=True)]
        options = {
            "Ciphers": _SSH_CIPHER,
            "Compression": "no",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.directory / "known",
            "StrictHostKeyChecking": "yes",
            "ExitOnForwardFailure": "yes",
            "LogLevel": "ERROR",
        }
        argv = ["ssh", "-F", "none", "-N", "-p", str(inner), "-i", str(self.directory / "user_key")]
        argv += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        argv += [part for forward in forwards for part in ("-L", forward)]
        with self.site.at_visitor():
            self._run("visitor", [*argv, f"{getpass.getuser()}@{host}"]).wait_listening("127.0.0.1", outer[1])
        self.files, self.sink = (Door(port, "bench") for port in outer)
        self._wait()


def ssh_server(directory: Path, host: str, port: int, more: str = "") -> list[str]:
    """How an sshd is started that listens there; user_key in `directory` opens it, and `known` knows it.

    Raises Broken where there is none.
    """
    server = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
    if server is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        raise Broken("not installed (apt-get install openssh-server openssh-client)")
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True)
    config = directory / "sshd_config"
    (directory / "known").write_text(f"* {(directory / 'host_key.pub').read_text()}")
    config.write_text(
        f"""
ListenAddress {host}:{port}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
AuthenticationMethods publickey
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
AllowTcpForwarding yes
Subsystem sftp internal-sftp
{more}"""
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # which root's sshd wants to be there
    return [server, "-D", "-e", "-f", str(config)]


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed Ed25519 certificate and its key."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("bench")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    paths = directory / "cert.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    paths[1].chmod(0o600)
    return paths
