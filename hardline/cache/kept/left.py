"""What a cache has left in a directory that is shared now.

    directory = …, with a service ──▶ Caches.add
                   without one ────▶ in Caches? ─┬─ no: all that lies there are files
                                                 └─ yes: files, else entries as `shown`

Whoever lays a file into a directory chooses its name, so no name there says that a cache wrote it.  Which directories
were caches is known in the node's own: those below `cache`, and those that are listed in `cached`.
Everything here blocks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import replace
from pathlib import Path

from hardline.cache.files.lookup import is_site
from hardline.cache.files.tree import Forbidden, Tree
from hardline.cache.kept.keeper import Entry
from hardline.files import write_new
from hardline.http.fields import Fields
from hardline.http.look import FILES_POLICY, PILE_POLICY, REFERRER_POLICY
from hardline.http.mediatypes import is_active

# What is believed of a head that nobody here wrote: what the answer is, and nothing that reaches beyond it.
_TOLD = {
    "age",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-security-policy",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "location",
    "vary",
}
_PAGES = (b"<!doctype html", b"<html")
_FIRST = 512  # bytes


class Caches:
    """The directories that a node whose data is in `datadir` has kept answers in."""

    def __init__(self, datadir: Path) -> None:
        self._below = os.path.join(os.path.realpath(datadir), "cache", "")
        self._listed = datadir / "cached"

    def add(self, root: Path) -> None:
        """Answers are kept in `root` from now on.  Raises OSError where that cannot be written down."""
        if root in self:
            return
        entry = self._entry(root)
        entry.parent.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            write_new(entry, os.fsencode(os.path.realpath(root)) + b"\n", 0o600)

    def __contains__(self, root: Path) -> bool:
        """Whether answers were ever kept in `root`, or it is where they belong."""
        return os.path.realpath(root).startswith(self._below) or self._entry(root).exists()

    def _entry(self, root: Path) -> Path:
        return self._listed / hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()


def shown(tree: Tree, forbidden: Forbidden, entry: Entry, *, may_list: bool) -> Entry | None:
    """`entry` as visitors of the directory `tree` may have it; None: not at all.

    What a cache wrote there is as it was.  Anything else is a file, and treated as one, whatever lies beside it.
    """
    if entry.ours:
        return entry
    try:
        descriptor = entry.open()
        try:
            facts, start = os.fstat(descriptor), os.pread(descriptor, _FIRST, 0)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    if forbidden(os.path.realpath(entry.path), facts):
        return None
    fields = tuple((name, value) for name, value in entry.head.fields if name.lower() in _TOLD)
    kinds = [value for name, value in fields if name.lower() == "content-type"]
    if not kinds and start.lstrip(b"\xef\xbb\xbf\t\r\n ").lower().startswith(_PAGES):
        kinds = ["text/html"]
        fields = (*fields, ("Content-Type", "text/html"))
    apart = may_list and _may_be_active(kinds) and not is_site(tree)
    fields = (*fields, *_as_files(PILE_POLICY if apart else FILES_POLICY))
    return replace(entry, head=replace(entry.head, fields=fields))


def _as_files(policy: str) -> Fields:
    return (
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", REFERRER_POLICY),
        ("Content-Security-Policy", policy),
    )


def _may_be_active(kinds: list[str]) -> bool:
    """Whether a browser may run it: what is said twice, or in an unknown way, is read by each in its own."""
    if len(kinds) > 1 or any("," in kind for kind in kinds):
        return True
    kind = "".join(kinds).partition(";")[0].strip().lower()
    return is_active(kind) or kind.startswith("multipart/")
