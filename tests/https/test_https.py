"""HTTPS end to end on one computer: curl and plain sockets, a relay, a host, and Pebble for its certificates."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hardline.certificates import load_or_create
from hardline.gateway.users import hashed
from tests.https.pebble import Pebble, running_pebble
from tests.inspector.test_inspect import Terminal
from tests.support import needs
from tests.support.node import Node, free_port
from tests.support.origin import digest_of_bytes
from tests.support.programs import Answer, Download, RunningOrigin, curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [needs.tools("curl", "pebble", "pebble-challtestsrv", "openssl")]

PASSWORD = "correct horse"
NO_PROTOCOL = r"(?i)no.application.protocol"
NAMES = {
    "nas": "",
    "private": "users = {anna}\n",
    "far": "addresses = 192.0.2.0/24, 2001:db8::/32\n",
    "slow": "rate = 1\n",
    "dead": "",
}


@dataclass
class Town:
    port: int
    relay: Node
    host: Node
    pebble: Pebble
    origin: RunningOrigin

    def get(self, name: str, path: str = "/", *options: str | Path) -> Answer:
        host = f"{name}.example.org"
        trusted = ("--cacert", self.pebble.roots, "--resolve", f"{host}:{self.port}:127.0.0.1")
        return curl(f"https://{host}:{self.port}{path}", *trusted, *options)

    def connect(self, name: str, *protocols: str) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.pebble.roots))
        if protocols:
            context.set_alpn_protocols(protocols)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        return context.wrap_socket(plain, server_hostname=f"{name}.example.org")

    def https(self, name: str) -> dict[str, object]:
        found = self.host.service(name)
        return dict(found["https"]) if found is not None and found.get("https") else {}

    @contextlib.contextmanager
    def relay_stopped(self) -> Iterator[None]:
        self.relay.stop()
        try:
            yield
        finally:
            self.relay.start()

    def is_certified(self, name: str) -> None:
        # In less than the minute after which one that was refused asks again: nobody is refused here.
        wait_until(
            lambda: self.https(name).get("state") == "serving", f"{name} has a certificate:\n{self.host.log}", 40
        )


def public(name: str, port: int, more: str = "", also: str = "") -> str:
    return f"[Service]\nservice = 127.0.0.1\nport = {port}\n{also}[Public]\nname = {name}.example.org\n" + more.format(
        anna=hashed_for("anna")
    )


def hashed_for(name: str) -> str:
    return f"{name}:{hashed(PASSWORD)}"


@contextlib.contextmanager
def running_town(directory: Path, life: int | None = None) -> Iterator[Town]:
    me = load_or_create(directory / "host" / "data" / "node.cert").key_hash
    port = free_port()
    domains = ", ".join(f"{name}.example.org {me}" for name in (*NAMES, "again", "files"))
    being = f"[Relay]\nenabled = yes\nallow = {me}\nports = {port}\ndomains = {domains}\n"
    with (
        running_origin() as origin,
        running_pebble(directory / "pebble", port, **({"life": life} if life else {})) as pebble,
        Node(directory / "relay", settings=being + pebble.settings) as relay,
    ):
        use = f"127.0.0.1:{relay.p2pport}#{relay.status()['node']['key_hash']}"
        host = Node(directory / "host", settings=f"[Relay]\nuse = {use}\n{pebble.settings}")
        with host:
            yield Town(port, relay, host, pebble, origin)
            for label in re.findall(r'"label": "([^"]+)"', host.hardline("status", "--json").stdout):
                assert label[-40:] not in host.log + relay.log + pebble.log.read_text()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    directory = tmp_path_factory.mktemp("town")
    (directory / "host" / "data").mkdir(parents=True)
    with running_town(directory) as town:
        for name, more in NAMES.items():
            town.host.write(name, public(name, free_port() if name == "dead" else town.origin.port, more))
        for name in NAMES:
            town.is_certified(name)
        yield town


def test_a_name_has_a_certificate_within_ten_seconds_and_curl_trusts_it(town: Town) -> None:
    town.host.write("again", public("again", town.origin.port))
    began = time.monotonic()
    town.is_certified("again")
    took = time.monotonic() - began
    print(f"a certificate after {took:.1f} s")
    answer = town.get("again")
    assert (answer.code, answer.status, answer.text) == (0, 200, "hello from the origin\n")
    said = town.https("again")
    assert said["relays"]
    assert float(str(said["until"])) > time.time() + 80 * 86_400
    assert str(said["account"]).startswith("https://localhost")
    assert "https://again.example.org" in town.host.hardline("status").stdout


def test_bytes_come_and_go_whole(town: Town, tmp_path: Path) -> None:
    got = town.get("nas", "/bytes/30000000")
    assert hashlib.sha256(got.body).hexdigest() == digest_of_bytes(30_000_000)
    data = os.urandom(1_000_000) * 20
    (tmp_path / "up").write_bytes(data)
    answer = town.get("nas", "/sum", "-T", tmp_path / "up", "-X", "POST")
    assert answer.json == {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_the_service_gets_the_bytes_that_were_said(town: Town) -> None:
    told = town.get("nas", "/echo?a=b", "-H", "X-Forwarded-For: 6.6.6.6", "-H", "Authorization: Bearer x").json
    assert told["request"] == "GET /echo?a=b HTTP/1.1"
    assert told["headers"]["host"] == f"nas.example.org:{town.port}"
    assert told["headers"]["authorization"] == "Bearer x"
    assert set(told["headers"]) == {"host", "user-agent", "accept", "x-forwarded-for", "authorization"}


def test_http_1_1_is_all_that_is_spoken(town: Town) -> None:
    assert town.get("nas", "/", "--http2").status == 200
    with town.connect("nas", "h2", "http/1.1") as client:
        assert client.selected_alpn_protocol() == "http/1.1"
        assert client.version() == "TLSv1.3"
    with pytest.raises(ssl.SSLError, match=NO_PROTOCOL):
        town.connect("nas", "h2")
    assert town.get("nas", "/", "--tls-max", "1.2").status == 200
    assert town.get("nas", "/", "--tls-max", "1.1").code != 0


def test_an_authority_reaches_no_service_and_nobody_sees_a_proof_that_is_not_waited_for(town: Town) -> None:
    for protocols in (("acme-tls/1",), ("acme-tls/1", "http/1.1")):
        with pytest.raises(ssl.SSLError, match=NO_PROTOCOL):
            town.connect("nas", *protocols)


def test_every_request_is_judged_before_the_service_gets_a_byte(town: Town) -> None:
    refused = town.get("private", "/", "-i")
    assert refused.status == 401
    assert 'www-authenticate: basic realm="private.example.org"' in refused.text.lower()
    assert town.get("private", "/", "-u", "anna:wrong").status == 401
    told = town.get("private", "/echo", "-u", f"anna:{PASSWORD}").json
    assert "authorization" not in told["headers"]
    with town.connect("private") as client:
        good = "Authorization: Basic YW5uYTpjb3JyZWN0IGhvcnNl\r\n"
        head = "GET /{path} HTTP/1.1\r\nHost: private.example.org\r\n{more}\r\n"
        for more, status in ((good, 200), (good, 200), ("", 401)):
            client.sendall(head.format(path="echo", more=more).encode())
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert answer.status == status
            answer.read()


def test_requests_that_come_at_once_are_judged_one_by_one_and_all_answered(town: Town) -> None:
    good = "Authorization: Basic YW5uYTpjb3JyZWN0IGhvcnNl\r\n"
    said = [f"GET /echo HTTP/1.1\r\nHost: private.example.org\r\n{more}\r\n" for more in (good, good, "")]
    with town.connect("private") as client:
        client.sendall("".join(said).encode())
        answers = client.makefile("rb").read()
    assert re.findall(rb"HTTP/1.1 (\d+) ", answers) == [b"200", b"200", b"401"]


def test_a_refused_upload_reads_why(town: Town, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(bytes(5_000_000))
    answer = town.get("private", "/sum", "-T", tmp_path / "up", "-X", "POST", "-H", "Expect:")
    assert answer.status == 401


def test_who_looks_at_its_requests_sees_the_first_of_a_connection(town: Town) -> None:
    with Terminal(town.host, "nas") as terminal:
        assert town.get("nas").status == 200
        one = terminal.next()
        assert (one["method"], one["target"], one["status"], one["note"]) == ("GET", "/", 200, "")


def test_addresses_and_rate(town: Town) -> None:
    assert town.get("far").status == 403
    found = [town.get("slow").status for _ in range(14)]
    assert found[:10] == [200] * 10
    assert 429 in found


def test_what_failed_is_said(town: Town) -> None:
    answer = town.get("dead")
    assert (answer.status, "did not pass this on" in answer.text) == (502, True)


def test_nobody_knows_another_name(town: Town) -> None:
    for name in ("other", "nas.evil"):
        assert town.get(name).code == 35
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        town.connect("other")


def test_keys_are_for_their_owner_alone(town: Town) -> None:
    directory = town.host.data / "https"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    files = {file.name: file for file in directory.iterdir()}
    assert {"nas.example.org.key", "nas.example.org.pem"} <= files.keys()
    for name, file in files.items():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, name
    labels = [town.host.label(name) for name in NAMES]
    for file in files.values():
        assert not [label for label in labels if label[-40:].encode() in file.read_bytes()]


def test_after_a_restart_there_is_nothing_to_wait_for(town: Town) -> None:
    looked = town.pebble.log.read_text().count("to validations")
    town.host.stop()
    town.host.start()
    wait_until(lambda: town.get("nas").status == 200, "it is served again")
    town.is_certified("nas")
    assert town.pebble.log.read_text().count("to validations") == looked


def test_a_certificate_that_no_relay_brings_visitors_for_is_not_said_to_serve(town: Town) -> None:
    with town.relay_stopped():
        found = wait_until(lambda: one if (one := town.https("nas"))["state"] == "waiting" else None, "it is seen")
        assert "no relay of [Relay] use brings visitors of this name" in str(found["problem"])
        assert float(str(found["until"])) > time.time()
        assert "https://nas.example.org  waiting: no relay" in town.host.hardline("status").stdout
    for name in NAMES:
        town.is_certified(name)


def test_of_two_services_with_one_name_the_first_has_it(town: Town) -> None:
    town.host.write("zwin", public("nas", free_port()))
    wait_until(lambda: town.https("zwin"), "it is read")
    assert (town.https("zwin")["state"], town.https("zwin")["problem"]) == ("refused", "another service has this name")
    assert town.get("nas").status == 200
    (town.host.services / "zwin.ini").unlink()


def test_files_have_a_name_too(town: Town, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(data := os.urandom(3_000_000))
    text = f"[Service]\nservice =\n[Cache]\ndirectory = {tmp_path}\n[Public]\nname = files.example.org\n"
    town.host.write("files", text)
    town.is_certified("files")
    assert town.get("files", "/a.bin").body == data
    assert town.get("files", "/none").status == 404


def test_a_relay_serves_names_of_its_own_without_a_list(town: Town) -> None:
    town.relay.write("own", public("own", town.origin.port))

    def state() -> str | None:
        https = (town.relay.service("own") or {}).get("https")  # null until it is taken up
        return https and https["state"]

    wait_until(lambda: state() == "serving", town.relay.log)
    told = town.get("own", "/echo").json
    assert told["headers"]["host"] == f"own.example.org:{town.port}"
    assert town.get("nas").status == 200
    town.relay.write("own", "[Service]\nservice = 127.0.0.1\nport = 9\n")
    wait_until(lambda: town.get("own").code == 35, "it is nobody's")


def test_who_is_here_is_cut_when_the_name_is_for_others_now(town: Town) -> None:
    with town.connect("far") as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: far.example.org\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 403")
    town.host.write("far", public("far", town.origin.port))
    wait_until(lambda: town.get("far").status == 200, "it is for all")
    with town.connect("far") as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: far.example.org\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        town.host.write("far", public("far", town.origin.port, NAMES["far"]))
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            while client.recv(1000):
                pass
    assert town.get("far").status == 403


@pytest.mark.full
def test_a_renewal_cuts_nobody(tmp_path: Path) -> None:
    (tmp_path / "host" / "data").mkdir(parents=True)
    with running_town(tmp_path, life=30) as town:
        town.host.write("nas", public("nas", town.origin.port))
        town.is_certified("nas")
        first, until = serial(town), float(str(town.https("nas")["until"]))
        url, trusted = f"https://nas.example.org:{town.port}/bytes/6000000", ("--cacert", town.pebble.roots)
        resolved = ("--resolve", f"nas.example.org:{town.port}:127.0.0.1")
        with Download(url, tmp_path / "got", *trusted, *resolved, "--limit-rate", "200k") as download:
            download.has_received(100_000)
            wait_until(lambda: float(str(town.https("nas")["until"])) > until, "it is renewed", 60)
            assert serial(town) != first
            assert download.running
            assert download.exit_code() == 0
        assert hashlib.sha256((tmp_path / "got").read_bytes()).hexdigest() == digest_of_bytes(6_000_000)


def serial(town: Town) -> str:
    with town.connect("nas") as client:
        certificate = client.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])
