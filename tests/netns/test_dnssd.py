"""DNS-SD between machines: where the LAN packets are lost it finds hosts, and where it is lost they do.

The strangers are a browser and a responder that nobody here wrote: python-zeroconf's own, and Avahi.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.conftest import Lan
from tests.netns.lab import Lab, Machine
from tests.support import needs
from tests.support.node import Node
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "nft"),
]

LPD, MDNS = 6771, 5353
HOST = socket.gethostname().partition(".")[0]  # what each of these machines is called


def block(machine: Machine, port: int) -> None:
    """Let no UDP packet of that port in or out."""
    drop = f"udp dport {port} drop; udp sport {port} drop;"
    chains = "".join(f"chain {hook} {{ type filter hook {hook} priority 0; {drop} }}; " for hook in ("input", "output"))
    machine.run(["nft", f"table inet block{port} {{ {chains} }}"])


class Watcher:
    """A machine that browses with a zeroconf of its own, and writes down every change."""

    def __init__(self, machine: Machine, file: Path) -> None:
        self._machine, self._file = machine, file

    def __enter__(self) -> Watcher:
        with self._file.open("wb") as output:
            self._process = self._machine.start([sys.executable, Path(__file__).with_name("watcher.py")], output=output)
        wait_until(lambda: "watching" in self.log, "the watcher watches")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def log(self) -> str:
        return self._file.read_text()

    def sees(self, line: str) -> None:
        wait_until(lambda: line in self.log, f"the watcher saw {line!r}:\n{self.log}")

    @property
    def present(self) -> set[str]:
        """The titles that are announced now."""
        names: set[str] = set()
        for line in self.log.splitlines():
            change, _, rest = line.partition(" ")
            title = rest.partition(" | ")[0]
            if change == "add":
                names.add(title)
            elif change == "remove":
                names.discard(title)
        return names


@pytest.fixture
def watcher(lan: Lan, tmp_path: Path) -> Iterator[Watcher]:
    with Watcher(lan.lab.machine("watcher"), tmp_path / "watched") as watching:
        yield watching


@pytest.fixture
def lpd_lost(lan: Lan) -> Lan:
    """The LAN, where LPD packets are lost and the host has been announced."""
    block(lan.visitor_machine, LPD)
    wait_until(lambda: "mdns.announced" in lan.host.log, "the host was announced")
    return lan


def test_a_cold_visit_is_served_and_waits_for_nothing_where_the_lan_packets_are_lost(lpd_lost: Lan) -> None:
    answer = lpd_lost.curl()
    assert (answer.status, answer.text) == (200, "hello from the origin\n")
    visit = lpd_lost.last_visit()
    assert (visit["via"], visit["found_by"], visit["protocol"]) == ("LAN", "DNS-SD", "hardline/2")
    lpd_lost.waited_for_nothing(answer, hears="mdns.opened")


def test_a_visitor_that_came_later_and_heard_no_announcement_finds_the_host(lpd_lost: Lan) -> None:
    lpd_lost.visitor.stop()
    lpd_lost.visitor.start()
    wait_until(lambda: "mdns.opened" in life(lpd_lost.visitor), "it hears")
    answer = lpd_lost.curl()
    assert answer.status == 200
    assert lpd_lost.last_visit()["found_by"] == "DNS-SD"
    lpd_lost.waited_for_nothing(answer, hears="mdns.opened")


def test_a_cold_visit_is_served_and_waits_for_nothing_where_multicast_dns_is_lost(lan: Lan) -> None:
    block(lan.visitor_machine, MDNS)
    answer = lan.curl()
    assert answer.status == 200
    assert (lan.last_visit()["via"], lan.last_visit()["found_by"]) == ("LAN", "LAN")
    lan.waited_for_nothing(answer)


@pytest.mark.parametrize("version", [pytest.param(4, marks=pytest.mark.full), 6])
def test_it_works_where_there_is_one_ip_version_only(lpd_lost: Lan, version: int) -> None:
    for machine in (lpd_lost.host_machine, lpd_lost.visitor_machine):
        if version == 4:
            machine.run(["sysctl", "-q", "-w", "net.ipv6.conf.eth0.disable_ipv6=1"])
        else:
            machine.run(["ip", "-4", "addr", "flush", "dev", "eth0"])
    restart(lpd_lost)
    assert lpd_lost.curl().status == 200
    assert lpd_lost.last_visit()["found_by"] == "DNS-SD"
    address = str(lpd_lost.last_visit()["endpoint"]).rpartition(":")[0].strip("[]").partition("%")[0]
    assert ipaddress.ip_address(address).version == version


def test_an_interface_that_comes_up_later_is_used(lpd_lost: Lan) -> None:
    for machine in (lpd_lost.host_machine, lpd_lost.visitor_machine):
        machine.run(["ip", "link", "set", "dev", "eth0", "down"])
    restart(lpd_lost)
    assert lpd_lost.curl().status == 503
    for machine in (lpd_lost.host_machine, lpd_lost.visitor_machine):
        machine.move(1)
    wait_until(lambda: lpd_lost.curl().status == 200, "the LAN was used", 20)
    assert lpd_lost.last_visit()["found_by"] == "DNS-SD"


def test_what_is_announced_is_the_title_the_label_the_version_the_port_and_the_addresses(
    lan: Lan, watcher: Watcher
) -> None:
    said = f"is The site | {{'kh': '{lan.label}', 'v': '2', 'host': '{HOST}'}} | 7008 | {lan.host_machine.ip4},"
    watcher.sees(said)
    (addresses,) = {line.rpartition(" ")[2] for line in watcher.log.splitlines() if line.startswith(said)}
    assert lan.host_machine.ip6 in addresses.split(",")
    assert not {"127.0.0.1", "::1"} & set(addresses.split(","))


def test_services_that_come_change_and_go_are_announced_anew(lan: Lan, watcher: Watcher) -> None:
    watcher.sees("add The site")
    lan.host.share("site", lan.origin.port, title="Das Haus. Ein Süßes")
    lan.host.share("second", lan.origin.port, title="A second")
    wait_until(lambda: watcher.present == {"Das Haus\u2024 Ein Süßes", "A second"}, "both are announced")
    lan.host.share("second", lan.origin.port, title="A second", listed=False)
    wait_until(lambda: watcher.present == {"Das Haus\u2024 Ein Süßes"}, "one took itself back")
    lan.host.share("second", lan.origin.port, title="A second", password="sesame")
    watcher.sees(f"{{'kh': '{lan.host.label('second')}', 'v': '2', 'host': '{HOST}'}}")
    (lan.host.services / "site.ini").unlink()
    wait_until(lambda: watcher.present == {"A second"}, "one is left")


def test_a_service_that_is_not_listed_is_never_announced(lan: Lan, watcher: Watcher) -> None:
    lan.host.share("quiet", lan.origin.port, title="Not for all", listed=False)
    lan.host.share("loud", lan.origin.port, title="For all")
    watcher.sees("is For all")
    assert "Not for all" not in watcher.log
    assert lan.host.label("quiet") not in watcher.log


def test_a_host_that_stops_says_goodbye(lan: Lan, watcher: Watcher) -> None:
    watcher.sees("add The site")
    lan.host.stop()
    wait_until(lambda: not watcher.present, "the host said goodbye", 3)


def test_two_machines_with_one_title_have_two_names(lan: Lan, watcher: Watcher, tmp_path: Path) -> None:
    watcher.sees("is The site")
    with Node(tmp_path / "other", at=lan.lab.machine("other")) as other:
        other.share("site", 80, title="The site")
        watcher.sees("is The site (2)")
        label = other.label("site")
    (second,) = {line for line in watcher.log.splitlines() if line.startswith("is The site (2)")}
    assert label in second


def test_two_machines_that_start_at_once_with_one_title_come_to_have_two_names(lab: Lab, tmp_path: Path) -> None:
    nodes = [Node(tmp_path / name, at=lab.machine(name)) for name in ("one", "two")]
    with Watcher(lab.machine("watcher"), tmp_path / "watched") as watcher:
        for node in nodes:
            node.share("site", 80, title="The site")
            node.launch()
        for node in nodes:
            node.is_told("READY=1", 20)
        wait_until(lambda: watcher.present == {"The site", "The site (2)"}, "they have two names", 20)
        for node in nodes:
            node.stop()


def test_the_command_line_shows_what_dns_sd_found_once(lan: Lan) -> None:
    wait_until(lambda: "mdns.announced" in lan.host.log, "the host was announced")
    both = json.loads(lan.visitor.hardline("lan", "--json").stdout)
    block(lan.visitor_machine, LPD)
    lan.visitor.stop()
    lan.visitor.start()
    one = wait_until(lambda: json.loads(lan.visitor.hardline("lan", "--json").stdout), "DNS-SD found it")
    for offers in (both, one):
        assert [(offer["title"], offer["label"]) for offer in offers] == [("The site", lan.label)]
    assert one[0]["endpoint"].endswith(":7008")


def test_it_is_silent_where_it_is_switched_off(lan: Lan, watcher: Watcher) -> None:
    watcher.sees("add The site")
    lan.host.stop()
    wait_until(lambda: not watcher.present, "the host said goodbye")
    quiet = Node(lan.host.services.parent, at=lan.host_machine, settings="[LAN]\nmdns = no\n")
    with quiet:
        assert lan.curl().status == 200
        assert "mdns" not in quiet.log.rpartition("node.stopped")[2]
    assert not watcher.present


def test_nothing_leaves_a_machine_where_only_loopback_is_bound(lab: Lab, tmp_path: Path) -> None:
    machine, neighbour = lab.machine("host"), lab.machine("neighbour")
    machine.run(["nft", "table inet seen { counter out { }; chain output { type filter hook output priority 0; }; }"])
    machine.run(["nft", 'add rule inet seen output oifname "eth0" udp sport 5353 counter name out'])
    with Node(tmp_path / "host", at=machine, settings="[Node]\nbind = 127.0.0.1\n") as node:
        node.share("site", 80)
        wait_until(lambda: "mdns.announced" in node.log, "it was announced, to itself")
        assert question(neighbour, machine.ip4) == "silence"
        node.hardline("lan")
    assert "packets 0" in machine.run(["nft", "list", "counter", "inet", "seen", "out"])


def test_neighbours_may_ask_and_nobody_else(lan: Lan) -> None:
    wait_until(lambda: "mdns.announced" in lan.host.log, "the host was announced")
    neighbour, stranger = lan.lab.machine("neighbour"), lan.lab.machine("stranger", segment=2)
    assert question(neighbour, lan.host_machine.ip4) == "an answer"
    assert question(stranger, lan.host_machine.ip4) == "silence"
    assert question(stranger, lan.host_machine.ip6) == "silence"


def test_a_port_that_another_program_has_for_itself_is_said_once_and_the_rest_works(lan: Lan) -> None:
    lan.host.stop()
    greedy = "import socket; s = socket.socket(2, 2); s.bind(('', 5353)); print('mine', flush=True); input()"
    keeper = subprocess.Popen(
        lan.host_machine.wrap([sys.executable, "-c", greedy]), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"mine\n"
        lan.host.start()
        wait_until(lambda: "mdns.deaf" in lan.host.log, "it was said")
        assert lan.curl().status == 200
        lan.host.hardline("lan")
        keeper.terminate()
    said = "mdns.announced"
    wait_until(lambda: said in lan.host.log.partition("mdns.deaf")[2], "the port was free and was used", 15)
    assert lan.host.log.count("mdns.deaf") == 1


def test_ten_thousand_announced_services_cost_little_memory_and_hide_nobody(lpd_lost: Lan) -> None:
    assert lpd_lost.visitor.hardline("lan").returncode == 0
    before = lpd_lost.visitor.pss()
    flooder = lpd_lost.lab.machine("flooder")
    flooder.run([sys.executable, Path(__file__).with_name("flooder.py"), flooder.ip4, "10000"], timeout=60)
    answer = lpd_lost.curl()
    assert answer.status == 200
    assert lpd_lost.last_visit()["found_by"] == "DNS-SD"
    assert lpd_lost.visitor.pss() - before < 10 * 1024 * 1024
    assert "mdns.note" not in lpd_lost.visitor.log


BUS = """<busconfig>
<type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""


