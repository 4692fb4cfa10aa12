"""What lies in a cache directory when a store takes it over.

Names and sizes tell enough: whether a body is the one that its head describes is seen when somebody asks for it.
What can never be an answer is told here; keeper.py throws it out.  Everything here blocks.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hardline.cache.kept import layout
from hardline.cache.kept.heads import BY_HAND, Heads, is_marked
from hardline.cache.kept.ledger import cost
from hardline.cache.kept.shelf import Shelf

_OLD = 86_400  # seconds; a draft that old is nobody's, where files cannot be locked
_RUN = 2048  # bases sorted at once: nobody else's thread runs meanwhile


@dataclass(slots=True)
class Group:
    """Files of one base: what its answers take, and when one of them was last read or written."""

    size: int = 0
    used: float = 0.0
    has_head: bool = False
    bodies: dict[int, int] = field(default_factory=dict)  # number → time of modification in nanoseconds


def groups(root: str) -> Iterator[tuple[str, Group]]:
    """All bases below `root`.  Links are not followed, and what cannot be read is left out."""
    waiting = [""]
    while waiting:
        directory = waiting.pop()
        inner, found = _list(root, directory)
        waiting += inner
        yield from found.items()


def _list(root: str, directory: str) -> tuple[list[str], dict[str, Group]]:
    inner: list[str] = []
    found: dict[str, Group] = {}
    with contextlib.suppress(OSError), os.scandir(f"{root}/{directory}") as listing:
        for one in listing:
            if one.is_dir(follow_symlinks=False):
                inner.append(f"{directory}{one.name}/")
                continue
            kind = layout.stored(one.name)
            if kind is None:
                continue
            with contextlib.suppress(OSError):
                facts = one.stat(follow_symlinks=False)
                if stat.S_ISREG(facts.st_mode):
                    _add(found.setdefault(f"{directory}{kind[0]}", Group()), kind[1], facts)
    return inner, found


def _add(group: Group, number: int, facts: os.stat_result) -> None:
    group.size += cost(facts.st_size, facts.st_blocks)
    if number == 0:
        group.has_head = True
    else:
        group.bodies[number] = facts.st_mtime_ns
        group.used = max(group.used, facts.st_atime, facts.st_mtime)


class ByUse:
    """Bases by when they were last used."""

    def __init__(self) -> None:
        self._runs: list[list[tuple[float, str, int]]] = [[]]

    def add(self, base: str, group: Group) -> None:
        """One more."""
        if len(self._runs[-1]) == _RUN:
            self._runs.append([])
        self._runs[-1].append((group.used, base, group.size))

    def sorted(self) -> Iterator[tuple[str, int]]:
        """All of them with their sizes; first comes what nobody has used for the longest time."""
        for run in self._runs:
            run.sort()
        return ((base, size) for _, base, size in heapq.merge(*self._runs))


def is_rest(base: str, group: Group, shelf: Shelf, heads_at: Callable[[str], Heads | None]) -> bool:
    """Whether it can never be an answer: a body that has lost its head, a head its body, or where nobody looks.

    `heads_at` reads the head of a base.
    """
    if not layout.is_current(base):
        return True
    if group.has_head:
        heads = None if group.bodies else heads_at(base)
        return not group.bodies and (heads is None or all(one.number != BY_HAND for one in heads.answers))
    of_original = 1 in group.bodies and not is_marked(group.bodies[1])
    return not of_original and shelf.facts(layout.head(base)) is None


def lock_draft(descriptor: int) -> None:
    """As long as it is open, everybody sees that somebody writes it."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_drafts(shelf: Shelf, now: float) -> None:
    """Remove drafts of processes that are no more."""
    try:
        names = os.listdir(f"{shelf.root}/{layout.DRAFTS}")
    except OSError:
        return
    for name in names:
        draft = f"{layout.DRAFTS}/{name}"
        with contextlib.suppress(OSError):
            descriptor = shelf.open(draft, os.O_RDWR)
            try:
                if _is_nobodys(descriptor, now):
                    shelf.remove(draft)
            finally:
                os.close(descriptor)


def _is_nobodys(draft: int, now: float) -> bool:
    try:
        fcntl.flock(draft, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return os.fstat(draft).st_mtime < now - _OLD
    return True
