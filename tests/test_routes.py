"""Endpoints, and the lists of them that originals send (docs/PROTOCOL.md, section 7)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.routes import MAX_HOSTS, Endpoint, PathKind, format_wan_hosts, parse_wan_hosts

pytestmark = pytest.mark.pure

ports = st.integers(1, 65_535)
endpoints = st.one_of(
    st.builds(lambda address, port: Endpoint.parse(f"[{address}]:{port}"), st.ip_addresses(), ports),
    st.builds(Endpoint, st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{2,5})?", fullmatch=True), ports),
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.1:7008", "192.0.2.1", 7008),
        (" 192.0.2.1:7008 ", "192.0.2.1", 7008),
        ("[2001:DB8::1]:7008", "2001:db8::1", 7008),
        ("[fe80::1%eth0]:7008", "fe80::1%eth0", 7008),
        ("Home.Example.org:1", "home.example.org", 1),
        ("localhost:65535", "localhost", 65_535),
    ],
)
def test_an_endpoint_is_a_host_and_a_port(text, host, port):
    assert Endpoint.parse(text) == Endpoint(host, port)


@given(endpoints)
def test_an_endpoint_comes_back_from_its_text(endpoint):
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        *("", "host", ":1", "host:", "host:0", "host:65536", "host:-1", "host:1e3", "host:٣", f"host:{'9' * 5000}"),
        *("a b:1", "a/b:1", "me@host:1", "host:80:1", "[::g]:1", "[::1:1", "-a:1", f"{'a' * 300}:1", "a\n:1", "a..b:1"),
    ],
)
def test_what_is_no_endpoint_is_the_peers_fault(text):
    with pytest.raises(PeerError) as caught:
        Endpoint.parse(text)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "host", ["8000", "127.1", "2130706433", "0x7f.1", "0x7F000001", "0177.0.0.1", "0", "127.0.0.1.", "a.0x"]
)
def test_an_address_in_a_spelling_that_hides_it_is_no_host_name(host):
    with pytest.raises(PeerError):
        Endpoint.parse(f"{host}:1")


def test_an_ipv4_address_in_ipv6_form_is_the_ipv4_address():
    assert Endpoint.parse("[::ffff:127.0.0.1]:22") == Endpoint("127.0.0.1", 22)


def test_an_endpoint_knows_its_address_unless_it_is_a_name():
    assert str(Endpoint("::1", 1).address) == "::1"
    assert str(Endpoint("fe80::1%eth0", 1).address) == "fe80::1%eth0"
    assert Endpoint("localhost", 1).address is None


@given(st.text() | st.text("[]:.%0123456789abcdef", max_size=50))
def test_any_text_is_an_endpoint_or_the_peers_fault(text):
    with suppress(PeerError):
        endpoint = Endpoint.parse(text)
        assert Endpoint.parse(str(endpoint)) == endpoint


@given(st.lists(endpoints, max_size=MAX_HOSTS, unique=True))
def test_a_list_of_hosts_comes_back_from_its_text_in_order(hosts):
    assert parse_wan_hosts(format_wan_hosts(hosts)) == hosts


def test_the_originals_own_list_is_read():
    assert parse_wan_hosts("203.0.113.9:7008,[200::1]:7008") == [
        Endpoint("203.0.113.9", 7008),
        Endpoint("200::1", 7008),
    ]


def test_bad_entries_never_hide_the_good_ones():
    assert parse_wan_hosts("junk,,:, 192.0.2.1:1 ,host:0,[::1]:2,192.0.2.1:1") == [
        Endpoint("192.0.2.1", 1),
        Endpoint("::1", 2),
    ]


@given(st.text())
def test_any_text_is_a_list_of_hosts_that_may_be_empty(text):
    assert len(parse_wan_hosts(text)) <= MAX_HOSTS


def test_a_list_of_a_million_hosts_costs_no_more_than_sixteen():
    assert len(parse_wan_hosts(",".join(f"192.0.2.1:{port}" for port in range(1, 65_536)) * 20)) == MAX_HOSTS


def test_the_local_network_is_tried_before_directness_and_relays():
    assert sorted(PathKind) == [PathKind.LAN, PathKind.DIRECT, PathKind.PUNCHED, PathKind.RELAYED]