class Avahi:
    """A machine with an Avahi daemon, and a D-Bus of its own to speak with it."""

    def __init__(self, machine: Machine, directory: Path) -> None:
        self._machine, self._log = machine, directory / "avahi.log"
        (directory / "bus.conf").write_text(BUS.format(socket=directory / "bus"))
        (directory / "avahi.conf").write_text(
            "[server]\nuse-ipv4=yes\nuse-ipv6=yes\n[wide-area]\nenable-wide-area=no\n"
        )
        self._directory = directory
        self._env = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={directory / 'bus'}"}
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Avahi:
        self._run("dbus-daemon", f"--config-file={self._directory / 'bus.conf'}", "--nofork", "--nopidfile")
        wait_until((self._directory / "bus").exists, "the bus runs")
        # Its directory in /run is one for the whole computer; here it gets one for this namespace.
        mount = "mkdir -p /run/avahi-daemon && mount -t tmpfs none /run/avahi-daemon"
        daemon = "avahi-daemon --no-drop-root --no-chroot --no-rlimits"
        self._run("sh", "-c", f"{mount} && exec {daemon} -f {self._directory / 'avahi.conf'}")
        wait_until(lambda: "Server startup complete" in self._log.read_text(), "Avahi runs")
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait()

    def publish(self, title: str, port: int, *text: str) -> None:
        self._run("avahi-publish", "-s", title, "_hardline._tcp", str(port), *text)

    def browse(self) -> str:
        """What it finds and resolves, a line each."""
        command = self._machine.wrap(["avahi-browse", "-prt", "_hardline._tcp"])
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=100, check=True)
        return "\n".join(line for line in done.stdout.splitlines() if line.startswith("="))

    def _run(self, *command: str) -> None:
        with self._log.open("ab") as log:
            self._processes.append(self._machine.start(command, output=log, env=self._env))


