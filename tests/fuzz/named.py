"""What strangers say to a service behind a public name."""

from __future__ import annotations

import re

from hardline.http.head import BadHead, HeadReader
from hardline.http.rewriting import Rewriting
from hardline.https.guard import Guard, wants_a_password

_NAME, _GOOD = "nas.example.org", "Basic YW5uYTp3b3Jk"
_ANSWERS = b"\r\n\r\n\r\n"
_SECRET = re.compile(rb"\nauthorization[ \t]*:", re.IGNORECASE)


class _Talk:
    def __init__(self) -> None:
        self.judged = 0
        self.guard = Guard(_NAME, users=True, may_ask=lambda: True)
        self.talk = Rewriting(self.guard, "unknown")

    def says(self, data: bytes) -> bytes:
        passed = self.talk.asked(data)
        while self.talk.undecided:
            self.judged += 1
            self.guard.judged(None if list(self.guard.asks) == [_GOOD] else wants_a_password(_NAME))
            passed += self.talk.asked(b"")
        return passed


def guarded(data: bytes) -> None:
    """Requests, and behind an empty line of its own what the service answers: each head that passes was judged, is for
    this name, and has no password in it; however it is cut."""
    said, _, answered = data.partition(_ANSWERS)
    found = []
    for step in (len(said) or 1, 1 + len(said) % 7 + len(said) // 100):
        one, passed = _Talk(), b""
        for at in range(0, len(said), step):
            passed += one.says(said[at : at + step])
        one.talk.heard(answered)
        passed += one.says(b"")
        if not one.talk.switched:
            _look_at(passed, one.judged)
        found.append((passed, one.talk.failure.status if one.talk.failure else 0))
    assert found[0] == found[1] or found[0][1] or found[1][1]


def _look_at(passed: bytes, judged: int) -> None:
    """The first head of it, which no body can hide."""
    if not passed:
        return
    assert judged
    reader = HeadReader(1 << 20)
    try:
        head = reader.feed(passed)
    except BadHead as bad:
        raise AssertionError("what no reader takes was passed") from bad
    assert head is not None
    assert head.host.lower().rpartition(":")[0] in ("", _NAME) or head.host.lower().removesuffix(".") == _NAME
    assert not _SECRET.search(passed[: reader.size])
