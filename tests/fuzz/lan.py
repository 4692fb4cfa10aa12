"""What anybody on the LAN can send: packets of ours, and records of DNS-SD."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterator
from dataclasses import replace

from hardline.discovery.gate import MdnsGate
from hardline.discovery.instances import (
    LIFETIME,
    MAX_ADDRESSES,
    MAX_NAME,
    MAX_SEARCHED,
    Address,
    Instances,
    Pointer,
    Record,
    Srv,
    Txt,
    full_name,
    label_in,
    names_for,
    short_name,
    text_of,
    title_of,
)
from hardline.discovery.interfaces import InterfaceAddress
from hardline.discovery.lpd import MAX_PACKET, MAX_TITLE, Answer, Search, clean_title, parse
from hardline.discovery.offers import MAX_OFFERS, MAX_PER_SOURCE
from hardline.errors import PeerError
from hardline.identity import KeyHash, Label
from hardline.showable import is_plain

KEY_HASH = KeyHash.parse("a946e7a560289417a2711f5b9686624852dd469b")
TODAY = 20_778
INTERFACE = InterfaceAddress("eth0", 2, "192.0.2.1", 24)


def packet(data: bytes) -> None:
    """A packet or PeerError; what we would send of it is read as the same."""
    try:
        found = parse(data)
    except PeerError:
        return
    assert len(data) <= MAX_PACKET
    if isinstance(found, Answer):
        assert 1 <= found.port <= 65_535
        _check_title(found.title, MAX_TITLE)
        shown = found.label is not None and found.label.key_hash == KEY_HASH
        assert found.shows(KEY_HASH) or not shown
        assert found.matches(KEY_HASH, TODAY) or not shown
        assert found.listed or not found.title
        found = replace(found, title=clean_title(found.title.replace(":", " ")))
    again = found.encode()
    if len(again) <= MAX_PACKET:
        assert parse(again) == found
    assert isinstance(found, Search | Answer)


def dnssd_text(data: bytes) -> None:
    """A TXT record names a label or nothing."""
    found = label_in(data)
    assert found is None or label_in(text_of(found)) == found


def dnssd_titles(data: bytes) -> None:
    """Each line a title: every service gets a name that fits DNS and that nobody else has."""
    titles = data.decode("utf-8", "replace").split("\n")[:50]
    services = {(Label(KEY_HASH, f"n{at}"), title) for at, title in enumerate(titles)}
    taken = {titles[0].lower()}
    names = names_for(services, taken)
    lowered = [name.lower() for name in names.values()]
    assert names.keys() == services
    assert len(set(lowered)) == len(lowered)
    assert not taken.intersection(lowered)
    for name in names.values():
        assert 1 <= len(name.encode()) <= MAX_NAME
        assert "." not in name
        assert short_name(full_name(name)) == name
        _check_title(title_of(name), MAX_TITLE)
    for title in titles:
        _check_title(title_of(title), MAX_TITLE)


def dnssd_records(data: bytes) -> None:
    """Records of four bytes each, from sources that lie about each other: the table stays bounded and fair."""
    table, now, sources = Instances(), 0.0, set()
    for source, records in _packets(data):
        now += 1.0
        sources.add(source)
        news = table.heard(records, source, now, wanted=(KEY_HASH,))
        said = {label_in(each.text) for each in records if isinstance(each, Txt)}
        assert len(news) <= MAX_PER_SOURCE + MAX_SEARCHED or said
        assert sum(map(len, table.names().values())) <= MAX_OFFERS + MAX_SEARCHED
        for offer in table.current(now):
            assert offer.source in sources
            _check_title(offer.title, MAX_TITLE)
        for who, _ in table.endpoints(KEY_HASH, now):
            assert who in sources
        assert len(table.endpoints(KEY_HASH, now)) <= (MAX_OFFERS + MAX_SEARCHED) * MAX_ADDRESSES
        assert len(table.unknown()) <= 20
    assert table.current(now + LIFETIME) == []
    assert table.names() == {}


def dnssd_packet(data: bytes) -> None:
    """A packet as zeroconf reads it: records of ours or none, and addresses of this network only."""
    table = Instances()
    records = list(_gate().records(data, "192.0.2.9", INTERFACE))
    for record in records:
        if isinstance(record, Address):
            address = ipaddress.ip_address(record.address)
            assert address.is_link_local or address in INTERFACE.network
        elif not isinstance(record, Pointer):
            assert record.name
    table.heard(records, "192.0.2.9", 0.0, wanted=(KEY_HASH,))
    for offer in table.current(0.0):
        _check_title(offer.title, MAX_TITLE)
        assert 1 <= offer.endpoint.port <= 65_535
    table.unknown()


@functools.cache
def _gate() -> MdnsGate:
    gate = MdnsGate(lambda records, source: None)
    gate.know([INTERFACE])
    return gate


_NAMES = ["wiki", "Wiki", "notes", "é", "a b", "", "x" * 63, "hardline-1.local."]
_SERVERS = ["one.local.", "ONE.local.", "two.local.", ""]
_ADDRESSES = ["192.0.2.1", "192.0.2.2", "fe80::1%eth0", "2001:db8::1"]
_TEXTS = [text_of(Label(KEY_HASH)), text_of(Label(KEY_HASH, "sesame")), b"", b"\x05kh=ab\x03v=2", b"\xff", bytes(64)]


def _packets(data: bytes) -> Iterator[tuple[str, list[Record]]]:
    source, records = "192.0.2.1", list[Record]()
    for at in range(0, min(len(data), 800) - 3, 4):
        kind, which, where, what = data[at : at + 4]
        name = _NAMES[which % 8] + ("" if which < 128 else str(which))
        gone = bool(kind & 8)
        match kind % 5:
            case 0:
                yield source, records
                source, records = f"192.0.2.{what % 5}", []
            case 1:
                records.append(Pointer(name, gone))
            case 2:
                records.append(Srv(name, _SERVERS[where % 4], what * 257 % 65_536, gone))
            case 3:
                records.append(Txt(name, _TEXTS[what % 6], gone))
            case 4:
                records.append(Address(_SERVERS[where % 4], _ADDRESSES[what % 4], gone))
    yield source, records


def _check_title(title: str, most: int) -> None:
    assert len(title) <= most
    assert is_plain(title)
    assert title == title.strip()
