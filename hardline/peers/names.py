"""Names that the user gives to services of others: nas for bb89…2ec3, at http://nas.localhost:7009/.

    DATADIR/names          a line each: NAME LABEL            # written by `hardline name`, and may be edited

They are this computer's own and told to nobody.  A line that says nothing stays as it is: it may be somebody's typo.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from hardline import log
from hardline.errors import BadKeyHash, BadLabel, ConfigError, HardlineError, NotKnown, WrongArgument
from hardline.files import hint_for, read_small, replace_whole, why
from hardline.identity import KeyHash, Label, word_of

MAX_NAMES = 1000
LONGEST = 32
_MAX_FILE = 262_144  # bytes: each name with a label that has the longest free text, and notes between them
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z")
_LINE_END = re.compile(r"\r\n?|\n")
_RESERVED = ("hardline", "localhost")
_DIGITS = frozenset("0123456789abcdef-")


def check_name(text: str) -> str:
    """`text` as a name, in lower case.  Raises WrongArgument saying what is wrong.

    Of hex digits alone would be the beginning of a key hash.
    """
    name = text.lower() if text.isascii() else text
    if not _NAME.match(name) or len(name) > LONGEST:
        raise WrongArgument(
            f"a name has 1 to {LONGEST} letters, digits and dashes, with no dash at either end, not {text[:60]!r}"
        )
    if name in _RESERVED:
        raise WrongArgument(f"{name} is the name of this computer's own pages", hint="choose another name")
    if _DIGITS.issuperset(name):
        raise WrongArgument(
            f"{name} could be the beginning of an address", hint="choose one with a letter beyond a to f"
        )
    return name


def name_in(text: str) -> str:
    """The name that `text` is, or that stands in it as in the address that it makes: http://nas.localhost:7009/."""
    return word_of(text) or text.lower()


class Names:
    """Those in `file`, which is read at the start and before each change, and made with the first of them."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._names: dict[str, Label] = {}
        self._lines: list[tuple[str | None, str]] = []  # as they are, each with the name that it gives
        self._unusable: HardlineError | None = None
        self._writing = asyncio.Lock()

    @property
    def all(self) -> Mapping[str, Label]:
        """What is named, in the order of the file."""
        return MappingProxyType(self._names)

    def get(self, name: str) -> Label | None:
        """What is called `name`, in any case, or by its URL."""
        return self._names.get(name_in(name))

    def of(self, key_hash: KeyHash) -> str | None:
        """How the user calls `key_hash`: the newest name of it."""
        return next((name for name, label in reversed(self._names.items()) if label.key_hash == key_hash), None)

    async def load(self) -> None:
        """Read the file; one that cannot be read is in the log, changes nothing, and is not written over."""
        self._unusable = None
        names, lines = dict[str, Label](), list[tuple[str | None, str]]()
        try:
            text = (await asyncio.to_thread(read_small, self._file, _MAX_FILE)).data.decode("utf-8-sig")
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError) as failure:
            reason = why(failure) if isinstance(failure, OSError) else "it is no UTF-8"
            self._unusable = ConfigError(f"the names cannot be read: {reason}", file=str(self._file), hint="mend it")
            log.warning("names.unreadable", file=self._file, reason=reason)
            return
        for number, line in enumerate(_LINE_END.split(text.removesuffix("\n")) if text else (), 1):
            word, *rest = line.split(None, 1)[:2] or [""]
            try:
                name, label = check_name(word), Label.parse("".join(rest).strip())
                names.pop(name, None)  # the last line of a name counts, and is the newest
                names[name] = label
                lines.append((name, line))
            except (WrongArgument, BadKeyHash, BadLabel):
                lines.append((None, line))
                if word and not word.startswith("#"):
                    # What it says is not told: it may be an address, or most of one.
                    log.warning("name.unusable", file=self._file, line=number, reason="expected a name and an address")
        self._names, self._lines = names, lines

    async def give(self, text: str, label: Label) -> str:
        """Call `label` so; returns the name.  Raises WrongArgument where it is another one's, ConfigError."""
        name = check_name(text)
        async with self._writing:
            await self.load()  # it may have been edited
            there = self._names.get(name)
            if there is not None and there.key_hash != label.key_hash:
                raise WrongArgument(
                    f"{name} is {there.key_hash.short}… already", hint=f"another name, or first: hardline forget {name}"
                )
            if there is None and len(self._names) >= MAX_NAMES:
                raise ConfigError(f"there are {MAX_NAMES} names already", hint="hardline forget NAME")
            await self._write(name, label)
        return name

    async def forget(self, text: str) -> Label:
        """Call nothing so any more; returns what was.  Raises WrongArgument, ConfigError."""
        name = name_in(text)
        async with self._writing:
            await self.load()
            if (label := self._names.get(name)) is None:
                raise NotKnown(f"nothing is called {text[:60]!r}", hint="the names: hardline ls")
            await self._write(name, None)
        return label

    async def _write(self, name: str, label: Label | None) -> None:
        """Have `name` be `label` alone, or nothing; every other line stays where it is."""
        if self._unusable is not None:
            raise self._unusable
        names = {one: its for one, its in self._names.items() if one != name}
        lines = [(one, line) for one, line in self._lines if one != name]
        if label is not None:
            names[name] = label
            lines.append((name, f"{name} {label}"))
        data = "".join(f"{line}\n" for _, line in lines).encode()
        if len(data) > _MAX_FILE:
            raise ConfigError(f"it would have more than {_MAX_FILE} bytes", file=str(self._file), hint="shorten it")
        try:
            await asyncio.to_thread(replace_whole, self._file, data)
        except OSError as failure:
            raise ConfigError(why(failure), file=str(self._file), hint=hint_for(failure)) from None
        self._names, self._lines = names, lines
