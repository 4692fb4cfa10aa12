"""The file of the keys for scrapers: written by `hardline gateway key`, read by the gateway while it is used.

    hardline gateway key add photos ──▶ DATADIR/gateway.keys ──▶ Keys

It is looked at when somebody comes with a key, once a second at most, and never else.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from hardline import log
from hardline.errors import ConfigError, WrongArgument
from hardline.files import as_owner, close_to_others, hint_for, read_small, replace_whole, why, write_new
from hardline.gateway.keys import MAX_KEYS, Key, Keys, digest_of, line_of, parse_keys, without
from hardline.tasks import OnceAWhile

FILE_NAME, _LOCK_NAME = "gateway.keys", ".gateway.keys.lock"
_LIMIT = 1 << 20
_EVERY = 1.0  # seconds
_HEADER = "# Keys of the gateway, as hashes: `hardline gateway key` writes this file.\n"


class KeyFile:
    """The file in `datadir`, for a gateway."""

    def __init__(self, datadir: Path) -> None:
        self._path = datadir / FILE_NAME
        self._facts: tuple[int, ...] | None = None
        self._keys = Keys()
        self._current = OnceAWhile(self._look, _EVERY)

    async def keys(self) -> Keys:
        """What is in it now; of a file that cannot be read, what was in it before."""
        return await self._current.get()

    async def _look(self) -> Keys:
        try:
            self._keys = await asyncio.to_thread(self._read)
        except OSError as failure:
            log.warning("gateway.keys_unread", reason=why(failure), hint=hint_for(failure) or None)
        return self._keys

    def _read(self) -> Keys:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._facts = None
            return Keys()
        facts = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
        if facts == self._facts:
            return self._keys
        keys = parse_keys(read_small(self._path, _LIMIT).data.decode("utf-8", "replace"), FILE_NAME)
        for note in keys.notes:
            log.warning("gateway.key_line", note=note)
        self._facts = facts
        return keys


def add(datadir: Path, name: str, since: int, until: int, services: tuple[str, ...]) -> str:
    """Make a key, and keep its hash; returns the key.

    Raises WrongArgument where there is one of this name, ConfigError where the file cannot be read or written.
    """
    key = secrets.token_hex(32)
    with _changing(datadir) as path:
        text = _text(path)
        there = parse_keys(text, FILE_NAME).all
        if any(one.name == name for one in there):
            raise WrongArgument(f"there is a key {name} already", hint=f"hardline gateway key remove {name}")
        if len(there) >= MAX_KEYS:
            raise WrongArgument(f"there are {MAX_KEYS} keys already", hint="remove those that have expired")
        line = f"{line_of(Key(name, digest_of(key), since, until, services))}\n"
        _write(path, f"{text or _HEADER}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}")
    return key


def remove(datadir: Path, name: str) -> None:
    """Let the key `name` be none.  Raises WrongArgument where there is none, ConfigError as `add` does."""
    with _changing(datadir) as path:
        text = _text(path)
        if (left := without(text, name)) == text:
            raise WrongArgument(f"there is no key {name}", hint="hardline gateway key list")
        _write(path, left)


def read(datadir: Path) -> Keys:
    """All keys.  Raises ConfigError where the file cannot be read."""
    return parse_keys(_text(datadir / FILE_NAME), FILE_NAME)


def _text(path: Path) -> str:
    try:
        return read_small(path, _LIMIT).data.decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError as failure:
        raise ConfigError(why(failure), file=str(path), hint=hint_for(failure)) from None


def _write(path: Path, text: str) -> None:
    try:
        if path.exists():
            close_to_others(path)
            replace_whole(path, text.encode())
        else:
            write_new(path, text.encode(), 0o600)
    except OSError as failure:
        raise ConfigError(why(failure), file=str(path), hint=hint_for(failure)) from None


@contextlib.contextmanager
def _changing(datadir: Path) -> Iterator[Path]:
    """One command changes the file at a time; root as the user whose daemon it is, who could not read it else."""
    with as_owner(datadir), _locked(datadir):
        yield datadir / FILE_NAME


@contextlib.contextmanager
def _locked(datadir: Path) -> Iterator[None]:
    try:
        descriptor = os.open(datadir / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        hint = "start hardlined once, or name its data directory with --datadir"
        raise ConfigError("there is no data directory", file=str(datadir), hint=hint) from None
    except OSError as failure:
        raise ConfigError(why(failure), file=str(datadir), hint=hint_for(failure)) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
