"""What a program, or a web page, can send to the port for SOCKS."""

from __future__ import annotations

import contextlib
from itertools import pairwise

from hardline.door.socks import MAX_SIZE, Opening, Refused, Reply, label_named
from hardline.identity import KeyHash, Label

_KNOWN = {"nas": Label(KeyHash(bytes(20)))}
_GREETED = b"\x05\x00"
_ANSWERS = {b"", b"\x05\xff", _GREETED, *(_GREETED + reply.encode() for reply in Reply if reply)}


def socks(data: bytes) -> None:
    """However it is cut, it is answered alike; a name is what RFC 1928 says that was asked for, and leads to a label
    or to a refusal."""
    answers, name, early = whole = _said(data, len(data))
    for cut in {1, 2, 3 + len(data) % 7}:
        assert _said(data, cut) == whole
    assert answers in _ANSWERS
    if name is None:
        assert early == b""
        assert len(data) < MAX_SIZE or answers != _GREETED or data[2 + data[1]] != 5
        return
    assert answers == _GREETED
    request = data[2 + data[1] : len(data) - len(early)]
    assert request[:2] + request[3:4] == b"\x05\x01\x03"
    assert request[4:-2] == bytes([len(name)]) + name
    with contextlib.suppress(Refused):
        label_named(name, _KNOWN)


def _said(data: bytes, size: int) -> tuple[bytes, bytes | None, bytes]:
    """All answers, the name that was asked for, and what came behind it; by pieces of `size`."""
    opening, answers = Opening(), b""
    ends = [*range(0, len(data), max(size, 1)), len(data)]
    try:
        for begin, end in pairwise(ends):
            answers += opening.feed(data[begin:end])
            if opening.name is not None:
                return answers, opening.name, opening.early + data[end:]
    except Refused as refused:
        return answers + refused.answer, None, b""
    return answers, None, b""
