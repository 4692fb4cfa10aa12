"""What a request target asks for, as names of files; without I/O.

    GET /caf%C3%A9/a%20b.txt?x=1    ──parse_target──▶  names ("café", "a b.txt"), no directory, query "x=1"
    GET /photos/                    ──parse_target──▶  names ("photos",), a directory
    GET /./a/%2e%2e/b.txt           ──parse_target──▶  names ("b.txt",): dot segments are gone first

A name is what one segment decodes to, once, and never a way: a segment that holds a slash or NUL once it is decoded is
the name of nothing, and so is a path that leads out of the root.  Bytes that are no UTF-8 become surrogates, as
Python's functions for files take them.  What is much longer than any path of a file is none, and costs nothing.
Source: RFC 3986, sections 3.3, 5.2.4 and 6.2.2; RFC 9112, section 3.2; the URL Standard for what dots are.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from hardline.showable import plain

# Everything printable stays in a query that is repeated: it was read as it stands, and means the same again.
_PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F))


# Bytes, once they are decoded: twice what Linux takes of a path at once.  Of a name it takes 255.
_MAX_PATH = 8192
_MAX_NAMES = 1024
_MAX_TARGET = 3 * _MAX_PATH  # characters of a path, each byte escaped


@dataclass(frozen=True, slots=True)
class Target:
    """Names below the directory that is served; none for itself.  `directory`: the path ended with a slash."""

    names: tuple[str, ...]
    directory: bool
    query: str

    @property
    def beside(self) -> str:
        """A relative reference from here to the same with a slash behind it; right behind any prefix, on any host."""
        return f"{quoted(self.names[-1])}/{f'?{printable(self.query)}' if self.query else ''}"


def parse_target(target: str) -> Target | None:
    """Read a request target, in the origin or the absolute form; None when no file can be meant.

    Empty segments are no names: "//a" is "/a", as most servers have it.
    """
    path, _, query = target.partition("#")[0].partition("?")
    if not path.startswith("/"):
        scheme, separator, rest = path.partition("://")
        if not separator or not scheme.isalpha():
            return None
        path = f"/{rest.partition('/')[2]}"
    if len(path) > _MAX_TARGET:
        return None
    names: list[str] = []
    decoded = ""
    for segment in path[1:].split("/"):
        decoded = _decoded(segment) if "%" in segment else segment
        if "/" in decoded or "\0" in decoded:
            return None
        if decoded == "..":
            if not names:
                return None
            names.pop()
        elif decoded not in ("", "."):
            names.append(decoded)
    if len(names) > _MAX_NAMES or sum(len(_bytes(name)) + 1 for name in names) > _MAX_PATH:
        return None
    return Target(tuple(names), decoded in ("", ".", ".."), query)


def quoted(name: str) -> str:
    """One name as one segment of a URL: nothing in it can be taken for a scheme, a host, a slash, a query or a way."""
    return quote(_bytes(name), safe="")


def printable(query: str) -> str:
    """A query that came in a request as one that can be sent in a field."""
    return quote(_bytes(query), safe=_PRINTABLE)


def shown(name: str) -> str:
    """A name as one line that a person reads, without what steers a terminal or turns the order of letters."""
    return plain(name)


def _decoded(segment: str) -> str:
    return unquote_to_bytes(_bytes(segment)).decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
