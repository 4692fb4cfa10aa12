"""What `hardline` asks the daemon: JSON lines over a Unix socket in the data directory.

    hardline ── {"do": "share", "target": "8000", …}\n ──▶ daemon
    hardline ◀── {"ok": …}\n   or   {"error": "…", "hint": "…"}\n ──

Only the owner can open the socket (mode 0600): whoever can is the owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from hardline import log
from hardline.errors import ConfigError, HardlineError
from hardline.tasks import TaskSet

SOCKET_NAME = "control.sock"
MAX_REQUEST = 65_536
_REQUEST_TIMEOUT = 30.0
_MAX_SOCKET_PATH = 107  # sun_path of unix(7), less its final zero

Handler = Callable[[Mapping[str, Any]], Awaitable[object]]


class ControlServer:
    """Answers requests with `handlers`, by the name under "do"."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._tasks = TaskSet("control")
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._path: Path | None = None

    async def open(self, datadir: Path) -> None:
        """Listen in `datadir`.  Raises ConfigError when another daemon does, or the path is too long."""
        path = datadir / SOCKET_NAME
        if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
            raise ConfigError(
                f"the data directory's path is too long for a socket: {path}", hint="choose a shorter --datadir"
            )
        if await _is_served(path):
            raise ConfigError(
                f"another hardlined runs on the data directory {datadir}", hint="stop it, or choose another --datadir"
            )
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._accepted, path, limit=MAX_REQUEST)
        except OSError as failure:
            reason = (failure.strerror or str(failure)).lower()
            raise ConfigError(f"cannot listen on {path}: {reason}", hint="is the directory yours?") from None
        finally:
            os.umask(mask)
        self._path = path

    async def aclose(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            await self._tasks.aclose()
            for writer in list(self._writers):  # of requests that came too late to be begun
                await self._close(writer)
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._tasks.start(self._serve(reader, writer), "request")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT):
                answer = await self._answer(await reader.readline())
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, TimeoutError) as failure:
            log.debug("control.failed", reason=repr(failure))
        finally:
            await self._close(writer)

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        await _close(writer)

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            handler = self._handlers[request["do"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            return {"error": "a request that this daemon does not know", "hint": "are both of the same version?"}
        try:
            return {"ok": await handler(request)}
        except HardlineError as failure:
            return {"error": failure.message, "hint": failure.hint}


def ask(datadir: Path, do: str, **arguments: object) -> Any:
    """Ask the daemon that runs on `datadir`; blocks.  Raises ConfigError: in the daemon's words, or that none runs."""
    path = datadir / SOCKET_NAME
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_REQUEST_TIMEOUT)
            connection.connect(os.fspath(path))
            connection.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
    except (FileNotFoundError, ConnectionRefusedError):
        hint = "start one with: hardlined (or name its data directory with --datadir)"
        raise ConfigError(f"no hardlined runs on the data directory {datadir}", hint=hint) from None
    except PermissionError:
        raise ConfigError(
            f"no permission to talk to the hardlined at {path}", hint="it belongs to another user"
        ) from None
    except OSError as failure:
        raise ConfigError(f"cannot talk to the hardlined at {path}: {str(failure).lower()}") from None
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not answer.keys() & {"ok", "error"}:
        raise ConfigError("the daemon gave no answer", hint="look at its log") from None
    if "error" in answer:
        raise ConfigError(str(answer["error"]), hint=str(answer.get("hint", "")))
    return answer["ok"]


async def _is_served(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    await _close(writer)
    return True


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
