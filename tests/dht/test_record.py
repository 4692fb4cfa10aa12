"""The sealed record: made and read as docs/PROTOCOL.md 8 says, and nothing but its owner's words believed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from hypothesis import given
from hypothesis import strategies as st

from hardline.dht.endpoints import believable, publishable, refused
from hardline.dht.newest import MAX_INSTANCES, MAX_REMEMBERED, Newest
from hardline.dht.record import (
    CLOCK_TOLERANCE,
    MAX_RECORD,
    MAX_RECORD_ED25519,
    Record,
    Unpublishable,
    days,
    info_hash,
    open_record,
    plain_key,
    record_key,
    seal,
    until_days_change,
)
from hardline.errors import PeerError
from hardline.identity import SECONDS_PER_DAY, KeyHash
from hardline.routes import Endpoint, Via, format_via, parse_via
from tests.dht.keys import DER, NAME, NONCE, OTHER, boxed, boxed_record, pem

pytestmark = pytest.mark.pure

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "8-dht.json").read_text())
NOON = 20_778 * SECONDS_PER_DAY + 43_200
KEY = pem(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
RECORD = Record("5f0c9f2d6a8b4e1790aa33bb44cc55dd", NOON * 1000, (Endpoint("203.0.113.9", 7008),), (), DER)
SEALED = seal(RECORD, KEY, NONCE)


def vectors(group: str) -> Any:
    return pytest.mark.parametrize(
        "vector", VECTORS[group], ids=[str(each.get("name", n)) for n, each in enumerate(VECTORS[group])]
    )


def record_of(vector: dict[str, Any], certificate: bytes) -> Record:
    hosts, relays = (tuple(Endpoint.parse(text) for text in vector[key]) for key in ("hosts", "relays"))
    return Record(vector["instance"], vector["issued"], hosts, relays, certificate)


# ── vectors ──────────────────────────────────────────────────────────────────────────────────────────────────


@vectors("keys")
def test_where_the_values_of_a_day_lie(vector):
    name, day = KeyHash.parse(vector["key_hash"]), vector["day"]
    assert (record_key(name, day), plain_key(name, day)) == (vector["record"], vector["plain"])
    assert info_hash(vector["code"]) == vector["record"]
    assert info_hash(vector["rolling_code"]) == vector["plain"]
    assert name.rolling(day) == vector["rolling_code"]


@vectors("records")
def test_a_record_is_sealed_to_the_bytes_of_the_document(vector):
    record = record_of(vector, DER)
    assert seal(record, KEY, bytes.fromhex(vector["nonce"])).hex() == vector["hex"]
    assert open_record(bytes.fromhex(vector["hex"]), KeyHash.parse(vector["key_hash"]), vector["now"]) == record


@vectors("read_records")
def test_a_record_of_another_writer_is_read(vector):
    record = open_record(bytes.fromhex(vector["sealed"]), KeyHash.parse(vector["target"]), vector["now"])
    assert record == record_of(vector, record.certificate)
    assert KeyHash.of_certificate(record.certificate) == KeyHash.parse(vector["target"])


@vectors("refused_records")
def test_a_record_that_is_dropped(vector):
    with pytest.raises(PeerError):
        open_record(bytes.fromhex(vector["sealed"]), KeyHash.parse(vector["target"]), vector["now"])


@vectors("days")
def test_the_days_that_count(vector):
    assert list(days(vector["now"])) == vector["days"]


@vectors("endpoints")
def test_which_endpoints_are_refused(vector):
    endpoint = Endpoint.parse(vector["endpoint"])
    assert (refused(endpoint, signed=True) is None) is vector["signed"]
    assert (refused(endpoint, signed=False) is None) is vector["unsigned"]


# ── what is believed ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cut", range(len(SEALED)))
def test_no_part_of_a_record_is_believed(cut):
    with pytest.raises(PeerError):
        open_record(SEALED[:cut], NAME, NOON)


def test_no_record_with_a_changed_byte_is_believed():
    for place in range(len(SEALED)):
        changed = bytearray(SEALED)
        changed[place] ^= 1 << place % 8
        with pytest.raises(PeerError):
            open_record(bytes(changed), NAME, NOON)


@given(st.binary(max_size=MAX_RECORD + 100))
def test_whatever_lies_there_is_a_record_or_a_peer_error(value):
    with pytest.raises(PeerError):
        open_record(value, NAME, NOON)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda some: st.lists(some) | st.dictionaries(st.text(), some),
    )
)
def test_whatever_is_sealed_by_somebody_who_knows_the_name_is_a_peer_error(fields):
    with pytest.raises(PeerError):
        open_record(boxed(json.dumps(fields).encode(), NAME), NAME, NOON)


def test_a_record_lies_open_to_nobody_who_does_not_know_the_name():
    with pytest.raises(PeerError):
        open_record(SEALED, OTHER, NOON)
    assert b"203.0.113.9" not in SEALED


def test_a_record_of_a_stranger_s_key_is_refused_even_with_the_right_certificate():
    stranger = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    with pytest.raises(PeerError, match="signature"):
        open_record(seal(RECORD, pem(stranger), NONCE), NAME, NOON)


@pytest.mark.parametrize("skew", [-CLOCK_TOLERANCE, 0.0, CLOCK_TOLERANCE])
def test_clocks_may_be_three_hours_apart(skew):
    assert open_record(SEALED, NAME, NOON + skew) == RECORD


@pytest.mark.parametrize("skew", [-CLOCK_TOLERANCE - 1, CLOCK_TOLERANCE + 1])
def test_a_record_from_another_time_is_refused(skew):
    with pytest.raises(PeerError, match="time"):
        open_record(SEALED, NAME, NOON + skew)


def test_an_older_record_of_the_same_host_is_a_replay():
    newest = Newest()
    older, newer = replace(RECORD, issued=RECORD.issued - 1), RECORD
    assert not newest.is_old(NAME, older)
    assert not newest.is_old(NAME, newer)
    assert not newest.is_old(NAME, newer)
    assert newest.is_old(NAME, older)


def test_hosts_with_one_certificate_and_other_names_have_records_of_their_own():
    newest = Newest()
    assert not newest.is_old(NAME, RECORD)
    assert not newest.is_old(NAME, replace(RECORD, instance="another", issued=RECORD.issued - 1))
    assert not newest.is_old(OTHER, replace(RECORD, issued=RECORD.issued - 1))


def test_the_memory_of_newest_records_is_bounded():
    newest = Newest()
    for number in range(MAX_REMEMBERED + 5):
        newest.is_old(KeyHash(number.to_bytes(20, "big")), RECORD)
    for number in range(MAX_INSTANCES + 5):
        newest.is_old(NAME, replace(RECORD, instance=str(number)))
    assert newest.is_old(KeyHash((MAX_REMEMBERED + 4).to_bytes(20, "big")), replace(RECORD, issued=0))
    assert not newest.is_old(KeyHash(bytes(20)), replace(RECORD, issued=0))
    assert not newest.is_old(NAME, replace(RECORD, instance="0", issued=0))


# ── what is made ─────────────────────────────────────────────────────────────────────────────────────────────


@given(
    st.lists(st.sampled_from(["203.0.113.9:7008", "[2001:db8::7]:7008", "host.example:443"]), max_size=4, unique=True),
    st.integers(-(10**7), 10**7),
)
def test_what_was_sealed_is_what_is_opened(texts, offset):
    record = replace(RECORD, hosts=tuple(map(Endpoint.parse, texts)), issued=NOON * 1000 + offset)
    assert open_record(seal(record, KEY, NONCE), NAME, NOON) == record


def test_seven_long_addresses_fit():
    far = [Endpoint(f"2001:db8:1111:2222:3333:4444:5555:666{n}", 65_535) for n in range(7)]
    record = replace(RECORD, hosts=tuple(far[:4]), relays=tuple(far[4:]))
    sealed = seal(record, KEY, NONCE)
    assert len(sealed) < 900
    assert open_record(sealed, NAME, NOON) == record


def test_endpoints_that_do_not_fit_are_left_out_from_the_end():
    names = [Endpoint(f"{n}." + "x" * 60 + "." + "y" * 60 + "." + "z" * 60, 7008) for n in range(4)]
    sealed = seal(replace(RECORD, hosts=tuple(names)), KEY, NONCE)
    kept = open_record(sealed, NAME, NOON).hosts
    assert len(sealed) <= MAX_RECORD_ED25519
    assert kept == tuple(names[: len(kept)])
    assert kept


def test_more_than_four_hosts_are_cut_to_the_most_wanted():
    many = tuple(Endpoint("203.0.113.9", port) for port in range(1, 9))
    assert open_record(seal(replace(RECORD, hosts=many), KEY, NONCE), NAME, NOON).hosts == many[:4]


def test_a_certificate_that_is_too_big_or_has_no_signature_here_says_so():
    with pytest.raises(Unpublishable, match="bytes"):
        seal(replace(RECORD, certificate=DER + bytes(4096)), pem(ec.generate_private_key(ec.SECP256R1())), NONCE)
    with pytest.raises(Unpublishable, match="Ed25519, ECDSA and RSA"):
        seal(RECORD, pem(ed448.Ed448PrivateKey.generate()), NONCE)


# ── days and endpoints ───────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(SECONDS_PER_DAY, 10**11))
def test_the_days_do_not_change_before_it_was_said(now):
    left = until_days_change(now)
    assert 0 < left <= SECONDS_PER_DAY
    assert days(now + left - 1) == days(now) or left < 1
    assert days(now + left) != days(now)


@given(st.integers(1, 10**11), st.integers(-3599, 3599))
def test_two_clocks_that_are_less_than_an_hour_apart_have_a_day_in_common(now, skew):
    assert set(days(now)) & set(days(max(now + skew, 0)))


def test_a_host_publishes_nothing_that_a_visitor_would_refuse():
    texts = ("127.0.0.1:7008", "[fe80::1%eth0]:7008", "192.168.1.9:7008", "203.0.113.9:7008", "203.0.113.9:7008")
    known = [Endpoint.parse(text) for text in texts]
    assert list(map(str, publishable(known, signed=True))) == ["192.168.1.9:7008", "203.0.113.9:7008"]
    assert list(map(str, publishable(known, signed=False))) == ["203.0.113.9:7008"]


def test_a_record_that_points_at_the_visitor_itself_leads_nowhere():
    here, there = Endpoint("192.168.1.9", 7008), Endpoint("192.168.1.10", 7008)
    assert believable([here, there], {here}, signed=True) == [there]


def test_a_certificate_without_a_usable_key_is_a_peer_error():
    for junk in (b"", b"0", bytes.fromhex("3000"), bytes.fromhex("30803080"), DER[:40], b"\x30\x84\xff\xff\xff\xff"):
        name = KeyHash.of_certificate(junk)
        with pytest.raises(PeerError, match="usable key"):
            open_record(boxed_record(junk, name, NOON), name, NOON)


# ── relays ───────────────────────────────────────────────────────────────────────────────────────────────────


def relays(count: int) -> tuple[Via, ...]:
    return tuple(Via(Endpoint(f"2001:db8:1111:2222:3333:4444:5555:777{n}", 65_535), f"{n:040x}") for n in range(count))


def test_all_that_a_record_may_name_fits():
    far = [Endpoint(f"2001:db8:1111:2222:3333:4444:5555:666{n}", 65_535) for n in range(7)]
    record = replace(RECORD, hosts=tuple(far[:4]), relays=tuple(far[4:]), via=relays(3))
    sealed = seal(record, KEY, NONCE)
    assert len(sealed) <= MAX_RECORD_ED25519
    assert open_record(sealed, NAME, NOON) == record
    assert open_record(seal(replace(record, via=relays(5)), KEY, NONCE), NAME, NOON).via == relays(3)


def test_what_is_too_much_is_left_out_of_the_relays_first_and_of_the_hosts_last():
    long = [Endpoint(f"{n}." + "x" * 60 + ".example", 7008) for n in range(10)]
    via = tuple(Via(one, f"{7:040x}") for one in long[:3])
    for hosts, named in ((4, 3), (4, 0), (1, 3)):
        record = replace(RECORD, hosts=tuple(long[:hosts]), relays=tuple(long[4 : 4 + named]), via=via)
        kept = open_record(seal(record, KEY, NONCE), NAME, NOON)
        assert kept.hosts == record.hosts[: len(kept.hosts)]
        assert kept.via == via[: len(kept.via)]
        assert not kept.relays or kept.via == via
        assert not kept.via or kept.hosts == record.hosts


@given(st.lists(st.one_of(st.none(), st.text(max_size=8), st.lists(st.text(max_size=60), max_size=3)), max_size=20))
def test_of_whatever_a_record_says_only_relays_are_read(entries):
    found = parse_via(entries)
    assert len(found) <= 3
    assert parse_via(format_via(found)) == found
    assert parse_via([*entries[:2], ["relay.example:443", "ab" * 20]])[-1:] == (
        Via(Endpoint("relay.example", 443), "ab" * 20),
    )
