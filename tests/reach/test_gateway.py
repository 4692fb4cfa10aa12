"""A host behind a router that lets nobody in, and a plain browser on the internet: a gateway is between them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.reach.test_relayed import RELAY, is_told, relay_in
from tests.reach.world import World, settings
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import CUT, Download, curl, running_origin
from tests.support.size import FULL
from tests.support.waiting import wait_until
from tests.upnp.home import Box

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "curl", "conntrack", "dhtnode"),
]

GATEWAY = "11.22.33.40"


@dataclass(frozen=True)
class Way:
    """From the internet by a gateway and a relay to a host at home."""

    relay: Node
    host: Node
    gateway: Node
    browser: Box

    def get(self, path: str) -> tuple[int, str]:
        answer = curl(f"http://{GATEWAY}{path}", "-H", "Accept: text/html", at=self.browser, limit=30)
        return answer.status, answer.text


@contextlib.contextmanager
def way(world: World, directory: Path) -> Iterator[Way]:
    world.keep_apart()
    (directory / "pile").mkdir()
    (directory / "pile" / "a.txt").write_text("from behind the router\n")
    with relay_in(world, directory / "relay") as (_, relay, use), running_origin(world.host) as origin:
        by_relay = f"[Relay]\npunch = no\nuse = {use} named\n"
        inside = f"[Node]\nbind = 127.0.0.1\n{by_relay}"
        host = Node(directory / "host", at=world.host, settings=settings(dht=False, more=inside))
        host.share("site", origin.port)
        shared = f"[Service]\nservice =\n[Cache]\ndirectory = {directory / 'pile'}\nallowListing = yes\n"
        host.write("pile", shared)
        with host:
            is_told(host, names=6)
            box = world.machine("gateway")
            world.plug(box, world.internet, int(GATEWAY.rpartition(".")[2]))
            names = "".join(f"[Gateway:{name}]\nlabel = {host.label(name)}\n" for name in ("pile", "site"))
            more = f"{by_relay}[Gateway]\nlisten = {GATEWAY}:80\n{names}"
            with Node(directory / "gateway", at=box, settings=settings(dht=False, more=more)) as gateway:
                made = Way(relay, host, gateway, world.visitor)
                wait_until(lambda: made.get("/servers/pile/")[0] == 200, f"it is reached:\n{gateway.log[-3000:]}")
                yield made


@pytest.mark.slow
def test_row_1_a_service_behind_a_router_is_reached_by_a_plain_browser(world: World, tmp_path: Path) -> None:
    """By a relay; and when that dies, what is on its way is cut."""
    with way(world, tmp_path) as one:
        assert "a.txt" in one.get("/servers/pile/")[1]
        assert one.get("/servers/pile/a.txt") == (200, "from behind the router\n")
        assert ">online<" in one.get("/")[1]
        found = {(session["kind"], session["endpoint"]) for session in one.gateway.sessions("visiting")}
        assert found == {("RELAYED", f"{RELAY}:7008")}
        ports = [line.split()[3] for line in world.host.run(["ss", "-Hltn"]).splitlines()]
        assert ports
        assert not [at for at in ports if not at.startswith(("127.", "[::1]"))], "nothing listens but for itself"
        # The router lets nobody in: from the internet its own port is not even there.
        assert curl("http://11.22.33.101:7008/", at=world.visitor, limit=5).status == 0
        url = f"http://{GATEWAY}/servers/site/stall/1000000"
        with Download(url, tmp_path / "got", at=world.visitor) as download:
            download.has_received(1_000_000)
            one.relay.kill()
            assert download.exit_code() in CUT


@pytest.mark.slow
def test_row_23_what_is_idle_outlives_a_router_that_forgets(world: World, tmp_path: Path) -> None:
    """It drops what it has not seen for 30 seconds; another idle connection shows that it does."""
    forgets = ("net.netfilter.nf_conntrack_tcp_timeout_established=30", "net.netfilter.nf_conntrack_tcp_loose=0")
    world.router.run(["sysctl", "-q", "-w", *forgets])
    with way(world, tmp_path) as one, contextlib.ExitStack() as stack:
        url = f"http://{GATEWAY}/servers/site/stall/10"
        stack.enter_context(Download(url, tmp_path / "idle", at=world.host))
        known = ["conntrack", "-L", "-p", "tcp", "--dport", "80"]
        wait_until(lambda: "ESTABLISHED" in world.router.run(known), "the other one is there")
        wait_until(lambda: "ESTABLISHED" not in world.router.run(known), "and forgotten", 60, every=1.0)

        def idle() -> bool:
            return min(session["since_s"] for session in one.host.sessions("hosting")) > (300 if FULL else 75)

        wait_until(idle, "nobody has asked for long", 300, every=1.0)
        assert one.get("/servers/pile/a.txt") == (200, "from behind the router\n"), "at the first try"
