"""A directory as one zip file, made while it is sent: nothing packed, its length known before its first byte.

    names ─ look at all of them, in threads ─▶ members ─ length ─▶ head ─ one member after the other ─▶ body

What a visitor may not see is not in it.  A file that has another size when its turn comes cuts the connection: nobody
takes a part for the whole.
Source: APPNOTE.TXT - .ZIP File Format Specification, 6.3.10, sections 4.3 and 4.5.3, as the module zipfile writes it.
"""

from __future__ import annotations

import io
import itertools
import os
import stat
import time
import zipfile
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from hardline.cache.files.tree import Directory, Tree
from hardline.errors import ConnectionLost, LimitReached

MOST = 50_000  # members of one file
DEEPEST = 64  # directories in each other
_PIECE = 262_144  # bytes that are read at once
_LOOKS_AT_ONCE = 200
_LARGE = 1 << 30  # bytes from which a member has sizes of 64 bits, well below where zipfile must
_EARLIEST, _LATEST = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)

# What unpacks it elsewhere takes a backslash for a way into another directory, and letters that steer for what they do;
# what stands for bytes that are no text is the same for all of them.
_NOT_IN_NAMES = dict.fromkeys([*range(0x20), ord("\\"), *range(0x7F, 0xA0), 0xFFFD], "_")

_HEADER, _CENTRAL, _END, _END_64 = 30, 46, 22, 56 + 20
_SIZES_64, _DESCRIPTOR, _DESCRIPTOR_64 = 4 + 16, 16, 24


@dataclass(frozen=True, slots=True)
class Member:
    """A file, or a directory with nothing in it: `names` from the root of the tree, seconds since the epoch."""

    names: tuple[str, ...]
    is_directory: bool
    size: int
    modified: int


class Gathering:
    """What is in the directory `top` and below it.  All of it runs in threads, one call at a time.

    Raises LimitReached where that is more than one file may hold.
    """

    def __init__(self, tree: Tree, top: tuple[str, ...]) -> None:
        self._tree, self._waiting, self._seen = tree, deque([top]), set[str]()
        self._top = top
        self._now: Directory | None = None
        self._entries: Generator[tuple[str, bool], None, None] | None = None
        self._empty = True
        self.members: list[Member] = []

    def some(self) -> bool:
        """Look at some more; whether there is more to look at."""
        for _ in range(_LOOKS_AT_ONCE):
            if self._now is None or self._entries is None:
                if not self._waiting:
                    return False
                self._enter(self._waiting.popleft())
                continue
            found = next(self._entries, None)
            if found is None:
                if self._empty and self._now.names != self._top:
                    self.members.append(Member(self._now.names, True, 0, int(time.time())))
                self.close()
                continue
            self._empty = False
            self._take((*self._now.names, found[0]), found[1])
            if len(self.members) + len(self._waiting) > MOST:
                raise LimitReached(f"there are more than {MOST} files in it")
        return True

    def close(self) -> None:
        """Leave nothing open."""
        if self._entries is not None:
            self._entries.close()
        if self._now is not None:
            self._now.close()
        self._now = self._entries = None

    def _enter(self, names: tuple[str, ...]) -> None:
        try:
            directory = self._tree.read_directory(names)
        except OSError:
            return  # what cannot be read is not listed either
        if directory is None:
            return
        if directory.path in self._seen:  # a link leads back to where it stands
            directory.close()
            return
        self._seen.add(directory.path)
        self._now, self._entries, self._empty = directory, directory.entries(), True

    def _take(self, names: tuple[str, ...], is_directory: bool) -> None:
        if is_directory:
            if len(names) - len(self._top) > DEEPEST:
                raise LimitReached(f"there are more than {DEEPEST} directories in each other")
            self._waiting.append(names)
            return
        try:
            opened = self._tree.open(names)
        except OSError:
            return
        if opened is None:
            return
        opened.close()
        if stat.S_ISREG(opened.facts.st_mode):
            self.members.append(Member(names, False, opened.facts.st_size, int(opened.facts.st_mtime)))


