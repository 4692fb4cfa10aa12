"""Dynamic pages of a directory, served over HTTP on this computer, and somebody who asks for them byte by byte."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from hardline.cache.files.tree import Tree
from hardline.cache.templates.dynamic import DynamicPages, program
from hardline.cache.templates.workers import Workers

Forbidden = Callable[[str, os.stat_result], bool]


def template(root: Path, name: str, text: str | bytes) -> Path:
    """Write a template."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@dataclass
class Answer:
    status: int
    fields: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str:
        return next(value for key, value in self.fields if key.lower() == name.lower())

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Asking:
    """Where the pages are."""

    port: int
    workers: Workers
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self, head: str, body: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request; the answer is the caller's to read."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 16)
        self.writers.append(writer)
        writer.write(f"{head}\r\n\r\n".encode() + body)
        return reader, writer

    async def ask(
        self, target: str, method: str = "GET", fields: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One request, and its whole answer."""
        all_fields = {"Host": "here", "Connection": "close", **(fields or {})}
        if body and "Transfer-Encoding" not in all_fields:
            all_fields["Content-Length"] = str(len(body))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in all_fields.items())]
        reader, writer = await self.connect("\r\n".join(lines), body)
        answer = await read_answer(reader, method)
        writer.close()
        return answer


async def read_answer(reader: asyncio.StreamReader, method: str = "GET") -> Answer:
    """A head, and as much as it says."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    answer = Answer(int(first.split()[1]), fields, b"")
    length = dict(fields).get("Content-Length")
    if method != "HEAD" and length:
        answer.body = await reader.readexactly(int(length))
    return answer


def served(
    root: Path,
    story: Callable[[Asking], Awaitable[Any]],
    *,
    forbidden: Forbidden = lambda path, facts: False,
    run: Callable[[Any], Any] = asyncio.run,
    **settings: Any,
) -> None:
    """Serve the pages of `root`, 404 for what is none, while `story` goes on; `settings` are those of Workers."""

    async def everything() -> None:
        workers = Workers(program(root), **settings)
        pages = DynamicPages(root, Tree(root, forbidden=forbidden), workers)

        async def respond(request: web.BaseRequest) -> web.StreamResponse:
            return await pages.respond(request) or web.Response(status=404, text="no page")

        runner = web.ServerRunner(web.Server(respond, handler_cancellation=True), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        asking = Asking(runner.addresses[0][1], workers)
        try:
            await story(asking)
        finally:
            for writer in asking.writers:
                writer.close()
            await runner.cleanup()
            await pages.aclose()

    run(everything())
