"""Names and titles in any script are shown as they are; what steers a terminal, a line or a direction is not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline import log, tables, target
from hardline.discovery import lpd
from hardline.http import look, paths
from hardline.session import status
from hardline.settings import directory, ini
from hardline.showable import as_escapes, clean_title, is_plain, one_line, plain

pytestmark = pytest.mark.pure

# Every place that shows what others said.
CLEANERS = {
    "titles in settings": clean_title,
    "titles on the LAN": lpd.clean_title,
    "pages": look.shown,
    "names of files": paths.shown,
    "commands": tables.plain,
    "targets": target._plain,
    "mistakes in settings": ini._printable,
    "names of services": directory.shown_name,
    "a stream's status": status._clean,
    "the log": log._quoted,
}
AS_THEY_ARE = [
    "می\u200cخواهم.txt",  # Persian needs the joiner that does not join
    "क्\u200dष",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467.txt",  # a family, joined
    "\u2764\ufe0f",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # a flag, made of tags
    "שלום",
    "Мой-дом",
    "写真",
    "e\u0301te\u0301",
    "\ue0a0",  # an icon of a font of one's own
]
STEERING = sorted(
    {chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Cc", "Cs", "Zl", "Zp")}
    | set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
)


@pytest.mark.parametrize("where", CLEANERS)
@pytest.mark.parametrize("text", AS_THEY_ARE)
def test_what_people_write_is_shown_as_it_is_wherever_it_is_shown(where, text):
    assert CLEANERS[where](text) == text


@pytest.mark.parametrize("where", CLEANERS)
def test_what_steers_is_shown_nowhere(where):
    for letter in STEERING:
        assert letter not in CLEANERS[where](f"a{letter}b")


def test_words_of_a_title_with_spaces_are_readable_in_the_log():
    assert log._quoted("Мой дом") == '"Мой дом"'
    assert log._quoted("a\u00a0b=c") == '"a\u00a0b=c"'


@given(st.text())
def test_what_was_made_plain_stays_as_it_is(text):
    for made in (plain(text), as_escapes(text), one_line(text, 20)):
        assert is_plain(made)
        made.encode()
    assert one_line(one_line(text, 20), 20) == one_line(text, 20)
    assert len(one_line(text, 20)) <= 20
    assert len(plain(text)) == len(text)


@pytest.mark.parametrize("text", ["", " \n", "\u200d\u200b", "\u202e\x07", "\ufeff \u00ad"])
def test_a_line_of_which_nothing_is_seen_is_empty(text):
    assert one_line(text, 20) == ""
