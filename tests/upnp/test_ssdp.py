"""Which answers to a search may be followed."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.upnp import ssdp

pytestmark = pytest.mark.pure

ROUTER, SELF = "192.168.77.1", "192.168.77.10"
NET = [ipaddress.IPv4Network("192.168.77.0/24")]
URL = f"http://{ROUTER}:5000/rootDesc.xml"
IGD = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"


def answer(url: str = URL, target: str = IGD, first: str = "HTTP/1.1 200 OK") -> bytes:
    return f"{first}\r\nCACHE-CONTROL: max-age=120\r\nst: {target}\r\nLocation:{url}\r\n\r\n".encode("latin-1")


def followed(packet: bytes, sender: str = ROUTER) -> str:
    return ssdp.location(packet, sender, NET, [SELF])


def test_a_routers_answer_leads_to_its_description():
    assert followed(answer()) == URL
    assert followed(answer(f"http://{ROUTER}/d")) == f"http://{ROUTER}/d"


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.77.2:5000/rootDesc.xml",
        "http://127.0.0.1:5000/x",
        "http://[::1]:5000/x",
        "http://localhost:5000/x",
        "http://router.lan/x",
        "http://8.8.8.8/x",
        f"http://{ROUTER}.evil.example/x",
        f"http://{ROUTER}@127.0.0.1/x",
        f"http://127.0.0.1#@{ROUTER}/x",
        f"http://user@{ROUTER}/x",
        f"http://{ROUTER}:0/x",
        f"http://{ROUTER}:99999/x",
        f"http://{ROUTER}:+80/x",
        f"http://{ROUTER}:080/x",
        f"http://{ROUTER}",
        f"https://{ROUTER}/x",
        f"ftp://{ROUTER}/x",
        f"HTTP://{ROUTER}/x y",
        f"http://{ROUTER}/\x00",
        f"http://{ROUTER}/ü",
        "http://192.168.077.001/x",
        "http://3232255233/x",
        f"http://{ROUTER}/" + "x" * 600,
        "/rootDesc.xml",
        "",
    ],
)
def test_an_answer_that_leads_anywhere_else_is_not_followed(url: str):
    with pytest.raises(PeerError):
        followed(answer(url))


@pytest.mark.parametrize("sender", ["8.8.8.8", "127.0.0.1", "192.168.78.1", SELF])
def test_nobody_but_a_neighbour_is_a_router_of_ours(sender: str):
    with pytest.raises(PeerError):
        followed(answer(f"http://{sender}:5000/x"), sender)


@pytest.mark.parametrize("first", ["NOTIFY * HTTP/1.1", "HTTP/1.1 404 Not Found", "HTTP/1.1 2000", "", "HTTP/2 200"])
def test_what_is_no_answer_is_refused(first: str):
    with pytest.raises(PeerError):
        followed(answer(first=first))


def test_a_printer_is_no_router():
    with pytest.raises(PeerError):
        followed(answer(target="urn:schemas-upnp-org:device:Printer:1"))


def test_a_huge_answer_is_refused():
    with pytest.raises(PeerError):
        followed(answer() + b"x" * ssdp.MAX_ANSWER)


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=100).map(lambda rest: answer(rest.decode("latin-1")))))
def test_any_bytes_are_followed_to_the_sender_or_a_peer_error(packet: bytes):
    with contextlib.suppress(PeerError):
        assert ssdp.host_of(followed(packet)) == ROUTER


def test_the_searches_name_whom_they_are_sent_to():
    packets = ssdp.searches(ROUTER)
    assert len(packets) == 4
    assert all(f"HOST: {ROUTER}:1900\r\n".encode() in packet and packet.endswith(b"\r\n\r\n") for packet in packets)


# ── over IPv6 ────────────────────────────────────────────────────────────────────────────────────────────────

OWN_6, ROUTER_6 = "2a0e:b107:77:1::10", "2a0e:b107:77:1::1"
FIREWALL = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"


def followed_6(url: str, sender: str = ROUTER_6) -> str:
    return ssdp.location(answer(url, FIREWALL), sender, ssdp.near(OWN_6), [OWN_6])


@pytest.mark.parametrize("host", [f"[{ROUTER_6}]:5000", f"[{ROUTER_6}]", "[2A0E:B107:77:1:0::1]:5000"])
def test_a_routers_answer_over_ipv6_leads_to_its_description(host: str):
    assert followed_6(f"http://{host}/d") == f"http://{host}/d"


@pytest.mark.parametrize(
    "url",
    [
        "http://[2a0e:b107:77:1::2]:5000/d",
        "http://[::1]:5000/d",
        f"http://{ROUTER}:5000/d",
        f"http://{ROUTER_6}/d",
        f"http://[{ROUTER_6}%25eth0]/d",
        f"http://[{ROUTER_6}%eth0]/d",
        f"http://x@[{ROUTER_6}]/d",
        f"http://[{ROUTER_6}]:0/d",
        f"http://[{ROUTER_6}]x/d",
        f"http://[{ROUTER_6}/d",
        "http://[::ffff:192.168.77.1]/d",
    ],
)
def test_an_answer_over_ipv6_that_leads_anywhere_else_is_not_followed(url: str):
    with pytest.raises(PeerError):
        followed_6(url)


@pytest.mark.parametrize("sender", ["2a0e:b107:77:2::1", "2001:4860:4860::8888", OWN_6, "::1"])
def test_over_ipv6_only_neighbours_are_followed(sender: str):
    with pytest.raises(PeerError):
        followed_6(f"http://[{sender}]:5000/d", sender)


def test_a_link_local_description_is_asked_through_the_interface_of_the_answer():
    url = followed_6("http://[fe80::1]:5000/d?a=1", "fe80::1")
    assert ssdp.place(url, OWN_6, "eth0") == ssdp.HttpPlace("fe80::1%eth0", 5000, "/d?a=1", OWN_6)
    assert ssdp.place(f"http://[{ROUTER_6}]/d", OWN_6, "eth0") == ssdp.HttpPlace(ROUTER_6, 80, "/d", OWN_6)


def test_a_search_over_ipv6_names_its_group_and_pinholes():
    packets = [packet.decode() for packet in ssdp.searches("ff02::c")]
    assert all("\r\nHOST: [ff02::c]:1900\r\n" in packet for packet in packets)
    assert any(f"\r\nST: {FIREWALL}\r\n" in packet for packet in packets)
