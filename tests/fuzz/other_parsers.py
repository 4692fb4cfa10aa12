"""How other programs read the same requests: what our door lets through must not mean something else to them.

llhttp (Node.js; here by httptools), h11 (uvicorn and others) and the standard library (every `python -m http.server`)
stand for the services behind the door.  Each returns what it sees, or None where it refuses.
"""

from __future__ import annotations

import http.client
import http.server
import io
from dataclasses import dataclass, field

import h11
import httptools


@dataclass(slots=True)
class Seen:
    """One parser's view of the bytes on one connection."""

    requests: int = 0
    method: str = ""
    target: str = ""
    hosts: list[str] = field(default_factory=list)
    body: bytes = b""
    whole: bool = False  # the first request has ended
    behind: bytes = b""  # what it would read as the next one


def llhttp(data: bytes) -> Seen | None:
    seen = Seen()

    class Events:
        def on_message_begin(self) -> None:
            seen.requests += 1

        def on_url(self, url: bytes) -> None:
            if seen.requests == 1:
                seen.target += url.decode("latin-1")

        def on_header(self, name: bytes, value: bytes) -> None:
            if name.lower() == b"host" and not seen.method:  # not in a trailer
                seen.hosts.append(value.decode("latin-1").strip(" \t"))

        def on_headers_complete(self) -> None:
            if seen.requests == 1:
                seen.method = parser.get_method().decode()

        def on_body(self, body: bytes) -> None:
            if seen.requests == 1:
                seen.body += body

        def on_message_complete(self) -> None:
            seen.whole = True

    parser = httptools.HttpRequestParser(Events())
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return seen
    except httptools.HttpParserError:
        if not seen.whole:
            return None
        seen.behind = b"what it refused"
    return seen


def h11_server(data: bytes) -> Seen | None:
    seen = Seen()
    connection = h11.Connection(h11.SERVER)
    try:
        connection.receive_data(data)
        while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            match event:
                case h11.Request():
                    seen.requests += 1
                    seen.method = event.method.decode()
                    seen.target = event.target.decode("latin-1")
                    seen.hosts = [value.decode("latin-1") for name, value in event.headers if name == b"host"]
                case h11.Data():
                    seen.body += bytes(event.data)
                case h11.EndOfMessage():
                    seen.whole = True
                case h11.ConnectionClosed():
                    break
        seen.behind = connection.trailing_data[0] if seen.whole else b""
    except h11.RemoteProtocolError:
        return None
    return seen if seen.requests else None


def standard_library(data: bytes) -> Seen | None:
    handler = _Quiet(data)
    if not handler.understood:
        return None
    hosts = handler.headers.get_all("host") or []
    return Seen(1, handler.command, handler.path, [host.strip(" \t") for host in hosts])


class _Quiet(http.server.BaseHTTPRequestHandler):
    """The head of a request, without a socket."""

    def __init__(self, data: bytes) -> None:
        self.rfile = io.BytesIO(data)
        self.raw_requestline = self.rfile.readline(65_537)
        self.refused = False
        try:
            self.understood = self.parse_request() and not self.refused
        except http.client.HTTPException:
            self.understood = False

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.refused = True

    def handle_expect_100(self) -> bool:
        return True


ALL = {"llhttp": llhttp, "h11": h11_server, "the standard library": standard_library}
