"""The syntax of a settings file: sections, keys, the lines they stand on, and what is unknown.  Without I/O.

    text ──configparser──▶ Ini ──section(name, defaults)──▶ a dataclass, one `setting` a key
                               ──refuse_the_rest()────────▶ ConfigError with file, line and the nearest known name

Sections are `[Name]`; keys are `key = value` in any case; a value goes on in lines that begin with a space;
comments are lines that begin with # or ;.  There is no interpolation and no [DEFAULT], and one pair of quotes
around a value is taken off.  Which keys there are is service.py's and node.py's.
"""

from __future__ import annotations

import configparser
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, NoReturn, TypeVar

from hardline.errors import ConfigError
from hardline.settings.units import Unreadable
from hardline.showable import as_escapes

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
Section = TypeVar("Section", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Rule:
    """How one key is read."""

    read: Callable[[str], object]
    key: str  # as it is written in the file; empty: the name of the field
    note: str  # what to tell whoever sets it, when its part is not built yet
    many: bool  # whether the value may go on over several lines
    secret: bool  # whether the value must stay out of messages
    tabs: bool  # whether there may be tabs in it


def setting(
    default: T,
    read: Callable[[str], T],
    *,
    key: str = "",
    note: str = "",
    many: bool = False,
    secret: bool = False,
    tabs: bool = False,
) -> T:
    """A key of a section, as a field of the section's dataclass."""
    return field(default=default, metadata={"rule": Rule(read, key, note, many, secret, tabs)}, repr=not secret)


@dataclass(slots=True)
class _Value:
    text: str
    line: int


class _Lines(configparser.RawConfigParser):
    """A RawConfigParser that remembers on which line each section and key began."""

    # The library's own needs 20 s for a line of 60 000 spaces.
    OPTCRE = re.compile(r"(?P<option>[^=:]*)(?P<vi>[=:])\s*(?P<value>.*)$")

    def __init__(self) -> None:
        # No section gives defaults to the others: [DEFAULT] is as unknown as any.
        super().__init__(strict=True, default_section="", empty_lines_in_values=False)
        self.section_lines: list[int] = []
        self.key_lines: list[int] = []
        self._line = 0

    def optionxform(self, optionstr: str) -> str:
        self.key_lines.append(self._line)
        return optionstr.lower()

    def counted(self, text: str) -> Iterator[str]:
        for self._line, line in enumerate(io.StringIO(text, newline=None), start=1):
            yield line
            # The parser has dealt with the line by the time that it asks for the next.
            if line.lstrip().startswith("[") and len(self.sections()) > len(self.section_lines):
                self.section_lines.append(self._line)


class Ini:
    """A file that is being understood: sections are taken out one by one, and what is left is unknown."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.notes: list[str] = []  # what the owner should know and is no mistake
        self._known: dict[str, list[str]] = {}  # sections, and the keys that each may have
        self._unknown: list[tuple[str, str]] = []
        parser = _read(text, file)
        lines = iter(parser.key_lines)
        self._values = {
            name: {key: _Value(_unquoted(value), next(lines)) for key, value in parser.items(name)}
            for name in parser.sections()
        }
        self._lines = dict(zip(parser.sections(), parser.section_lines, strict=True))

    def has(self, section: str, key: str) -> bool:
        """Whether the file sets this key."""
        return key.lower() in self._values.get(section, {})

    def keys(self, section: str) -> tuple[str, ...]:
        """What the file sets in `section`, in lower case."""
        return tuple(self._values.get(section, {}))

    def line_of(self, section: str, key: str = "") -> int:
        """The line, from 1, of `key`, or of the section's own name; 0: there is none."""
        if not key:
            return self._lines.get(section, 0)
        value = self._values.get(section, {}).get(key.lower())
        return value.line if value else 0

    def section(self, name: str, default: Section) -> Section:
        """The section as its class has it; `default` with the keys that the file sets."""
        rules: dict[str, tuple[str, str, Rule]] = {}
        for each in fields(default):
            rule: Rule = each.metadata["rule"]
            key = rule.key or each.name
            rules[key.lower()] = (each.name, key, rule)
        self._known[name] = [key for _, key, _ in rules.values()]
        changes: dict[str, object] = {}
        for lowered, value in self._values.get(name, {}).items():
            if lowered not in rules:
                self._unknown.append((name, lowered))
                continue
            attribute, key, rule = rules[lowered]
            try:
                changes[attribute] = _understood(value.text, rule)
            except Unreadable as wrong:
                message = f"{key} cannot be used, expected {wrong.expected}" if rule.secret else None
                self.fail(name, key, message or seen(key, value.text, wrong), wrong.hint)
            if rule.note:
                self.notes.append(f"[{name}] {key} {rule.note}")
        return replace(default, **changes)

    def named(self, kind: str, default: Section) -> dict[str, Section]:
        """Every section `[kind:NAME]`, by its NAME, in the order of the file; each as its class has it."""
        found: dict[str, Section] = {}
        for section in self._values:
            begins, colon, rest = section.partition(":")
            if begins != kind or not colon:
                continue
            name = rest.strip()
            if not name:
                self.fail(section, "", f"[{_printable(section)}] has no name", f"write [{kind}:NAME]")
            if name in found:
                self.fail(section, "", f"there are two sections [{_printable(section)}]", "give each a name of its own")
            found[name] = self.section(section, default)
        return found

    def section_of(self, kind: str, name: str) -> str:
        """How the section that `named` found is written."""
        return next(one for one in self._known if one.startswith(f"{kind}:") and one[len(kind) + 1 :].strip() == name)

    def refuse_the_rest(self) -> None:
        """Fail for a key or section that nobody asked for."""
        for name, key in self._unknown:
            elsewhere = [section for section, keys in self._known.items() if key in map(str.lower, keys)]
            hint = (
                f"{key} belongs under [{_printable(elsewhere[0])}]" if elsewhere else _nearest(key, self._known[name])
            )
            self.fail(name, key, f"[{_printable(name)}] has no key {_short(key)!r}", hint)
        for name in self._values:
            if name in self._known:
                continue
            names = [f"[{_printable(known)}]" for known in self._known]
            shown = f"[{_printable(name)}]"
            self.fail(name, "", f"there is no section {shown} in this file", _nearest(shown, names))

    def fail(self, section: str, key: str, message: str, hint: str = "") -> NoReturn:
        """Raise ConfigError with the line of `key`, or of `section` where the file does not set the key."""
        line = (self.line_of(section, key) if key else 0) or self.line_of(section)
        raise ConfigError(message, file=self.file, line=line, key=key, hint=hint)


def _read(text: str, file: str) -> _Lines:
    parser = _Lines()
    try:
        parser.read_file(parser.counted(text.removeprefix("\ufeff")))
    except configparser.MissingSectionHeaderError as wrong:
        hint = "begin with a section, such as [Service] or [Node]"
        raise ConfigError("this line stands before any section", file=file, line=wrong.lineno, hint=hint) from None
    except configparser.DuplicateSectionError as wrong:
        message = f"[{_printable(wrong.section)}] stands here for the second time"
        raise ConfigError(message, file=file, line=wrong.lineno or 0, hint="put its keys together") from None
    except configparser.DuplicateOptionError as wrong:
        message = f"{_printable(wrong.option)} stands here for the second time"
        raise ConfigError(message, file=file, line=wrong.lineno or 0, key=wrong.option, hint="keep one") from None
    except configparser.ParsingError as wrong:
        line = wrong.errors[0][0] if wrong.errors else 0
        hint = "comments are lines that begin with # or ;"
        raise ConfigError("this line is neither 'key = value' nor a comment", file=file, line=line, hint=hint) from None
    return parser


def _understood(text: str, rule: Rule) -> object:
    if not rule.many:
        if "\n" in text:
            raise Unreadable("one line", hint="a line that begins with a space goes on with the one above it")
        if any(is_control(letter) and not (letter == "\t" and rule.tabs) for letter in text):
            raise Unreadable("no control characters")
    return rule.read(text)


def is_control(letter: str) -> bool:
    """What has no place in a value of one line; in paths, tabs have."""
    return unicodedata.category(letter) == "Cc"


def quoted(text: str) -> str:
    """`text` as a value that is read as exactly `text`: one line, at its ends whatever it likes.

    Raises Unreadable where no value can be so.
    """
    if any(is_control(letter) and letter != "\t" for letter in text):
        raise Unreadable("no line ends and no control characters")
    if any(unicodedata.category(letter) == "Cs" for letter in text):
        raise Unreadable("UTF-8 only")
    return f'"{text}"'


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"" else text


def seen(key: str, text: str, wrong: Unreadable) -> str:
    """What is wrong, as a sentence: "port is 'http', expected a number from 1 to 65535"."""
    return f"{key} is {_short(text)!r}, expected {wrong.expected}"


def _printable(text: str) -> str:
    """For a terminal: what would move its cursor or colour it is shown as an escape."""
    return as_escapes(_short(text))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def _nearest(word: str, known: Sequence[str]) -> str:
    import difflib  # half a megabyte, for who has mistyped something

    by_lower = {each.lower(): each for each in known}
    if close := difflib.get_close_matches(word.lower()[:60], by_lower, n=1):
        return f"did you mean {by_lower[close[0]]}?"
    return f"known are {', '.join(known)}"
