"""Asking the daemon that runs on a data directory: one JSON line there, one back; control.py answers.

Apart from control.py because a command that asks one thing should not wait for asyncio to load.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any, NoReturn

from hardline.errors import ConfigError, Deaf, NoDaemon, WrongArgument
from hardline.places import SYSTEM, runtime_directory

SOCKET_NAME = "control.sock"
MAX_REQUEST = 65_536
REQUEST_TIMEOUT = 30.0  # seconds
MAX_ANSWER = 1 << 26  # bytes of a line: thousands of services take a few of these 64 MB
MAX_SOCKET_PATH = 107  # sun_path of unix(7), less its final zero

_IT_HANGS = "look at its log; hardline doctor  says what else is to be seen; where it hangs, end it and start it again"
_NOT_YOURS = "it belongs to another user: ask as that user, or by sudo{}; where it should be yours, see what HOME is"
_NOBODY = (FileNotFoundError, NotADirectoryError, ConnectionRefusedError)


def spare_socket(datadir: Path) -> Path:
    """Where it listens while nothing can be written to `datadir`: in memory, in a directory that is the user's own.

    Raises OSError when there is no `datadir`, or the directory is there and somebody else's.
    """
    facts, user = os.stat(datadir), os.geteuid()
    spare = runtime_directory(user) / "hardline" / f"{facts.st_dev:x}-{facts.st_ino:x}.sock"
    with contextlib.suppress(FileNotFoundError):
        if os.lstat(spare.parent).st_uid != user:
            raise PermissionError(errno.EPERM, "belongs to another user", str(spare.parent))
    return spare


def ask(datadir: Path, do: str, *, patience: float | None = None, **arguments: object) -> Any:
    """Ask the daemon that runs on `datadir`; blocks, for `patience` seconds at each step (REQUEST_TIMEOUT).

    Raises NoDaemon when none runs there, WrongArgument or ConfigError in the daemon's words, ConfigError when it cannot
    be talked to or says what cannot be understood, Deaf when it does not answer.
    """
    with contextlib.closing(follow(datadir, do, patience=patience, **arguments)) as answers:
        return next(answers)


def follow(datadir: Path, do: str, *, patience: float | None = None, **arguments: object) -> Generator[Any, None, None]:
    """As `ask`, for what holds until this is closed: the answer, then news as they come, until the daemon ends."""
    path, patience = datadir / SOCKET_NAME, patience or REQUEST_TIMEOUT
    request = json.dumps({"do": do, **arguments}).encode() + b"\n"
    if len(request) > MAX_REQUEST:
        raise WrongArgument(f"these are {len(request)} bytes of arguments, expected at most {MAX_REQUEST}")
    with contextlib.ExitStack() as opened:
        try:
            connection = opened.enter_context(_connected(datadir, patience))
            connection.sendall(request)
            lines = opened.enter_context(connection.makefile("rb"))
            answer = lines.readline(MAX_ANSWER)
        except _NOBODY:
            hint = "start one with: hardlined (or name its data directory with --datadir)"
            raise NoDaemon(f"no hardlined runs on the data directory {datadir}", hint) from None
        except PermissionError:
            hint = _NOT_YOURS.format(f"; {joining}" if (joining := how_to_join()) else "")
            raise ConfigError(f"no permission to talk to the hardlined at {path}", hint=hint) from None
        except TimeoutError:
            raise Deaf(f"the hardlined at {path} gave no answer in {patience:.0f} s", _IT_HANGS) from None
        except BlockingIOError:
            raise Deaf(f"the hardlined at {path} takes no questions: too many wait for an answer", _IT_HANGS) from None
        except OSError as failure:
            if len(os.fsencode(path)) > MAX_SOCKET_PATH:
                raise NoDaemon(
                    f"the path of the data directory is too long for a socket: {path}", "choose a shorter --datadir"
                ) from None
            raise ConfigError(
                f"cannot talk to the hardlined at {path}: {(failure.strerror or str(failure)).lower()}"
            ) from None
        yield _understood(do, answer)
        connection.settimeout(None)
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # a daemon that is killed says half a line
            while line := lines.readline(MAX_ANSWER):
                news = _read(line)["news"]
                _check(do, news, is_news=True)
                yield news


def is_served(datadir: Path) -> bool:
    """Whether a daemon listens for `datadir`, be it that it answers this user or not.  Blocks for a moment."""
    try:
        _connected(datadir, REQUEST_TIMEOUT).close()
    except _NOBODY:
        return False
    except OSError:
        pass
    return True


def how_to_join() -> str:
    """What lets this user ask the computer's hardlined; "" where he may, or there is none for a group."""
    place = SYSTEM / SOCKET_NAME
    try:
        group = os.stat(place).st_gid
    except OSError:
        return ""
    if os.access(place, os.W_OK):
        return ""
    import grp  # only who is told needs these
    import pwd

    try:
        name, user = grp.getgrgid(group).gr_name, pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""
    return f"or become one of its group: sudo usermod -aG {name} {user}, and log in anew"


class _Told(dict[str, Any]):
    """An object that the daemon has told; what it lacks, another version does not know."""

    def __missing__(self, key: str) -> Any:
        raise ConfigError(f"the hardlined that runs is of another version: it does not tell {key!r}", hint="restart it")


def _understood(do: str, line: bytes) -> Any:
    try:
        answer = _read(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not answer.keys() & {"ok", "error"}:
        raise ConfigError("the daemon gave no answer", hint="look at its log") from None
    if "error" in answer:
        kind = WrongArgument if answer.get("code") == WrongArgument.code else ConfigError
        raise kind(str(answer["error"]), hint=str(answer.get("hint", "")))
    _check(do, answer["ok"])
    return answer["ok"]


def _check(do: str, said: Any, *, is_news: bool = False) -> None:
    from hardline.answers import check  # which the daemon, at the other end, does not need

    check(do, said, is_news=is_news)


def _read(line: bytes) -> Any:
    """A line of JSON, to the letter of RFC 8259.  Raises ValueError."""
    try:
        return json.loads(line, object_hook=_Told, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it goes too deep") from None


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _connected(datadir: Path, patience: float) -> socket.socket:
    """A connection to whoever listens for `datadir`; OSError where nobody does."""
    try:
        return _to(datadir / SOCKET_NAME, patience)
    except _NOBODY as nobody:
        try:
            return _to(spare_socket(datadir), patience)
        except OSError:
            raise nobody from None


def _to(path: Path, patience: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(patience)
        connection.connect(os.fspath(path))
    except OSError:
        connection.close()
        raise
    return connection
