"""What neighbours on a LAN can and cannot do to each other: hear, repeat, forge, take back."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.netns.conftest import Lan
from tests.netns.lab import Machine
from tests.netns.test_dnssd import block
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import curl
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "nft"),
]

LPD, MDNS, SSDP = 6771, 5353, 1900


@contextmanager
def program(machine: Machine, file: Path, name: str, *arguments: str) -> Iterator[Path]:
    """A program of this directory on a machine, from when it listens on; yields what it prints."""
    with file.open("wb") as output:
        process = machine.start([sys.executable, Path(__file__).with_name(name), *arguments], output=output)
    try:
        wait_until(lambda: "listening" in file.read_text(), f"{name} listens: {file.read_text()}", 30)
        yield file
    finally:
        process.kill()
        process.wait()


def packets(file: Path, *ports: int) -> list[dict[str, Any]]:
    """What a tap wrote down, of some ports."""
    lines = file.read_text().splitlines(keepends=True)
    said = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
    return [packet for packet in said if packet["port"] in ports]


REPLAY = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0)); s.settimeout(1)
for line in sys.stdin.read().split():
    s.sendto(bytes.fromhex(line), (sys.argv[2], 6771))
    try:
        while True: print(s.recv(4096).hex())
    except TimeoutError: print('silence')
"""


@pytest.mark.parametrize("listed", [False, True])
def test_who_repeats_every_search_that_it_heard_learns_where_the_service_is_and_nothing_else(
    lan: Lan, tmp_path: Path, listed: bool
) -> None:
    lan.host.share("quiet", lan.origin.port, title="Not for all", listed=listed, password="sesame")
    label = lan.host.label("quiet")
    stranger = lan.lab.machine("stranger")
    with program(lan.visitor_machine, tmp_path / "tapped", "tap.py", "eth0") as tapped:
        assert curl(lan.visitor.url_of(label), at=lan.visitor_machine).status == 200
        assert lan.visitor.last_visit(label)["via"] == "LAN"
        searches = {one["data"] for one in packets(tapped, LPD) if re.search("Infohash: [0-9a-f]{40}", one["data"])}
    assert searches
    command = [sys.executable, "-c", REPLAY, stranger.ip4, lan.host_machine.ip4]
    sent = "\n".join(search.encode("latin-1").hex() for search in searches)
    heard = stranger.run(["sh", "-c", 'printf "%s" "$0" | "$@"', sent, *command])
    answers = [bytes.fromhex(line).decode() for line in heard.split() if line != "silence"]
    assert answers, "the address is told"
    key_hash = label.rpartition("-")[2]
    for answer in answers:
        assert f"Port: {lan.host.p2pport}" in answer
        assert not [secret for secret in (key_hash, "sesame", "Not for all") if secret in answer]


@pytest.mark.parametrize("found_by", ["the packets", "both ways"])
def test_two_hundred_forged_senders_do_not_keep_a_cold_visitor_from_its_host(
    lan: Lan, tmp_path: Path, found_by: str
) -> None:
    """The lies come first: the host hears nothing until a whole search was lied to."""
    liar = lan.lab.machine("liar")
    page = tmp_path / "page"
    label = lan.label if found_by == "both ways" else "00" * 20
    with program(liar, tmp_path / "said", "crowd.py", liar.ip4, label, "200") as said:
        lan.host_machine.cut()
        with lan.download("", page, limit=30) as visit:
            wait_until(lambda: "lied 1" in said.read_text(), "a search was answered with lies", every=0.001)
            lan.host_machine.heal()
            assert visit.exit_code() == 0, lan.visitor.log
    assert page.read_text() == "hello from the origin\n"
    assert (lan.last_visit()["via"], lan.last_visit()["status"]) == ("LAN", "ok")
    (won,) = re.findall(r"dial\.won .*?attempts=(\d+)", lan.visitor.log)
    assert int(won) <= 8


def shown(lan: Lan) -> set[str]:
    return {offer["title"] for offer in json.loads(lan.visitor.hardline("lan", "--json").stdout)}


def test_a_service_that_ends_is_gone_from_the_lists_of_others_at_once(lan: Lan) -> None:
    block(lan.visitor_machine, MDNS)
    lan.host.share("second", lan.origin.port, title="A second")
    wait_until(lambda: shown(lan) >= {"The site", "A second"}, "both are shown")
    (lan.host.services / "second.ini").unlink()
    wait_until(lambda: shown(lan) == {"The site"}, "the one that was removed is not", 20)
    lan.host.stop()
    wait_until(lambda: not shown(lan), "nor is one whose node stopped", 20)
    lan.host.start()


def hide(host: Node) -> None:
    host.share("second", 80, title="A second", password="sesame", listed=False)


def remove_and_share_again_unlisted(host: Node) -> None:
    (host.services / "second.ini").unlink()
    wait_until(lambda: host.service("second") is None, "it is removed")
    hide(host)


@pytest.mark.parametrize("end", [hide, remove_and_share_again_unlisted, Node.stop])
def test_when_a_service_ends_its_label_is_told_to_nobody_who_did_not_have_it(
    lan: Lan, tmp_path: Path, end: Callable[[Node], object]
) -> None:
    lan.host.share("second", 80, title="A second", password="sesame")
    label = lan.host.label("second")
    wait_until(lambda: "A second" in shown(lan), "it is shown")
    wait_until(lambda: re.search("mdns.announced .*A second", lan.host.log), "it is announced")
    with program(lan.host_machine, tmp_path / "tapped", "tap.py", "eth0") as tapped:
        end(lan.host)
        wait_until(lambda: "A second" not in shown(lan), "it is gone from the list", 20)
        wait_until(
            lambda: len([one for one in since_goodbye(tapped) if "A second" in one]) >= 3, "it is taken back", 20
        )
        said = since_goodbye(tapped)
    for packet in said:
        assert not [secret for secret in (label.rpartition("-")[2], "sesame") if secret in packet], packet


def since_goodbye(tapped: Path) -> list[str]:
    """What was said after the first packet that takes something back, and that packet."""
    said = [packet["data"] for packet in packets(tapped, LPD, MDNS)]
    words = "HARDLINE-GOODBYE", "\0\x0c\0\1\0\0\0\0"  # and PTR, IN, to live for 0 s
    first = next((at for at, packet in enumerate(said) if any(word in packet for word in words)), len(said))
    return said[first:]


GOODBYE = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from crowd import datagram
own, victim, visitor = sys.argv[2:]
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for source in (own, victim):
    for end in ('', '0' * 32):
        packet = f'HARDLINE-GOODBYE * HTTP/1.1\\r\\nPort: 7008\\r\\nend: {end}\\r\\n\\r\\n\\r\\n'.encode()
        s.sendto(datagram((source, 6771), (visitor, 6771), packet), (visitor, 0))
"""


def test_a_neighbour_cannot_take_back_what_another_one_offers(lan: Lan) -> None:
    block(lan.visitor_machine, MDNS)
    wait_until(lambda: shown(lan) == {"The site"}, "it is shown")
    stranger = lan.lab.machine("stranger")
    addresses = [stranger.ip4, lan.host_machine.ip4, lan.visitor_machine.ip4]
    stranger.run([sys.executable, "-c", GOODBYE, Path(__file__).parent, *addresses])
    lan.host_machine.cut()
    assert shown(lan) == {"The site"}
    lan.host_machine.heal()
