"""What routers announce, and what others do in their name."""

from __future__ import annotations

import pytest

from hardline.upnp.announcements import Announcements

ADDRESS = bytes.fromhex("00 80 0000 00000001 0b163365")
RESTARTED = bytes.fromhex("02 80 00 00 00000000 00000001") + bytes(12)


def heard(packet: bytes, port: int = 5351) -> list[str]:
    routers: list[str] = []
    Announcements(routers.append).datagram_received(packet, ("192.168.1.1", port))
    return routers


@pytest.mark.parametrize("packet", [ADDRESS, RESTARTED])
def test_an_announcement_names_its_router(packet: bytes):
    assert heard(packet) == ["192.168.1.1"]


@pytest.mark.parametrize(
    "packet", [b"", b"\0", b"\2", b"<html>", bytes(60), bytes.fromhex("0082") + bytes(14), b"\2\x81" + bytes(58)]
)
def test_anything_else_is_no_announcement(packet: bytes):
    assert heard(packet) == []


def test_what_does_not_come_from_the_port_of_routers_is_no_announcement():
    assert heard(ADDRESS, port=40_000) == []
