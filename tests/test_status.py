"""What `hardline status --json` says of the process itself."""

from __future__ import annotations

from pathlib import Path

from tests.support.node import Node
from tests.support.programs import RunningOrigin, curl
from tests.support.waiting import wait_until


def test_a_daemon_tells_what_it_holds_and_a_visit_leaves_its_session_only(
    tmp_path: Path, origin: RunningOrigin
) -> None:
    host, visitor = Node(tmp_path / "host"), Node(tmp_path / "visitor")
    host.share("site", origin.port)
    with host, visitor:
        wait_until(lambda: "mdns.opened" in visitor.log, "it has opened all that it opens by itself")
        wait_until(lambda: "node.look" not in visitor.status()["process"]["tasks"], "it has looked around")
        before = visitor.status()["process"]
        assert curl(visitor.url_of(host.label("site"))).status == 200
        wait_until(lambda: not visitor.sessions("visiting")[0]["streams"], "the stream ended")

        def quiet() -> bool:
            now = visitor.status()["process"]
            return bool(
                now["tasks"] == before["tasks"] | {"visitor.warm": 1, "visitor.pool": 1}
                and now["descriptors"] <= before["descriptors"] + 2  # the session, and the memory of its route
            )

        wait_until(quiet, "only the session is left")
