"""In which order a directory is listed, and what of it: out of a query; without I/O.

    ?sort=size&order=desc&filter=holiday      by name, size or time; letters that a name has, in capitals or not

What a query says besides is nobody's concern here, and what it says wrongly is as if it were not said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlencode

NAME, SIZE, TIME = "name", "size", "time"

_NUMBER = re.compile(r"0*([0-9]+)")
_FIELDS = 16
_LONGEST = 200  # characters that are looked for
_DIGITS = 20  # of any size or time: numbers of one length sort as text


@dataclass(frozen=True, slots=True)
class Order:
    """`by` one of name, size and time; the largest, latest or last name first where it is `falling`."""

    by: str = NAME
    falling: bool = False
    wanted: str = ""

    @classmethod
    def parse(cls, query: str) -> Order:
        """What `query` asks for."""
        try:
            fields = parse_qs(query, max_num_fields=_FIELDS, errors="replace")
        except ValueError:  # too many of them
            return cls()
        by = fields.get("sort", [NAME])[0]
        return cls(
            by if by in (NAME, SIZE, TIME) else NAME,
            fields.get("order", [""])[0] == "desc",
            fields.get("filter", [""])[0][:_LONGEST].strip(),
        )

    @property
    def query(self) -> str:
        """The query that asks for it, with its question mark; "" for the usual order of everything."""
        said = {"sort": self.by if self.by != NAME else "", "order": "desc" if self.falling else ""}
        said["filter"] = self.wanted
        text = urlencode({key: value for key, value in said.items() if value}, errors="replace")
        return f"?{text}" if text else ""

    def sorted_by(self, by: str) -> Order:
        """The order that a click on that column asks for: the other way round, where it is the one that there is."""
        falling = not self.falling if by == self.by else by != NAME
        return replace(self, by=by, falling=falling)

    def takes(self, name: str) -> bool:
        """Whether a name has what is looked for."""
        return self.wanted.casefold() in name.casefold()

    def key(self, name: str, is_directory: bool, size: int, modified: int) -> str:
        """Text that sorts so, and falls where that is asked for; `name_of` gives back what it was made of.

        Directories come first in any order, and names as people count: "file 9" before "file 10".
        """
        counted = _NUMBER.sub(_by_length, name.casefold())
        number = {NAME: 0, SIZE: size, TIME: modified}[self.by]
        rank = f"{min(max(number, 0), 10**_DIGITS - 1):0{_DIGITS}d}" if self.by != NAME else ""
        return f"{'0' if is_directory is not self.falling else '1'}{rank}{counted}\0{name}"


def name_of(key: str) -> str:
    """The name that a key was made of."""
    return key.rpartition("\0")[2]


def _by_length(number: re.Match[str]) -> str:
    """A number so that it sorts by its value: where digits do, the shorter one first."""
    return f"0{chr(len(number[1]))}{number[1]}"
