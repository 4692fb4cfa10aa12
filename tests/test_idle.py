"""What an idle daemon has loaded: nothing of a part that is off, and of others' libraries only those of a list.

Its memory is what it has loaded, and that is counted here; docs/BENCH.md has the megabytes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.node import Node
from tests.support.waiting import wait_until

# Part → what it is made of: modules, and all below them.
OFF = {
    "gateway": "hardline.gateway",
    "forwards": "hardline.door.forwards hardline.door.localport hardline.node.forwarding",
    "SOCKS": "hardline.door.socksproxy hardline.door.socks",
    "nc and forward": "hardline.netcat",
    "warm links": "hardline.gateway.linked hardline.tunnel.warmlink hardline.tunnel.down",
    "public names": "hardline.https acme josepy dns requests",
    "public ports": "hardline.relay.ports hardline.relay.leases",
    "a relay for others": "hardline.relay.server hardline.relay.porter hardline.relay.registry hardline.relay.pair",
    "servers of tx_tlsrelay": "hardline.relay.tlsrelay",
    "relays in use": "hardline.relay.client hardline.relay.finder",
    "DHT": "hardline.dht opendht",
    "routers": "hardline.upnp.mappings hardline.upnp.igd miniupnpc",
    "applications": "hardline.apps hardline.node.inprocess hardline.node.opened uvicorn httptools websockets h11",
    "frameworks": "starlette fastapi flask",
    "names of virtual hosts": "hardline.tunnel.renamed hardline.http.virtualhost",
    "the page": "hardline.web hardline.node.ownpages hardline.node.page hardline.node.probing",
    "counts for Prometheus": "hardline.web.metrics prometheus_client",
    "doctor": "hardline.doctor hardline.node.examined hardline.node.tracing",
    "phones": "hardline.node.phones hardline.gateway.phone segno",
    "inspector": "hardline.inspector hardline.node.inspecting",
    "backup": "hardline.backup nacl.pwhash nacl.secret",
    "sites and files": "hardline.cache.site hardline.cache.files hardline.cache.caching hardline.http.serving",
    "uploads and zips": "hardline.cache.files.uploads hardline.cache.files.zips zipstream zipfile",
    "templates": "hardline.cache.templates markdown_it jinja2",
    "the command line": "hardline.cli hardline.tables argparse_manpage shtab",
    "systemd units": "hardline.units",
    "heavy parts of Python": "http.client http.server urllib.request email.message html difflib xml tarfile pydoc",
}
LIBRARIES = {
    "OpenSSL",
    "cryptography",
    "nacl",
    "uvloop",
    "watchfiles",
    "anyio",
    "typing_extensions",
    "zeroconf",
    "ifaddr",
}

_PROGRAM = """
import sys, threading, time
from pathlib import Path

def tell():
    while not Path({asked!r}).exists():
        time.sleep(0.02)
    Path({told!r}).with_suffix(".draft").write_text(" ".join(sorted(sys.modules)))
    Path({told!r}).with_suffix(".draft").rename({told!r})

threading.Thread(target=tell, daemon=True).start()
from hardline.hardlined import main
sys.exit(main(sys.argv[1:]))
"""


class Telling(Node):
    """A daemon that tells what it has loaded when it is asked to."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._asked, self._told = directory / "asked", directory / "told"

    @property
    def command(self) -> list[str]:
        program = _PROGRAM.format(asked=str(self._asked), told=str(self._told))
        return [sys.executable, "-c", program, *super().command[1:]]

    def loaded(self) -> set[str]:
        self._asked.touch()
        wait_until(self._told.exists, "it tells what it has loaded")
        return set(self._told.read_text().split())


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """By a daemon with usual settings, but for the DHT and routers, that has one service and nothing to do."""
    node = Telling(tmp_path_factory.mktemp("idle"))
    node.share("site", 9)
    with node:
        wait_until(lambda: "mdns.opened" in node.log, "it hears DNS-SD")
        yield node.loaded()


def of(names: str, modules: set[str]) -> list[str]:
    wanted = tuple(names.split())
    return sorted(one for one in modules if one in wanted or one.startswith(tuple(f"{name}." for name in wanted)))


@pytest.mark.parametrize("part", OFF)
def test_an_idle_daemon_has_loaded_nothing_of_a_part_that_is_off(loaded: set[str], part: str) -> None:
    assert of(OFF[part], loaded) == []


def test_of_others_libraries_it_has_loaded_those_that_it_needs(loaded: set[str]) -> None:
    first = {name.partition(".")[0] for name in loaded if not name.startswith(("_", "cython_runtime"))}
    assert first - sys.stdlib_module_names - LIBRARIES == {"hardline"}


def test_what_is_named_here_is_there() -> None:
    """A part that has moved would be found missing by nobody."""
    ours = [name for names in OFF.values() for name in names.split() if name.startswith("hardline")]
    assert [name for name in ours if find_spec(name) is None] == []
