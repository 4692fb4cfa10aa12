"""What may stand where a person reads one line; without I/O.

    plain("می\\u200cخواهم.txt\\n")    "می\\u200cخواهم.txt\\ufffd"      the joiners of scripts and emoji stay
    one_line("a \\n b\\u202e", 200)    "a b"

Names and titles are other people's words, in any script.  Only what steers is taken from them: control characters,
what begins a line, what turns or marks a direction (bidirectional marks, embeddings, overrides, isolates, and the
format characters that Unicode has withdrawn), annotations, and halves of letters, which nothing can encode.
Source: Unicode 15, sections 23.2 and 23.3; Standard Annex 9, section 2.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # controls, C0 and C1
    "\u2028\u2029"  # line and paragraph separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # directions
    "\u206a-\u206f\ufff9-\ufffb"  # withdrawn; annotations
    "\ud800-\udfff]"
)
_UNSEEN = {"Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp"}

MAX_TITLE = 200


def is_plain(text: str) -> bool:
    """Nothing in it steers a terminal, a line or a direction."""
    return _STEERING.search(text) is None


def plain(text: str, instead: str | Callable[[str], str] = "\N{REPLACEMENT CHARACTER}") -> str:
    """`text` as it is, with `instead` for each character that steers, or what it gives for that character."""
    if isinstance(instead, str):
        return _STEERING.sub(instead, text)
    return _STEERING.sub(lambda found: instead(found[0]), text)


def as_escapes(text: str) -> str:
    """`text` as it is, with what steers as Python writes it: "\\x1b"."""
    return plain(text, lambda letter: ascii(letter)[1:-1])


def one_line(text: str, most: int) -> str:
    """At most `most` characters, without what steers and with single spaces; "" when nobody could see any of it."""
    line = " ".join(plain(" ".join(text[: 4 * most].split()), "").split())[:most].strip()
    return line if any(unicodedata.category(letter) not in _UNSEEN for letter in line) else ""


def clean_title(text: str) -> str:
    """A title as people may safely see it: one line, nothing that steers it, at most MAX_TITLE characters."""
    return one_line(text, MAX_TITLE)
