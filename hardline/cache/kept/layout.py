"""Which files a request target is kept in, without I/O.

    /foo/bar        foo/bar@http        as the original hardline documents it
    /foo/bar?x=1    foo/bar%3Fx%3D1@http
    /foo/bar/       foo/bar/@http
    /               @http

    foo/bar@http            the first answer, nothing but its body
    foo/bar@http.2 … .32    further ones to the same target, chosen by other request fields (Vary)
    foo/bar@http.head       what else is known of all of them: heads.py
    foo/bar                 made by hand: stands for the answer

A target has one leading "/" taken off, and is then quoted as the original does it: letters, digits and `_.-~/` stay,
any other byte is %XX.  So "%" is always "%25", and whatever a visitor spells in two ways has two names.  What quoting
leaves and no directory can hold is spelled in a way that quoting never yields: a segment "." or ".." with its dots as
%2E, an empty one in the middle as %2F.  Names that are too long or lie too deep, and those that something else is in
the way of, go to `@http.long/` under the hash of the target.  No two targets share a name, and no name leads out of the
directory.

Whoever asks decides what is computed here: a target that can have no name of its own costs its hash and nothing else.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

LONG = "@http.long"
DRAFTS = "@http.drafts"
DRAFT = "@http.draft"  # how a name inside DRAFTS ends
MAX_VARIANTS = 32

_HTTP = "@http"
_MAX_NAME = 255  # bytes, of nearly every file system
_MAX_PATH = 1024  # bytes below the directory; with the directory's own path it has to stay under the system's 4096
_MAX_DEPTH = 16  # directories that one answer may need: each takes a block and an inode
_LONGEST_READABLE = 1 + 3 * _MAX_PATH  # a target all of whose bytes are %XX
_LONGEST_SUFFIX = len(_HTTP) + len(".head")

_RESERVED = re.compile(r"@(http(\.(head|temp|draft|drafts|long|lock|[0-9]+))?|mako|data)\Z", re.DOTALL)
_STORED = re.compile(r"(?P<base>.*@http)(\.(?P<number>[2-9]|[12][0-9]|3[0-2])|(?P<head>\.head))?\Z", re.DOTALL)

# What browsers write as %XX in a path, and what they leave as it is: a name that takes both literally is no other's.
_BY_BROWSERS = re.compile(r"(?:[!$%&'()*+,./0-9:;=@A-Z\[\\\]^_a-z|~-])*+\Z")
_ESCAPES = re.compile(r"(?:[^%]++|%(?:2[023]|3[CEF]|60|7[BD]|[89A-F][0-9A-F]))*+\Z")


@dataclass(frozen=True, slots=True)
class Names:
    """Paths below the directory, with "/" between their segments.

    `base` is where the first answer belongs, `spare` where it goes when something is in the way there (the same for a
    long name), `by_hand` are the names under which the owner may have put a file of their own.
    """

    base: str
    spare: str
    by_hand: tuple[str, ...]


def names(key: str) -> Names:
    """The names of the request target `key`, which may be any text."""
    return _known(key) if len(key) <= _MAX_PATH else _hashed(key)


def is_current(base: str) -> bool:
    """Whether an answer may be kept under `base`: earlier versions went deeper, where nobody looks any more."""
    return base.count("/") <= _MAX_DEPTH


def _names(key: str) -> Names:
    if not key.startswith("/"):
        return _hashed(key)
    spare = _spare(key)
    segments = quote(_bytes(key[1:])).split("/")
    last = segments.pop()
    directory = [_segment(segment) for segment in segments]
    base = "/".join([*directory, last + _HTTP])
    if not is_current(base) or not _fits(base, _LONGEST_SUFFIX - len(_HTTP)):
        base = spare
    quoted = "/".join([*directory, _segment(last)]) if last else ""
    by_hand = [name for name in dict.fromkeys((quoted, _readable(key))) if name and _fits(name, 0)]
    return Names(base, spare, tuple(by_hand))


_known = lru_cache(maxsize=1024)(_names)


def _hashed(key: str) -> Names:
    """The names of what is too long to be spelled out; a file made by hand may have a shorter name than its target."""
    spare = _spare(key)
    readable = _readable(key) if key.startswith("/") and len(key) <= _LONGEST_READABLE else ""
    return Names(spare, spare, (readable,) if readable and _fits(readable, 0) else ())


def _spare(key: str) -> str:
    return f"{LONG}/{hashlib.sha256(_bytes(key)).hexdigest()}{_HTTP}"


def reserved(name: str) -> bool:
    """Whether a file or directory of this name is the cache's, a template or its data: never served as a file."""
    return _RESERVED.search(name) is not None


def content(base: str, number: int) -> str:
    """The body of the answer `number`, from 1."""
    return base if number == 1 else f"{base}.{number}"


def head(base: str) -> str:
    """What is known of all answers whose first one is `base`."""
    return f"{base}.head"


def stored(name: str) -> tuple[str, int] | None:
    """What a file in the directory is: its base and its number, 0 for the heads; None for what is not the store's."""
    match = _STORED.match(name)
    if match is None:
        return None
    return match["base"], 0 if match["head"] else int(match["number"] or 1)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # any text, and no two alike


def _segment(quoted: str) -> str:
    if quoted in (".", ".."):
        return quoted.replace(".", "%2E")
    return quoted or "%2F"


def _fits(path: str, more: int) -> bool:
    """Whether `path` can be a path of files, with a last name that gets `more` bytes longer."""
    longest = max(len(segment.encode()) for segment in path.split("/"))
    return longest + more <= _MAX_NAME and len(path.encode()) + more <= _MAX_PATH


def _readable(key: str) -> str:
    """The name a person gives the file that stands for `key`, "" where there is none or it is not the only such key."""
    if not key.isascii() or not _BY_BROWSERS.match(key) or not _ESCAPES.match(key):
        return ""
    try:
        segments = unquote_to_bytes(key[1:]).decode().split("/")
    except UnicodeDecodeError:
        return ""
    return "" if any(segment in ("", ".", "..") or reserved(segment) for segment in segments) else "/".join(segments)
