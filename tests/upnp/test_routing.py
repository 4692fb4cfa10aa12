"""Default gateways out of the kernel's tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.upnp.routing import OnInterface, gateways_4, gateways_6, lasting_6

pytestmark = pytest.mark.pure

ROUTES_4 = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t014DA8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
down0\t00000000\t0102A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0
tun1\t00000000\t0103A8C0\t0003\t0\t0\t1\t00000080\t0\t0\t0
"""
_ZERO = "0" * 32
ROUTES_6 = f"""\
{_ZERO} 00 {_ZERO} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
{_ZERO} 00 {_ZERO} 00 2a0eb107007700010000000000000001 00000100 00000001 00000000 00000003     eth1
fe80{"0" * 28} 40 {_ZERO} 00 {_ZERO} 00000100 00000001 00000000 00000001     eth0
{_ZERO} 00 {_ZERO} 00 {_ZERO} ffffffff 00000001 00000000 00200200       lo
"""
OWN_6 = """\
2a0eb107007700010000000000000010 02 40 00 80     eth0
2a0eb107007700010123456789abcdef 02 40 00 01     eth0
2a0eb107007700010000000000000020 02 40 00 20     eth0
2a0eb107007700010000000000000030 02 40 00 40     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""


def test_the_preferred_gateway_comes_first_and_tunnels_and_downed_routes_are_left_out():
    assert gateways_4(ROUTES_4) == [OnInterface("192.168.1.1", "eth0"), OnInterface("192.168.77.1", "wlan0")]


def test_a_link_local_gateway_has_its_interface():
    assert gateways_6(ROUTES_6) == [OnInterface("2a0e:b107:77:1::1", "eth1"), OnInterface("fe80::1%eth0", "eth0")]


def test_addresses_that_are_temporary_tentative_or_deprecated_are_left_out():
    assert lasting_6(OWN_6) == [OnInterface("2a0e:b107:77:1::10", "eth0"), OnInterface("::1", "lo")]


@given(st.text(max_size=300))
def test_any_text_is_a_table(text: str):
    for read in (gateways_4, gateways_6, lasting_6):
        assert isinstance(read(f"{text}\n{text}"), list)