@contextlib.contextmanager
def running_avahi(machine: Machine) -> Iterator[Avahi]:
    # The path of a socket is short.
    with tempfile.TemporaryDirectory(prefix="hl-") as directory, Avahi(machine, Path(directory)) as avahi:
        yield avahi


with_avahi = needs.tools("avahi-daemon", "avahi-browse", "avahi-publish", "dbus-daemon")


@pytest.mark.interop
@with_avahi
def test_avahi_sees_what_we_announce(lan: Lan) -> None:
    with running_avahi(lan.lab.machine("avahi")) as avahi:
        line = wait_until(avahi.browse, "Avahi found it")
        assert "The\\032site" in line
        assert f";{lan.host_machine.ip4};7008;" in line
        assert f'"kh={lan.label}"' in line
        assert '"v=2"' in line
        lan.host.stop()
        wait_until(lambda: not avahi.browse(), "the goodbye was heard")


@pytest.mark.interop
@with_avahi
def test_a_host_that_avahi_announces_is_visited(lan: Lan) -> None:
    """The host itself is silent; the visitor shares port 5353 with an Avahi of its own."""
    block(lan.visitor_machine, LPD)
    lan.host.stop()
    silent = Node(lan.host.services.parent, at=lan.host_machine, settings="[LAN]\nmdns = no\n")
    with silent, running_avahi(lan.host_machine) as avahi, running_avahi(lan.visitor_machine):
        assert lan.curl().status == 503
        avahi.publish("The site", 7008, f"kh={lan.label}", "v=2", "more=of other things")
        wait_until(lambda: lan.curl().status == 200, "it was found")
        assert (lan.last_visit()["via"], lan.last_visit()["found_by"]) == ("LAN", "DNS-SD")
        (offer,) = json.loads(lan.visitor.hardline("lan", "--json").stdout)
        assert (offer["title"], offer["label"]) == ("The site", lan.label)


def restart(lan: Lan) -> None:
    """Stop both, start both, and wait until both hear and the host was announced."""
    for node in (lan.host, lan.visitor):
        node.stop()
        node.start()
    for node in (lan.host, lan.visitor):
        wait_until(lambda node=node: "mdns.opened" in life(node), "it hears")  # type: ignore[misc]


def life(node: Node) -> str:
    """What it has said since it was started last."""
    return node.log.rpartition("node.stopped")[2]


def question(machine: Machine, at: str) -> str:
    """Ask `at` alone, from a port that is not 5353, who serves _hardline._tcp: "an answer" or "silence"."""
    program = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.settimeout(1)\n"
        "s.sendto(bytes.fromhex('000100000001000000000000095f686172646c696e65045f746370056c6f63616c00000c0001'),"
        " (sys.argv[1], 5353))\n"
        "try: print('an answer' if b'kh=' in s.recv(9000) else 'something else')\n"
        "except TimeoutError: print('silence')\n"
    )
    return machine.run([sys.executable, "-c", program, at]).strip()
