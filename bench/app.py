"""An ASGI application for `--apps`: served by uvicorn on a port, or shared by the program itself.

GET  /tiny    as the origin's                    POST /count   200, "BYTES -"
GET  /bulk    SIZE bytes                         POST /hash    200, "BYTES SHA256"

python app.py uvicorn PORT SIZE
python app.py shared DATADIR SIZE        writes DATADIR/label
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from origin import TINY

_PIECE = bytes(range(256)) * 1024

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class App:
    """Its download has `size` bytes."""

    def __init__(self, size: int) -> None:
        self._size = size

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/tiny":
            await _begin(send, len(TINY))
            await send({"type": "http.response.body", "body": TINY})
        elif scope["path"] == "/bulk":
            await _begin(send, self._size)
            for start in range(0, self._size, len(_PIECE)):
                left = self._size - start
                body, more = _PIECE[:left], left > len(_PIECE)
                await send({"type": "http.response.body", "body": body, "more_body": more})
        else:
            text = await _counted(receive, hashlib.sha256() if scope["path"] == "/hash" else None)
            await _begin(send, len(text))
            await send({"type": "http.response.body", "body": text})


async def _begin(send: Send, size: int) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})


async def _counted(receive: Receive, hashed: Any) -> bytes:
    count, more = 0, True
    while more:
        message = await receive()
        count += len(message["body"])
        if hashed is not None:
            hashed.update(message["body"])
        more = message["more_body"]
    return f"{count} {hashed.hexdigest() if hashed is not None else '-'}".encode()


def write_bulk(file: Path, size: int) -> None:
    """What GET /bulk sends."""
    with file.open("wb") as out:
        for start in range(0, size, len(_PIECE)):
            out.write(_PIECE[: size - start])


def _by_uvicorn(port: int, app: App) -> None:
    import uvicorn

    uvicorn.run(app, port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning")


async def _shared(datadir: str, app: App) -> None:
    import hardline

    settings = "[Node]\nlocalport = 0\np2pport = 0\nbind = 127.0.0.1\n[DHT]\nenabled = no\n[UPnP]\nenabled = no\n"
    async with hardline.Node(hardline.parse_node(settings), datadir=datadir) as node:
        shared = await node.share(app, name="app")
        Path(datadir, "label").write_text(str(shared.label))
        await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.argv[1] == "uvicorn":
        _by_uvicorn(int(sys.argv[2]), App(int(sys.argv[3])))
    else:
        uvloop.run(_shared(sys.argv[2], App(int(sys.argv[3]))))
