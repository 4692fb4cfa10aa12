"""Whether a file beside another holds the same, packed: found out once, and remembered as long as neither changes.

    a.txt + a.txt.gz ── unpacked and compared, in a thread ──▶ the same: may be sent in its place

A packed file that somebody else made for its own sake, an older one, or one that is still being written has the same
name, and a visitor who gets it cannot tell.  Source: RFC 1952.
"""

from __future__ import annotations

import os
import zlib
from collections import OrderedDict

from hardline.cache.files.tree import Opened, identity

MAX_SIZE = 64 << 20  # bytes of the original: some tenths of a second
_PIECE = 262_144
_REMEMBERED = 4096
_GZIP = 16 + zlib.MAX_WBITS

Pair = tuple[tuple[int, ...], tuple[int, ...]]


class Packed:
    """What was found out, of as many pairs as are remembered."""

    def __init__(self) -> None:
        self._known: OrderedDict[Pair, bool] = OrderedDict()

    def holds(self, packed: Opened, original: Opened) -> bool:
        """Whether `packed` is a whole gzip of what `original` holds, and not older.  Blocks; for threads."""
        if not packed.facts.st_size or packed.facts.st_mtime_ns < original.facts.st_mtime_ns:
            return False
        if original.facts.st_size > MAX_SIZE or packed.facts.st_size > MAX_SIZE:
            return False
        pair = identity(packed.facts), identity(original.facts)
        known = self._known.get(pair)
        if known is None:
            known = _is_same(packed.fd, original.fd)
            self._known[pair] = known
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known


def _is_same(packed: int, original: int) -> bool:
    unpacker = zlib.decompressobj(_GZIP)
    taken = offset = 0
    waiting = b""
    while not unpacker.eof:
        if not waiting:
            waiting = os.pread(packed, _PIECE, taken)
            taken += len(waiting)
            if not waiting:
                return False
        try:
            piece = unpacker.decompress(waiting, _PIECE)
        except zlib.error:
            return False
        waiting = unpacker.unconsumed_tail
        if piece != os.pread(original, len(piece), offset):
            return False
        offset += len(piece)
    # Several members in one file are allowed, and nobody packs a page so.
    rest = unpacker.unused_data or os.pread(packed, 1, taken)
    return not rest and not os.pread(original, 1, offset)
