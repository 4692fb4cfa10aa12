"""What DNS-SD says: names and texts there and back, and a table that nobody can fill or falsify for others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.discovery.instances import (
    LIFETIME,
    MAX_ADDRESSES,
    MAX_NAME,
    MAX_SEARCHED,
    SERVICE_TYPE,
    Address,
    Instances,
    Pointer,
    Record,
    Srv,
    Txt,
    full_name,
    host_in,
    label_in,
    names_for,
    short_name,
    text_of,
    title_of,
)
from hardline.discovery.lpd import MAX_HOST, clean_host, clean_title
from hardline.discovery.offers import LIFETIME as SHOWN
from hardline.discovery.offers import MAX_OFFERS, MAX_PER_SOURCE
from hardline.identity import KeyHash, Label
from hardline.routes import Endpoint
from hardline.showable import is_plain

pytestmark = pytest.mark.pure

HERE = "192.168.1.7"
SERVER = "box.local."

labels = st.builds(Label, st.binary(min_size=20, max_size=20).map(KeyHash), st.sampled_from(["", "sesame", "x" * 23]))


def label(number: int) -> Label:
    return Label(KeyHash(number.to_bytes(20)))


def announcement(number: int, name: str = "wiki", server: str = SERVER, address: str = HERE) -> list[Record]:
    return [
        Pointer(name),
        Srv(name, server, 7008),
        Txt(name, text_of(label(number))),
        Address(server, address),
    ]


def titles(instances: Instances, now: float = 0.0) -> list[str]:
    return sorted(offer.title for offer in instances.current(now))


def endpoints(instances: Instances, number: int, now: float = 0.0) -> list[str]:
    return [str(endpoint) for _, endpoint in instances.endpoints(label(number).key_hash, now)]


# ── names and texts ──────────────────────────────────────────────────────────────────────────────────────────


@given(labels)
def test_a_label_comes_back_from_its_text(one):
    assert label_in(text_of(one)) == one


def test_the_text_of_a_service_is_its_label_and_the_version():
    one = Label.parse("sesame-6d54994fa9c0edc0b30f2749118f5e963cad7ed2")
    assert text_of(one) == b"\x32kh=sesame-6d54994fa9c0edc0b30f2749118f5e963cad7ed2\x03v=2"


def test_it_says_what_its_computer_is_called_as_the_document_writes_it():
    one = Label.parse("sesame-6d54994fa9c0edc0b30f2749118f5e963cad7ed2")
    text = text_of(one, "Omas Büro")
    assert text[-15:].hex() == "0f686f73743d4f6d61732042c3bc726f"[2:]
    assert (label_in(text), host_in(text), host_in(text_of(one))) == (one, "Omas Büro", "")


@pytest.mark.parametrize("said", ["a\x1b[31mb\u202e", "\u200b", "x" * 250, "😀" * 60])
def test_what_a_computer_is_called_is_shown_only_as_a_title_would_be(said):
    instances = Instances()
    pair = f"host={said}".encode()[:255]
    text = text_of(label(1)) + bytes([len(pair)]) + pair
    instances.heard([Pointer("wiki"), Srv("wiki", SERVER, 7008), Txt("wiki", text), Address(SERVER, HERE)], HERE, 0.0)
    [offer] = instances.current(0.0)
    assert is_plain(offer.host)
    assert len(offer.host) <= MAX_HOST
    assert host_in(text_of(label(1), said)) == clean_host(said)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\x00",
        b"\xff",
        text_of(label(1))[:-4],  # no version
        text_of(label(1))[:-1] + b"1",  # an older one
        text_of(label(1))[:-1] + "²".encode("latin-1"),
        b"\x03v=2",
        b"\x05kh=ab\x03v=2",
        text_of(label(1))[1:],
        text_of(label(1)).replace(b"0", b"\xc3"),
        text_of(label(1)) + b"\xffx" * 1000,
    ],
)
def test_a_text_that_names_no_service_of_ours_is_none(text):
    assert label_in(text) is None


def test_other_keys_and_the_case_of_ours_do_not_matter_and_the_first_of_two_counts():
    text = b"\x03a=b\x00\x01x\x2bKH=" + str(label(1)).encode() + b"\x04V=12\x04kh=x"
    assert label_in(text) == label(1)


@given(st.binary(max_size=300))
def test_no_text_is_too_strange(text):
    assert label_in(text) is None or isinstance(label_in(text), Label)


@given(st.text(max_size=200))
def test_a_name_is_one_dns_label_and_shows_its_title(title):
    (name,) = names_for([(label(1), title)], ()).values()
    assert 0 < len(name.encode()) <= MAX_NAME
    assert "." not in name
    assert short_name(full_name(name)) == name
    shown = clean_title(title) or "untitled"
    assert title_of(name) == shown or shown.replace("\u2024", ".").startswith(title_of(name))


def test_equal_titles_get_numbers_and_keep_them_in_whatever_order_they_come():
    services = [(label(n), "Wiki") for n in range(3)]
    names = names_for(services, {"wiki (2)"})
    assert [names[service] for service in services] == ["Wiki", "Wiki (3)", "Wiki (4)"]
    assert names_for(reversed(services), {"wiki (2)"}) == names


def test_a_number_is_not_cut_off_a_long_title():
    names = names_for([(label(1), "ü" * 100), (label(2), "ü" * 100)], ())
    assert sorted(names.values()) == ["ü" * 29 + " (2)", "ü" * 31]


@pytest.mark.parametrize("full", ["", ".", SERVICE_TYPE, f".{SERVICE_TYPE}", "x._http._tcp.local.", "x"])
def test_a_name_of_another_type_is_none(full):
    assert short_name(full) == ""


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_one_packet_announced_is_found_and_offered():
    instances = Instances()
    news = instances.heard(announcement(1, "Our\u2024wiki"), HERE, 3.0)
    assert news == {label(1).key_hash}
    (offer,) = instances.current(4.0)
    assert (offer.label, offer.title, offer.source, offer.seen) == (label(1), "Our.wiki", HERE, 3.0)
    assert offer.endpoint == Endpoint(HERE, 7008)
    assert endpoints(instances, 1) == [f"{HERE}:7008"]
    assert endpoints(instances, 2) == []


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1), (1, 3, 0, 2)])
def test_the_order_within_a_packet_does_not_matter(order):
    instances = Instances()
    records = announcement(1)
    instances.heard([records[index] for index in order], HERE, 0.0)
    assert endpoints(instances, 1) == [f"{HERE}:7008"]


def test_what_comes_in_pieces_is_asked_for_and_put_together():
    instances = Instances()
    pointer, place, text, address = announcement(1)
    instances.heard([pointer], HERE, 0.0)
    assert instances.unknown() == [(full_name("wiki"), "SRV"), (full_name("wiki"), "TXT")]
    instances.heard([text], HERE, 0.0)
    assert instances.unknown() == [(full_name("wiki"), "SRV")]
    instances.heard([place], HERE, 0.0)
    assert instances.unknown() == [(SERVER, "A"), (SERVER, "AAAA")]
    assert instances.heard([address], HERE, 0.0) == {label(1).key_hash}
    assert instances.unknown() == []
    assert endpoints(instances, 1) == [f"{HERE}:7008"]


def test_names_are_compared_in_any_case():
    instances = Instances()
    instances.heard(announcement(1, "Wiki"), HERE, 0.0)
    instances.heard([Txt("WIKI", text_of(label(2)))], HERE, 0.0)
    instances.heard([Address(SERVER.upper(), "192.168.1.8")], HERE, 0.0)
    assert endpoints(instances, 2) == ["192.168.1.8:7008"]


@pytest.mark.parametrize(
    "goodbye", [Pointer("WIKI", gone=True), Srv("wiki", SERVER, 7008, gone=True), Txt("wiki", b"", gone=True)]
)
def test_a_goodbye_is_believed_of_whoever_said_it_and_of_nobody_else(goodbye):
    instances = Instances()
    instances.heard(announcement(1), HERE, 0.0)
    instances.heard([goodbye], "192.168.1.66", 1.0)
    assert titles(instances) == ["wiki"]
    instances.heard([goodbye], HERE, 1.0)
    assert titles(instances) == []


def test_nobody_can_change_what_another_one_announced():
    instances = Instances()
    instances.heard(announcement(1), HERE, 0.0)
    instances.heard(announcement(2, "wiki", SERVER, "192.168.1.66"), "192.168.1.66", 1.0)
    instances.heard([Address(SERVER, "192.168.1.66")], "192.168.1.66", 1.0)
    assert endpoints(instances, 1) == [f"{HERE}:7008"]


def test_a_text_that_is_no_longer_ours_takes_the_service_away():
    instances = Instances()
    instances.heard(announcement(1), HERE, 0.0)
    instances.heard([Pointer("wiki"), Srv("wiki", SERVER, 7008), Txt("wiki", b"\x03v=2")], HERE, 1.0)
    assert titles(instances) == []
    assert instances.unknown() == []


def test_new_addresses_of_a_family_replace_the_old_ones():
    instances = Instances()
    instances.heard([*announcement(1), Address(SERVER, "fd00::7")], HERE, 0.0)
    instances.heard([Address(SERVER, "192.168.1.9")], HERE, 1.0)
    assert sorted(endpoints(instances, 1)) == ["192.168.1.9:7008", "[fd00::7]:7008"]


def test_what_was_not_heard_for_ten_minutes_is_forgotten():
    instances = Instances()
    instances.heard(announcement(1), HERE, 0.0)
    assert endpoints(instances, 1, LIFETIME - 1)
    assert endpoints(instances, 1, LIFETIME + 1) == []


def test_what_was_not_heard_for_a_minute_is_not_shown_and_still_tried():
    instances = Instances()
    instances.heard(announcement(1), HERE, 0.0)
    assert titles(instances, SHOWN - 1) == ["wiki"]
    assert titles(instances, SHOWN) == []
    assert endpoints(instances, 1, SHOWN)


def test_who_said_it_first_is_tried_first_however_often_others_say_it():
    instances, liar = Instances(), "192.168.1.66"
    instances.heard(announcement(1), HERE, 0.0)
    for now in range(1, 9):
        instances.heard(announcement(1), liar, float(now))
    sources = [source for source, _ in instances.endpoints(label(1).key_hash, 9.0)]
    assert (sources[0], set(sources)) == (HERE, {HERE, liar})


def test_a_port_of_zero_is_nowhere():
    instances = Instances()
    instances.heard([*announcement(1), Srv("wiki", SERVER, 0)], HERE, 0.0)
    assert endpoints(instances, 1) == []


def test_one_machine_has_some_addresses_and_no_more():
    instances = Instances()
    instances.heard([*announcement(1), *(Address(SERVER, f"10.0.0.{n}") for n in range(200))], HERE, 0.0)
    assert len(endpoints(instances, 1)) == MAX_ADDRESSES


def test_one_source_fills_its_share_many_fill_the_table_and_what_was_known_stays():
    instances = Instances()
    instances.heard(announcement(1), HERE, 0.0)
    for n in range(500):
        instances.heard(announcement(1000 + n, f"junk {n}"), "10.0.0.1", 0.0)
    assert len(titles(instances)) == 1 + MAX_PER_SOURCE
    for n in range(2000):
        instances.heard(announcement(2000 + n, f"junk {n}"), f"10.0.1.{n % 250}", 0.0)
    assert len(titles(instances)) == MAX_OFFERS
    assert "wiki" in titles(instances)


def test_what_somebody_searches_for_finds_room_in_a_full_table():
    instances = Instances()
    for n in range(2000):
        instances.heard(announcement(2000 + n, f"junk {n}"), f"10.0.1.{n % 250}", 0.0)
    instances.heard(announcement(1), HERE, 0.0)
    assert endpoints(instances, 1) == []
    assert instances.heard(announcement(1), HERE, 0.0, {label(1).key_hash}) == {label(1).key_hash}
    assert endpoints(instances, 1) == [f"{HERE}:7008"]


def test_the_room_for_what_is_searched_for_has_an_end():
    instances = Instances()
    for n in range(2000):
        name = f"junk {n}"
        instances.heard(announcement(1, name), f"10.0.1.{n % 250}", 0.0, {label(1).key_hash})
    assert len(titles(instances)) == MAX_OFFERS + MAX_SEARCHED


names = st.sampled_from(["a", "B", "b", "c" * 63, "\u2024"])
servers = st.sampled_from(["x.local.", "X.local.", "y.local."])
records = st.lists(
    st.one_of(
        st.builds(Pointer, names, st.booleans()),
        st.builds(Srv, names, servers, st.integers(0, 65_535), st.booleans()),
        st.builds(Txt, names, st.one_of(st.binary(max_size=60), labels.map(text_of)), st.booleans()),
        st.builds(Address, servers, st.sampled_from(["10.0.0.1", "fd00::1", "fe80::1%eth0"]), st.booleans()),
    ),
    max_size=12,
)


@given(st.lists(st.tuples(records, st.sampled_from(["10.0.0.1", "10.0.0.2"]), st.floats(0, 300)), max_size=30))
def test_whatever_is_heard_the_table_keeps_its_promises(heard):
    instances, now = Instances(), 0.0
    for packet, source, pause in heard:
        now += pause
        news = instances.heard(packet, source, now)
        for offer in instances.current(now):
            assert now - offer.seen < SHOWN
            assert offer.endpoint.port
            assert (offer.source, offer.endpoint) in instances.endpoints(offer.label.key_hash, now)
        assert all(isinstance(one, KeyHash) for one in news)
        assert len(instances.unknown()) <= 20
