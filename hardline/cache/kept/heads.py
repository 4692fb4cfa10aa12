"""What is known of a stored answer beside its body: the text of a `.head` file, without I/O.

    {"hardline": 1, "key": "/foo?x=1", "inode": 131,
     "answers": [{"number": 1, "size": 4711, "mtime": 1790000000147471588, "inode": 130, "status": 200, "reason": "OK",
                  "fields": [["Content-Type", "text/html"], …], "requested_at": …, "received_at": …,
                  "selecting": [["accept-language", "de"], ["host", null]]}]}

A body and what is known of it are two files, and a crash, or another process, may come between them.  So each answer
says which body it is of: its size, its time of modification, and its inode.  The inodes count for nothing when the
`.head` file has not its own any more: then all is a copy, made at rest.  The digits of the time below a second are the
store's to choose.  They carry a mark, by which a body of ours that has lost its head is told from one that the original
hardline left, and they are never the same for a body and the one it replaces.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from hardline.http.fields import HOP_BY_HOP, is_token

MAX_HEAD = 65_536  # bytes of one answer's fields, as text
MAX_FILE = 40 * MAX_HEAD

BY_HAND = 0  # the number of a body that lies under the name without a suffix

_SECOND = 1_000_000_000
_MARK, _STEP, _STEPS = 471_147, 1_000_003, 999
_LATEST = 1 << 33  # seconds; a time beyond is nonsense, and file systems refuse it


@dataclass(frozen=True, slots=True, weakref_slot=True)
class StoredHead:
    """An answer without its body.

    `fields` are the end-to-end fields as they were sent, in order.  Times are seconds since 1970.  `selecting` are the
    request's fields that it was chosen by: name in lower case, value or None where the request had none.
    """

    status: int
    reason: str
    fields: tuple[tuple[str, str], ...]
    requested_at: float
    received_at: float
    selecting: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """Which file a head belongs to; `inode` is None where it cannot be known."""

    size: int
    mtime: int  # nanoseconds since 1970
    inode: int | None = None

    def is_that_of(self, size: int, mtime: int, inode: int) -> bool:
        """Whether a file with these facts is the one."""
        return (self.size, self.mtime) == (size, mtime) and self.inode in (None, inode)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a key: its number in layout's sense (BY_HAND: the file without a suffix)."""

    number: int
    body: Body
    head: StoredHead


@dataclass(frozen=True, slots=True)
class Heads:
    """All answers of a key, newest first."""

    key: str
    answers: tuple[Answer, ...] = ()

    def with_answer(self, answer: Answer) -> Heads:
        """`answer` instead of the one with its number, as the newest."""
        return replace(self, answers=(answer, *self.without(answer.number).answers))

    def without(self, number: int) -> Heads:
        """The answer with this number is gone."""
        return replace(self, answers=tuple(one for one in self.answers if one.number != number))

    def number_for(self, head: StoredHead, most: int) -> int:
        """Where an answer with `head` belongs: on the one chosen by the same fields, a free place, the oldest one."""
        for answer in self.answers:
            if answer.number != BY_HAND and set(answer.head.selecting) == set(head.selecting):
                return answer.number
        taken = [answer.number for answer in self.answers if answer.number != BY_HAND]
        free = next((number for number in range(1, most + 1) if number not in taken), None)
        return taken[-1] if free is None else free


def encode(heads: Heads, inode: int) -> bytes:
    """The text of a `.head` file that has this inode."""
    answers = [
        {
            "number": answer.number,
            "size": answer.body.size,
            "mtime": answer.body.mtime,
            "inode": answer.body.inode,
            "status": answer.head.status,
            "reason": answer.head.reason,
            "fields": answer.head.fields,
            "requested_at": answer.head.requested_at,
            "received_at": answer.head.received_at,
            "selecting": answer.head.selecting,
        }
        for answer in heads.answers
    ]
    file = {"hardline": 1, "key": heads.key, "inode": inode, "answers": answers}
    return json.dumps(file, separators=(",", ":")).encode() + b"\n"


def decode(text: bytes, inode: int) -> Heads | None:
    """Read a `.head` file that has this inode; None for whatever `encode` did not write."""
    try:
        file = json.loads(text)
        if file["hardline"] != 1:
            return None
        copied = _whole(file["inode"]) != inode
        answers = tuple(_answer(answer, copied) for answer in file["answers"])
        return Heads(_text(file["key"]), answers)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def too_large(head: StoredHead) -> bool:
    """Whether a head is longer than anybody needs."""
    selecting = ((name, value or "") for name, value in head.selecting)
    length = sum(len(name) + len(value) + 8 for name, value in (*head.fields, *selecting))
    return length + len(head.reason) > MAX_HEAD // 6  # a character is up to six in JSON


def mark(received_at: float, chance: int, *others: int) -> int:
    """A time of modification for a body received then: one of a thousand, by `chance`, but none of `others`."""
    second = int(min(max(received_at, 0), _LATEST)) * _SECOND
    while (chosen := second + _MARK + chance % _STEPS * _STEP) in others:
        chance += 1
    return chosen


def is_marked(mtime: int) -> bool:
    """Whether a body with this time of modification was written by us."""
    return (mtime % _SECOND - _MARK) % _STEP == 0 and mtime % _SECOND >= _MARK


def _answer(answer: dict[str, Any], copied: bool) -> Answer:
    inode = answer["inode"]
    body = Body(_whole(answer["size"]), _whole(answer["mtime"]), None if copied or inode is None else _whole(inode))
    head = StoredHead(
        status=_status(answer["status"]),
        reason=_text(answer["reason"]),
        fields=tuple((_name(name), _text(value)) for name, value in answer["fields"]),
        requested_at=_number(answer["requested_at"]),
        received_at=_number(answer["received_at"]),
        selecting=tuple((_text(name), None if value is None else _text(value)) for name, value in answer["selecting"]),
    )
    return Answer(_whole(answer["number"]), body, head)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _status(value: object) -> int:
    """Of an answer that ends a request."""
    if not 200 <= (status := _whole(value)) <= 999:
        raise ValueError
    return status


def _name(value: object) -> str:
    """That of a field which does not belong to one connection: others would change where the answer ends."""
    if not is_token(name := _text(value)) or name.lower() in HOP_BY_HOP:
        raise ValueError
    return name


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
        raise TypeError
    return float(value)
