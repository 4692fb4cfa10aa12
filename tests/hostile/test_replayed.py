"""Somebody hears all that a host and its visitor say to the world, and repeats it: he does not learn the key hash.

The key hash is the right to visit.  "Learnt" is: it stands in what came back, as bytes, digits or base64, or something
in there, taken as a certificate, hashes to it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardline.identity import KeyHash, Label
from tests.netns.lab import Lab, Machine
from tests.support import needs
from tests.support.node import Node
from tests.support.pairs import identity
from tests.support.programs import RunningOrigin, curl, running_origin
from tests.support.size import FULL
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl"),
]

REPLAYED = 10_000 if FULL else 400
PROXY = 8080
_HERE = Path(__file__).parent


@contextlib.contextmanager
def running(machine: Machine, output: Path, program: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("wb") as file:
        process = machine.start([sys.executable, _HERE / program, *map(str, arguments)], output=file)
    try:
        wait_until(lambda: "under way" in output.read_text(), f"{program} is under way", 20)
        yield process
    finally:
        process.kill()
        process.wait()


def learnt(data: bytes, name: KeyHash) -> bool:
    """Whether the key hash can be had from `data`, and not only by who knows it."""
    text = data.lower()
    if name.digest in data or str(name).encode() in text or base64.b64encode(name.digest)[:26].lower() in text:
        return True
    start = data.find(b"\x30")
    while start >= 0:
        size = data[start + 1] if len(data) > start + 1 else 0
        begin = start + 2
        if size & 0x80:
            begin += size & 0x7F
            size = int.from_bytes(data[start + 2 : begin], "big") if size & 0x7F <= 2 else 0
        if size and KeyHash.of_certificate(data[start : begin + size]) == name:
            return True
        start = data.find(b"\x30", start + 1)
    return False


def test_what_counts_as_learnt(tmp_path: Path) -> None:
    name, der = identity().key_hash, identity().der
    for seen in (b"x" + der + b"y", name.digest, f"-{name}\r\n".upper().encode(), base64.b64encode(name.digest)):
        assert learnt(seen, name)
    assert not learnt(der[1:] + name.digest[1:], name)


def payloads(file: Path) -> list[bytes]:
    """What was recorded; of a connection, with what came before it, for a name may be cut."""
    flows: dict[str, bytearray] = {}
    found = []
    for line in file.read_text().splitlines():
        seen = json.loads(line)
        payload = bytes.fromhex(seen["payload"])
        if seen["protocol"] == "UDP":
            found.append(payload)
        else:
            flows.setdefault(f"{seen['from']}{seen['to']}", bytearray()).extend(payload)
    return found + [bytes(flow) for flow in flows.values()]


def test_nobody_learns_the_key_hash_by_listening_and_repeating_not_even_from_the_dht(tmp_path: Path) -> None:
    with Lab() as lab:
        host_machine, visitor_machine, stranger = (lab.machine(name) for name in ("host", "visitor", "stranger"))
        settings = f"[DHT]\nbootstrap =\nproxies = http://{stranger.ip4}:{PROXY}\n"
        host = Node(tmp_path / "host", at=host_machine, settings=settings)
        visitor = Node(tmp_path / "visitor", at=visitor_machine, settings=settings)
        asked, heard, at_host, at_visitor = (tmp_path / name for name in ("asked", "heard", "at-host", "at-visitor"))
        asked.touch()
        with (
            running_origin(host_machine) as origin,
            running(stranger, tmp_path / "1", "liar_proxy.py", PROXY, f"{stranger.ip4}:443", asked),
            running(stranger, tmp_path / "2", "recorder.py", "record", tmp_path / "at-stranger"),
            running(host_machine, tmp_path / "3", "recorder.py", "record", at_host),
            running(visitor_machine, tmp_path / "4", "recorder.py", "record", at_visitor),
        ):
            names = share_three(host, origin)
            with host, visitor:
                labels = [Label.parse(host.label(name)) for name in names]
                secrets = [label.key_hash for label in labels]
                assert curl(visitor.url_of(str(labels[0])), at=visitor_machine).status == 200
                wait_until(lambda: "POST /key/" in asked.read_text(), "the host has published something", 30)
                # In vain: of one that was visited and of one that never was.
                host.services.joinpath("visited.ini").unlink()
                wait_until(lambda: "visited" not in [each["name"] for each in host.status()["services"]], "it is gone")
                for gone in (labels[0], Label(KeyHash(bytes(range(20))))):
                    assert curl(visitor.url_of(str(gone)), at=visitor_machine, limit=30).status in (502, 503)
                secrets.append(KeyHash(bytes(range(20))))
                wait_until(lambda: "GET /key/" in asked.read_text(), "the visitor has looked it up", 30)
                recorded = [each for file in (at_host, at_visitor) for each in payloads(file)]
                assert any(b"HARDLINE-SEARCH" in each for each in recorded)
                replay = [sys.executable, _HERE / "recorder.py", "replay", at_host, host_machine.ip4]
                said = stranger.run([*replay, str(REPLAYED), heard], timeout=600)
                report = json.loads(said.splitlines()[-1])
        print(json.dumps(report))
        answers = [bytes.fromhex(json.loads(line)) for line in heard.read_text().splitlines()]
        assert report["sent"] == REPLAYED
        assert report["names"] >= 2, "codes were heard on the LAN and in server names"
        assert report["answers"] > REPLAYED / 50, "whoever repeats a search learns where something is, and no more"
        for secret in secrets:
            assert not [each for each in recorded if learnt(each, secret)]
            assert not [each for each in answers if learnt(each, secret)]
            assert not learnt(asked.read_bytes(), secret)


def share_three(host: Node, origin: RunningOrigin) -> tuple[str, ...]:
    """Services that are for those who know them."""
    service = f"[Service]\nservice = 127.0.0.1\nport = {origin.port}\n"
    for name, more in (("visited", ""), ("another", "password = sesame\n"), ("third", "legacy = no\n")):
        host.write(name, f"{service}{more}[Info]\ntitle = {name}\nlisted = no\n")
    return ("visited", "another", "third")
