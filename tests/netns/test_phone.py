"""`hardline phone`: a machine without hardline gets in by a code, by name and by address, and no further than that."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from hardline import certificates
from tests.netns.lab import Lab, Machine
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import running_origin
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.netns, needs.linux(), needs.root(), needs.tools("ip", "curl")]

# Who the host is by that name, asked by multicast DNS as a phone does.
RESOLVE = """
import sys
from zeroconf import IPVersion, Zeroconf
from zeroconf import DNSQuestionType
from zeroconf._services.info import AddressResolver
zc = Zeroconf(interfaces=[sys.argv[2]], ip_version=IPVersion.V4Only)
found = AddressResolver(sys.argv[1] + ".")
print(" ".join(found.parsed_addresses()) if found.request(zc, 10000) else "nobody")
zc.close()
"""


def fetch(machine: Machine, url: str, *options: str | Path) -> tuple[int, str]:
    """Status and body; 0 where nobody answers."""
    command = ["curl", "-sS", "--max-time", "20", "-w", "\\n%{http_code}", *options, url]
    done = machine.run(["sh", "-c", '"$@" 2>/dev/null || echo; true', "sh", *command])
    body, _, status = done.strip().rpartition("\n")
    return (int(status) if status.isdigit() else 0), body


@pytest.fixture
def places(lab: Lab, tmp_path: Path):
    host_machine, phone = lab.machine("host"), lab.machine("phone")
    services = tmp_path / "host" / "services"
    services.mkdir(mode=0o700, parents=True)
    nas = certificates.load_or_create(services / "nas.ini.cert").key_hash
    settings = f"[Gateway]\nlisten = 127.0.0.1:7080\ndomain = example.org\nhttps = yes\n[Gateway:home]\nlabel = {nas}\n"
    host = Node(tmp_path / "host", at=host_machine, settings=settings)
    with running_origin(host_machine) as origin:
        host.share("nas", origin.port, title="My NAS")
        host.share("other", origin.port, title="Other")
        with host:
            host.serves("other")
            yield host, host_machine, phone, tmp_path


def test_row_15_a_phone_gets_in_with_the_code_and_not_without(places):
    host, host_machine, phone, tmp_path = places
    wait_until(lambda: "mdns.opened" in host.log, "it speaks multicast DNS")
    urls = host.hardline("phone", "nas").stdout.split()
    assert urls.pop() == "https://home.example.org/", "for phones that are away"
    by_address = next(url for url in urls if host_machine.ip4 in url)
    by_name = next(url for url in urls if ".local:" in url)
    assert re.fullmatch(r"http://my-nas-[0-9a-f]{4}\.local:7010/[A-Z2-9]{6}", by_name)
    assert host.label("nas")[:4] not in by_name.partition(".local")[0]
    name, port = by_name.split("/")[2].split(":")
    resolved = phone.run([sys.executable, "-c", RESOLVE, name, phone.ip4])
    assert resolved.split() == [host_machine.ip4]

    at = ["--resolve", f"{name}:{port}:{host_machine.ip4}"]
    jar = ["-c", tmp_path / "jar", "-b", tmp_path / "jar"]
    assert fetch(phone, f"http://{name}:{port}/", *at)[0] == 403
    status, body = fetch(phone, by_name, "-L", *at, *jar)
    assert (status, "hardline-phone" in body) == (200, False)
    seen = fetch(phone, f"http://{name}:{port}/headers", *at, *jar, "-H", "Cookie: mine=1")
    assert "hardline-phone" not in seen[1]
    assert (
        fetch(phone, f"http://evil.example:{port}/", "--resolve", f"evil.example:{port}:{host_machine.ip4}")[0] == 421
    )
    # By address, as long as it is the only door.
    assert fetch(phone, by_address, "-L", "-c", tmp_path / "jar2", "-b", tmp_path / "jar2")[0] == 200
    opened = host.hardline("phone", "other")
    assert "away from this network no phone finds it: a domain of yours" in opened.stderr
    second = opened.stdout.split()
    assert fetch(phone, by_address, "-L")[0] == 421
    assert fetch(phone, f"http://{name}:{port}/", *at, *jar)[0] == 200
    other_port = second[0].split("/")[2].split(":")[1]
    assert other_port != port
    # A cookie of the one is none of the other's.
    assert fetch(phone, f"http://{host_machine.ip4}:{other_port}/", "-b", tmp_path / "jar2")[0] == 403
    told = json.loads(host.hardline("status", "--json").stdout)["phones"]
    assert sorted(one["title"] for one in told) == ["My NAS", "Other"]
    assert host.hardline("phone", "nas", "--stop").returncode == 0
    assert fetch(phone, by_name, *at)[0] == 0
    # Five guesses close the other one.
    for number in range(5):
        assert fetch(phone, f"http://{host_machine.ip4}:{other_port}/AAAAA{number + 2}")[0] == 403
    wait_until(lambda: fetch(phone, second[0])[0] == 0, "it is closed")
    assert "the code was wrong too often" in host.log
    assert host.hardline("phone", "other", "--stop").returncode == 2


def test_a_door_is_closed_by_what_it_was_called_when_nothing_is_called_so_any_more(places):
    host, *_ = places
    assert host.hardline("name", "nas", "for-a-while").returncode == 0
    assert host.hardline("phone", "for-a-while").returncode == 0
    assert host.hardline("forget", "for-a-while").returncode == 0
    refused = host.hardline("phone", "never", "--stop")
    assert refused.returncode == 2
    assert "hardline status" in refused.stderr
    assert host.hardline("phone", "for-a-while", "--stop").returncode == 0
    assert json.loads(host.hardline("status", "--json").stdout)["phones"] == []


def test_a_door_closes_by_itself_and_where_its_network_is_gone(places):
    host, host_machine, phone, _ = places
    (url, *_) = host.hardline("phone", "nas", "--for", "1m").stdout.split()
    assert fetch(phone, url)[0] == 303
    host_machine.run(["ip", "-4", "addr", "flush", "dev", "eth0"])
    wait_until(lambda: "phone.closed" in host.log, "it is closed")
    assert "this computer is in another network" in host.log
    away = host.hardline("phone", "nas")
    assert (away.returncode, away.stdout) == (0, "https://home.example.org/\n"), (
        "which holds without a network of phones"
    )
    assert host.hardline("phone", "other").returncode == 1