def length(members: list[Member], below: int, top: str) -> int:
    """Bytes of the zip file of `members`, whose names begin behind the first `below` ones, in a directory `top`."""
    at = central = 0
    for member, called in _called(members, below, top):
        name = len(called.encode())
        large = member.size > _LARGE
        extra = 16 if member.size > zipfile.ZIP64_LIMIT else 0
        extra += 8 if at > zipfile.ZIP64_LIMIT else 0
        central += _CENTRAL + name + (4 + extra if extra else 0)
        at += _HEADER + name + (_SIZES_64 if large else 0) + member.size
        if not member.is_directory:
            at += _DESCRIPTOR_64 if large else _DESCRIPTOR
    over = len(members) > zipfile.ZIP_FILECOUNT_LIMIT or max(at, central) > zipfile.ZIP64_LIMIT
    return at + central + _END + (_END_64 if over else 0)


def pieces(tree: Tree, members: list[Member], below: int, top: str) -> Generator[bytes, None, None]:
    """The zip file.  Blocks.  Raises ConnectionLost where a file is another than it was, and OSError."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for member, called in _called(members, below, top):
            info = zipfile.ZipInfo(called, _moment(member.modified))
            info.external_attr = (stat.S_IFDIR | 0o755) << 16 | 0x10 if member.is_directory else 0o100644 << 16
            info.file_size = member.size
            info.compress_size = info.CRC = 0
            if member.is_directory:
                archive.mkdir(info)
            else:
                yield from _one(tree, archive, info, member, sink)
            if sink.waiting >= _PIECE:
                yield sink.take()
    yield sink.take()


def _one(tree: Tree, archive: zipfile.ZipFile, info: zipfile.ZipInfo, member: Member, sink: _Sink) -> Iterator[bytes]:
    opened = tree.open(member.names)
    if opened is None or opened.is_directory or opened.facts.st_size != member.size:
        if opened is not None:
            opened.close()
        raise ConnectionLost(f"{member.names[-1][:100]} is another than it was")
    try:
        with archive.open(info, "w", force_zip64=member.size > _LARGE) as part:
            left = member.size
            while left:
                data = os.read(opened.fd, min(_PIECE, left))
                if not data:
                    raise ConnectionLost(f"{member.names[-1][:100]} became shorter")
                left -= len(data)
                part.write(data)
                if sink.waiting >= _PIECE:
                    yield sink.take()
    finally:
        opened.close()


class _Sink(io.RawIOBase):
    """What zipfile writes to; it cannot go back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.waiting = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: object) -> int:
        written = bytes(data)  # type: ignore[call-overload]
        self._parts.append(written)
        self.waiting += len(written)
        return len(written)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._parts)
        self._parts.clear()
        self.waiting = 0
        return taken


def _called(members: list[Member], below: int, top: str) -> Iterator[tuple[Member, str]]:
    """Each member, and how it is called in the file: the same each time, and no two the same."""
    plain = [_name(member, below, top) for member in members]
    named = [name.translate(_NOT_IN_NAMES) for name in plain]
    if named != plain:
        taken = {name for name, said in zip(plain, named, strict=True) if name == said}
        for index, (name, said) in enumerate(zip(plain, named, strict=True)):
            if name != said:
                named[index] = next(one for one in _numbered(said) if one not in taken)
                taken.add(named[index])
    return zip(members, named, strict=True)


def _name(member: Member, below: int, top: str) -> str:
    said = "/".join((top, *member.names[below:])) + ("/" if member.is_directory else "")
    return said.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _numbered(name: str) -> Iterator[str]:
    yield name
    for number in itertools.count(2):
        yield f"{name.rstrip('/')} ({number}){'/' if name.endswith('/') else ''}"


def _moment(seconds: int) -> tuple[int, int, int, int, int, int]:
    try:
        moment = time.localtime(seconds)[:6]
    except (OverflowError, ValueError, OSError):
        return _EARLIEST
    return min(max(moment, _EARLIEST), _LATEST)
