"""`hardline inspect`: the requests of a service here, as they pass, on a terminal."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any

from hardline.cli.daemon import ask, follow, talk
from hardline.errors import HardlineError, WrongArgument
from hardline.showable import plain
from hardline.terminal import write

_MOST_UNPACKED = 262_144  # bytes of a body that came packed
_TEXT = ("text/", "application/json", "application/javascript", "application/xml", "application/x-www-form-urlencoded")


def run(options: argparse.Namespace) -> None:
    """Look, show one, or ask one again."""
    changes = options.method or options.path or options.header or options.data is not None
    if changes and options.replay is None:
        raise WrongArgument("which one is to be asked again?", hint="--replay NUMBER")
    if options.replay is not None:
        _replay(options)
    elif options.show is not None:
        _show(options, options.show)
    else:
        _follow(options)


def _follow(options: argparse.Namespace) -> None:
    with contextlib.closing(follow(options, "inspect", name=options.name)) as news:
        next(news)
        talk("its requests as they are over, until Ctrl-C; --show NUMBER and --replay NUMBER in another terminal")
        for one in news:
            write(json.dumps(one) if options.json else line(one))
            sys.stdout.flush()
    raise HardlineError("the hardlined has ended", hint="start it, and this command again")


def _show(options: argparse.Namespace, number: int) -> None:
    found = ask(options, "inspected", name=options.name, number=number, secrets=options.secrets)
    if options.json:
        write(json.dumps(found))
        return
    write(line(found["passed"]))
    for whose, size in (("asked", found["passed"]["asked_size"]), ("heard", found["passed"]["heard_size"])):
        write("")
        for one in found[f"{whose}_head"].split("\r\n")[:-2]:
            write(plain(one))
        body = base64.b64decode(found[f"{whose}_body"])
        if body:
            write("")
            for text in _body(found[f"{whose}_head"], body):
                write(text)
        if size > len(body) and not found[f"{whose}_whole"]:  # what came in chunks is shown without them
            write(f"… {size} bytes in all")


def _replay(options: argparse.Namespace) -> None:
    body = None
    if options.data is not None:
        data = _data(options.data)
        body = base64.b64encode(data).decode()
    changes = {"method": options.method, "target": options.path, "fields": options.header, "body": body}
    made = ask(options, "replay", name=options.name, number=options.replay, **changes)
    _show(options, made["number"])


def _data(said: str) -> bytes:
    if not said.startswith("@"):
        return said.encode("utf-8", "surrogateescape")
    try:
        with open(said[1:], "rb") as file:
            data = file.read(MOST_SENT + 1)
    except OSError as failure:
        raise WrongArgument(f"{plain(said[1:])} cannot be read: {failure.strerror}") from None
    if len(data) > MOST_SENT:
        raise WrongArgument(f"{plain(said[1:])} is longer than {MOST_SENT} bytes", hint="ask with curl")
    return data


MOST_SENT = 24_000  # bytes: a request to the daemon has its limit, and this grows by a third on the way


def line(one: Any) -> str:
    """An exchange in a line."""
    when = time.strftime("%H:%M:%S", time.localtime(one["began"]))
    answer = f"{one['status']} {plain(one['kind'])}".strip() if one["status"] else "no answer"
    took = f" in {one['took_s'] * 1000:.0f} ms" if one["took_s"] is not None else ""
    sizes = f"{_size(one['asked_size'])} up, " if one["asked_size"] else ""
    again = f", again {one['replay_of']}" if one["replay_of"] else ""
    note = f"  ({plain(one['note'])})" if one["note"] else ""
    target = plain(one["target"])
    return (
        f"#{one['number']:<4} {when}  {plain(one['method'])} {target} → {answer}, "
        f"{sizes}{_size(one['heard_size'])}{took}{again}{note}"
    )


def _size(count: int) -> str:
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def _body(head: str, body: bytes) -> Iterator[str]:
    parts = (one.partition(":") for one in head.lower().split("\r\n"))
    fields = {name.strip(): value.strip() for name, _, value in parts}
    packed = fields.get("content-encoding", "")
    if packed in ("gzip", "deflate"):
        with contextlib.suppress(zlib.error):
            body = zlib.decompressobj(47).decompress(body, _MOST_UNPACKED)
            packed = ""
    if packed or not fields.get("content-type", "").startswith(_TEXT):
        yield f"({len(body)} bytes of {plain(fields.get('content-type', '')) or 'no type'})"
        return
    for text in body.decode("utf-8", "replace").splitlines():
        yield plain(text)
