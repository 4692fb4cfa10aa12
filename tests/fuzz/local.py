"""What lies on this computer: requests to the control socket, certificates, remembered routes."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hardline import certificates
from hardline.control import ControlServer
from hardline.errors import CertificateError, ConfigError
from hardline.identity import KeyHash, Label
from hardline.peers.remembered import _parsed
from hardline.routes import MAX_HOSTS, PathKind, format_via, format_wan_hosts, parse_via, parse_wan_hosts
from hardline.showable import clean_title

_SEPARATOR = b"\x1f"
_SUFFIXES = ("", ".private", ".hash")


def control_request(data: bytes) -> None:
    """Every request has an answer that is JSON."""
    answer = _run(ControlServer({"echo": _echo})._answer(data))
    assert isinstance(json.loads(json.dumps(answer)), dict)
    assert ("ok" in answer) != ("error" in answer)


def certificate_files(data: bytes) -> None:
    """First byte: which of the three files the rest replaces.  An identity that fits, or CertificateError."""
    if not data:
        return
    suffix = _SUFFIXES[data[0] % 3]
    path, good = _identity(suffix)
    path.with_name(path.name + suffix).write_bytes(data[1:])
    try:
        found = certificates.load(path)
    except CertificateError as wrong:
        assert wrong.hint
        return
    assert found.key_hash == KeyHash.of_certificate(found.der)
    assert found.key_hash == good or suffix == ""
    assert Label.parse(str(Label(found.key_hash, found.password))).password == found.password


def remembered_row(data: bytes) -> None:
    """Eight values, each of any type that SQLite has."""
    row = tuple(map(_value, (data.split(_SEPARATOR) + [b""] * 8)[:8]))
    host = _parsed(row)
    assert host.title == clean_title(host.title)
    assert len(host.wan_hosts) <= MAX_HOSTS
    assert parse_wan_hosts(format_wan_hosts(host.wan_hosts)) == list(host.wan_hosts)
    assert parse_via(format_via(host.relayed)) == host.relayed
    assert host.kind in (None, *PathKind)
    assert host.protocol in ("", "hardline/1", "hardline/2")


async def _echo(request: Mapping[str, Any]) -> object:
    if "wrong" in request:
        raise ConfigError(str(request["wrong"]))
    return dict(request)


def _run(coroutine: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hardline-fuzz-")


@functools.cache
def _identity(suffix: str) -> tuple[Path, KeyHash]:
    """A set of three good files, of which the one with this suffix is there to be replaced."""
    path = Path(_directory().name) / f"hostile{suffix}" / "s.cert"
    path.parent.mkdir()
    return path, certificates.load_or_create(path).key_hash


def _value(part: bytes) -> object:
    kind, rest = part[:1], part[1:]
    if kind == b"i":
        return int.from_bytes(rest[:8], "big", signed=True)
    if kind == b"f":
        return float(len(rest))
    if kind == b"b":
        return rest
    return rest.decode("utf-8", "replace") if kind else None
