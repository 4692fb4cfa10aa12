"""A field of battle: a host, a visitor with a well-behaved person, and a stranger, on one LAN.

One for all tests of a file: what an attack leaves behind shall meet the next one.  At the end every daemon must end
in order.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.siege import MEMORY, Attack, WellBehaved, besiege
from tests.netns.lab import Lab, Machine
from tests.support.node import Node
from tests.support.programs import Answer, curl
from tests.support.size import FULL

# What is under attack and who is well-behaved come before the attackers and before whatever else this machine does: who
# gets no processor has more to do when he gets it, and that would be nobody's harm.
FIRST = ("nice", "-n", "-10")
LAST = ("nice", "-n", "5")  # not so far that nothing happens
# Strangers who hold something are given up after these seconds; the default would only make the tests longer.
PATIENCE = 3
SESSIONS = 400 if FULL else 200
MANY = "10.77.1.128/25"  # addresses that the stranger may give itself
NAMED, SWALLOWS = "nas.example", "11.22.33.254"  # on the host: its own name, and a name server that says nothing
WINDOWS = 128  # MB that all streams together may hold
SETTINGS = f"""[Session]
hello_timeout = {PATIENCE}
max_sessions = {SESSIONS}
process_window = {WINDOWS}MB
"""


@dataclass(frozen=True, slots=True)
class Field:
    """`host` shares "site", which the well-behaved use; `stranger` is a machine without a daemon.

    "bait" is for strangers to get at: what they do to the service itself is not the daemons' to prevent.
    """

    lab: Lab
    host_machine: Machine
    visitor_machine: Machine
    stranger: Machine
    host: Node
    visitor: Node
    origin_port: int
    label: str
    bait: str
    well_behaved: WellBehaved
    directory: Path

    def survives(
        self,
        *attacks: Attack,
        memory: int = MEMORY,
        meanwhile: Callable[[], None] = lambda: None,
        judged_once: Callable[[], None] | None = None,
        sources: int = 1,
    ) -> list[dict[str, Any]]:
        """Both daemons and who uses them, while all of `attacks` go on; returns the attackers' reports."""
        nodes = [self.host, self.visitor]
        return besiege(
            self.well_behaved,
            nodes,
            list(attacks),
            self.directory,
            memory=memory,
            meanwhile=meanwhile,
            judged_once=judged_once,
            sources=sources,
        )

    def by_stranger(self, program: str, *arguments: object) -> Attack:
        """From the LAN."""
        return Attack(self.stranger, program, arguments)

    def by_local(self, program: str, *arguments: object) -> Attack:
        """From the visitor's own computer."""
        return Attack(self.visitor_machine, program, arguments)

    def curl(self, label: str, path: str = "", *options: str, limit: float = 60) -> Answer:
        return curl(self.visitor.url_of(label, path), *options, at=self.visitor_machine, limit=limit)

    def vias(self, label: str) -> list[str]:
        """How the visitor reached a label that it has a session with."""
        return [session["via"] for session in self.visitor.sessions("visiting") if session["label"] == label]

    def cold_labels(self, names: Sequence[str]) -> list[str]:
        """Services that nobody has visited."""
        for name in names:
            self.host.share(name, self.origin_port)
        return [self.host.label(name) for name in names]


@contextlib.contextmanager
def patient_origin(machine: Machine, *before: str, tls: Sequence[Path] = ()) -> Iterator[int]:
    """The site's server on `machine`, over TLS with a certificate and its key; yields its port."""
    command = [*before, sys.executable, Path(__file__).with_name("patient_origin.py"), *tls]
    process = machine.start(command, output=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def knowing_no_name(directory: Path) -> list[str]:
    """Run a command where the only name server swallows what it is asked, and the only other name is `NAMED`."""
    resolv, hosts = directory / "resolv.conf", directory / "hosts"
    resolv.write_text(f"nameserver {SWALLOWS}\noptions timeout:10 attempts:3\n")
    hosts.write_text(f"127.0.0.1 localhost {NAMED}\n")
    mounts = f"mount --bind {resolv} /etc/resolv.conf && mount --bind {hosts} /etc/hosts"
    return ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    directory = tmp_path_factory.mktemp("field")
    with Lab() as lab:
        host_machine, visitor_machine, stranger = (lab.machine(name) for name in ("host", "visitor", "stranger"))
        host = Node(
            directory / "host", at=host_machine, settings=SETTINGS, before=[*FIRST, *knowing_no_name(directory)]
        )
        visitor = Node(directory / "visitor", at=visitor_machine, settings=SETTINGS, before=FIRST)
        with (
            patient_origin(host_machine, *FIRST) as port,
            patient_origin(host_machine, *LAST) as bait_port,
        ):
            host.share("site", port)
            host.share("bait", bait_port)
            with host, visitor:
                label = host.label("site")
                assert curl(visitor.url_of(label), at=visitor_machine).status == 200
                daemons = (visitor.process.pid, host.process.pid)
                well_behaved = WellBehaved(
                    visitor_machine, directory / "waits", label, visitor.localport, host_machine.ip4, port, *daemons
                )
                try:
                    yield Field(
                        lab,
                        host_machine,
                        visitor_machine,
                        stranger,
                        host,
                        visitor,
                        port,
                        label,
                        host.label("bait"),
                        well_behaved,
                        directory,
                    )
                finally:
                    well_behaved.close()
