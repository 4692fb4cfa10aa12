"""A relay written into the node's own file, for `hardline relay use`."""

from __future__ import annotations

import re
from pathlib import Path

from hardline.errors import ConfigError, WrongArgument
from hardline.files import hint_for, replace_whole, why
from hardline.routes import RelayAddress
from hardline.settings import values
from hardline.settings.directory import read_ini
from hardline.settings.node import parse_node
from hardline.settings.units import Unreadable

_SECTION = re.compile(r"\[Relay\]\s*\Z")
_ANY_SECTION = re.compile(r"\[")
_USE = re.compile(r"use\s*[=:]", re.IGNORECASE)


def use_relay(file: Path, line: str) -> bool:
    """Write `host:port#KEYHASH` into `[Relay] use` of `file`, which is made where it is not there.

    Whether it was not there yet.  Everything else in the file stays as it is.
    Raises WrongArgument for what is no relay, ConfigError when the file has a mistake or cannot be written.
    """
    try:
        relay = values.relay(line.strip())
    except Unreadable as wrong:
        raise WrongArgument(f"{line[:120]!r} is no relay, expected {wrong.expected}", hint=wrong.hint) from None
    try:
        text = read_ini(file) if file.exists() else ""
    except OSError as failure:
        raise ConfigError(why(failure), file=str(file), hint=hint_for(failure)) from None
    there = parse_node(text, str(file)).relay.use
    if relay in there:
        return False
    if other := next((one for one in there if (one.endpoint, one.key_hash) == (relay.endpoint, relay.key_hash)), None):
        raise ConfigError(
            f"use = {other} is there already", file=str(file), hint=f"change it by hand to  use = {relay}"
        )
    changed = _with(text, str(relay))
    if not _is_used(relay, changed, file):
        hint = f"write it there by hand: use = {relay}"
        raise ConfigError("[Relay] use is written in a way that is not understood here", file=str(file), hint=hint)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(file, changed.encode())
    except OSError as failure:
        raise ConfigError(why(failure), file=str(file), hint=hint_for(failure)) from None
    return True


def _is_used(relay: RelayAddress, text: str, file: Path) -> bool:
    try:
        return relay in parse_node(text, str(file)).relay.use
    except ConfigError:
        return False


def _with(text: str, relay: str) -> str:
    """The text of a settings file with one relay more."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    section = next((number for number, line in enumerate(lines) if _SECTION.match(line)), None)
    if section is None:
        return "".join([*lines, *(["\n"] if lines else []), "[Relay]\n", f"use = {relay}\n"])
    end = next((number for number in range(section + 1, len(lines)) if _ANY_SECTION.match(lines[number])), len(lines))
    use = next((number for number in range(section + 1, end) if _USE.match(lines[number])), None)
    if use is None:
        lines.insert(section + 1, f"use = {relay}\n")
    else:
        lines.insert(use + 1, f"    {relay}\n")
    return "".join(lines)
