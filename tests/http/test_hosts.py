"""Under which names a server of files answers: never under one that somebody else can have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.http.hosts import Hosts
from tests.support.rebinding import FOREIGN_NAMES, NO_HOSTS

pytestmark = pytest.mark.pure

OWN = ("localhost", "LOCALHOST", "localhost.", "127.0.0.1", "[::1]")
SERVERS = {
    "loopback": Hosts("127.0.0.1", 8000),
    "loopback, IPv6": Hosts("::1", 8000),
    "an address": Hosts("192.168.1.9", 8000),
    "all addresses": Hosts("0.0.0.0", 8000),
    "all addresses, IPv6": Hosts("::", 8000),
    "with a name": Hosts("127.0.0.1", 8000, ["nas.lan"]),
}

every_server = pytest.mark.parametrize("hosts", SERVERS.values(), ids=SERVERS)


@every_server
@pytest.mark.parametrize("port", ["", ":8000"])
@pytest.mark.parametrize("host", FOREIGN_NAMES)
def test_a_name_that_somebody_else_can_have_is_not_answered(hosts, host, port):
    assert not hosts.answers(host + port)


@every_server
@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host_is_not_answered(hosts, host):
    assert not hosts.answers(host)


@pytest.mark.parametrize("name", OWN)
def test_on_loopback_this_machines_own_names_are_answered_at_its_own_port(name):
    for server in ("loopback", "loopback, IPv6"):
        assert SERVERS[server].answers(f"{name}:8000")
        for foreign in ("", ":", ":80", ":8001"):
            assert not SERVERS[server].answers(name + foreign)
        assert not SERVERS[server].answers("192.168.1.9:8000")
    assert Hosts("127.0.0.1", 80).answers(name)


def test_at_an_address_of_a_network_that_address_is_answered_behind_whatever_port_it_is_mapped():
    for host in ("192.168.1.9", "192.168.1.9:8000", "192.168.1.9:80"):
        assert SERVERS["an address"].answers(host)
    for host in (*OWN, "192.168.1.8", "[::1]:8000"):
        assert not SERVERS["an address"].answers(host)


def test_a_server_at_all_addresses_answers_to_addresses():
    for host in (*OWN, "192.168.1.9:8000", "10.0.0.1", "[2001:db8::1]:8000", "[fe80::1]"):
        assert SERVERS["all addresses"].answers(host)
        assert SERVERS["all addresses, IPv6"].answers(host)


def test_a_name_that_its_owner_gave_it_is_answered():
    for host in ("nas.lan", "NAS.LAN.", "nas.lan:1234"):
        assert SERVERS["with a name"].answers(host)
    assert not SERVERS["with a name"].answers("nas.lan.example")


@given(st.text(max_size=80))
def test_any_text_is_answered_or_not(host):
    SERVERS["all addresses"].answers(host)
