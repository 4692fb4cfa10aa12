"""The original hardline 0.0.16 and us in one DHT: each finds the other where the LAN does not reach."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from tests.interop import original
from tests.interop.original import Original
from tests.reach.world import DHT, World, is_published, settings
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until
from tests.upnp.home import PUBLIC, Box

pytestmark = [
    pytest.mark.netns,
    pytest.mark.interop,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "curl", "miniupnpd", "dhtnode"),
]

BOOTSTRAP = "bootstrap.jami.net"  # what the original asks, always


class Desk:
    """A box as the original wants its machine."""

    def __init__(self, box: Box) -> None:
        self._box = box

    def wrap(self, command: Sequence[str | Path]) -> list[str]:
        return self._box.wrap(command)

    def start(
        self,
        command: Sequence[str | Path],
        *,
        output: IO[Any] | int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.wrap(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env
        )


@pytest.fixture(scope="session")
def environment() -> Path:
    return original.environment()


def test_an_original_finds_us_through_the_dht_proxy_that_it_is_told(
    world: World, environment: Path, tmp_path: Path
) -> None:
    world.start_upnpd()
    host = Node(tmp_path / "host", at=world.host, settings=settings(upnp=True))
    with running_origin(world.host) as origin:
        host.share("site", origin.port, password="sesame")
        with host:
            is_published(host, "site", at=f"{PUBLIC}:7008")
            label = host.label("site")
            visitor = Original(
                tmp_path / "visitor", environment, at=Desk(world.guest), dht_proxy=f"{world.proxy()}/key/"
            )
            with visitor:
                answer = curl(visitor.url_of(label), at=world.guest, limit=30)
                assert (answer.status, answer.text) == (200, "hello from the origin\n")
            assert "Trying DHT Proxy request" in visitor.log_file.read_text()
            assert "protocol=hardline/1" in host.log


def test_we_find_an_original_that_publishes_by_a_node_of_its_own(
    world: World, environment: Path, tmp_path: Path
) -> None:
    world.forward(7008)
    visitor = Node(tmp_path / "visitor", at=world.guest, settings=settings())
    with running_origin(world.host) as origin, knows(world.host, {BOOTSTRAP: DHT}):
        host = Original(
            *(tmp_path / "host", environment),
            at=Desk(world.host),
            external=PUBLIC,
            modules=with_opendht(tmp_path / "modules"),
        )
        host.share("site", origin.port)
        with host, visitor:
            label = host.label("site")
            wait_until(lambda: curl(visitor.url_of(label), at=world.guest).status == 200, "it was found", 40)
            visit = visitor.last_visit(label)
            assert (visit["via"], visit["found_by"], visit["endpoint"]) == ("DIRECT", "DHT", f"{PUBLIC}:7008")
            assert visit["protocol"] == "hardline/1"
            assert visitor.status()["outside"]["dht"]["originals"] > 0


def with_opendht(directory: Path) -> Path:
    """A directory of modules with nothing but OpenDHT in it, which the original uses where it is there."""
    found = importlib.util.find_spec("opendht")
    if found is None or found.origin is None:
        needs.cannot("OpenDHT")
    packages = Path(found.origin).parents[1]
    directory.mkdir()
    for part in packages.glob("opendht*"):
        if not part.name.endswith("-info"):
            (directory / part.name).symlink_to(part)
    return directory


@contextlib.contextmanager
def knows(box: Box, names: Mapping[str, str]) -> Iterator[None]:
    """Host names of a machine: ip-netns(8) puts these files in place of those in /etc."""
    directory = Path("/etc/netns") / box.namespace
    directory.mkdir(parents=True)
    try:
        lines = [f"{address} {name}\n" for name, address in names.items()]
        (directory / "hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))
        yield
    finally:
        shutil.rmtree(directory)
