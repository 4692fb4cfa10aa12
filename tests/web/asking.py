"""Asking a node's API as a program does, and as a page of somebody else's would like to."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.node import Node


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def asked(
    node: Node,
    method: str,
    path: str,
    body: object = None,
    *,
    token: str | None = None,
    raw: bytes | None = None,
    **fields: str | None,
) -> Answer:
    """One request; a field that is None is left out, `_` in its name is a dash."""
    headers = {"Host": f"localhost:{node.localport}"}
    if method not in ("GET", "HEAD"):
        headers["Content-Type"] = "application/json"
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    for name, value in fields.items():
        field = name.replace("_", "-").title()
        headers.pop(field, None)
        if value is not None:
            headers[field] = value
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", node.localport, timeout=60)) as door:
        door.request(method, path if path[0] == "/" else f"/api/v1/{path}", body=data, headers=headers)
        answer = door.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read().decode())


def once_of(node: Node) -> str:
    """What `hardline open` gives a browser."""
    done = node.hardline("open", "--print")
    assert done.returncode == 0, done.stderr
    whole = urlsplit(done.stdout.strip())
    assert whole.netloc == f"localhost:{node.localport}"
    return whole.fragment.removeprefix("once=")


def logged_in(node: Node) -> str:
    """A token."""
    token: str = asked(node, "POST", "login", {"once": once_of(node)}).json["token"]
    return token


class Events:
    """A stream of them that is read; a context manager."""

    def __init__(self, node: Node, token: str, path: str = "events") -> None:
        self._door = http.client.HTTPConnection("127.0.0.1", node.localport, timeout=60)
        self._door.request("GET", f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"})
        self.answer = self._door.getresponse()

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.close()
        self._door.close()

    def end(self) -> None:
        """Wait until the node ends it."""
        with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
            while self.answer.readline():
                pass

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Each event's name, and what it says, until the end."""
        event = ""
        for line in self.answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                yield event, json.loads(value)
