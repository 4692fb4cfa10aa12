"""Keys of scrapers: which lines are keys, when they hold, and what is kept of them."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.gateway.keys import (
    EXPIRED,
    LONGEST,
    MAX_KEYS,
    NEGATIVE,
    NOT_YET,
    TOO_LONG,
    Key,
    Keys,
    digest_of,
    line_of,
    parse_keys,
    without,
)
from hardline.gateway.scrapers import is_for
from hardline.settings.gateway import NamedSection, User

pytestmark = pytest.mark.pure

DIGEST = hashlib.blake2b(b"a key", digest_size=32).hexdigest()  # docs/GATEWAY.md
LINE = f"photos {DIGEST} 2026-11-30T08:00:00Z 2026-12-07T08:00:00Z nas,pile\n"
SINCE, DAY = 1_796_025_600, 86_400  # 2026-11-30T08:00:00Z


def test_a_line_is_a_key_for_its_time_and_its_services():
    [key] = parse_keys(f"# a comment\n\n{LINE}", "gateway.keys").all
    assert key == Key("photos", DIGEST, SINCE, SINCE + 7 * DAY, ("nas", "pile"))
    assert parse_keys(LINE.replace(" nas,pile", ""), "").all[0].services == ()


@pytest.mark.parametrize(
    ("since", "until", "now", "refused"),
    [
        (0, DAY, 0, ""),
        (0, DAY, DAY - 1, ""),
        (0, DAY, DAY, EXPIRED),
        (10, DAY, 9.9, NOT_YET),
        (DAY, 0, 10, NEGATIVE),
        (DAY, DAY, DAY, NEGATIVE),
        (0, LONGEST, 10, ""),
        (0, LONGEST + 1, 10, TOO_LONG),
        (0, LONGEST + 1, 2 * LONGEST, TOO_LONG),
    ],
)
def test_each_way_not_to_hold_has_a_name_of_its_own(since, until, now, refused):
    assert Key("k", DIGEST, since, until).refused(now) == refused


@pytest.mark.parametrize(
    "line",
    [
        "photos",
        LINE.replace("photos", "pho tos"),
        LINE.replace(DIGEST, DIGEST[:-1]),
        LINE.replace(DIGEST, DIGEST.upper()),
        LINE.replace("2026-11-30T08:00:00Z", "2026-11-30"),
        LINE.replace("2026-11-30T08:00:00Z", "2026-02-30T08:00:00Z"),
        LINE.replace("2026-11-30T08:00:00Z", "0000-01-01T08:00:00Z"),
        LINE.replace("nas,pile", "*"),
        LINE.replace("nas,pile", "nas, pile"),
        LINE.replace("nas,pile", "nas more"),
    ],
)
def test_a_line_that_cannot_be_read_lets_nobody_in_and_keeps_nobody_out(line):
    good = LINE.replace("photos", "good")
    keys = parse_keys(line.rstrip("\n") + "\n" + good, "gateway.keys")
    assert [key.name for key in keys.all] == ["good"]
    assert keys.notes == ("gateway.keys:1: no key",)


def test_of_two_keys_with_one_name_the_first_counts():
    keys = parse_keys(LINE + LINE.replace(DIGEST, "0" * 64), "gateway.keys")
    assert [key.digest for key in keys.all] == [DIGEST]
    assert "second" in keys.notes[0]


def test_there_are_only_so_many():
    text = "".join(LINE.replace("photos", f"k{number}") for number in range(MAX_KEYS + 50))
    keys = parse_keys(text, "gateway.keys")
    assert len(keys.all) == MAX_KEYS
    assert "more than" in keys.notes[0]


def test_a_key_is_found_by_its_hash_and_by_nothing_else():
    keys = parse_keys(LINE, "")
    assert keys.find("a key") == keys.all[0]
    for said in ("", "a key ", "A key", DIGEST, "photos", "\udcff"):
        assert keys.find(said) is None
    assert Keys().find("a key") is None


def test_taking_a_key_out_leaves_everything_else_as_it_is():
    text = f"# photos are for Anna\n\nnonsense\n{LINE}{LINE.replace('photos', 'photos2')}"
    assert without(text, "photos") == text.replace(LINE, "", 1)
    assert without(text, "nobody") == text


@pytest.mark.parametrize(
    ("services", "section", "leads"),
    [
        ((), NamedSection(), True),
        ((), NamedSection(listed=False), False),
        ((), NamedSection(users=(User("anna", "x"),)), False),
        (("nas",), NamedSection(listed=False), True),
        (("nas",), NamedSection(users=(User("anna", "x"),)), True),
        (("wiki",), NamedSection(), False),
    ],
)
def test_a_key_leads_to_what_is_listed_for_all_or_to_what_it_names(services, section, leads):
    assert is_for(Key("k", DIGEST, 0, DAY, services), "nas", section) is leads


SERVICE = st.from_regex(r"\A[a-z0-9-]{1,20}\Z")
KEYS = st.builds(
    Key,
    st.from_regex(r"\A[A-Za-z0-9._@+-]{1,64}\Z"),
    st.binary(max_size=40).map(lambda data: digest_of(data.hex())),
    st.integers(0, 4_000_000_000),
    st.integers(0, 4_000_000_000),
    st.lists(SERVICE, max_size=4).map(tuple),
)


@given(st.lists(KEYS, unique_by=lambda key: key.name, max_size=5))
def test_what_is_written_is_read_as_the_same(keys):
    text = "".join(f"{line_of(key)}\n" for key in keys)
    assert parse_keys(text, "") == Keys(tuple(keys))
    for key in keys:
        assert key not in parse_keys(without(text, key.name), "").all


@given(st.text(max_size=300) | st.text(alphabet=LINE + "#\r\n", max_size=300))
def test_whatever_stands_in_the_file_is_read(text):
    keys = parse_keys(f"{text}\n{LINE}", "gateway.keys")
    assert len({key.name for key in keys.all}) == len(keys.all)
    assert "photos" in {key.name for key in keys.all}
