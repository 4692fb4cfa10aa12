"""What an application says of an answer, checked before a byte of it leaves; without I/O.

    {"type": "http.response.start", "status": …, "headers": …} ──▶ the same, as HTTP has it, or BadAnswer: it is a 500

uvicorn writes nearly what it is given.  A visitor's browser must not take one answer for two, nor the body of one for
the head of the next: not by a line end in a field, two lengths, a body where there is none, or a status that is no end.
Source: RFC 9110, sections 5.1, 5.5, 6.4.1 and 8.6; RFC 9112, sections 6.1 to 6.3; RFC 6455, section 4.2.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hardline.apps.kinds import Message

Fields = list[tuple[bytes, bytes]]

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CONTENT_LENGTH, _CODING, _CHUNKED = b"content-length", b"transfer-encoding", b"chunked"
_NO_BODY = (204, 304)
_OF_THE_HANDSHAKE = (b"connection", b"upgrade", _CONTENT_LENGTH, _CODING)
_LONGEST_SHOWN = 60


class BadAnswer(ValueError):
    """It would be no answer that all programs read alike."""


class Answer:
    """The answer to a request of `method` in HTTP/`version`.

    `has_body`: something comes behind its head; `ends_it`: where that ends shows by the end of the connection only.
    """

    def __init__(self, method: str, version: str) -> None:
        self._asks_head, self._knows_chunks = method == "HEAD", version != "1.0"
        self.has_body = not self._asks_head
        self.ends_it = False

    def start(self, message: Message) -> Message:
        """An http.response.start.  Raises BadAnswer."""
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise BadAnswer(f"an answer with the status {_shown(status)}, expected a number of 200 to 599")
        fields, length, chunked = _with_one_length(_checked(message.get("headers") or ()))
        self.has_body = not self._asks_head and status not in _NO_BODY
        gone = set[bytes]()
        if status in _NO_BODY or not self._knows_chunks:
            gone.add(_CODING)
        if status == 204 or chunked:  # the length of what is in chunks is theirs
            gone.add(_CONTENT_LENGTH)
        self.ends_it = self.has_body and not self._knows_chunks and (length is None or chunked)
        return {**message, "status": int(status), "headers": [one for one in fields if one[0].lower() not in gone]}

    def body(self, message: Message) -> Message:
        """An http.response.body, with bytes that are not the application's any more; none where none may come."""
        body = message.get("body")
        if not self.has_body or body is None:
            body = b""
        elif type(body) is not bytes:
            body = bytes(memoryview(body))
        return {**message, "body": body}


def without_length(message: Message) -> Message:
    """The same head, where who writes it knows the length."""
    fields = [one for one in message["headers"] if one[0].lower() not in (_CONTENT_LENGTH, _CODING)]
    return {**message, "headers": fields}


def acceptance(message: Message) -> Message:
    """A websocket.accept.  Raises BadAnswer for fields that are none, or that the handshake itself needs."""
    fields = _checked(message.get("headers") or ())
    for name, _ in fields:
        if name.lower() in _OF_THE_HANDSHAKE or name.lower().startswith(b"sec-websocket-"):
            raise BadAnswer(f"a websocket.accept with the field {_shown(name)}, which is of the handshake itself")
    return {**message, "headers": fields}


def _checked(fields: Iterable[Any]) -> Fields:
    checked: Fields = []
    for field in fields:
        name, value = field
        if not (isinstance(name, bytes) and isinstance(value, bytes)):
            raise BadAnswer(f"an answer with a field that is not two of bytes: {_shown(field)}")
        value = value.strip(b" \t")
        if not _NAME.fullmatch(name):
            raise BadAnswer(f"an answer with a field whose name is none: {_shown(name)}")
        if not _VALUE.fullmatch(value):
            raise BadAnswer(f"an answer with control characters in its field {_shown(name)}: {_shown(value)}")
        checked.append((name, value))
    return checked


def _with_one_length(fields: Fields) -> tuple[Fields, bytes | None, bool]:
    """`fields` without what is said twice; the length that they tell; whether what comes is in chunks."""
    kept, length, chunked = Fields(), None, False
    for name, value in fields:
        lower = name.lower()
        if lower == _CONTENT_LENGTH:
            if not _LENGTH.fullmatch(value) or length not in (None, value):
                raise BadAnswer(f"an answer with the Content-Length {_shown(value)}: that is none, or another one")
            said, length = length is not None, value
        elif lower == _CODING:
            if value.lower() != _CHUNKED:
                raise BadAnswer(f"an answer with the Transfer-Encoding {_shown(value)}, expected chunked, or none")
            said, chunked = chunked, True
        else:
            said = False
        if not said:
            kept.append((name, value))
    return kept, length, chunked


def _shown(what: object) -> str:
    return repr(what)[:_LONGEST_SHOWN]
