"""A daemon that answers whatever it is told to: for who wants to see what `hardline` makes of it.

    with odd_daemon(datadir, lambda do: [b'{"ok": {}}\\n']):      the lines that follow a question of that name
        main(["status", "--datadir", str(datadir)])

`sample` makes an answer of a shape (hardline/answers.py), `spoilt` one in which something is of another kind.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hardline.answers import shapes
from hardline.asking import SOCKET_NAME

Json = Any

_TEXTS = ("", "nas", "192.0.2.7:7008", "a b", "\x1b[2J", "\u202enas", "\N{SNOWMAN}", "x" * 300, "\0", "LAN", "up")
_NUMBERS = (0, 1, 7.5, -3, 1e15, -1e15, 1_790_000_000)
_FORMS = {
    "url": "http://bb89bb33.localhost:7009/",
    "path": "/var/lib/hardline",
    "address": "127.0.0.1:1",
    "host": "bb89bb33.localhost",
    "base64": "aGVsbG8=",
}
_OTHERS: tuple[Json, ...] = (None, True, "x", "", 5, -1.5, 10**400, [], ["x"], [None], {}, {"x": 1}, [[[]]], "\ud800")


@contextlib.contextmanager
def odd_daemon(datadir: Path, answer: Callable[[str], Sequence[bytes]]) -> Iterator[None]:
    """Listen in `datadir` until this is left."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError), connection.makefile("rwb") as both:
                both.writelines(answer(json.loads(both.readline())["do"]))

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(datadir / SOCKET_NAME))
        listening.listen(16)
        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()
    (datadir / SOCKET_NAME).unlink()


def sample(kind: str, chance: random.Random) -> Json:
    """Something of that kind."""
    if kind.endswith("?"):
        return None if chance.random() < 0.3 else sample(kind[:-1], chance)
    if kind.endswith("[]"):
        return [sample(kind[:-2], chance) for _ in range(chance.randrange(3))]
    match kind[:1]:
        case "":
            return chance.choice(_TEXTS)
        case "#":
            return chance.choice(_NUMBERS)
        case "!":
            return chance.random() < 0.5
        case "%":
            return {chance.choice(_TEXTS): chance.choice(_NUMBERS)}
        case "*":
            return chance.choice(_OTHERS)
    named = chance.choice(kind[1:].split("|"))
    if named in _FORMS:
        return _FORMS[named]
    return {name: sample(of, chance) for name, of in shapes()[named].items()}


def spoilt(answer: Json, chance: random.Random) -> Json:
    """The same with one thing, anywhere, that is of another kind, missing, or too much."""
    whole = {"": copy.deepcopy(answer)}
    places = list(_places(whole))
    inside, key = chance.choice(places)
    if isinstance(inside, dict) and chance.random() < 0.2 and key:
        del inside[key]
    else:
        inside[key] = chance.choice(_OTHERS)
    return whole[""]


def _places(value: Json) -> Iterator[tuple[Json, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])
