"""What one request costs grows with its length, and no faster; and a table of what was asked is bounded in bytes."""

from __future__ import annotations

import gzip
import itertools
import os
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from multidict import CIMultiDict

from hardline.cache.files import naming
from hardline.cache.files.listing import HtmlListing
from hardline.cache.files.lookup import Content
from hardline.cache.files.order import Order
from hardline.cache.files.packed import Packed
from hardline.cache.files.ready import Ready
from hardline.cache.files.tree import Mark, Opened, Tree
from hardline.cache.recent import Recent
from hardline.http import conditional, mediatypes, negotiation, paths, ranges
from hardline.showable import one_line, plain

SHORT, LONG = 1024, 32_768

BITS = (
    "a",
    "/a",
    "/",
    "/.",
    "/..",
    "/a/..",
    "%61",
    "/%61",
    "%",
    "%2e/",
    "é",
    "\udcff",
    "?",
    "#",
    "&a=b",
    '"',
    ",",
    "0-1,",
    'W/"a",',
)


def _conditions(text: str) -> object:
    fields = CIMultiDict([(name, text) for name in ("If-Match", "If-None-Match", "If-Modified-Since", "If-Range")])
    fields["Range"] = f"bytes={text}"
    there = conditional.Validators('"x"', 1)
    return conditional.judge("GET", fields, there, 1.0), conditional.wanted_range("GET", fields, there, 1.0)


FUNCTIONS: dict[str, Callable[[str], object]] = {
    "parse_target": paths.parse_target,
    "parse_target, absolute": lambda text: paths.parse_target(f"http://{text}"),
    "quoted": paths.quoted,
    "printable": paths.printable,
    "shown": paths.shown,
    "one_line": lambda text: one_line(text, 200),
    "plain": plain,
    "media_type": mediatypes.media_type,
    "coding": lambda text: negotiation.coding(text, ("gzip",)),
    "prefers": lambda text: negotiation.prefers(text, negotiation.HTML, negotiation.JSON),
    "select": lambda text: ranges.select(f"bytes={text}", 10_000),
    "conditions": _conditions,
    "a key to sort by": lambda text: Order().key(text, False, 0, 0),
    "an order": lambda text: Order.parse(f"filter={text}"),
    "a name's number": lambda text: naming.numbered(text, 7),
    "a listing's head": lambda text: HtmlListing(text.split("/")).opening(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_request_is_read_by_takes_time_in_proportion_to_it(name, processor_time):
    function = FUNCTIONS[name]
    for bit in BITS:
        short, long = ("/" + bit * (size // len(bit)) for size in (SHORT, LONG))
        times = processor_time(lambda text: function(text), short, long)
        assert times < 4 * LONG / SHORT, bit


def test_a_long_path_costs_a_file_service_no_more_than_reading_it(tmp_path, processor_time):
    """Compared with a path that a file can have, on the same disk."""
    from hardline.cache.files import lookup

    tree = Tree(tmp_path, forbidden=lambda path, facts: False)

    def ask(text: str) -> object:
        target = paths.parse_target(text)
        return None if target is None else lookup.look(tree, target, "", may_list=True)

    for bit in ("/a", "/%61", "a", "/.", "/a/.."):
        assert processor_time(ask, "/" + bit * (LONG // len(bit) // 32), "/" + bit * (LONG // len(bit))) < 4 * 32


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────

MANY = 3000  # requests, each with another key of LONG characters
MEMORY = 20 << 20  # bytes: all of them would be 100 MB

Fill = Callable[[str], object]


def _ready(root: Path) -> Fill:
    ready = Ready(Tree(root, forbidden=lambda path, facts: False))
    content = Content("a", "text/plain", False, "identity", os.stat("/dev/null"), b"", (), True)
    return lambda key: ready.keep((key, key), replace(content, marks=(Mark(key, key, os.stat("/")),)), 1e12)


def _recent(root: Path) -> Fill:
    recent: Recent[tuple[str, ...]] = Recent(lambda found: sum(map(len, found)))

    def fill(key: str) -> None:
        with recent.looking(key, 1.0) as keep:
            keep((key,))

    return fill


def _packed(root: Path) -> Fill:
    (root / "a").write_bytes(b"a")
    (root / "a.gz").write_bytes(gzip.compress(b"a"))
    packed, original, beside = Packed(), os.open(root / "a", os.O_RDONLY), os.open(root / "a.gz", os.O_RDONLY)
    seconds = itertools.count(int(os.stat(root / "a").st_mtime) + 1)

    def fill(key: str) -> None:
        os.utime(beside, (1, next(seconds)))
        packed.holds(Opened(beside, key, os.fstat(beside)), Opened(original, key, os.fstat(original)))

    return fill


TABLES: dict[str, Callable[[Path], Fill]] = {
    "small files that are ready": _ready,
    "what was found a moment ago": _recent,
    "what is packed": _packed,
    "media types": lambda root: mediatypes.media_type,
    "compressible types": lambda root: mediatypes.is_compressible,
    "what is accepted": lambda root: lambda key: negotiation.prefers(key, negotiation.HTML, negotiation.JSON),
    "codings": lambda root: lambda key: negotiation.coding(key, ("gzip",)),
    "conditions": lambda root: _conditions,
}


@pytest.mark.parametrize("table", TABLES)
def test_what_is_remembered_of_requests_is_bounded_in_bytes(table, tmp_path):
    fill = TABLES[table](tmp_path)
    fill("first")
    tracemalloc.start()
    try:
        for number in range(MANY):
            fill(f"{number}," + "\u2603" * (LONG // 2) + ",a" * (LONG // 4))
        assert tracemalloc.get_traced_memory()[0] < MEMORY
    finally:
        tracemalloc.stop()
