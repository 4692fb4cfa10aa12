"""One HTTP request at a time with a hard end: what `requests` does, cut when time is up.

A read timeout of `requests` begins anew with every byte, so a server that sends one now and then could hold a thread
for hours.  Here every connection made for a request is known, and `Cut.cut` shuts its socket down from outside: the
thread that waits for it goes on at once, with an error.  Everything but `cut` blocks: call it from a worker thread.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 15.0  # seconds
MAX_LINE = 262_144  # bytes
_PIECE = 16_384

Failures = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)


class Cut:
    """Ends requests from outside.  `cut` must come in the end, however a request went: it closes what is kept here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_cut = False

    def connected(self, connection: socket.socket) -> None:
        """A request has this connection now.  Raises TimeoutError when it was cut before."""
        with self._lock:
            if self._is_cut:
                connection.close()
                raise TimeoutError("time was up before the connection was there")
            # A handle of our own: TLS takes the other one away, and its handshake must end as well.
            self._sockets.append(connection.dup())

    def cut(self) -> None:
        """Shut down what was connected, and whatever will be.  Never waits."""
        with self._lock:
            self._is_cut = True
            for connection in self._sockets:
                with connection, contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._sockets.clear()


def lines_of(cut: Cut, method: str, url: str, most: int, json: Mapping[str, str] | None = None) -> Iterator[bytes]:
    """Send a request and yield the lines of the answer as they come, at most `most` bytes in all.

    No redirect is followed, nothing is unpacked, and nothing of the environment is used.  Raises one of Failures.
    """
    session = requests.Session()
    session.trust_env = False
    adapter = _Adapter(cut)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    try:
        with session.request(
            method,
            url,
            json=json,
            headers={"Accept-Encoding": "identity", "Connection": "close"},
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            allow_redirects=False,
            stream=True,
        ) as answer:
            if answer.status_code != 200:
                raise requests.HTTPError(f"it answered {answer.status_code}")
            yield from _lines(answer, most)
    finally:
        session.close()


def reason(failure: BaseException) -> str:
    """Why a request failed, in words for people."""
    match failure:
        case requests.ConnectTimeout() | requests.ReadTimeout() | TimeoutError():
            return "no answer in time"
        case requests.exceptions.SSLError():
            return "its certificate is not valid"
        case requests.ConnectionError():
            return "cannot be reached"
        case requests.HTTPError():
            return str(failure)
    return "its answer broke off"


def _lines(answer: requests.Response, most: int) -> Iterator[bytes]:
    line, taken = bytearray(), 0
    for piece in answer.raw.stream(_PIECE, decode_content=False):
        taken += len(piece)
        *whole, rest = piece.split(b"\n")
        for part in whole:
            yield bytes(line + part)
            line.clear()
        line += rest
        if taken > most or len(line) > MAX_LINE:
            raise ValueError("it answered with too much")
    if line:
        yield bytes(line)


class _Adapter(HTTPAdapter):
    """Tells `cut` about every connection."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        super().__init__(max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        cut = self._cut

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                connection = super()._new_conn()
                cut.connected(connection)
                return connection

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                connection = super()._new_conn()
                cut.connected(connection)
                return connection

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
