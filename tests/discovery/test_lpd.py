"""The LAN packets: the original's bytes, and what becomes of any other bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.discovery.lpd import (
    MAX_PACKET,
    MAX_TITLE,
    Answer,
    Goodbye,
    Search,
    clean_host,
    clean_title,
    parse,
    search_code,
)
from hardline.errors import PeerError
from hardline.identity import KeyHash, Label
from hardline.showable import is_plain

pytestmark = pytest.mark.pure

OURS = KeyHash.parse("a946e7a560289417a2711f5b9686624852dd469b")
OTHER = KeyHash.parse("00" * 20)
TODAY = 20778
COOKIE = "6f1c2f5e-8d1b-4a53-9a35-1f0e4c8f7b21"
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "6-lan.json").read_text())
PACKETS = [bytes.fromhex(vector["packet"]) for kind in ("searches", "answers", "goodbyes") for vector in VECTORS[kind]]


def answer(*lines: str) -> bytes:
    return "\r\n".join(("HARDLINE-SERVICE * HTTP/1.1", *lines, "", "", "")).encode()


def parsed_answer(*lines: str) -> Answer:
    packet = parse(answer(*lines))
    assert isinstance(packet, Answer)
    return packet


def test_a_search_has_the_bytes_of_the_original():
    code = OURS.rolling(TODAY)
    assert Search(code, COOKIE).encode() == (
        b"HARDLINE-SEARCH * HTTP/1.1\r\nInfohash: %s\r\ncookie: %s\r\n\r\n\r\n" % (code.encode(), COOKIE.encode())
    )


def test_a_browse_keeps_the_space_after_its_colon():
    assert b"\r\nInfohash: \r\ncookie: " in Search("", COOKIE).encode()


def test_an_answer_has_the_headers_of_the_original_and_then_ours():
    assert Answer(7008, f"sesame-{OURS}", COOKIE, "Our wiki", version=2, day=TODAY).encode() == (
        b"HARDLINE-SERVICE * HTTP/1.1\r\nPort: 7008\r\nInfohash: sesame-%s\r\ncookie: %s\r\ntitle: Our wiki\r\n"
        b"v: 2\r\nday: 20778\r\n\r\n\r\n" % (str(OURS).encode(), COOKIE.encode())
    )


@pytest.mark.parametrize("host", ["atlas", "title: x", "Port: 1", "a: b\r\nInfohash: c", "x" * 500])
def test_an_original_reads_the_same_whatever_the_computer_is_called(host):
    """It looks for lines by this expression, whose first part is greedy, and for four names."""
    packet = Answer(7008, f"sesame-{OURS}", COOKIE, "Our wiki", 2, TODAY, host=host).encode()
    read = dict(re.findall(r"^(.*)?: *(.*)\r+$", packet.decode(), re.MULTILINE))
    known = {name: read[name] for name in ("Port", "Infohash", "cookie", "title")}
    assert known == {"Port": "7008", "Infohash": f"sesame-{OURS}", "cookie": COOKIE, "title": "Our wiki"}
    said = parse(packet)
    assert isinstance(said, Answer)
    assert said.host == clean_host(host) != ""


def test_an_answer_of_an_original_is_one_without_version_and_day():
    original = parsed_answer("Port: 7684", f"Infohash: -{OURS}", "cookie: x", "title: untitled")
    assert original == Answer(7684, f"-{OURS}", "x", "untitled", version=0, day=None)
    assert original.encode() == answer("Port: 7684", f"Infohash: -{OURS}", "cookie: x", "title: untitled")


@pytest.mark.parametrize("name", [f"-{OURS}", str(OURS), str(OURS).upper()])
def test_a_label_without_free_text_is_read_with_and_without_its_dash(name):
    assert parsed_answer("Port: 1", f"Infohash: {name}").label == Label(OURS)


def test_the_free_text_before_the_key_hash_is_a_part_of_the_label_and_not_of_the_match():
    said = parsed_answer("Port: 1", f"Infohash: Sesame-{str(OURS).upper()}")
    assert said.label == Label(OURS, "sesame")
    assert said.matches(OURS, TODAY)
    assert said.shows(OURS)
    assert not said.matches(OTHER, TODAY)


@pytest.mark.parametrize("name", ["wiki", f"{OURS}0", f"a-b-{OURS}", f"{OURS}-", "é" * 40])
def test_a_name_that_is_no_label_has_none(name):
    assert parsed_answer("Port: 1", f"Infohash: {name}").label is None


@pytest.mark.parametrize("day", [TODAY - 1, TODAY, TODAY + 1])
def test_the_rolling_codes_of_three_days_match_and_show_nothing(day):
    said = Answer(1, OURS.rolling(day), "")
    assert said.matches(OURS, TODAY)
    assert not said.shows(OURS)


def test_a_rolling_code_of_another_day_matches_only_when_the_answer_names_that_day():
    assert not Answer(1, OURS.rolling(TODAY + 9), "").matches(OURS, TODAY)
    assert Answer(1, OURS.rolling(TODAY + 9), "", day=TODAY + 9).matches(OURS, TODAY)


def test_a_goodbye_is_nothing_that_an_original_would_take_notice_of():
    packet = Goodbye(7008, "word").encode()
    assert b"HARDLINE-SEARCH" not in packet
    assert b"HARDLINE-SERVICE" not in packet
    assert parse(packet) == Goodbye(7008, "word")


def test_a_goodbye_names_nothing():
    assert Goodbye(7008, "word").encode() == b"HARDLINE-GOODBYE * HTTP/1.1\r\nPort: 7008\r\nend: word\r\n\r\n\r\n"


def test_what_an_answer_repeats_is_one_short_word_or_nothing():
    assert Search("", COOKIE).word == COOKIE
    for cookie in ("x" * 65, "a b", "a: b", "é", ""):
        assert Search("", cookie).word == ""


def test_the_code_of_a_search_is_seen_at_a_glance():
    assert search_code(Search(OURS.rolling(TODAY), COOKIE, 2).encode()) == OURS.rolling(TODAY)
    assert search_code(Search("", COOKIE).encode()) == ""
    assert search_code(Search("x" * 41, COOKIE).encode()) == ""


def test_days_before_1970_do_not_exist():
    assert Answer(1, OURS.rolling(0), "", day=0).matches(OURS, 0)
    assert not Answer(1, OURS.rolling(2), "", day=0).matches(OURS, 0)


def test_an_answer_of_ours_without_a_title_is_not_to_be_shown():
    assert not Answer(1, OURS.rolling(TODAY), "", version=2).listed
    assert Answer(1, str(OURS), "", "wiki", version=2).listed
    assert Answer(1, f"-{OURS}", "", "", version=0).listed


def test_a_colon_in_a_title_is_sent_as_a_space_and_read_as_it_is():
    assert b"\r\ntitle: My  site\r\n" in Answer(1, "x", "", "My: site").encode()
    assert parsed_answer("Port: 1", "Infohash: x", "title: My: site").title == "My: site"


def test_a_title_cannot_forge_a_header():
    said = parse(Answer(7008, str(OURS), COOKIE, "a\r\nPort: 9\r\nv: 7\n\x00\x1b[31mb").encode())
    assert isinstance(said, Answer)
    assert (said.port, said.version, said.title) == (7008, 0, "a Port 9 v 7 [31mb")


@given(st.text())
def test_a_title_is_one_short_line_without_control_characters(text):
    title = clean_title(text)
    assert len(title) <= MAX_TITLE
    assert is_plain(title)
    assert clean_title(title) == title


@pytest.mark.parametrize("packet", PACKETS)
def test_names_of_headers_have_any_case_and_lines_either_ending(packet):
    head, _, rest = packet.partition(b"\r\n")
    lines = [line.partition(b":") for line in rest.split(b"\r\n")]
    shouted = b"\n".join([head, *(name.upper() + colon + value for name, colon, value in lines)])
    assert parse(shouted) == parse(packet)


@pytest.mark.parametrize("text", ["7008x", "", "-1", "0", "65536", "9" * 400, "٧", "7008.0", "0x1b", "+1"])
def test_a_port_that_is_none_is_refused(text):
    with pytest.raises(PeerError, match="port"):
        parse(answer(f"Port: {text}", f"Infohash: {OURS}"))


@pytest.mark.parametrize("lines", [("Port: 1",), ("Port: 1", "Infohash: "), (f"Infohash: {OURS}",), ()])
def test_an_answer_needs_a_port_and_a_name(lines):
    with pytest.raises(PeerError):
        parse(answer(*lines))


@pytest.mark.parametrize("text", ["", "x", "-2", "99999", "9" * 300])
def test_a_version_or_a_day_that_is_none_is_as_if_not_said(text):
    said = parsed_answer("Port: 1", f"Infohash: {OURS}", f"v: {text}", "day: x" + text)
    assert (said.version, said.day) == (0, None)


def test_of_a_header_that_comes_twice_the_first_counts():
    assert parsed_answer("Port: 1", "PORT: 2", f"Infohash: {OURS}", f"Infohash: {OTHER}").port == 1
    assert parsed_answer("Port: 1", "PORT: 2", f"Infohash: {OURS}", f"Infohash: {OTHER}").label == Label(OURS)


def test_unknown_headers_and_lines_that_are_none_are_ignored():
    assert parsed_answer("x: y", "nothing", ": :", "Port: 1", f"Infohash: {OURS}").label == Label(OURS)


def test_huge_fields_are_cut():
    said = parsed_answer("Port: 1", "Infohash: " + "x" * 900, "cookie: " + "y" * 900)
    assert len(said.name) + len(said.cookie) == 600


def test_a_packet_over_the_limit_is_refused_and_one_at_the_limit_read():
    packet = answer("Port: 1", f"Infohash: {OURS}")
    full = packet + b" " * (MAX_PACKET - len(packet))
    assert parse(full) == parse(packet)
    with pytest.raises(PeerError, match="2049"):
        parse(full + b" ")


@pytest.mark.parametrize(
    "data", [b"", b"HARDLINE-", b"hardline-search * HTTP/1.1", b"M-SEARCH * HTTP/1.1\r\n", b"\0" * 99]
)
def test_what_is_no_packet_of_ours_is_refused(data):
    with pytest.raises(PeerError):
        parse(data)


@pytest.mark.parametrize("packet", PACKETS)
def test_a_packet_cut_anywhere_is_read_or_refused(packet):
    for cut in range(len(packet)):
        read_or_refuse(packet[:cut])


@given(st.binary(max_size=2 * MAX_PACKET))
def test_any_bytes_are_read_or_refused(data):
    read_or_refuse(data)


@given(st.sampled_from([b"HARDLINE-SEARCH", b"HARDLINE-SERVICE"]), st.binary(max_size=MAX_PACKET))
def test_any_bytes_after_a_right_beginning_are_read_or_refused(kind, rest):
    read_or_refuse(kind + rest)


FIELD = st.tuples(
    st.sampled_from(["Port", "Infohash", "cookie", "title", "v", "day"]),
    st.one_of(st.text(), st.integers().map(str), st.sampled_from([str(OURS), f"-{OURS}", OURS.rolling(TODAY)])),
)


@given(st.lists(FIELD, max_size=30))
def test_any_fields_are_read_or_refused(fields):
    read_or_refuse(answer(*(f"{name}: {value}" for name, value in fields)))


def read_or_refuse(data: bytes) -> None:
    try:
        said = parse(data)
    except PeerError:
        return
    if isinstance(said, Answer):
        assert 1 <= said.port <= 65_535
        assert isinstance(said.label, Label | None)
        said.matches(OURS, TODAY)
    assert len(said.encode()) < 2 * MAX_PACKET


@given(
    port=st.integers(1, 65_535),
    label=st.builds(
        Label,
        st.binary(min_size=20, max_size=20).map(KeyHash),
        st.text("abcdefghijklmnopqrstuvwxyz0123456789_~!$&'()*+,;=", max_size=23),
    ),
    title=st.text(),
    version=st.integers(0, 1000),
    day=st.one_of(st.none(), st.integers(0, 10_000_000)),
)
def test_an_answer_is_read_as_it_was_written(port, label, title, version, day):
    said = parse(Answer(port, str(label), COOKIE, title, version, day).encode())
    assert said == Answer(port, str(label), COOKIE, clean_title(clean_title(title).replace(":", " ")), version, day)
    assert isinstance(said, Answer)
    assert said.label == label


@given(st.binary(min_size=20, max_size=20).map(KeyHash), st.integers(0, 100_000))
def test_a_search_is_read_as_it_was_written(target, day):
    search = Search(target.rolling(day), COOKIE)
    assert parse(search.encode()) == search


@given(st.text(max_size=MAX_TITLE))
def test_the_largest_answer_fits_into_a_packet(title):
    assert len(Answer(65_535, f"{'x' * 23}-{OURS}", COOKIE, title, 1000, 10_000_000).encode()) <= MAX_PACKET


@pytest.mark.parametrize("value", ["x" * 299 + "  y", "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}" * 300])
def test_a_field_that_is_cut_short_is_sent_as_it_was_read(value):
    packet = parse(f"HARDLINE-SEARCH * HTTP/1.1\r\nInfohash: {value}\r\ncookie: {value}\r\n\r\n".encode())
    assert parse(packet.encode()) == packet
