"""A file service over a real HTTP server on 127.0.0.1, for clients that nobody here wrote.

curl, http.client, raw sockets ── TCP ──▶ aiohttp's server in a thread ──▶ FileService ──▶ a directory
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from hardline.cache.files.browsing import Browsing
from hardline.cache.files.files import FileService
from hardline.cache.files.texts import SECONDS, Texts
from hardline.cache.files.tree import Tree
from hardline.cache.files.uploads import Uploads
from hardline.disks import Disk
from hardline.errors import HardlineError
from hardline.http.serving import pages
from hardline.settings.service import DROP
from tests.support.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client was told."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(slots=True)
class Serving:
    """A running server."""

    root: Path
    port: int
    browsing: Browsing
    failures: list[BaseException]
    cut: list[str]

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str, method: str = "GET", **fields: str) -> Reply:
        """One request on a connection of its own; a field's name has "_" for "-"."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=100)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in fields.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    @contextlib.contextmanager
    def connection(self, request: bytes = b"") -> Iterator[socket.socket]:
        """A socket on which `request` has been sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=100) as sock:
            sock.sendall(request)
            yield sock

    def raw(self, request: bytes) -> bytes:
        """Everything that comes back on a connection until the server closes it."""
        with self.connection(request) as sock:
            return b"".join(iter(lambda: sock.recv(65536), b""))

    def open_files(self) -> list[str]:
        """What of the directory this process has open."""
        found = []
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                found.append(os.readlink(f"/proc/self/fd/{name}"))
        return [path for path in found if path.startswith(str(self.root.resolve()))]

    def has_closed_everything(self) -> None:
        """Wait until nothing is open any more."""
        wait_until(lambda: not self.open_files(), "everything was closed")


@contextlib.contextmanager
def serving(
    root: Path,
    *,
    allow_listing: bool = True,
    browsing: Browsing | None = None,
    run: Callable[[Coroutine[None, None, None]], None] = asyncio.run,
    forbidden: Callable[[str, os.stat_result], bool] = lambda path, facts: False,
    ours: Callable[[bytes], bool] = lambda start: False,
    hidden: bool = False,
    packed: bool = False,
    disk: Disk | None = None,
    seconds: float = SECONDS,
    uploads: str = "no",
    most: int = 1 << 30,
) -> Iterator[Serving]:
    """Serve `root` on a free port; a page of Markdown may take `seconds`; visitors
    may bring files of up to `most` bytes as `uploads` says.

    What a handler raises is raised at the end, what it cut is in `cut`.
    """
    started: list[Serving] = []
    ready, over = threading.Event(), []

    async def main() -> None:
        shared = browsing or Browsing()
        tree = Tree(root, forbidden=forbidden, ours=ours, hidden=hidden, disk=disk)
        texts = Texts(seconds=seconds)
        service = FileService(
            tree,
            allow_listing=allow_listing,
            packed=packed,
            browsing=shared,
            texts=texts,
            uploads=Uploads(tree, most, "test", blind=uploads == DROP) if uploads != "no" else None,
            only_uploads=uploads == DROP,
        )
        failures: list[BaseException] = []
        cut: list[str] = []

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await service.respond(request) or pages.nothing_here(request)
            except HardlineError as failure:
                cut.append(failure.message)
                raise ConnectionResetError from failure
            except ConnectionError:
                raise
            except Exception as failure:
                failures.append(failure)
                raise

        server = web.Server(handler, access_log=None, handler_cancellation=True, auto_decompress=False)
        loop, ending = asyncio.get_running_loop(), asyncio.Event()
        over.append(lambda: loop.call_soon_threadsafe(ending.set))
        listener = await loop.create_server(server, "127.0.0.1", 0)
        started.append(Serving(root, listener.sockets[0].getsockname()[1], shared, failures, cut))
        ready.set()
        await ending.wait()
        for _ in range(20):  # a server that is closed while it accepts leaves the socket open (CPython 3.11)
            await asyncio.sleep(0)
        listener.close()
        await texts.aclose()
        while server.connections or len(asyncio.all_tasks()) > 1:  # some were accepted just now
            transports = [connection.transport for connection in server.connections]
            await server.shutdown(1)
            for transport in transports:  # one whose visitor does not read is not closed by being closed
                if transport is not None:
                    transport.abort()
            await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: run(main()), name="server")
    thread.start()
    assert ready.wait(100)
    try:
        yield started[0]
    finally:
        over[0]()
        thread.join(100)
    assert not thread.is_alive()
    assert started[0].failures == []
