"""Who gets through a door for phones: whoever has read the code beside it; without I/O.

    http://nas-4f1c.local:7010/K7QX2M     303 to /, and a cookie of this host name
    the same with that cookie             the service, which never sees the cookie
    anything else                         403

A door has the code for one service and a port of its own.  Cookies ignore ports, so a service has a host name of its
own, too; by a bare address only one door at a time is answered.  Who guesses has five tries, which close the door.
Source: RFC 6265, section 8.5.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from hashlib import blake2b

from hardline.gateway.judging import Asked, Refused
from hardline.gateway.names import Elsewhere, OneService, Place, name_in
from hardline.gateway.pages import CLIENT, Page
from hardline.gateway.requests import values
from hardline.http.hosts import is_address
from hardline.identity import Label

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that is taken for another
CODE_LENGTH, TRIES = 6, 5

_COOKIES = b"hardline-phone-"
_CODE = re.compile(r"/([A-Za-z0-9]{6})/?(?:\?.*)?\Z")
_NAME = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME = 24
_NOT_LET_IN = "This needs the code that `hardline phone` shows: scan it, or type the whole address."
_CLOSED = "This door is closed: the code was wrong too often.  Open it again with  hardline phone."


def host_name(title: str, label: Label) -> str:
    """What a service is called in the LAN, below .local: always the same, and without a digit of its key hash."""
    named = _NAME.sub("-", title.lower()).strip("-")[:_LONGEST_NAME].strip("-")
    return f"{named or 'service'}-{blake2b(str(label).encode(), digest_size=2, person=b'hardline phone').hexdigest()}"


class Code:
    """What lets phones in by one door.  `code` and `secret` are random, `secret` is the cookie's; `closes` is called
    when the door is to be closed, and `lifetime` is how many seconds it is open at most."""

    def __init__(self, code: str, secret: str, lifetime: float, closes: Callable[[], None]) -> None:
        self.code, self.hides = code, _COOKIES
        self.cookie = f"hardline-phone-{blake2b(secret.encode(), digest_size=4).hexdigest()}"
        self._secret, self._lifetime, self._closes = secret, lifetime, closes
        self._wrong: set[str] = set()  # what is asked for again and again is one guess

    def judge(self, asked: Asked) -> None:
        """Raises Refused for who has neither cookie nor code, and with the way on for who has the code."""
        if len(self._wrong) >= TRIES:
            raise Refused(Page(403, _CLOSED, CLIENT))
        for field in values(asked.fields, b"cookie"):
            for pair in field.split(";"):
                name, _, value = pair.strip().partition("=")
                if name == self.cookie and hmac.compare_digest(value.encode(), self._secret.encode()):
                    return
        tried = _CODE.match(asked.head.target)
        if tried is None or asked.head.method not in ("GET", "HEAD"):
            raise Refused(Page(403, _NOT_LET_IN, CLIENT))
        if hmac.compare_digest(tried[1].upper().encode(), self.code.encode()):
            cookie = f"{self.cookie}={self._secret}; Path=/; Max-Age={self._lifetime:.0f}; HttpOnly; SameSite=Lax"
            raise Refused(Page(303, "The way on is /.", CLIENT, ("Location: /", f"Set-Cookie: {cookie}")))
        self._wrong.add(tried[1].upper())
        if len(self._wrong) >= TRIES:
            self._closes()
        raise Refused(Page(403, _NOT_LET_IN, CLIENT))


class OnePhone(OneService):
    """The door's names: `host` below .local, and addresses while `by_address` says so."""

    def __init__(self, name: str, host: str, by_address: Callable[[], bool]) -> None:
        super().__init__(name, (f"{host}.local",))
        self._host, self._by_address, self._service = f"{host}.local", by_address, name

    def place(self, host: str, target: str) -> Place | None:
        """As Names.place."""
        asked = name_in(host)
        if asked == self._host or (is_address(asked) and self._by_address()):
            return Place(target, self._service)
        if is_address(asked):
            # Not which name: whoever asks has shown no code.
            raise Elsewhere("another door was opened since, and only one is answered by an address: use its name")
        raise Elsewhere("no door for phones is for this host")
