"""What `hardline` asks the daemon: JSON lines over a Unix socket in the data directory.

    hardline ── {"do": "share", "target": "8000", …}\n ──▶ daemon
    hardline ◀── {"ok": …}\n   or   {"error": "…", "hint": "…", "code": 1}\n ──
    hardline ◀── {"news": …}\n, any number, where what was asked for holds as long as whoever asked stays

Only the owner can open the socket (mode 0600), and where the system tells who asks, nobody else is answered (but
root, who may read everything anyway): so the daemon opens no file for somebody who could not open it himself.
Members of a group that the owner names have a socket of their own (0660), in the runtime directory: they may do with
the daemon what its owner may.  The other end is asking.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardline import log
from hardline.asking import MAX_REQUEST, MAX_SOCKET_PATH, REQUEST_TIMEOUT, SOCKET_NAME, spare_socket
from hardline.errors import ConfigError, HardlineError
from hardline.files import why
from hardline.running import may_be_used, own_directory
from hardline.tasks import TaskSet

# A disk that takes nothing, not even the name of a socket.
_UNWRITABLE = (errno.EROFS, errno.ENOSPC, errno.EDQUOT)
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid

Handler = Callable[[Mapping[str, Any]], Awaitable[object]]

_SCRAP = 4096  # bytes of what is said behind a request, and dropped


@dataclass(frozen=True, slots=True)
class Held:
    """What a handler returns for what holds as long as whoever asked stays connected.

    After `answer` come `news`, until they or the connection end; then, whatever happened, `close` is called.
    """

    answer: object
    news: AsyncIterator[object]
    close: Callable[[], Awaitable[None]]


class ControlServer:
    """Answers requests with `handlers`, by the name under "do"."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._tasks = TaskSet("control")
        self._writers: set[asyncio.StreamWriter] = set()
        self._listening: list[tuple[asyncio.Server, Path, tuple[int, int] | None]] = []
        self._locked = -1

    async def open(self, datadir: Path, *, listen: bool = True, group: str = "") -> None:
        """Keep others away from `datadir` and listen there; where its disk takes nothing, in the user's runtime
        directory, or not at all.  Members of `group` are listened to, too, where that is named.

        Raises ConfigError when another daemon listens there, the path is too long, or there is no such group.
        """
        try:
            await self._open(datadir, listen)
            if listen and group:
                await self._open_for(group)
        except BaseException:
            await self.aclose()
            raise

    async def _open(self, datadir: Path, listen: bool) -> None:
        path = datadir / SOCKET_NAME
        if listen and len(os.fsencode(path)) > MAX_SOCKET_PATH:
            raise ConfigError(
                f"the data directory's path is too long for a socket: {path}", hint="choose a shorter --datadir"
            )
        spare: Path | None = None
        with contextlib.suppress(OSError):
            spare = spare_socket(datadir)
        if not self._lock(datadir) or await _is_served(path) or (spare and await _is_served(spare)):
            raise ConfigError(
                f"another hardlined runs on the data directory {datadir}", hint="stop it, or choose another --datadir"
            )
        if not listen:
            return
        try:
            await self._listen(path)
        except OSError as failure:
            if failure.errno not in _UNWRITABLE:
                raise ConfigError(f"cannot listen on {path}: {why(failure)}", hint="is the directory yours?") from None
            try:
                spare = spare or spare_socket(datadir)
                spare.parent.mkdir(mode=0o700, exist_ok=True)
                await self._listen(spare)
            except OSError as again:
                log.warning("control.unavailable", file=spare, reason=why(again), consequence="`hardline` cannot ask")

    async def _open_for(self, group: str) -> None:
        """The directory lets everybody through, as those of systemd do, and nobody else may write there."""
        import grp

        try:
            number = grp.getgrnam(group).gr_gid
        except KeyError:
            hint = f"groupadd --system {group}"
            raise ConfigError(f"there is no group {group} on this computer", key="group", hint=hint) from None
        directory = own_directory()
        if directory is None:
            raise ConfigError("there is no runtime directory for a group's socket", hint="systemd makes one")
        try:
            with contextlib.suppress(FileExistsError):
                directory.mkdir(mode=0o755)
                directory.chmod(0o755)
            if not may_be_used(directory):
                raise ConfigError("others may write there", file=str(directory), hint="chmod go-w")
            if await _is_served(directory / SOCKET_NAME):
                raise ConfigError("another hardlined listens there", file=str(directory), hint="stop it")
            await self._listen(directory / SOCKET_NAME, number)
        except OSError as failure:
            why_not = f"the group {group} gets no socket in {directory}: {why(failure)}"
            raise ConfigError(why_not, hint=f"is the user of hardlined in the group {group}?") from None

    async def _listen(self, path: Path, group: int | None = None) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listening = _bound_for_its_owner(path)

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._accepted(reader, writer, of_group=group is not None)

        try:
            if group is not None:  # in this order nobody else ever gets to it
                os.chown(path, -1, group)
                os.chmod(path, 0o660)
            server = await asyncio.start_unix_server(accepted, sock=listening, limit=MAX_REQUEST)
        except BaseException:
            listening.close()
            raise
        self._listening.append((server, path, _identity(path)))

    def _lock(self, datadir: Path) -> bool:
        """Whether nobody else has it: a socket's name can get lost.  Where nothing can be locked, nobody has."""
        try:
            self._locked = os.open(datadir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._locked)
            self._locked = -1
            return False
        except OSError as failure:
            log.debug("control.not_locked", directory=datadir, reason=why(failure))
        return True

    async def aclose(self) -> None:
        """Stop listening and remove the sockets."""
        for server, _, _ in self._listening:
            server.close()
        await self._tasks.aclose()
        for writer in list(self._writers):  # of requests that came too late to be begun
            await self._close(writer)
        for _, path, bound in self._listening:
            if _identity(path) == bound:
                with contextlib.suppress(OSError):
                    path.unlink()
        self._listening.clear()
        if self._locked >= 0:
            os.close(self._locked)
            self._locked = -1

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, of_group: bool) -> None:
        self._writers.add(writer)
        self._tasks.start(self._serve(reader, writer, of_group), "request")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, of_group: bool) -> None:
        held: Held | None = None
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                line = await reader.readline()
                # Who gets to the group's socket is a member: the kernel has looked.
                answer = await self._answer(line) if of_group or _may_ask(writer) else _NOT_YOURS
                if isinstance(found := answer.get("ok"), Held):
                    held, answer = found, {"ok": found.answer}
                await _say(writer, answer)
            if held is not None:
                await self._hold(held, reader, writer)
        except (OSError, ValueError, TimeoutError) as failure:
            log.debug("control.failed", reason=repr(failure))
        finally:
            if held is not None:
                await held.close()
            await self._close(writer)

    async def _hold(self, held: Held, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tell the news until whoever asked has gone, or there are none any more."""
        telling = self._tasks.start(_tell(held.news, writer), "news", expects=OSError)
        try:
            while await reader.read(_SCRAP):
                pass
        finally:
            telling.cancel()
            await asyncio.wait([telling])

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
            return {"error": failure.message, "hint": failure.hint, "code": failure.code}
        except Exception as failure:
            log.warning("control.failed", do=request["do"], reason=repr(failure))
            return {"error": f"the daemon could not do this: {failure!r}", "hint": "look at its log", "code": 1}


async def _say(writer: asyncio.StreamWriter, line: Mapping[str, object]) -> None:
    writer.write(json.dumps(line).encode() + b"\n")
    await writer.drain()


async def _tell(news: AsyncIterator[object], writer: asyncio.StreamWriter) -> None:
    try:
        async for one in news:
            await _say(writer, {"news": one})
    finally:
        writer.close()  # whoever asked sees the end, and so does who reads what is asked


def _bound_for_its_owner(path: Path) -> socket.socket:
    """A socket that nobody else can open, at no moment: Linux gives the name the mode that the socket has."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(OSError):
            os.fchmod(made.fileno(), 0o600)
        made.bind(os.fspath(path))
        path.chmod(0o600)
    except BaseException:
        made.close()
        raise
    return made


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.lstat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


_NOT_YOURS = {"error": "this hardlined belongs to another user", "hint": "ask its owner", "code": 1}


def _may_ask(writer: asyncio.StreamWriter) -> bool:
    """Whether the other end is this node's own user, or root; yes where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    try:
        told = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return False
    return _CREDENTIALS.unpack(told)[1] in (0, os.geteuid())


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
