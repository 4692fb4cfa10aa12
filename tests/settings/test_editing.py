"""One value of a file is another; every other line is as it was."""

from __future__ import annotations

import configparser
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import ConfigError
from hardline.settings.editing import edited
from hardline.settings.ini import Ini, quoted
from hardline.settings.service import parse_service
from hardline.settings.units import Unreadable

pytestmark = pytest.mark.pure

FILE = """\
# my wiki
[Service]
service = localhost
port = 8000

[Info]
; what people read
TITLE : Old
    and longer

# nothing more
listed = no
[Access]
"""


def test_a_value_is_written_where_it_was() -> None:
    assert edited(FILE, "Info", "title", "New") == FILE.replace("TITLE : Old\n    and longer\n", "title = New\n")
    assert edited(FILE, "Info", "title", None) == FILE.replace("TITLE : Old\n    and longer\n", "")


def test_a_new_one_begins_its_section_and_a_new_section_ends_the_file() -> None:
    assert edited(FILE, "Access", "paused", "yes") == f"{FILE}paused = yes\n"
    assert edited(FILE, "Service", "legacy", "no") == FILE.replace("[Service]\n", "[Service]\nlegacy = no\n")
    assert edited(FILE, "Cache", "hidden", "yes") == f"{FILE}\n[Cache]\nhidden = yes\n"
    assert edited("", "Info", "title", "x") == "[Info]\ntitle = x\n"


@pytest.mark.parametrize(("section", "key"), [("Access", "paused"), ("Cache", "hidden"), ("Info", "port")])
def test_what_is_not_there_is_not_taken_away(section: str, key: str) -> None:
    assert edited(FILE, section, key, None) == FILE


def test_a_last_line_without_an_end_gets_one() -> None:
    assert edited("[Info]\nlisted = no", "Info", "listed", None) == "[Info]\n"
    assert edited("[Info]\nlisted = no", "Access", "paused", "yes") == "[Info]\nlisted = no\n\n[Access]\npaused = yes\n"


def test_ends_of_lines_stay_as_they_are() -> None:
    dos = FILE.replace("\n", "\r\n")
    assert edited(dos, "Info", "title", None) == dos.replace("TITLE : Old\r\n    and longer\r\n", "")


@given(st.text(max_size=60))
def test_any_title_is_read_as_it_was_written(title: str) -> None:
    try:
        value = quoted(title)
    except Unreadable:
        return
    before = parse_service(FILE, "wiki.ini")
    after = parse_service(edited(FILE, "Info", "title", value), "wiki.ini")
    assert (after.target, after.listed, after.access) == (before.target, before.listed, before.access)
    again = parse_service(
        edited(edited(FILE, "Info", "title", value), "Info", "title", quoted("Old and longer")), "w.ini"
    )
    assert again.title == before.title == "Old and longer"


LINES = """
[Info]
  [Info]
[Info] ; mine
useDHT = no
  useDHT = no
\tclients : everyone
clients=invited
  and more
\x20
  # note
; note
title = a\u2028[Access]
title = b\x0cc
 listed = no"""
ODD = st.lists(st.sampled_from(LINES.split("\n")), max_size=9)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@given(ODD, ENDS, st.sampled_from(["clients", "paused", "useDHT"]), st.sampled_from([None, "x"]))
def test_any_file_says_the_same_but_for_what_was_changed(
    lines: list[str], end: str, key: str, value: str | None
) -> None:
    text = end.join(["[Access]", *lines])
    try:
        before = said(text)
    except ConfigError:
        return
    after = said(edited(text, "Access", key, value))
    before.pop(("Access", key.lower()), None)
    assert after.pop(("Access", key.lower()), None) == value
    assert after == before


def said(text: str) -> dict[tuple[str, str], str]:
    read = configparser.RawConfigParser(strict=True, default_section="", empty_lines_in_values=False)
    Ini(text, "")
    read.read_file(io.StringIO(text, newline=None))
    return {(name, key): value for name in read.sections() for key, value in read.items(name)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[Access]\n  useDHT = no\n", "[Access]\n  clients = invited\n  useDHT = no\n"),
        ("[Access]\n\tclients = everyone\n", "[Access]\n\tclients = invited\n"),
        (
            "[Access]\nclients = everyone\n  # mine\n  useDHT = no\n",
            "[Access]\nclients = invited\n  # mine\n  useDHT = no\n",
        ),
        ("[Info]\r\nlisted = no\r\n", "[Info]\r\nlisted = no\r\n\r\n[Access]\r\nclients = invited\r\n"),
        ("[Access] ; who\n", "[Access] ; who\nclients = invited\n"),
    ],
)
def test_indents_comments_and_ends_of_lines_are_the_parsers(before: str, after: str) -> None:
    assert edited(before, "Access", "clients", "invited") == after


def test_what_cannot_be_understood_is_not_written_into() -> None:
    with pytest.raises(ConfigError, match="second time"):
        edited("[Info]\n[Info]\n", "Info", "title", "x")
