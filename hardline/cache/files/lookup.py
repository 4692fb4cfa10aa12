"""What there is to answer a target with: a file, in which coding and of which type; or a directory to be listed.

    /a/b.txt ──▶ b.txt, or b.txt.gz if the owner wants that, the visitor takes it, and it holds the same
    /a/      ──▶ a/index.html, else LISTED, if directories may be listed
    /a       ──▶ ELSEWHERE, where /a/ would be something

Everything here blocks.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from hardline.cache.files.packed import Packed
from hardline.cache.files.tree import Mark, Opened, Tree
from hardline.cache.mounts import answer_at_once
from hardline.http import mediatypes, negotiation
from hardline.http.paths import Target

SMALL = 65_536  # bytes: of a file up to this size everything is read, to be sent together with its head

_INDEX = "index.html"
_PACKED = ".gz"
_TRIES = 3  # readings of a file that is being written


class NoFile(Enum):
    """What can be where no file is."""

    LISTED = 1  # a directory whose entries may be seen
    ELSEWHERE = 2  # something whose name has a slash at its end


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be sent of the file `name`: itself, or its sibling in some coding.

    `facts` are those of what is sent, `start` is all of it, or as much as was needed; `marks` are what all this was
    found out from, and `at_once` says whether they can be looked at again without waiting for a disk.  `apart`: what
    runs in it must not reach the other files.
    """

    name: str
    content_type: str
    varies: bool
    coding: str
    facts: os.stat_result
    start: bytes
    marks: tuple[Mark, ...]
    at_once: bool
    apart: bool = False

    @property
    def whole(self) -> bool:
        """Nothing more has to be read."""
        return len(self.start) == self.facts.st_size

    @property
    def tag(self) -> str:
        """What an entity tag is made of: another one for other bytes."""
        facts, coding = self.facts, "" if self.coding == "identity" else f"-{self.coding}"
        return f"{facts.st_mtime_ns:x}-{facts.st_size:x}-{facts.st_ino:x}{coding}"


@dataclass(frozen=True, slots=True)
class Found:
    """Content, and the file that has it, if there is more to read: else -1.  Whoever got it closes it, in a thread."""

    content: Content
    fd: int

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def look(
    tree: Tree,
    target: Target,
    accepted: str,
    *,
    may_list: bool,
    is_pile: bool = False,
    packed: Packed | None = None,
) -> Found | NoFile | None:
    """What answers `target` for a visitor whose Accept-Encoding is `accepted`; None: nothing.

    With `is_pile` others bring files into it, and nothing there makes it a site of its owner's.  `packed` judges what
    is packed already; without it, that is never sent in place of something else.

    Raises PermissionError and other OSErrors as the tree does.
    """
    opened = tree.open(target.names)
    if opened is None:
        return None
    if not opened.is_directory:
        if target.directory:
            opened.close()
            return None
        return _found(tree, opened, target.names, accepted, packed, listed=may_list, is_pile=is_pile)
    opened.close()
    names = (*target.names, _INDEX)
    index = tree.open(names)
    if index is not None and not index.is_directory and target.directory:
        return _found(tree, index, names, accepted, packed, listed=may_list, is_pile=is_pile)
    if index is not None:
        index.close()
    # What has no index and may not be listed is not confirmed to exist either.
    if not may_list and (index is None or index.is_directory):
        return None
    return NoFile.LISTED if target.directory else NoFile.ELSEWHERE


def _found(
    tree: Tree,
    opened: Opened,
    names: tuple[str, ...],
    accepted: str,
    packed: Packed | None,
    *,
    listed: bool,
    is_pile: bool,
) -> Found:
    """Takes over `opened`."""
    with contextlib.ExitStack() as unused:
        unused.callback(opened.close)
        kind = content_type = mediatypes.media_type(names[-1])
        is_text, varies = mediatypes.is_text(kind), packed is not None and mediatypes.is_compressible(kind)
        start, facts = _start(opened, always=is_text)
        if is_text and _is_utf8(start, facts.st_size):
            content_type = f"{kind}; charset=utf-8"
        sent, coding, marks = opened, "identity", [tree.mark(names, opened.path, facts)]
        if varies and packed and negotiation.coding(accepted, ("gzip",)) != "identity":
            beside = (*names[:-1], names[-1] + _PACKED)
            if sibling := _sibling(tree, beside, opened, packed):
                sent, coding = sibling, "gzip"
                unused.callback(sent.close)
                start, facts = _start(sent, always=False)
                marks.append(tree.mark(beside, sent.path, facts))
        at_once = all(mark.facts.st_nlink == 1 for mark in marks) and answer_at_once(
            path for mark in marks for path in (mark.asked, mark.real)
        )
        apart = mediatypes.is_active(kind) and (is_pile or (listed and not is_site(tree)))
        content = Content(names[-1], content_type, varies, coding, facts, start, tuple(marks), at_once, apart)
        unused.pop_all()
        if sent is not opened:
            opened.close()
        if content.whole:
            sent.close()
            return Found(content, -1)
        return Found(content, sent.fd)


def is_site(tree: Tree) -> bool:
    """Whether its owner made a site of the directory.  Without an index at its top it is a pile of anybody's files."""
    try:
        index = tree.open((_INDEX,))
    except OSError:
        return False
    if index is None:
        return False
    index.close()
    return not index.is_directory


def _sibling(tree: Tree, names: Sequence[str], original: Opened, packed: Packed) -> Opened | None:
    """The file `names`, if it holds what `original` does."""
    try:
        sibling = tree.open(names)
    except PermissionError:
        return None
    if sibling is None:
        return None
    if not sibling.is_directory and packed.holds(sibling, original):
        return sibling
    sibling.close()
    return None


def _start(opened: Opened, *, always: bool) -> tuple[bytes, os.stat_result]:
    """The first bytes, and what was true of the file while they were read, unless it is written to all the time."""
    facts = opened.facts
    if facts.st_size > SMALL and not always:
        return b"", facts
    start = b""
    for _ in range(_TRIES):
        start = os.pread(opened.fd, min(facts.st_size, SMALL), 0)
        now = os.fstat(opened.fd)
        if (now.st_size, now.st_mtime_ns) == (facts.st_size, facts.st_mtime_ns):
            break
        facts = now
    return start[: facts.st_size], facts


def _is_utf8(start: bytes, size: int) -> bool:
    try:
        start.decode()
    except UnicodeDecodeError as failure:
        # A letter may be cut where the start ends.
        return size > len(start) and failure.reason == "unexpected end of data"
    return True
