"""A host behind a router that lets nobody in, and a plain browser on the internet: a gateway is between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reach.test_relayed import RELAY, is_told, relay_in
from tests.reach.world import World, settings
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import CUT, Download, curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "curl", "dhtnode"),
]

GATEWAY = "11.22.33.40"


@pytest.mark.slow
def test_row_1_a_service_behind_a_router_is_reached_by_a_plain_browser(world: World, tmp_path: Path) -> None:
    """By a relay; and when that dies, what is on its way is cut."""
    world.keep_apart()
    (tmp_path / "pile").mkdir()
    (tmp_path / "pile" / "a.txt").write_text("from behind the router\n")
    with relay_in(world, tmp_path / "relay") as (_, relay, use), running_origin(world.host) as origin:
        by_relay = f"[Relay]\npunch = no\nuse = {use} named\n"
        host = Node(tmp_path / "host", at=world.host, settings=settings(dht=False, more=by_relay))
        host.share("site", origin.port)
        with host:
            assert not host.hardline("share", str(tmp_path / "pile"), "--name", "pile").returncode
            is_told(host, names=6)
            box = world.machine("gateway")
            world.plug(box, world.internet, int(GATEWAY.rpartition(".")[2]))
            names = "".join(f"[Gateway:{name}]\nlabel = {host.label(name)}\n" for name in ("pile", "site"))
            more = f"{by_relay}[Gateway]\nlisten = {GATEWAY}:80\n{names}"
            with Node(tmp_path / "gateway", at=box, settings=settings(dht=False, more=more)) as gateway:

                def get(path: str) -> tuple[int, str]:
                    answer = curl(f"http://{GATEWAY}{path}", "-H", "Accept: text/html", at=world.visitor, limit=30)
                    return answer.status, answer.text

                wait_until(lambda: get("/servers/pile/")[0] == 200, f"it is reached:\n{gateway.log[-3000:]}")
                assert "a.txt" in get("/servers/pile/")[1]
                assert get("/servers/pile/a.txt") == (200, "from behind the router\n")
                assert ">online<" in get("/")[1]
                found = {(session["kind"], session["endpoint"]) for session in gateway.sessions("visiting")}
                assert found == {("RELAYED", f"{RELAY}:7008")}
                # The router lets nobody in: from the internet its own port is not even there.
                assert curl("http://11.22.33.101:7008/", at=world.visitor, limit=5).status == 0
                url = f"http://{GATEWAY}/servers/site/stall/1000000"
                with Download(url, tmp_path / "got", at=world.visitor) as download:
                    download.has_received(1_000_000)
                    relay.kill()
                    assert download.exit_code() in CUT
