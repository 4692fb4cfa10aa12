"""Small files that were sent a moment ago, ready to be sent again.

    find(key) ──▶ content ── holds? does every name still lead to the same file, untouched ──▶ sent, nothing is opened

What changed within the last seconds is not kept: a file can be written twice within one tick of its clock.  What is
kept is forgotten after some seconds, so that files are judged anew, and nobody waits for a disk that went to sleep.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardline.cache.files.lookup import Content
from hardline.cache.files.tree import Tree

_KEPT_FOR = 5.0  # seconds
_SETTLED = 3.0  # seconds: the coarsest clock of a file system has two
_MOST = 4096
_MAX_SIZE = 8 << 20  # bytes in memory, of content and of what visitors said to get it


@dataclass(frozen=True, slots=True)
class _Kept:
    content: Content
    size: int
    until: float


class Ready:
    """Content by what a request said.  Times are seconds since the epoch."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._size = 0

    def find(self, key: tuple[str, str], now: float) -> Content | None:
        """What was kept under `key` a moment ago; `holds` says whether it is still the truth."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until - _KEPT_FOR <= now < kept.until:
            return kept.content
        self.forget(key)
        return None

    def holds(self, content: Content) -> bool:
        """Whether it is still the truth.  Blocks, unless `content.at_once`."""
        return all(map(self._tree.holds, content.marks))

    def keep(self, key: tuple[str, str], content: Content, now: float) -> None:
        """Keep it, if that is worth it and safe."""
        changed = max(max(mark.facts.st_mtime, mark.facts.st_ctime) for mark in content.marks)
        if not content.whole or now - changed < _SETTLED:
            return
        self.forget(key)
        size = len(content.start) + 4 * sum(map(len, key))
        if len(self._kept) >= _MOST or self._size + size > _MAX_SIZE:
            self._kept.clear()
            self._size = 0
        self._kept[key] = _Kept(content, size, now + _KEPT_FOR)
        self._size += size

    def forget(self, key: tuple[str, str]) -> None:
        """It is the truth no longer."""
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._size -= kept.size
