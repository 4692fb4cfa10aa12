"""Which of the programs that show a firewall's rules is asked, and what is said where none of them may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hardline.doctor import commands, firewall
from hardline.doctor.facts import Firewall
from hardline.doctor.rows import Unknown
from hardline.doctor.ruleset import Packet
from tests.doctor.test_ruleset import ACCEPT, SAVED, UFW, ZONE, dport, nft

WANTED = (Packet("tcp", 7008), Packet("udp", 6771))
XT = [{"xt": {"type": "match", "name": "conntrack"}}, ACCEPT]

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A computer that has no programs but those that are installed here; each says what it is told to say."""
    monkeypatch.setattr(commands, "_PLACES", str(tmp_path))
    monkeypatch.setattr(firewall, "_UFW", tmp_path / "ufw.conf")
    monkeypatch.setattr(firewall, "_LEGACY", tmp_path / "ip_tables_names")
    monkeypatch.setattr(firewall.os, "geteuid", lambda: 0)

    def put(program: str, says: str, code: int = 0) -> None:
        (tmp_path / f"{program}.says").write_text(says)
        script = tmp_path / program
        script.write_text(f"#!/bin/sh\n/bin/cat {script}.says\nexit {code}\n")
        script.chmod(0o755)

    return put


def looked() -> Firewall | Unknown:
    return asyncio.run(firewall.look(WANTED))


def passes() -> list[bool | None]:
    found = looked()
    assert isinstance(found, Firewall), found
    return [one.passes for one in found.ports]


def test_without_any_program_nothing_is_known(install: Install) -> None:
    found = looked()
    assert isinstance(found, Unknown)
    assert "nft, iptables" in found.reason


def test_who_is_not_root_is_told_what_root_would_type(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall.os, "geteuid", lambda: 1000)
    install("nft", "", 1)
    assert looked() == Unknown("only root can see the rules of the kernel", "sudo nft list ruleset")


def test_ufw_that_is_on_decides_and_shows_itself_to_root_only(install: Install, tmp_path: Path) -> None:
    install("nft", nft(policy="accept"))
    install("ufw", UFW.format(rules="6771/udp  ALLOW IN  Anywhere"))
    assert passes() == [True, True]  # it is installed, and off
    (tmp_path / "ufw.conf").write_text("# on\nENABLED=yes\n")
    assert passes() == [False, True]
    found = looked()
    assert isinstance(found, Firewall)
    assert (found.tool, found.open_it) == ("ufw", "sudo ufw allow 7008/tcp")
    install("ufw", "ERROR: You need to be root to run this script", 1)
    assert looked() == Unknown("ufw is on, and only root can see what it lets in", "sudo ufw status verbose")


def test_firewalld_that_runs_decides(install: Install) -> None:
    install("nft", nft(policy="accept"))
    install("firewall-cmd", "not running", 252)
    assert passes() == [True, True]
    install("firewall-cmd", ZONE.format(target="default", ports="7008/tcp", rich=""))
    assert passes() == [True, False]


def test_nftables_alone_is_asked_alone(install: Install) -> None:
    install("nft", nft([dport(7008), ACCEPT]))
    install("iptables-save", SAVED.format(policy="DROP", rules=""))
    assert passes() == [True, False]


def test_what_iptables_has_put_into_nftables_is_shown_by_it(install: Install) -> None:
    install("nft", nft(XT))
    install("iptables-save", SAVED.format(policy="DROP", rules="-A INPUT -p tcp --dport 7008 -j ACCEPT"))
    assert passes() == [True, False]
    (found,) = [looked()]
    assert isinstance(found, Firewall)
    assert found.open_it == "sudo iptables -I INPUT -p udp --dport 6771 -j ACCEPT"
    install("iptables-save", "", 1)
    assert isinstance(looked(), Unknown)


def test_the_older_iptables_stands_before_nftables(install: Install, tmp_path: Path) -> None:
    install("nft", nft(policy="accept"))
    install("iptables-save", SAVED.format(policy="ACCEPT", rules=""))
    install("iptables-legacy-save", SAVED.format(policy="DROP", rules=""))
    assert passes() == [True, True]
    (tmp_path / "ip_tables_names").write_text("nat\nfilter\n")
    assert passes() == [False, False]


@pytest.mark.parametrize("says", ["", "nonsense", "[]", json.dumps({"nftables": {}})])
def test_what_is_not_understood_is_not_judged(install: Install, says: str) -> None:
    install("nft", says)
    found = looked()
    assert isinstance(found, Unknown)
    assert found.do == "nft list ruleset"


def test_a_program_that_hangs_or_says_too_much_is_ended(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MOST", 1000)
    install("nft", "x" * 5000)
    assert isinstance(looked(), Unknown)
    monkeypatch.setattr(commands, "WITHIN", 0.0)
    install("nft", nft())
    assert isinstance(looked(), Unknown)
