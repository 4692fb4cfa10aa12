"""Key hashes, labels and rolling codes (docs/PROTOCOL.md, section 1)."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import BadKeyHash, BadLabel
from hardline.identity import MAX_FREE_TEXT, KeyHash, Label, utc_day

pytestmark = pytest.mark.pure

DIGITS = "000102030405060708090a0b0c0d0e0f10111213"
KEY_HASH = KeyHash(bytes(range(20)))

key_hashes = st.binary(min_size=20, max_size=20).map(KeyHash)
free_texts = st.text("abcdefghijklmnopqrstuvwxyz0123456789_~!$&'()*+,;=", max_size=MAX_FREE_TEXT)


# ── 1.1 the key hash ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("der", "digits"),
    [
        (b"", "0e5751c026e543b2e8ab2eb06099daa1d1e5df47"),
        (b"hardline", "6fef58cb259ed9746e280ac7ca618aab93d3fe79"),
    ],
)
def test_a_key_hash_is_the_first_20_bytes_of_blake2b_with_a_32_byte_digest(der, digits):
    assert str(KeyHash.of_certificate(der)) == digits


@given(st.binary(max_size=300))
def test_other_lengths_of_digest_would_give_another_key_hash(der):
    digest = KeyHash.of_certificate(der).digest
    assert digest == hashlib.blake2b(der, digest_size=32).digest()[:20]
    assert digest not in (hashlib.blake2b(der, digest_size=20).digest(), hashlib.blake2b(der).digest()[:20])


def test_a_key_hash_is_printed_in_small_letters_and_read_in_any():
    assert str(KEY_HASH) == DIGITS
    assert KeyHash.parse(DIGITS.upper()) == KEY_HASH
    assert KEY_HASH.short == "00010203"


@given(key_hashes)
def test_a_key_hash_comes_back_from_its_text(key_hash):
    assert KeyHash.parse(str(key_hash)) == key_hash


@pytest.mark.parametrize(
    ("text", "part"),
    [("", "this has 0"), (DIGITS[1:], "this has 39"), (DIGITS + "00", "this has 42"), ("x" * 40, "hex digits only")],
)
def test_what_is_no_key_hash_is_refused_with_the_reason(text, part):
    with pytest.raises(BadKeyHash, match=part):
        KeyHash.parse(text)


@pytest.mark.parametrize("text", [f" {DIGITS}", f"{DIGITS}\n", f"0x{DIGITS[2:]}", DIGITS.replace("0", "٠")])
def test_only_ascii_hex_digits_count(text):
    with pytest.raises(BadKeyHash):
        KeyHash.parse(text)


@pytest.mark.parametrize("size", [0, 19, 21, 32])
def test_a_key_hash_has_20_bytes(size):
    with pytest.raises(BadKeyHash, match=f"not {size}"):
        KeyHash(bytes(size))


def test_a_long_text_is_cut_in_the_message():
    with pytest.raises(BadKeyHash) as caught:
        KeyHash.parse("z" * 10_000)
    assert len(caught.value.message) < 200


# ── 1.2 the label ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "password"),
    [
        (DIGITS, ""),
        (f"-{DIGITS}", ""),  # how originals announce a service without a password
        (f"sesame-{DIGITS}", "sesame"),
        (f"SeSaMe-{DIGITS.upper()}", "sesame"),
        (f"{'x' * 23}-{DIGITS}", "x" * 23),
    ],
)
def test_a_label_is_a_key_hash_with_or_without_a_free_text(text, password):
    assert Label.parse(text) == Label(KEY_HASH, password)


@given(key_hashes, free_texts)
def test_a_label_comes_back_from_its_text(key_hash, password):
    label = Label(key_hash, password)
    assert Label.parse(str(label)) == label
    assert len(str(label)) <= 64


@pytest.mark.parametrize("password", ["a-b", "a.b", "x" * 24, "a b", "ü", "a/b", "a:b", "a\n", "a@b", "<b>", "a%20"])
def test_a_free_text_that_no_url_could_carry_is_refused(password):
    with pytest.raises(BadLabel):
        Label.parse(f"{password}-{DIGITS}")


def test_a_label_is_kept_in_small_letters_only():
    with pytest.raises(BadLabel):
        Label(KEY_HASH, "Sesame")


@given(st.text() | st.text(max_size=30).map(lambda text: f"{text}-{DIGITS}"))
def test_any_text_is_a_label_or_refused(text):
    with suppress(BadKeyHash, BadLabel):
        assert str(Label.parse(text)).endswith(str(Label.parse(text).key_hash))


# ── 1.3 the rolling code ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("day", "code"),
    [
        (0, "b066d751df454068af9947ecc3eeb0dd99860c7b"),
        (20_000, "a88a2800ab0432eab27708e2d3bd100ec0044a80"),
        (20_744, "e896199358e1a0d2370aab568d8c4be08d6027a0"),
    ],
)
def test_a_rolling_code_is_the_hash_of_the_key_hash_and_the_day(day, code):
    assert KEY_HASH.rolling(day) == code


@given(key_hashes, st.integers(0, 2**63))
def test_a_rolling_code_looks_like_a_key_hash_and_is_another_one_every_day(key_hash, day):
    code = key_hash.rolling(day)
    assert str(KeyHash.parse(code)) == code
    assert code not in (str(key_hash), key_hash.rolling(day + 1))


@pytest.mark.parametrize(
    ("now", "day"), [(0.0, 0), (86_399.999, 0), (86_400.0, 1), (1_728_000_000.0, 20_000), (1_728_086_399.9, 20_000)]
)
def test_a_day_begins_at_midnight_utc(now, day):
    assert utc_day(now) == day


def test_a_letter_whose_lower_case_is_an_ascii_one_is_no_letter_of_a_label():
    with pytest.raises(BadLabel):
        Label.parse("\N{KELVIN SIGN}-" + "0" * 40)


@pytest.mark.parametrize(
    ("theirs", "ours", "same"),
    [
        ("sesame", "sesame", True),
        ("SeSaMe", "sesame", True),
        ("", "", True),
        ("anything", "", True),  # a service that wants no word takes any
        ("", "sesame", False),
        ("sesam", "sesame", False),
        ("sesame ", "sesame", False),
        ("SÜß", "sesame", False),
        ("\ud800", "sesame", False),
    ],
)
def test_passwords_are_compared_in_small_letters(theirs, ours, same):
    assert Label(KEY_HASH, ours).has_password(theirs) is same
