"""Row 15: a node is let in by a relay by what it may tell anybody, and the relay has nothing of it that is secret."""

from __future__ import annotations

import base64
import re
import signal
from pathlib import Path

from tests.reach.curious import memory_of
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [needs.linux(), needs.root(), needs.tools("curl")]


def secrets_of(host: Node) -> dict[str, bytes]:
    """Of its private keys, each as a line of its file and as the 32 bytes that are secret; and the label."""
    found = {"the label": host.label("site").encode(), "the key hash": bytes.fromhex(host.label("site")[-40:])}
    for file in host.data.parent.rglob("*.private"):
        [line] = re.findall(rb"-----\n(.{64})\n", file.read_bytes())
        found[f"{file.name} as text"], found[file.name] = line, base64.b64decode(line)[-32:]
    return found


def test_row_15_a_line_of_the_log_lets_a_node_in_and_the_relay_holds_no_secret(tmp_path: Path) -> None:
    relay = Node(tmp_path / "relay", settings="[Relay]\nenabled = yes\n[LAN]\nenabled = no\n")  # a LAN is told of it
    host = Node(tmp_path / "host", settings=f"[Relay]\nuse = 127.0.0.1:{relay.p2pport}#{relay.key_hash}\n")

    def used() -> dict[str, str]:
        [one] = host.status()["relays"]["used"]
        return dict(one)

    with running_origin() as origin, relay:
        host.share("site", origin.port)
        keys = set()
        for _ in range(2):
            with host:
                keys |= {host.hardline("key").stdout.strip() for _ in range(2)}
                wait_until(lambda: used()["state"] == "refused", "a key that nobody has named is refused")
                assert "does not serve this node" in used()["problem"]
        [key] = keys
        assert f"[Relay] allow = {key}" in relay.log, "the line is there, ready to paste"
        settings = tmp_path / "relay" / "hardline.ini"
        settings.write_text(settings.read_text().replace("enabled = yes\n", f"enabled = yes\nallow = {key}\n", 1))
        relay.signal(signal.SIGHUP)
        wait_until(lambda: "settings.read" in relay.log, "it was read again")
        with host:
            wait_until(lambda: used()["tested"], "it has been visited by the relay")
            assert curl(host.url("site")).status == 200
            secrets = secrets_of(host)
            assert len(secrets) == 2 + 2 * 2
            held = b"\n".join(
                [*memory_of(relay.process.pid), *(one.read_bytes() for one in relay.data.rglob("*") if one.is_file())]
            )
            own = base64.b64decode(re.findall(rb"-----\n(.{64})\n", (relay.data / "node.cert.private").read_bytes())[0])
            assert own[-32:] in held, "what a process holds is found"
            assert key.encode() in held
            assert [name for name, secret in secrets.items() if secret in held] == []
