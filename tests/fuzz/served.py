"""What a visitor may ask of files and of a cache: parts, conditions, dates, what it takes, and names."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from multidict import CIMultiDict

from hardline.cache.files.tree import Tree
from hardline.cache.kept import layout
from hardline.cache.kept.keeper import Keeper
from hardline.cache.kept.ledger import Ledger
from hardline.http import negotiation, ranges
from hardline.http.conditional import Validators, Verdict, format_date, judge, parse_date, wanted_range
from hardline.http.paths import parse_target, printable, quoted, shown
from hardline.showable import is_plain

NOW = 1_790_000_000.25
MODIFIED = 1_789_000_000
SECRET = b"of nobody's business"

_THERE = (
    Validators(),
    Validators('"a"', MODIFIED),
    Validators('W/"a"', MODIFIED),
    Validators('"a,b"', None),
    Validators(None, MODIFIED),
    Validators('"\xfc"', int(NOW)),
)
_CODINGS = ("br", "gzip")
_METHODS = ("GET", "HEAD", "POST", "PUT")
_MEMBER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z/-]+)[ \t]*(?:;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")
_SPEC = re.compile("([0-9]+)-([0-9]*)|-([0-9]+)")
_TAG = re.compile('(?:W/)?"[!\x23-\x7e\x80-\xff]*"')
_TAGS = re.compile(f"[ \t,]*(?:{_TAG.pattern}[ \t]*(?:,[ \t,]*|$))*")


def parts(data: bytes) -> None:
    """First byte: the size, in 32 bytes.  Exactly the bytes that the field names, each once; or the whole, or none."""
    if not data:
        return
    size, field = 32 * data[0], data[1:].decode("latin-1")
    found = ranges.select(field, size)
    named = _named(field, size)
    if found is None:
        cost = 0 if named is None else named.bit_count() + 80 * (named & ~(named << 1)).bit_count()
        assert named is None or cost >= size or size == 0 or field.count(",") >= ranges.MAX_PARTS
        return
    assert named is not None
    assert 0 < len(found) <= ranges.MAX_PARTS or named == 0
    sent, before = 0, -1
    for part in sorted(found, key=lambda part: part.offset):
        assert part.offset > before, "they overlap, or touch"
        assert part.count > 0
        assert part.end <= size
        sent, before = sent | _bits(part.offset, part.count), part.end
        assert ranges.content_range(part, size) == f"bytes {part.offset}-{part.end - 1}/{size}"
    assert sent == named
    if len(found) > 1:
        body = ranges.multipart(found, size, "text/plain", "b")
        assert body.size == sum(len(head) + part.count for head, part in body.parts) + len(body.close)
        assert sum(part.count for part in found) < size


def conditions(data: bytes) -> None:
    """First bytes: what is there, and the method; then fields.  What RFC 9110, section 13.2.2, says, field by field."""
    if len(data) < 2:
        return
    there, method = _THERE[data[0] % len(_THERE)], _METHODS[data[1] % len(_METHODS)]
    fields = _fields(data[2:])
    verdict = judge(method, fields, there, NOW)
    assert verdict is not Verdict.NOT_MODIFIED or method in ("GET", "HEAD")
    for stronger, weaker in (("If-Match", "If-Unmodified-Since"), ("If-None-Match", "If-Modified-Since")):
        if stronger in fields:
            assert judge(method, _without(fields, weaker), there, NOW) is verdict
    if "If-None-Match" not in fields and "If-Modified-Since" not in fields:
        assert verdict is not Verdict.NOT_MODIFIED
    failed = _names(fields, "If-Match", there.etag, weak=False)
    if failed is not None:
        assert failed or verdict is Verdict.FAILED
    named = _names(fields, "If-None-Match", there.etag, weak=True)
    if named is not None and verdict is not Verdict.FAILED:
        assert named == (verdict is Verdict.NOT_MODIFIED)
    wanted = wanted_range(method, fields, there, NOW)
    if wanted is not None:
        assert method == "GET"
        assert fields.getall("Range") == [wanted]
        condition = "".join(fields.getall("If-Range", ())).strip(" \t")
        assert len(fields.getall("If-Range", ())) <= 1
        if '"' in condition:
            assert condition == there.etag, "a part of what is not what the visitor has"
            assert not condition.startswith("W/")
        elif "If-Range" in fields:
            assert parse_date(condition, NOW) == there.modified is not None


def date(data: bytes) -> None:
    """A moment that is printed and read as itself, and that other programs read in the same way; or None."""
    text = data.decode("latin-1")
    found = parse_date(text, NOW)
    if found is None:
        return
    if (again := format_date(found)) is not None:
        assert parse_date(again, NOW) == found
    if re.search(r"-\d\d ", text):
        assert abs(found - NOW) < 50.1 * 366 * 86_400
    elif ":60" not in text and not re.search(r"\b00\d\d\b", text):  # others take the year 12 for 2012
        other = parsedate_to_datetime(re.sub(" GMT$", "", text) + " +0000")
        assert other.timestamp() == found


def accepted(data: bytes) -> None:
    """The coding, and the form, that weigh most among those that are there and not refused."""
    text = data.decode("latin-1")
    chosen = negotiation.coding(text, _CODINGS)
    as_json = negotiation.prefers(text, negotiation.JSON, negotiation.HTML)
    assert chosen in (*_CODINGS, "identity")
    weights = _weighed(text)
    if weights is None:  # who cannot say what he takes gets nothing that he has not named at all
        assert not as_json or "application/json" in text.lower()
        assert chosen == "identity" or chosen in text.lower() or "*" in text
        return
    codings = {name: weights.get(name, weights.get(f"x-{name}", weights.get("*", 0.0))) for name in _CODINGS}
    most = max(codings.values())
    expected = "identity" if not most or most < weights.get("identity", 0.0) else max(codings, key=codings.__getitem__)
    assert chosen == expected
    page = max(weights.get(kind, 0.0) for kind in negotiation.HTML)
    assert as_json == (weights.get("application/json", 0.0) > 0 and weights["application/json"] >= page)


def target(data: bytes) -> None:
    """Names of files, each of which is one: what is opened lies in the directory, whatever lies around it."""
    text = data.decode("utf-8", "surrogateescape")
    found = parse_target(text)
    if found is None:
        return
    for name in found.names:
        assert name not in ("", ".", "..")
        assert not set(name) & {"/", "\0"}
        assert is_plain(shown(name))
    link = "/" + "/".join(map(quoted, found.names))
    assert parse_target(link) is not None
    assert parse_target(link).names == found.names  # type: ignore[union-attr]
    assert printable(found.query).isascii()
    if found.names:
        leads = urlsplit(urljoin(f"http://here{link}", found.beside))
        assert (leads.scheme, leads.netloc) == ("http", "here")
        assert leads.path == link + "/"
    root = place() / "root"
    opened = Tree(root, forbidden=lambda path, facts: False).open(found.names)
    if opened is None:
        return
    try:
        assert _lies_in(os.readlink(f"/proc/self/fd/{opened.fd}"), root)
        assert opened.is_directory or SECRET not in os.read(opened.fd, 1000)
        assert not any(map(layout.reserved, found.names))
    finally:
        opened.close()


def kept_name(data: bytes) -> None:
    """Files below the directory, of no other target; whatever lies there, nothing outside is read."""
    text = data.decode("utf-8", "surrogateescape")
    names = layout.names(text)
    for path in (names.base, names.spare, *names.by_hand):
        segments = path.split("/")
        assert not set(segments) & {"", ".", ".."}
        assert "\0" not in path
        assert max(len(segment.encode()) for segment in segments) + 5 <= 255 or path in names.by_hand
        assert path.encode().decode() == path
    for path in (names.base, names.spare):
        assert layout.stored(path.rpartition("/")[2]) == (path.rpartition("/")[2], 1)
    for path in names.by_hand:
        assert not any(map(layout.reserved, path.split("/")))
    if names.base != names.spare:
        assert _target_of(names.base) == text.encode("utf-8", "surrogatepass")
    root = place() / "root"
    keeper = Keeper(str(root), Ledger(1 << 20), lambda path, facts: False, lambda key: None)
    for entry in keeper.look(text):
        descriptor = entry.open()
        try:
            assert _lies_in(os.readlink(f"/proc/self/fd/{descriptor}"), root)
            assert SECRET not in os.read(descriptor, 1000)
        finally:
            os.close(descriptor)


def _named(field: str, size: int) -> int | None:
    """The bytes that a Range field names, as bits; None for what is no such field."""
    unit, _, listed = field.partition("=")
    if unit.lower() != "bytes":
        return None
    found, specs = 0, [spec.strip(" \t") for spec in listed.split(",")]
    for spec in filter(None, specs):
        match = _SPEC.fullmatch(spec)
        if match is None:
            return None
        if match[3]:
            count = min(_number(match[3]), size)
            found |= _bits(size - count, count)
            continue
        first, last = _number(match[1]), _number(match[2]) if match[2] else max(size, _number(match[1]))
        if last < first:
            return None
        found |= _bits(first, min(last + 1, size) - first)
    return found if any(specs) else None


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= 12 else 10**12


def _bits(offset: int, count: int) -> int:
    return ((1 << count) - 1) << offset if count > 0 else 0


def _weighed(text: str) -> dict[str, float] | None:
    """The members of a well-formed list, by their weights; None for any other."""
    if len(text) > 1000:  # more is not read
        return None
    found: dict[str, float] = {}
    for member in filter(None, (member.strip(" \t") for member in text.split(","))):
        match = _MEMBER.fullmatch(member)
        if match is None:
            return None
        found[match[1].lower()] = max(found.get(match[1].lower(), 0.0), float(match[2] or 1))
    return found


def _fields(data: bytes) -> CIMultiDict[str]:
    found: CIMultiDict[str] = CIMultiDict()
    for line in data.decode("latin-1").split("\n"):
        name, _, value = line.partition(":")
        found.add(name, value.strip(" \t\r"))
    return found


def _without(fields: CIMultiDict[str], name: str) -> CIMultiDict[str]:
    left = fields.copy()
    left.popall(name, None)
    return left


def _names(fields: CIMultiDict[str], name: str, etag: str | None, *, weak: bool) -> bool | None:
    """Whether a well-formed list names what is there; None without one."""
    values = fields.getall(name, ())
    if not values or values == ["*"] or not all(map(_TAGS.fullmatch, values)):
        return None
    if etag is None or (not weak and etag.startswith("W/")):
        return False
    tags = [tag for value in values for tag in _TAG.findall(value)]
    return etag.removeprefix("W/") in [tag.removeprefix("W/") if weak else tag for tag in tags]


def _target_of(base: str) -> bytes:
    """The target whose first answer is kept in `base`."""
    *directory, last = base.removesuffix("@http").split("/")
    segments = [b"" if segment == "%2F" else unquote_to_bytes(segment) for segment in directory]
    return b"/" + b"/".join([*segments, unquote_to_bytes(last)])


def _lies_in(path: str, root: Path) -> bool:
    return path == str(root) or path.startswith(f"{root}/")


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hardline-fuzz-")


@functools.cache
def place() -> Path:
    """A directory with something to find in it, beside it and behind its links."""
    place = Path(_directory().name).resolve()
    root = place / "root"
    (root / "a").mkdir(parents=True)
    for name in ("a/b.txt", "a/b", "index.html", "c d.txt", "%2e%2e", "a@http", "b@mako", "@http", "a/@http"):
        (root / name).write_bytes(b"public")
    (root / "@data").mkdir()
    for name in ("secret", "root.txt", "root@http", "@http", "a", "root/@data/s", "root/b@mako"):
        (place / name).write_bytes(SECRET)
    for link, to in (("out", "../secret"), ("up", ".."), ("in", "a"), ("out@http", "../secret"), ("up@http", "..")):
        (root / link).symlink_to(to)
    return place
