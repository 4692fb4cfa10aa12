"""Heads and targets for a person's eyes, without what lets somebody in; without I/O.

    Authorization: Basic YWRhOng=       ──▶  Authorization: (hidden)
    GET /?page=2&access_token=abc       ──▶  GET /?page=2&access_token=(hidden)

A head may be any server's, or no head at all: lines end as they like, and may go on in the next one.
"""

from __future__ import annotations

import re

_HIDDEN = b"(hidden)"
_LINES = re.compile(rb"(\r\n|\r|\n)")
_WORDS = (
    rb"authorization|cookie|token|secret|passw|pwd|session|credential|signature|csrf|xsrf|jwt"
    rb"|x-auth|(?:api|auth|access|private)[-_]?key"
)
_NAMES = re.compile(_WORDS, re.IGNORECASE)
_PARAMETER = re.compile(rb"([?&])([^=?&\s#]+)=([^&\s#]+)")


def without_secrets(head: bytes) -> bytes:
    """A head whose fields and parameters of queries that let somebody in are hidden."""
    kept, secret = [], False
    for number, part in enumerate(_LINES.split(head)):
        if number % 2:  # the end of a line
            kept.append(part)
            continue
        name, colon, _ = part.partition(b":")
        if part[:1] in (b" ", b"\t"):
            kept.append(b" " + _HIDDEN if secret else _without_parameters(part))
            continue
        secret = number > 0 and _NAMES.search(name if colon else part) is not None
        kept.append((name + b": " if colon else b"") + _HIDDEN if secret else _without_parameters(part))
    return b"".join(kept)


def target_without_secrets(target: str) -> str:
    """A target whose parameters that let somebody in are hidden."""
    return _without_parameters(target.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _without_parameters(text: bytes) -> bytes:
    return _PARAMETER.sub(_parameter, text)


def _parameter(found: re.Match[bytes]) -> bytes:
    before, name, value = found.groups()
    return before + name + b"=" + (_HIDDEN if _NAMES.search(name) else value)
