"""Whole daemons behind a firewall that lets out nothing but TLS: a relay brings visitors all the same, inside TLS."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.punch.lab import Lab
from tests.punch.punching import OUTSIDE
from tests.punch.test_matrix import SIZE, Three, stays_relayed, three
from tests.punch.test_under_way import ends_and_resets_arrive
from tests.support import needs
from tests.support.programs import curl
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "nft", "conntrack", "sysctl", "curl", "openssl"),
]

PROBLEM = "this firewall passes only TLS: joins go inside TLS"
_SERVER = Path(__file__).parents[1] / "reach" / "tls_server.py"


def is_visited_inside_tls(all_three: Three) -> None:
    """Its page is there, all bytes pass the relay, and the host's owner is told why."""
    all_three.visit()
    assert all_three.session()["kind"] == "RELAYED"
    status = all_three.host.status()
    assert {one["kind"] for one in status["sessions"] if one["role"] == "hosting"} == {"RELAYED"}
    [used] = status["relays"]["used"]
    assert (used["state"], used["problem"]) == ("registered", PROBLEM)
    assert all_three.downloads() > SIZE


def test_a_host_that_only_tls_gets_out_of_is_visited_by_its_relay(tmp_path: Path) -> None:
    with Lab(delayed=False) as lab:
        lab.nat(lab.ra, "tls+rst")
        with three(lab, tmp_path, port=443) as all_three:
            is_visited_inside_tls(all_three)


@pytest.mark.full
@pytest.mark.parametrize("firewall", ["tls", "tls+rst"])
def test_it_is_as_any_other_visit_by_a_relay_also_when_that_was_restarted(tmp_path: Path, firewall: str) -> None:
    with Lab() as lab:
        lab.nat(lab.ra, firewall)
        with three(lab, tmp_path, port=443) as all_three:
            is_visited_inside_tls(all_three)
            ends_and_resets_arrive(all_three, "RELAYED")
            all_three.relay.kill()
            wait_until(
                lambda: all_three.host.status()["relays"]["used"][0]["state"] != "registered", "the host sees it go"
            )
            all_three.relay.start()
            url = all_three.visitor.url_of(all_three.label)
            wait_until(lambda: curl(url, at=lab.b, limit=30).status == 200, "it is served again", every=0.3)
            is_visited_inside_tls(all_three)
            assert all_three.host.log.count("relay.only_tls") == 1, "what passes was not forgotten"
            stays_relayed(all_three)


@pytest.mark.full
@pytest.mark.parametrize("firewall", ["tls", "tls+rst"])
def test_the_firewall_passes_what_begins_as_tls_at_port_443_alone(tmp_path: Path, firewall: str) -> None:
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj"]
    subprocess.run([*made, "/CN=relay", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with Lab(delayed=False) as lab, contextlib.ExitStack() as ends:
        for port in ("443", "8443"):
            server = lab.p.start([sys.executable, _SERVER, certificate, key, port], subprocess.DEVNULL)
            ends.callback(server.wait)
            ends.callback(server.kill)
        refused = 56 if "rst" in firewall else 28  # curl's codes: it was reset, it heard nothing

        def got(url: str) -> tuple[int, str]:
            answer = curl(url, "-k", at=lab.a, limit=2)
            return answer.code, answer.text

        wait_until(lambda: got(f"https://{OUTSIDE}:8443/") == (0, "hello\n"), "it serves where everything passes")
        lab.nat(lab.ra, firewall)
        wait_until(lambda: got(f"https://{OUTSIDE}/") == (0, "hello\n"), "TLS passes")
        assert got(f"http://{OUTSIDE}:443/") == (refused, "")
        assert got(f"https://{OUTSIDE}:8443/")[0] in (7, 28), "at another port nothing does"
