"""A WSGI application as an ASGI one: each request in a thread, as many at once as there are threads.

    scope ──▶ environ ──▶ thread: app(environ, start_response) ──▶ chunk ──▶ send
                            └ wsgi.input.read ◀── receive: what the visitor sends, as it comes

Nothing is kept whole, neither a body nor an answer: a thread waits for the visitor, who waits for it.  A request that
breaks off raises in the application's `read`, and does not look like its end; an answer that breaks off is a cut.
Source: PEP 3333.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import math
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from hardline.apps.environ import environ_of, has_body
from hardline.apps.kinds import Message, Receive, Scope, Send, WsgiApp
from hardline.disks import Disk

THREADS = 16
_READ_AHEAD = 65_536  # bytes


class Wsgi:
    """`app`, as app(scope, receive, send).  It has `threads`; who finds none free waits."""

    def __init__(self, app: WsgiApp, name: str, threads: int = THREADS) -> None:
        self._app = app
        self._threads = Disk(name, threads=threads, patience=math.inf)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = _Call(self._app, environ_of(scope), asyncio.get_running_loop(), receive, send)
        try:
            rest = await self._threads.run_long(call.run)
            await call.said()
            for message in rest:
                await send(message)
        finally:
            call.leave()


class _Call:
    """One request.  `run` is called in a thread, all else in the event loop."""

    def __init__(
        self, app: WsgiApp, environ: dict[str, Any], loop: asyncio.AbstractEventLoop, receive: Receive, send: Send
    ) -> None:
        self._app, self._loop, self._send = app, loop, send
        self._gone = False
        self._under_way: concurrent.futures.Future[Any] | None = None
        self._head: Message | None = None  # until it is sent
        self._began = False
        self._left: int | None = None  # bytes of the answer that are still to come, where it says how many
        body = _Body(lambda: self._in_loop(receive)) if has_body(environ) else None
        self._environ = environ | {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO() if body is None else io.BufferedReader(body, _READ_AHEAD),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }

    def leave(self) -> None:
        """Nobody is there any more: a thread that waits for the visitor does so no longer."""
        self._gone = True
        if self._under_way is not None:
            self._under_way.cancel()

    async def said(self) -> None:
        """Wait for what was sent while nobody waited for it."""
        if self._under_way is not None:
            await asyncio.wrap_future(self._under_way)

    def run(self) -> list[Message]:
        """Call the application, and send what it says; returns what is still to be sent."""
        if self._gone:
            raise ConnectionResetError("the visitor is gone")
        answer = self._app(self._environ, self._start_response)
        try:
            return self._answer(answer)
        finally:
            if (close := getattr(answer, "close", None)) is not None:
                close()

    def _answer(self, answer: Iterable[bytes]) -> list[Message]:
        if isinstance(answer, list | tuple) and not self._began:
            whole = b"".join(answer)
            return [self._take_head(len(whole)), _body(whole)]
        for chunk in answer:
            if chunk:
                self._write(chunk)
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
        self._wait_for_last()
        self._start(self._forward(messages))
        if self._left != 0:
            self._wait_for_last()  # what is not the last waits until there is room for more

    async def _forward(self, messages: list[Message]) -> None:
        for message in messages:
            await self._send(message)

    def _in_loop(self, receive: Receive) -> Any:
        async def received() -> Any:
            return await receive()

        self._wait_for_last()
        self._start(received())
        return self._wait_for_last()

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        if self._gone:
            work.close()
            raise ConnectionResetError("the visitor is gone")
        self._under_way = under_way = asyncio.run_coroutine_threadsafe(work, self._loop)
        if self._is_left():
            under_way.cancel()

    def _is_left(self) -> bool:
        """Whether the loop has left meanwhile, which may not have seen what was just begun."""
        return self._gone

    def _wait_for_last(self) -> Any:
        if self._under_way is None:
            return None
        try:
            return self._under_way.result()
        except concurrent.futures.CancelledError:
            raise ConnectionResetError("the visitor is gone") from None
        finally:
            self._under_way = None


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
