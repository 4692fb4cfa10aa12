"""Bytes on one connection to a file service: what comes back is HTTP, and nothing that lies outside the directory."""

from __future__ import annotations

import asyncio
import itertools

import h11
from aiohttp import web

from hardline.cache.files.files import FileService
from hardline.cache.files.tree import Tree
from hardline.http.serving.pages import nothing_here
from hardline.http.serving.server import StreamServer
from tests.fuzz.served import SECRET, place

_STATUSES = {200, 204, 206, 301, 304, 400, 403, 404, 405, 412, 416, 431, 505}
_AT_ONCE = 40  # bytes: the second piece begins in the middle of something


class Recorded(asyncio.Transport):
    """A connection that takes everything at once."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": None})
        self.protocol, self.said, self.over = protocol, bytearray(), False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.over
        self.said += data

    def close(self) -> None:
        if not self.over:
            self.over = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self.over

    def pause_reading(self) -> None:
        """Everything was sent already."""

    def resume_reading(self) -> None:
        """Everything was sent already."""


def connection(data: bytes) -> None:
    """Whole answers only, of the statuses that the service has; however the bytes are cut."""
    whole = asyncio.run(_talk([data]))
    cut = asyncio.run(_talk([data[:_AT_ONCE], data[_AT_ONCE:]]))
    for said in (whole, cut):
        assert SECRET not in said
        assert b"aiohttp" not in said
        assert b"Traceback" not in said
        _check_answers(said)


async def _talk(pieces: list[bytes]) -> bytes:
    files = FileService(Tree(place() / "root", forbidden=lambda path, facts: False), allow_listing=True)

    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        return await files.respond(request) or nothing_here(request)

    server = StreamServer(respond, "fuzz")
    protocol = server.protocol_factory()
    transport = Recorded(protocol)
    protocol.connection_made(transport)
    for piece in pieces:
        if piece and not transport.over:
            protocol.data_received(piece)
        await _quiet(protocol, transport)
    said = bytes(transport.said)
    transport.close()
    await server.aclose()
    return said


async def _quiet(protocol: web.RequestHandler, transport: Recorded) -> None:
    """Nothing is left to be answered, or what there is waits for the rest of its request."""
    async with asyncio.timeout(100):
        for turn in itertools.count():
            if transport.over:
                return
            # Threads look at the disk: who turns on meanwhile takes the processor from them.
            await asyncio.sleep(0 if turn < 20 else 0.0005)
            request = protocol._current_request
            if request is None and not protocol._messages:
                await asyncio.sleep(0)
                if protocol._current_request is None and not protocol._messages:
                    return


def _check_answers(said: bytes) -> None:
    """An HTTP client reads them to the end.  Which of them are to HEAD only their lengths tell: try both."""
    while said:
        for method in ("GET", "HEAD"):
            client = h11.Connection(h11.CLIENT)
            client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
            client.send(h11.EndOfMessage())
            client.receive_data(said)
            client.receive_data(b"")
            try:
                response = client.next_event()
                assert isinstance(response, h11.Response)
                assert response.status_code in _STATUSES, response.status_code
                while not isinstance(client.next_event(), h11.EndOfMessage | h11.PAUSED):  # type: ignore[arg-type]
                    pass
            except h11.RemoteProtocolError:
                assert method == "GET", f"no answer: {said[:100]!r}"
                continue
            rest = client.trailing_data[0]
            if not rest or rest.startswith(b"HTTP/1."):
                said = rest
                break
        else:
            raise AssertionError(f"no answer: {said[:100]!r}")
