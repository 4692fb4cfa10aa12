"""The lines by which connections are joined at a relay, without I/O.

    HARDLINE-JOIN TOKEN    HARDLINE-PARK TOKEN    HARDLINE-REVERSE NAME    HARDLINE-PROBE ID      to a relay, or a node
    HARDLINE-OK ENDPOINT   HARDLINE-NO WHY        HARDLINE-GO INVITE                              a relay's answers

Each ends with CR LF, and what comes behind it belongs to somebody else.
Source: docs/PROTOCOL.md, sections 9.1 and 9.4.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from hardline.errors import PeerError

BEGINNING = b"HARDLINE-"  # nine bytes: `H` alone also begins HTTP's HEAD
MAX_LINE = 256  # bytes, its end included
MAX_GO = 1024  # the same, of one with an invite in it

_END = b"\r\n"


class Verb(enum.StrEnum):
    """What is said."""

    JOIN = "JOIN"
    PARK = "PARK"
    REVERSE = "REVERSE"
    PROBE = "PROBE"
    OK = "OK"
    NO = "NO"
    GO = "GO"


@dataclass(frozen=True, slots=True)
class Line:
    """`rest` is what stands behind the verb; `size` how many bytes the line has, its end included."""

    verb: Verb
    rest: str
    size: int


def encode_line(verb: Verb, rest: str) -> bytes:
    """The line, with its end."""
    return BEGINNING + f"{verb} {rest}".encode("ascii") + _END


def read_line(data: bytes) -> Line | None:
    """The line that `data` begins with; None while it is not whole.

    Raises PeerError, as soon as that is known, for what is none.
    """
    begun = data[: len(BEGINNING)]
    if not BEGINNING.startswith(begun):
        raise PeerError("something else than a line of a relay")
    end = data.find(_END, 0, MAX_GO)
    if end < 0:
        _check_so_far(data)
        return None
    said = data[len(BEGINNING) : end]
    word, blank, rest = said.partition(b" ")
    if not blank or not rest or not said.isascii() or not said.decode("ascii").isprintable():
        raise PeerError("a line of a relay without anything to it, or with something that no line has")
    verb = _verb(word)
    if end + len(_END) > (MAX_GO if verb is Verb.GO else MAX_LINE):
        raise PeerError("a line of a relay that is too long")
    return Line(verb, rest.decode("ascii"), end + len(_END))


def _check_so_far(data: bytes) -> None:
    word, blank, _ = data[len(BEGINNING) :].partition(b" ")
    most = len(BEGINNING) + max(map(len, Verb)) + 1
    if blank:
        most = MAX_GO if _verb(word) is Verb.GO else MAX_LINE
    if len(data) >= most:
        raise PeerError("a line of a relay that does not end")


def _verb(word: bytes) -> Verb:
    try:
        return Verb(word.decode("ascii"))
    except ValueError:
        raise PeerError("a line of a relay that is none") from None
