"""The site under attack.  A program: a thread for each connection, so that no visitor waits for what another one does.

    GET /          "hello from the origin\n"          GET /bytes/N     N bytes          GET /hints/N     103, for ever

tests/support/origin.py writes a MiB at a time to whoever takes it: with hundreds of downloads one waits there for
seconds, and a test would find the daemons guilty of it.  Prints its port when it listens.

    python patient_origin.py [CERTIFICATE KEY]     with them: over TLS
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import sys

_PIECE = b"x" * 65_536
_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" * 1000
_PAGE = b"hello from the origin\n"


class Visit(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    tls: ssl.SSLContext | None = None

    def setup(self) -> None:
        if self.tls is not None:
            self.request = self.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError, IndexError):  # whoever attacks breaks off, or sends nonsense
            while request := self.rfile.readline(65_536):
                while self.rfile.readline(65_536) not in (b"\r\n", b""):
                    pass
                self._answer(request.split(b" ")[1])

    def _answer(self, path: bytes) -> None:
        while path.startswith(b"/hints/"):
            self.connection.sendall(_HINTS)
        count = int(path.removeprefix(b"/bytes/")) if path.startswith(b"/bytes/") else 0
        status, page = (b"200 OK", b"" if count else _PAGE) if count or path == b"/" else (b"404 Not Found", b"")
        head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, count or len(page))
        self.connection.sendall(head + page)
        for left in range(count, 0, -len(_PIECE)):
            self.connection.sendall(_PIECE[:left])


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = socket.SOMAXCONN

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def main() -> None:
    if sys.argv[1:]:
        Visit.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        Visit.tls.load_cert_chain(*sys.argv[1:])
    with Server(("", 0), Visit) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever(0.05)


main()
