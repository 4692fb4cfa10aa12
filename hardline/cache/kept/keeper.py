"""Answers as files: found, put in their place, thrown out.  Everything here blocks, and may be called by many threads.

    put     foo@http.head is moved into place ─▶ foo@http is moved into place
    throw   foo@http goes ─▶ foo@http.head goes

A head names the one body it is of (heads.py), and is there before it and longer than it.  So
whenever the process is killed, there is the old answer, the new one, or a pair that does not fit together and counts as
none; a body of ours that has no head at all counts as none, too.  One without a head that is not ours was left by the
original hardline.  Several processes in one directory disturb each other no more than a crash would.

Nothing is synced to the disk but a file that the owner made and we replace: after a power cut an answer that is short
does not fit its head, and what is lost can be fetched again.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import TypeVar
from urllib.parse import unquote

from hardline.cache.kept import heads as heads_of
from hardline.cache.kept import inventory, layout
from hardline.cache.kept.heads import BY_HAND, Answer, Body, Heads, StoredHead
from hardline.cache.kept.ledger import Ledger, StoreFull, cost
from hardline.cache.kept.shelf import InTheWay, Shelf
from hardline.cache.mounts import answer_at_once
from hardline.http.look import FILES_POLICY, REFERRER_POLICY
from hardline.http.mediatypes import UNKNOWN, media_type

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FULL = {errno.ENOSPC, errno.EDQUOT}
_ROOM = 1 << 20  # bytes that are freed at once on a full disk
_SLICE = 64  # bases thrown out before others have their turn
_LONGEST = (1 << 64) - 1  # inode

_Identity = tuple[int, ...]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored answer, as it was when it was found.

    `hand_made`: the body is a file of the owner's.  Until a whole 200 has come in its place, its head is what a file
    tells: 200, a type by its name, Date and Last-Modified by its time.  Whoever asks the origin for a newer one asks
    for no content coding: what is encoded cannot take its place.  `ours`: a cache wrote it, here; it is no copy, and
    nobody else's file.
    """

    key: str
    head: StoredHead
    size: int
    hand_made: bool
    ours: bool
    base: str = field(repr=False)
    answer: Answer = field(repr=False)
    name: str = field(repr=False)
    identity: _Identity = field(repr=False)
    at_once: bool = field(repr=False, compare=False)
    _keeper: Keeper = field(repr=False, compare=False)

    @property
    def path(self) -> str:
        """Where the body lies."""
        return f"{self._keeper.root}/{self.name}"

    def open(self) -> int:
        """A new descriptor of the body: it can be read to its end whatever becomes of the entry.  The caller closes it.

        Raises OSError when the file is gone or another one: find again, or take it for a miss.  Blocks, unless
        `at_once`: then all that it touches is in memory as a rule.
        """
        try:
            descriptor = os.open(self.path, _READ)
        except OSError:
            self._keeper.changed(self.key)
            raise
        if _identity(os.fstat(descriptor)) != self.identity:
            os.close(descriptor)
            self._keeper.changed(self.key)
            raise _gone(self.name)
        return descriptor


@dataclass(frozen=True, slots=True)
class ByHand:
    """A file of the owner's that stands for an answer."""

    name: str
    facts: os.stat_result


