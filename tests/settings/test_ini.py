"""The syntax of settings files: which line a mistake stands on, and what was meant perhaps."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import ConfigError
from hardline.settings.ini import Ini, setting
from hardline.settings.service import parse_service
from hardline.settings.units import number
from tests.support.costs import times_as_long

pytestmark = pytest.mark.pure


@dataclass(frozen=True)
class Paint:
    colour: str = setting("red", str)
    coats: int = setting(2, number(1, 9))
    recipe: str = setting("", str, many=True)
    key: str = setting("", str, key="secretKey", secret=True)
    gloss: int = setting(0, number(0, 9), note="dries slowly")


def read(text: str) -> Paint:
    ini = Ini(text, "shed.ini")
    paint = ini.section("Paint", Paint())
    ini.refuse_the_rest()
    return paint


def mistake(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.file == "shed.ini"
    return caught.value


def test_what_the_file_does_not_say_stays_as_it_was():
    assert read("") == Paint()
    assert read("[Paint]\ncoats = 3") == Paint(coats=3)


@pytest.mark.parametrize(
    "line", ["Colour = blue", "COLOUR: blue", "colour='blue'", 'colour = "blue"', "colour=  blue  "]
)
def test_keys_have_any_case_and_quotes_are_taken_off(line):
    assert read(f"[Paint]\n{line}\n").colour == "blue"


def test_signs_that_mean_something_elsewhere_mean_nothing_here():
    assert read("[Paint]\ncolour = 50% $blue # ; \\n").colour == "50% $blue # ; \\n"


def test_comments_blank_lines_carriage_returns_and_a_byte_order_mark_are_no_matter():
    assert read("\ufeff# paint\r\n\r\n[Paint]\r\n; how often\r\ncoats = 4\r\n") == Paint(coats=4)


def test_a_value_goes_on_in_lines_that_begin_with_a_space():
    assert read("[Paint]\nrecipe = oil,\n  lead,\n  patience\ncoats=5") == Paint(
        recipe="oil,\nlead,\npatience", coats=5
    )


def test_a_value_of_one_line_must_not_go_on():
    wrong = mistake("[Paint]\ncolour = blue\n coats = 3\n")
    assert (wrong.line, wrong.key) == (2, "colour")
    assert "one line" in wrong.message


def test_a_mistake_names_its_file_line_key_and_what_was_expected():
    wrong = mistake("# shed\n[Paint]\n\nrecipe = a\n  [Paint]\n  coats = 1\n\nCoats = lots\n")
    assert (wrong.line, wrong.key) == (8, "coats")
    assert wrong.message == "shed.ini:8: coats is 'lots', expected a number from 1 to 9"


def test_an_unknown_key_is_told_the_nearest_known_one():
    wrong = mistake("[Paint]\ncolor = blue")
    assert (wrong.line, wrong.key, wrong.hint) == (2, "color", "did you mean colour?")


def test_a_key_of_another_section_is_told_where_it_belongs():
    with pytest.raises(ConfigError) as caught:
        parse_service("[Info]\ntitle = A\nverify = no\n[Service]\nservice = https://nas\n", "a.ini")
    assert caught.value.message == "a.ini:3: [Info] has no key 'verify'"
    assert caught.value.hint == "verify belongs under [Service]"


def test_an_unknown_section_is_told_the_nearest_known_one():
    wrong = mistake("[Paint]\n\n[pains]\ncoats = 3")
    assert (wrong.line, wrong.hint) == (3, "did you mean [Paint]?")


def test_sections_that_configparser_treats_otherwise_are_unknown_like_any():
    assert mistake("[DEFAULT]\ncoats = 3\n[Paint]\n").line == 1


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("coats = 3\n", 1, "before any section"),
        ("[Paint]\ncoats = 1\n[Paint]\n", 3, "second time"),
        ("[Paint]\ncoats = 1\n\nCOATS = 2\n", 4, "second time"),
        ("[Paint]\ncoats\n", 2, "neither"),
        ("[Paint]\n= 3\n", 2, "neither"),
        ("[Paint]\ncolour = a\x00b\n", 2, "control characters"),
    ],
)
def test_broken_syntax_is_found_on_its_line(text, line, part):
    wrong = mistake(text)
    assert wrong.line == line
    assert part in wrong.message


def test_a_secret_stays_out_of_messages_and_of_what_is_printed():
    @dataclass(frozen=True)
    class Safe:
        pin: int = setting(0, number(0, 9), secret=True)

    with pytest.raises(ConfigError) as caught:
        Ini("[Safe]\npin = 4711", "safe.ini").section("Safe", Safe())
    assert "4711" not in caught.value.message
    assert "8" not in repr(Ini("[Safe]\npin = 8", "").section("Safe", Safe()))


def test_a_key_with_a_note_leaves_it_only_when_it_is_set():
    ini = Ini("[Paint]\nGLOSS = 1", "")
    ini.section("Paint", Paint())
    assert ini.notes == ["[Paint] gloss dries slowly"]
    ini = Ini("[Paint]\ncoats = 1", "")
    ini.section("Paint", Paint())
    assert ini.notes == []


LINES = st.sampled_from(
    ["[Paint]", "[", "coats=1", " coats = 2", "colour : x", "=", " ", "#", "[a]", "\t[Paint]", "\r", "\x0b"]
)


@given(st.text() | st.lists(LINES | st.text(max_size=5)).map("\n".join))
def test_any_text_gives_a_section_or_a_config_error(text):
    failures = []
    try:
        read(text)
    except ConfigError as wrong:
        failures.append(wrong)
    assert all(0 < wrong.line <= len(text.splitlines()) for wrong in failures)


@pytest.mark.parametrize("text", ["[\x1b[2JA]\n", "[\x07]\n[\x07]\n", "[A]\n\x1bb = 1\n\x1bB = 2\n"])
def test_what_would_command_a_terminal_is_shown_as_an_escape(text):
    with pytest.raises(ConfigError) as caught:
        Ini(text, "a.ini").refuse_the_rest()
    assert caught.value.message.isprintable()


def test_a_line_of_spaces_takes_no_longer_than_one_of_letters():
    def read(filling: str) -> None:
        with pytest.raises(ConfigError, match="neither"):
            Ini(f"[A]\na{filling}b\n", "a.ini")

    assert times_as_long(read, " " * 15_000, " " * 60_000) < 10
    assert times_as_long(read, "a" * 60_000, " " * 60_000) < 50


# ── sections with a name ─────────────────────────────────────────────────────────────────────────────────────


def rooms(text: str) -> dict[str, Paint]:
    ini = Ini(text, "shed.ini")
    found = ini.named("Room", Paint())
    ini.refuse_the_rest()
    return found


def test_sections_with_a_name_are_read_one_by_one_in_the_order_of_the_file():
    found = rooms("[Room:south wing]\ncoats = 3\n[Room: north]\ncolour = blue\n")
    assert list(found.items()) == [("south wing", Paint(coats=3)), ("north", Paint(colour="blue"))]
    assert rooms("") == {}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[Room:a]\ncoats = 0\n", 2, "coats"),
        ("[Room:a]\n[Room:b]\ncoat = 1\n", 3, "[Room:b] has no key 'coat'"),
        ("[Room:a]\n\n[Room:]\n", 3, "[Room:] has no name"),
        ("[Room:a]\n[Room: a ]\n", 2, "there are two sections [Room: a ]"),
        ("[Room]\n", 1, "there is no section [Room]"),
        ("[Rooms:a]\n", 1, "there is no section [Rooms:a]"),
    ],
)
def test_a_mistake_in_one_of_them_has_its_line(text, line, message):
    with pytest.raises(ConfigError) as caught:
        rooms(text)
    assert caught.value.line == line
    assert message in caught.value.message
