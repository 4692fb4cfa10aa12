"""A WSGI application as an ASGI one: each request in a thread, as many at once as there are threads.

    scope ──▶ environ ──▶ thread: app(environ, start_response) ──▶ AHEAD ──▶ send
                            └ wsgi.input.read ◀── receive: what the visitor sends, as it comes

A body of at most SMALL bytes is there before a thread is taken, and a thread is AHEAD bytes before its visitor: who is
slow keeps a thread only with what is larger, and who is silent for PATIENCE not from others who wait for one.  Nothing
else is kept whole.  A request that breaks off raises in the
application's `read`, and does not look like its end; an answer that breaks off is a cut.
Source: PEP 3333.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from hardline.apps.environ import environ_of, has_body
from hardline.apps.kinds import Message, Receive, Scope, Send, WsgiApp
from hardline.disks import Disk
from hardline.tasks import TaskSet

SMALL = 65_536  # bytes
AHEAD = 65_536  # bytes
_READ_AHEAD = 65_536  # bytes
PATIENCE = 30.0  # seconds
_LOOKS_EVERY = 1.0  # seconds, of a thread whose visitor is silent
_GONE = "the visitor is gone"
_SILENT = "the visitor was silent for long, and others waited"


class Wsgi:
    """`app`, as app(scope, receive, send).  It has `threads`; who finds none free waits."""

    def __init__(self, app: WsgiApp, name: str, threads: int) -> None:
        self._app, self._name = app, name
        self._threads = Disk(name, threads=threads, patience=math.inf)  # as for disks: one that hangs is not waited for
        self._tasks = TaskSet("wsgi")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        environ = environ_of(scope)
        loop, whole = asyncio.get_running_loop(), None
        if not has_body(environ):
            whole = b""
        elif "HTTP_TRANSFER_ENCODING" not in environ and int(environ["CONTENT_LENGTH"]) <= SMALL:
            whole = await _whole(receive)
            if whole is None:
                return  # it is torn, and nobody has to know of it
        answer = _Answer(loop, lambda: self._threads.is_wanted)
        body = _Body(lambda: answer.ask(receive)) if whole is None else None
        environ |= {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(whole or b"") if body is None else io.BufferedReader(body, _READ_AHEAD),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        thread = self._tasks.start(
            self._threads.run_long(lambda: answer.run(self._app, environ)), self._name, expects=Exception
        )
        thread.add_done_callback(lambda _: answer.news.set())
        try:
            while not thread.done() or answer.messages:
                while answer.messages:
                    message = answer.messages.popleft()
                    await send(message)
                    answer.sent(len(message.get("body", b"")))
                if not thread.done():
                    await answer.news.wait()
                    answer.news.clear()
            for message in thread.result():
                await send(message)
        finally:
            answer.leave()
            thread.cancel()


async def _whole(receive: Receive) -> bytes | None:
    """A body; None for one that breaks off."""
    pieces, more = [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


class _Answer:
    """One.  `run`, and what it calls, is in a thread; all else in the event loop, which `news` wakes.

    `others_wait`: a thread that only waits for its visitor does so for PATIENCE and no longer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, others_wait: Callable[[], bool]) -> None:
        self._others_wait = others_wait
        self.messages: deque[Message] = deque()
        self.news = asyncio.Event()
        self._loop = loop
        self._room = threading.Condition()
        self._waiting = 0  # bytes that are not sent yet
        self._gone = False
        self._asking: concurrent.futures.Future[Any] | None = None
        self._head: Message | None = None  # until it is sent
        self._began = self._looks = False
        self._left: int | None = None  # bytes that are still to come, where the head says how many

    def sent(self, count: int) -> None:
        """So many bytes are."""
        with self._room:
            self._waiting -= count
            self._looks = False
            self._room.notify()

    def leave(self) -> None:
        """Nobody is there any more: a thread that waits for the visitor does so no longer."""
        with self._room:
            self._gone = True
            self._room.notify()
            asking = self._asking
        if asking is not None:
            asking.cancel()

    def run(self, app: WsgiApp, environ: dict[str, Any]) -> list[Message]:
        """Call the application, and have sent what it says; returns what is still to be sent."""
        if self._gone:
            raise ConnectionResetError(_GONE)
        try:
            answer = app(environ, self._start_response)
            try:
                return self._say(answer)
            finally:
                if (close := getattr(answer, "close", None)) is not None:
                    close()
        except Exception:
            raise
        except BaseException as end:  # of this request: sys.exit() in a thread ends no program
            raise RuntimeError(f"the application raised {end!r}") from end

    def ask(self, receive: Receive) -> Any:
        """What `receive` says.  Raises ConnectionResetError when the visitor is gone, or silent."""

        async def received() -> Any:
            return await receive()

        with self._room:
            if self._gone:
                raise ConnectionResetError(_GONE)
            self._asking = asking = asyncio.run_coroutine_threadsafe(received(), self._loop)
        began = time.monotonic()
        while not (asking.done() or concurrent.futures.wait([asking], _LOOKS_EVERY).done):
            self._be_patient(began)
        try:
            return asking.result()
        except concurrent.futures.CancelledError:
            raise ConnectionResetError(_GONE) from None

    def _be_patient(self, began: float) -> None:
        if time.monotonic() - began > PATIENCE and self._others_wait():
            raise ConnectionResetError(_SILENT)

    def _say(self, answer: Iterable[bytes]) -> list[Message]:
        if isinstance(answer, list | tuple) and not self._began:
            whole = b"".join(answer)
            return [self._take_head(len(whole)), _body(whole)]
        for chunk in answer:
            if chunk:
                self._write(chunk)
            elif self._began:
                self._look()
        if self._left == 0 and self._began:
            return []
        return [*([] if self._began else [self._take_head(0)]), _body(b"")]

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        if exc_info is not None:
            try:
                if self._began:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # it holds this frame
        elif self._head is not None or self._began:
            raise AssertionError("start_response was called twice")
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._head = {"type": "http.response.start", "status": int(status[:3]), "headers": fields}
        return self._write

    def _take_head(self, whole: int | None = None) -> Message:
        """The head, which is sent now; of an answer that is `whole` it says the length, if nobody has said it."""
        if self._head is None:
            raise AssertionError("the application answered without start_response")
        head, self._head, self._began = self._head, None, True
        said = [value for name, value in head["headers"] if name.lower() == b"content-length"]
        if said:
            self._left = int(said[0])
        elif whole and not any(name.lower() == b"transfer-encoding" for name, _ in head["headers"]):
            head["headers"].append((b"content-length", str(whole).encode()))
        return head

    def _write(self, chunk: bytes) -> None:
        messages = [] if self._began else [self._take_head()]
        if self._left is not None:
            self._left -= len(chunk)
        messages.append(_body(bytes(chunk), more=self._left != 0))
        with self._room:
            began, waiting = time.monotonic(), self._waiting
            while not self._room.wait_for(lambda: self._gone or self._waiting < AHEAD, _LOOKS_EVERY):
                if self._waiting != waiting:
                    began, waiting = time.monotonic(), self._waiting
                self._be_patient(began)
            if self._gone:
                raise ConnectionResetError(_GONE)
            self._waiting += len(chunk)
            self._loop.call_soon_threadsafe(self._put, messages)  # which leaves while the next one is being made

    def _look(self) -> None:
        """The application says b"": that more will come.  Whether anybody still waits for it shows in sending."""
        if self._gone:
            raise ConnectionResetError(_GONE)
        if not self._looks:
            self._looks = True
            self._loop.call_soon_threadsafe(self._put, [_body(b"", more=True)])

    def _put(self, messages: list[Message]) -> None:
        self.messages += messages
        self.news.set()


class _Body(io.RawIOBase):
    """A request's body as it comes.  A visitor that breaks off is a ConnectionResetError, again and again."""

    def __init__(self, receive: Callable[[], Message]) -> None:
        super().__init__()
        self._receive = receive
        self._data = memoryview(b"")
        self._ended = self._torn = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._data and not self._ended:
            if self._torn:
                raise ConnectionResetError("the visitor broke off its request")
            message = self._receive()
            if message["type"] == "http.disconnect":
                self._torn = True
            else:
                self._data = memoryview(message.get("body", b""))
                self._ended = not message.get("more_body", False)
        count = min(len(buffer), len(self._data))
        buffer[:count] = self._data[:count]
        self._data = self._data[count:]
        return count


def _body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}
