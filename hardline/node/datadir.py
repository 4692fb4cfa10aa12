"""The directories that a node owns: made, closed to others, and what it writes there about itself."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from hardline import log
from hardline.errors import ConfigError
from hardline.files import (
    close_to_others,
    hint_for,
    is_closed_to_others,
    make_private,
    probe,
    read_small,
    why,
    write_new,
)

_INSTANCE_FILE = 100  # bytes


def prepare(datadir: Path) -> None:
    """Make the data directory, and see whether it can be written.

    One that cannot is no reason not to serve what is there: a missing key says for itself that it could not be made.
    Raises ConfigError when there is no directory and none can be made.
    """
    try:
        make_private(datadir)
    except OSError as failure:
        reason = "is no directory" if isinstance(failure, FileExistsError) else why(failure)
        hint = hint_for(failure) or "choose another with --datadir"
        raise ConfigError(f"the data directory {datadir} cannot be used: {reason}", key="datadir", hint=hint) from None
    try:
        probe(datadir)
    except OSError as failure:
        log.warning(
            "datadir.unwritable",
            directory=datadir,
            reason=why(failure),
            hint=hint_for(failure) or None,
            consequence="what is learned is kept until the node stops",
        )


def keep_private(directory: Path) -> None:
    """Addresses that were visited, and those of what is shared with their passwords, are their owner's alone.

    A directory that other programs use, too, is left to its owner: nobody means to close /etc or a whole home.
    """
    try:
        if is_closed_to_others(directory):
            return
        if not (reason := _shared_with(directory)):
            close_to_others(directory)
            log.warning("directory.closed", directory=directory, reason="other users of this machine had access to it")
            return
    except FileNotFoundError:
        return
    except OSError as failure:
        reason = (failure.strerror or str(failure)).lower()
    log.warning(
        "directory.open",
        directory=directory,
        reason=reason,
        consequence="other users of this machine have access to it",
        hint="use a directory for hardline alone",
    )


def _shared_with(directory: Path) -> str:
    """By what others seem to use it, too; empty where nothing says so."""
    facts = directory.stat()
    if facts.st_uid != os.geteuid():
        return "it belongs to another user"
    if facts.st_mode & stat.S_ISVTX:
        return "its sticky bit says that all may use it"
    others = {entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)} - {"cache"}
    return "it holds other things, too" if others else ""


def instance_of(datadir: Path) -> str:
    """A random name that tells this node from others that hold the same certificate (docs/PROTOCOL.md 4.2).

    On a disk that takes nothing it is another after every start.
    """
    file = datadir / "instance"
    try:
        text = read_small(file, _INSTANCE_FILE).data.decode("ascii").strip()
    except (OSError, ValueError):
        text = ""
    if re.fullmatch(r"[0-9a-f]{32}", text):
        return text
    text = os.urandom(16).hex()
    try:
        file.unlink(missing_ok=True)
        write_new(file, f"{text}\n".encode(), 0o600)
    except OSError as failure:
        log.warning("instance.not_kept", file=file, reason=why(failure))
    return text