class Keeper:
    """The answers below `root`; whoever holds `changing` sees them as they stay until it is released.

    `changed` hears of each key whose answers are others now, from any thread.
    """

    def __init__(
        self,
        root: str,
        ledger: Ledger,
        forbidden: Callable[[str, os.stat_result], bool],
        changed: Callable[[str], None],
    ) -> None:
        self.root = root
        self.ledger = ledger
        self.changed = changed
        self._forbidden = forbidden
        self._shelf = Shelf(root)
        self.changing = threading.RLock()

    # ── finding ──────────────────────────────────────────────────────────────────────────────────────────────

    def look(self, key: str) -> tuple[Entry, ...]:
        """What is there for `key`, newest first; changes nothing."""
        return self._look(key)[0]

    def look_and_tidy(self, key: str) -> tuple[Entry, ...]:
        """The same; what does not fit together is removed, and what nobody knew of is counted."""
        entries, fits = self._look(key)
        names = layout.names(key)
        if not fits or any(self._is_miscounted(base, entries) for base in (names.base, names.spare)):
            with self.changing:
                entries, fits = self._look(key)
                for base in {names.base, names.spare}:
                    with contextlib.suppress(OSError):
                        self._tidy(key, base, any(entry.base == base for entry in entries))
        return entries

    def _look(self, key: str) -> tuple[tuple[Entry, ...], bool]:
        names = layout.names(key)
        by_hand = self._by_hand(names)
        fits = True
        for base in dict.fromkeys((names.base, names.spare)):
            entries, fits = self._read(key, base, by_hand)
            if entries:
                return entries, fits
            if not fits:
                break
        return ((self._of_file(key, names.base, by_hand.name, by_hand.facts),) if by_hand else ()), fits

    def _by_hand(self, names: layout.Names) -> ByHand | None:
        """The owner's own file of this name, if there is one that may be shown."""
        for name in names.by_hand:
            try:
                descriptor = self._shelf.open(name, os.O_RDONLY)
            except OSError:
                continue
            facts = os.fstat(descriptor)
            os.close(descriptor)
            if not self._forbidden(os.path.join(os.path.realpath(self.root), name), facts):
                return ByHand(name, facts)
        return None

    def _read(self, key: str, base: str, by_hand: ByHand | None) -> tuple[tuple[Entry, ...], bool]:
        """What is there under `base`, and whether every body is the one that its head describes."""
        read = self._read_head(base)
        if read is None:
            return self._read_headless(key, base) if by_hand is None else ((), True)
        heads, version = read
        if heads.key != key:
            return (), True
        fits, entries = True, []
        for answer in heads.answers:
            if (answer.number == BY_HAND) != (by_hand is not None):
                continue
            name = by_hand.name if by_hand else layout.content(base, answer.number)
            facts = by_hand.facts if by_hand else self._shelf.facts(name)
            if facts and answer.body.is_that_of(facts.st_size, facts.st_mtime_ns, facts.st_ino):
                ours = by_hand is None and answer.body.inode is not None
                entries.append(self._entry(key, base, answer, name, facts, ours=ours))
            elif not by_hand:
                fits = False
        # A body that was replaced twice meanwhile may look like the first one.
        if (facts := self._shelf.facts(layout.head(base))) is None or _identity(facts) != version:
            return (), False
        return tuple(entries), fits

    def _read_headless(self, key: str, base: str) -> tuple[tuple[Entry, ...], bool]:
        facts = self._shelf.facts(base)
        if facts is None or not stat.S_ISREG(facts.st_mode):
            return (), True
        # Ours has its head before it: so one that has come meanwhile belongs to it.
        if heads_of.is_marked(facts.st_mtime_ns) or self._shelf.facts(layout.head(base)) is not None:
            return (), False
        if self._forbidden(os.path.join(os.path.realpath(self.root), base), facts):
            return (), True
        return (self._of_file(key, base, base, facts),), True

    def _of_file(self, key: str, base: str, name: str, facts: os.stat_result) -> Entry:
        """A body of which nothing is known but what its file tells."""
        hand_made = name != base
        received = facts.st_mtime_ns / 1_000_000_000
        fields = [("Date", formatdate(received, usegmt=True)), ("Referrer-Policy", REFERRER_POLICY)]
        kind = media_type(unquote(key.partition("?")[0]).rpartition("/")[2])
        if kind != UNKNOWN:  # else browsers find out
            fields += [("Content-Type", kind), ("X-Content-Type-Options", "nosniff")]
        if hand_made:
            fields += [
                ("Last-Modified", formatdate(received, usegmt=True)),
                ("Content-Security-Policy", FILES_POLICY),
            ]
        head = StoredHead(200, "OK", tuple(fields), received, received)
        answer = Answer(BY_HAND if hand_made else 1, _body(facts), head)
        return self._entry(key, base, answer, name, facts, ours=False)

    def _entry(self, key: str, base: str, answer: Answer, name: str, facts: os.stat_result, *, ours: bool) -> Entry:
        return Entry(
            key=key,
            head=answer.head,
            size=facts.st_size,
            hand_made=answer.number == BY_HAND,
            ours=ours,
            base=base,
            answer=answer,
            name=name,
            identity=_identity(facts),
            at_once=answer_at_once([f"{self.root}/{name}"]),
            _keeper=self,
        )

    def _heads(self, base: str) -> Heads | None:
        read = self._read_head(base)
        return None if read is None else read[0]

    def _read_head(self, base: str) -> tuple[Heads, _Identity] | None:
        read = self._shelf.read(layout.head(base), heads_of.MAX_FILE)
        if read is None:
            return None
        text, facts = read
        heads = heads_of.decode(text, facts.st_ino)
        return None if heads is None else (heads, _identity(facts))

    def _is_miscounted(self, base: str, entries: tuple[Entry, ...]) -> bool:
        there = any(entry.base == base and not entry.hand_made for entry in entries)
        return (base in self.ledger) != there and not any(entry.hand_made for entry in entries)

    def _tidy(self, key: str, base: str, whole: bool) -> None:
        heads = self._heads(base)
        if heads is not None and heads.key != key:
            return
        if whole:
            self.ledger.put(base, self._size(base, heads or Heads(key)))
        elif heads is not None or base in self.ledger or not self._read_headless(key, base)[1]:
            self._throw_out(base)

    # ── putting in place ─────────────────────────────────────────────────────────────────────────────────────

    def check(self, key: str, head: StoredHead) -> ByHand | None:
        """The owner's file that an answer to `key` would replace.  Raises StoreFull for what cannot be kept."""
        if heads_of.too_large(head):
            raise StoreFull("the answer's head is too long")
        by_hand = self._by_hand(layout.names(key))
        if by_hand is not None:
            present = {name.lower() for name, _ in head.fields}
            if head.status != 200 or present & {"content-encoding", "content-range"}:
                raise StoreFull("only a whole 200 without content coding takes the place of a file made by hand")
        return by_hand

    def draft(self) -> tuple[str, int]:
        """A new file: its name and a descriptor."""
        name = f"{layout.DRAFTS}/{secrets.token_hex(8)}{layout.DRAFT}"
        make = functools.partial(self._shelf.open, name, os.O_RDWR | os.O_CREAT | os.O_EXCL, make=True)
        descriptor = self.despite_full_disk(make)
        inventory.lock_draft(descriptor)
        return name, descriptor

    def remove_draft(self, name: str) -> None:
        """A draft that is not wanted any more."""
        with contextlib.suppress(OSError):
            self._shelf.remove(name, tidy=False)

    def put(self, key: str, head: StoredHead, draft: str, descriptor: int) -> Entry:
        """Move a body that is complete, and its head, to their places.  Raises StoreFull, OSError."""
        by_hand = self.check(key, head)
        names = layout.names(key)
        with self.changing:
            for base in (names.base, names.spare):
                try:
                    entry = self._put(key, head, base, by_hand, draft, descriptor)
                except InTheWay:
                    continue
                self.changed(key)
                return entry
        raise StoreFull("something is in the way of its file")

    def _put(self, key: str, head: StoredHead, base: str, by_hand: ByHand | None, draft: str, descriptor: int) -> Entry:
        while True:
            heads = self._heads(base) or Heads(key)
            if heads.key != key:
                raise InTheWay(errno.EEXIST, "belongs to another target", base)
            number = BY_HAND if by_hand else heads.number_for(head, layout.MAX_VARIANTS)
            name = by_hand.name if by_hand else layout.content(base, number)
            answer = Answer(number, self._mark(descriptor, head, name, number, heads), head)
            heads = heads.with_answer(answer)
            if self.ledger.lacks(self.ledger.way_to(base) + cost(len(heads_of.encode(heads, _LONGEST)))) <= 0:
                break
            self._make_way()  # perhaps of what was just read
        if by_hand:
            os.fchmod(descriptor, stat.S_IMODE(by_hand.facts.st_mode))
            os.fsync(descriptor)
        self._put_head(base, heads)
        try:
            self.despite_full_disk(functools.partial(self._shelf.move, draft, name))
        except OSError:
            with contextlib.suppress(OSError):
                self._tidy(key, base, bool(self._read(key, base, by_hand)[0]))
            raise
        self.ledger.put(base, self._size(base, heads))
        return self._entry(key, base, answer, name, os.fstat(descriptor), ours=by_hand is None)

    def _mark(self, descriptor: int, head: StoredHead, name: str, number: int, heads: Heads) -> Body:
        """Give a body a time of modification that tells it from the one that it replaces."""
        there = self._shelf.facts(name)
        if there is not None and not stat.S_ISREG(there.st_mode):
            raise InTheWay(errno.EEXIST, "is no plain file", name)
        others = [answer.body.mtime for answer in heads.answers if answer.number == number]
        if there is not None:
            others.append(there.st_mtime_ns)
        mtime = heads_of.mark(head.received_at, secrets.randbelow(1000), *others)
        os.utime(descriptor, ns=(time.time_ns(), mtime))
        return _body(os.fstat(descriptor))

    def _put_head(self, base: str, heads: Heads) -> None:
        draft, descriptor = self.draft()
        try:
            view = memoryview(heads_of.encode(heads, os.fstat(descriptor).st_ino))
            while view:
                view = view[self.despite_full_disk(functools.partial(os.write, descriptor, view)) :]
            self.despite_full_disk(functools.partial(self._shelf.move, draft, layout.head(base)))
        except OSError:
            self.remove_draft(draft)
            raise
        finally:
            os.close(descriptor)

    def refresh(self, entry: Entry, head: StoredHead) -> Entry:
        """Another head for the same body.  Raises OSError and leaves the old one."""
        if heads_of.too_large(head):
            raise OSError(errno.EFBIG, "the answer's head is too long", entry.name)
        with self.changing:
            while True:
                facts = self._shelf.facts(entry.name)
                heads = self._heads(entry.base) or Heads(entry.key)
                if facts is None or _identity(facts) != entry.identity or heads.key != entry.key:
                    self.changed(entry.key)
                    raise _gone(entry.name)
                answer = replace(entry.answer, head=head)
                heads = heads.with_answer(answer)
                if self.ledger.lacks(cost(len(heads_of.encode(heads, _LONGEST)))) <= 0:
                    break
                self._make_way()
            self._put_head(entry.base, heads)
            self.ledger.put(entry.base, self._size(entry.base, heads))
            self.changed(entry.key)
        return replace(entry, head=head, answer=answer)

    def remove(self, key: str) -> None:
        """Throw out all answers to `key`; a file of the owner's stays."""
        names = layout.names(key)
        with self.changing:
            for base in {names.base, names.spare}:
                heads = self._heads(base)
                if heads is None or heads.key == key:
                    self._throw_out(base)
            self.changed(key)

    def _throw_out(self, base: str) -> None:
        heads = self._heads(base)
        numbers = range(1, layout.MAX_VARIANTS + 1) if heads is None else {1, *(one.number for one in heads.answers)}
        try:
            for number in numbers:
                if number != BY_HAND:
                    self._shelf.remove(layout.content(base, number))
            self._shelf.remove(layout.head(base))
        except OSError:
            self.ledger.used(base)  # others are tried before it is tried again
            raise
        self.ledger.put(base, 0)
        if heads is not None:
            self.changed(heads.key)

    def _size(self, base: str, heads: Heads) -> int:
        """What all that belongs to a base takes of the disk."""
        numbers = [answer.number for answer in heads.answers if answer.number != BY_HAND] or [1]
        names = (layout.head(base), *(layout.content(base, number) for number in numbers))
        return sum(cost(facts.st_size, facts.st_blocks) for name in names if (facts := self._shelf.facts(name)))

    # ── room ─────────────────────────────────────────────────────────────────────────────────────────────────

    def promise(self, count: int) -> None:
        """Have room for `count` bytes that are about to be written; negative: they are not wanted any more.

        Raises StoreFull when other downloads have it, OSError when nothing can be thrown out.
        """
        with self.changing:
            while count > 0 and self.ledger.lacks(count) > 0:
                self._make_way()
            self.ledger.promise(count)

    def despite_full_disk(self, work: Callable[[], T]) -> T:
        """Do `work`; while the disk is full, what is stored gives way to it.  Raises OSError when that is no help."""
        while True:
            try:
                return work()
            except OSError as failure:
                if failure.errno not in _FULL or self.ledger.oldest() is None:
                    raise
            with self.changing, contextlib.suppress(StoreFull):
                wanted = self.ledger.stored - _ROOM
                while self.ledger.stored > wanted:
                    self._make_way()

    def _make_way(self) -> None:
        oldest = self.ledger.oldest()
        if oldest is None:
            raise StoreFull(f"maxSize is {self.ledger.limit} bytes, and downloads under way need them")
        self._throw_out(oldest)

    # ── what is there at the start ───────────────────────────────────────────────────────────────────────────

    def take_over(self, now: float, over: Callable[[], bool]) -> None:
        """Count what is there, until it is `over`, and remove what a crash has left."""
        inventory.remove_drafts(self._shelf, now)
        found = inventory.ByUse()
        for base, group in inventory.groups(self.root):
            if over():
                return
            with contextlib.suppress(OSError):
                if inventory.is_rest(base, group, self._shelf, self._heads):
                    with self.changing:
                        self._throw_out(base)
                    continue
            found.add(base, group)
        oldest_first = found.sorted()
        with self.changing:
            self.ledger.seed(oldest_first)
        del found, oldest_first
        while self.ledger.lacks(0) > 0 and not over():
            with self.changing:
                for _ in range(_SLICE):
                    if self.ledger.lacks(0) > 0:
                        self._make_way()

    def leave(self) -> None:
        """Leave no empty directory of drafts."""
        self._shelf.tidy(f"{layout.DRAFTS}/")


def _body(facts: os.stat_result) -> Body:
    return Body(facts.st_size, facts.st_mtime_ns, facts.st_ino)


def _identity(facts: os.stat_result) -> _Identity:
    # Inodes are used again at once; no file has its time of change from a program.
    return facts.st_dev, facts.st_ino, facts.st_ctime_ns, facts.st_mtime_ns, facts.st_size


def _gone(name: str) -> OSError:
    return FileNotFoundError(errno.ENOENT, "is gone, or another file", name)
