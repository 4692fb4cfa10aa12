"""What of a connection's requests may pass to the service, head by head, without I/O.

    GET / HTTP/1.1                    ──▶  Undecided: `asks` is to be judged, and the verdict told
    Host: nas.example.org             ──▶  401, 403, 421, 429, or
    Authorization: Basic …            ──▶  the head without Authorization, as the service's [HTTP] wants it

Every head is judged by itself: who was let in with one request is a stranger in the next.  Nothing of a request
passes before its head has, and a name and a password never do.  Source: RFC 9110, sections 11.6 and 15.5.20.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from hardline.http.head import BadHead, Form, Head
from hardline.http.rewriting import Undecided
from hardline.http.virtualhost import Asked, VirtualHost

_AUTHORIZATION, _HOST = b"authorization", b"host"
_UPGRADES = (b"upgrade", b"http2-settings")
_HTTP_2 = (b"h2c", b"h2")  # requests in it would be judged by nobody
_PORT = re.compile(r":[0-9]{0,5}\Z")


class Guard:
    """Of one connection to the service at `name`.

    With `users`, somebody has to judge who asks.  `may_ask` is called once a request; `host` changes what passes.
    """

    def __init__(self, name: str, *, users: bool, may_ask: Callable[[], bool], host: VirtualHost | None = None) -> None:
        self._name, self._users, self._may_ask, self._host = name, users, may_ask, host
        self.asks: Sequence[str] = ()  # what the request says of who sends it: the values of its Authorization fields
        self._counted = self._judged = False
        self._verdict: BadHead | None = None

    def judged(self, verdict: BadHead | None) -> None:
        """Of the request that `asks` is of: None lets it pass."""
        self._judged, self._verdict = True, verdict

    def request(self, head: Head, raw: bytes, client: str) -> tuple[bytes, Asked]:
        """As VirtualHost.request.  Raises Undecided while nobody has judged it."""
        if head.form is Form.AUTHORITY:
            raise BadHead(400, "a CONNECT to a service that is no proxy")
        if _without_port(head.host) != self._name:
            raise BadHead(421, "this name is another one's")
        if not self._counted:
            if not self._may_ask():
                raise BadHead(429, "too many requests", fields=("Retry-After: 5",))
            self._counted = True
        first, *lines = raw.split(b"\r\n")[:-2]
        fields = [(line.partition(b":")[0].lower(), line) for line in lines]
        if self._users and not self._judged:
            self.asks = [_value(line).decode("latin-1") for name, line in fields if name == _AUTHORIZATION]
            raise Undecided("nobody has judged it yet")
        verdict, self._judged, self._verdict, self._counted = self._verdict, False, None, False
        if verdict is not None:
            raise verdict
        gone = {_AUTHORIZATION} if self._users else set()
        if head.form is Form.ABSOLUTE:  # services that go by Host would not see which one was judged
            first = f"{head.method} {head.target} HTTP/{head.version}\r\nHost: {head.host}".encode("latin-1")
            gone.add(_HOST)
        if any(name == b"upgrade" and _wants_http_2(_value(line)) for name, line in fields):
            gone.update(_UPGRADES)
        if gone:
            raw = b"\r\n".join((first, *(line for name, line in fields if name not in gone), b"", b""))
        return (raw, Asked(None)) if self._host is None else self._host.request(head, raw, client)

    def answer(self, raw: bytes, asked: Asked) -> bytes:
        """As VirtualHost.answer."""
        return raw if self._host is None else self._host.answer(raw, asked)


def wants_a_password(name: str) -> BadHead:
    """For who has given none, or a wrong one."""
    fields = (f'WWW-Authenticate: Basic realm="{name}", charset="UTF-8"',)
    return BadHead(401, "it wants a name and a password", fields=fields)


def _without_port(host: str) -> str:
    return _PORT.sub("", host).lower().removesuffix(".")


def _value(line: bytes) -> bytes:
    return line.partition(b":")[2].strip(b" \t")


def _wants_http_2(value: bytes) -> bool:
    return any(one.strip().lower() in _HTTP_2 for one in value.split(b","))
