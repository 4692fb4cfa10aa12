"""A service that keeps every byte that reaches it, and says what the test has it say."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator

Answering = Callable[[bytes, int], bytes | None]  # a head, how many came before on its connection; None: it closes

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LAST_CHUNK = re.compile(rb"(?:\A|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)


class Recorder:
    """`heard` are the bytes of each connection, `answer` what is said to each head."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.heard: list[bytearray] = []
        self.answer: Answering = lambda head, before: OK
        self.interim = b""  # said at once to every head
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def whole(self) -> bytes:
        """Everything, whichever connection it came by."""
        return b"".join(map(bytes, self.heard))

    def reset(self) -> None:
        """Forget what came, and say OK again."""
        self.heard, self.interim = [], b""
        self.answer = lambda head, before: OK

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)  # which wakes who accepts
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        kept, held = bytearray(), b""
        self.heard.append(kept)
        with client, contextlib.suppress(OSError):
            before = 0
            while True:
                while b"\r\n\r\n" not in held:
                    if not (data := client.recv(65_536)):
                        return
                    kept += data
                    held += data
                head, _, held = held.partition(b"\r\n\r\n")
                client.sendall(self.interim)
                length = _LENGTH.search(head)
                needed = int(length[1]) if length else 0
                chunked = b"\r\ntransfer-encoding: chunked" in head.lower()
                while len(held) < needed or (chunked and not _LAST_CHUNK.search(held)):
                    if not (data := client.recv(65_536)):
                        return
                    kept += data
                    held += data
                last = _LAST_CHUNK.search(held) if chunked else None
                held = held[last.end() if last else needed :]
                if (said := self.answer(head, before)) is None:
                    return
                client.sendall(said)
                before += 1


@contextlib.contextmanager
def running_recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    try:
        yield recorder
    finally:
        recorder.close()
