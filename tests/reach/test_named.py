"""A service behind a router, by a name of its own: curl and Chromium trust it, and the relay's owner reads nothing.

browser ── the internet ── relay :443 ══ router ══ host          an authority, Pebble, looks by the relay, too
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Error

from hardline.certificates import load_or_create
from hardline.gateway.users import hashed
from tests.browser.chromium import goto, running_chromium
from tests.https.pebble import running_pebble
from tests.reach.curious import has_anywhere, memory_of
from tests.reach.test_original import knows
from tests.reach.test_relayed import RELAY, relay_in
from tests.reach.world import World, settings
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools(
        "ip", "ss", "nft", "sysctl", "curl", "dhtnode", "pebble", "pebble-challtestsrv", "certutil", "chromium"
    ),
]

PRIVATE, PASSWORD = "private.example.org", "correct horse"
NAME, AUTHORITY = "nas.example.org", "11.22.33.40"
MARKER, SAID_BACK = "marked-7c0ffee7", "hello from the origin"
_SNIFFER = Path(__file__).with_name("sniffer.py")


def trusts(home: Path, roots: Path) -> None:
    """A Chromium whose home is there trusts these authorities."""
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    for words in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "authority", "-i", str(roots)]):
        subprocess.run(["certutil", "-d", f"sql:{database}", *words], check=True, capture_output=True)


def test_browsers_verify_it_and_the_relay_reads_nothing(world: World, tmp_path: Path) -> None:
    world.keep_apart()
    (tmp_path / "host" / "data").mkdir(parents=True)
    me = load_or_create(tmp_path / "host" / "data" / "node.cert").key_hash
    domains = f"ports = 443\ndomains = {NAME} {me}, {PRIVATE} {me}\n"
    authority = world.machine("auth")
    world.plug(authority, world.internet, 40)
    with contextlib.ExitStack() as stack:
        box, relay, use = stack.enter_context(relay_in(world, tmp_path / "relay", allow=str(me), more=domains))
        captured = tmp_path / "captured"
        sniffer = box.start([sys.executable, _SNIFFER, "eth0", captured], subprocess.PIPE)
        stack.enter_context(sniffer)
        stack.callback(sniffer.kill)
        assert sniffer.stdout is not None
        assert sniffer.stdout.readline() == b"listening\n"
        pebble = stack.enter_context(
            running_pebble(tmp_path / "pebble", 443, at=authority, address=AUTHORITY, names=RELAY)
        )
        origin = stack.enter_context(running_origin(world.host))
        more = f"[Relay]\nuse = {use}\n{pebble.settings}"
        host = stack.enter_context(Node(tmp_path / "host", at=world.host, settings=settings(dht=False, more=more)))
        stack.enter_context(knows(world.visitor, {NAME: RELAY, PRIVATE: RELAY}))
        host.write("nas", f"[Service]\nservice = 127.0.0.1\nport = {origin.port}\n[Public]\nname = {NAME}\n")

        users = f"users = anna:{hashed(PASSWORD)}\n"
        for_users = f"[Service]\nservice = 127.0.0.1\nport = {origin.port}\n[Public]\nname = {PRIVATE}\n{users}"
        host.write("private", for_users)

        def is_certified() -> bool:
            services = [host.service(name) for name in ("nas", "private")]
            return all(one is not None and (one["https"] or {}).get("state") == "serving" for one in services)

        wait_until(is_certified, f"they have certificates:\n{host.log[-3000:]}")

        echoed = curl(
            f"https://{NAME}/echo?{MARKER}",
            *("--cacert", pebble.roots, "-H", f"Cookie: {MARKER}", "-d", MARKER),
            at=world.visitor,
        )
        assert (echoed.status, echoed.json["body"]) == (200, MARKER)
        assert curl(f"https://{NAME}/", at=world.visitor).code == 60, "nobody else's authority says so"

        profile = tmp_path / "chromium-home"
        profile.mkdir()
        trusts(profile, pebble.roots)
        with running_chromium(world.visitor, profile) as browser:
            page = browser.new_page()
            answer = goto(page, f"https://{NAME}/?{MARKER}")
            assert answer.status == 200
            assert SAID_BACK in page.content()
            security = answer.security_details()
            assert security is not None
            assert security["subjectName"] == NAME or NAME in str(security)
            assert security["protocol"] == "TLS 1.3"
            with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
                goto(page, f"https://{PRIVATE}/")
            context = browser.new_context(http_credentials={"username": "anna", "password": PASSWORD})
            for path in ("", "echo"):
                answer = goto(context.new_page(), f"https://{PRIVATE}/{path}")
                assert answer.status == 200
            assert "authorization" not in answer.json()["headers"]

        wait_until(lambda: NAME.encode() in captured.read_bytes(), "what passed the relay was written down")
        seen = captured.read_bytes()
        held = b"".join(memory_of(relay.process.pid))
        key_hash = host.label("nas")[-40:]
        for what in (MARKER.encode(), SAID_BACK.encode(), key_hash.encode(), bytes.fromhex(key_hash)):
            assert what not in seen
            assert what not in held
        assert NAME.encode() in held
        for text in (relay.log, host.log, pebble.log.read_text()):
            assert key_hash not in text
        assert not has_anywhere(pebble.roots.read_bytes(), load_or_create(host.services / "nas.ini.cert").key_hash)
