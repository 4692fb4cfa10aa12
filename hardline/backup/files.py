"""The files of a node that a backup holds, taken from their places and put back there.

    services/…     INI files, identities with their .private and .hash, lists of clients, what was removed
    data/…         the node's identity, keys that are shown to hosts, invitations, names, keys of scrapers and programs
    hardline.ini   its settings

What can be made or learned anew stays: `instance`, which tells two computers with one identity apart, caches, routes.
Everything here blocks.  Raises ConfigError naming the file.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hardline.backup.sealed import MOST, MOST_FILES, is_name
from hardline.errors import ConfigError, HardlineError, WrongArgument
from hardline.files import as_owner, hint_for, make_private, read_small, replace_whole, why, write_new
from hardline.places import Places
from hardline.settings.directory import certificate_files, read_ini
from hardline.settings.node import parse_node

MADE = "backed-up"  # in the data directory: when the last one was made, in seconds since the epoch

_OF_DATA = ("node.cert", "names", "invites", "gateway.keys")
_DIRECTORIES = ("keys", "apps", "https")
_LARGEST = 1 << 20  # bytes of a file
_SETTINGS = "hardline.ini"


@dataclass(frozen=True, slots=True)
class Taken:
    """What is in a backup, and what is not, in sentences."""

    files: dict[str, bytes]
    left_out: tuple[str, ...]

    @property
    def services(self) -> list[str]:
        """The names of the services in it."""
        return services(self.files)


def services(files: Mapping[str, bytes]) -> list[str]:
    """The names of the services in these files."""
    return sorted(name[9:-4] for name in files if name.startswith("services/") and name.endswith(".ini"))


def places_of(places: Places) -> Places:
    """`places`, with the directories that their settings name instead."""
    with contextlib.suppress(HardlineError, OSError):
        if places.config is not None:
            node = parse_node(read_ini(places.config), str(places.config)).node
            named = node.servicedir or places.servicedir, node.datadir or places.datadir
            return Places(*named, places.config)
    return places


def take(places: Places) -> Taken:
    """Read everything."""
    files: dict[str, bytes] = {}
    size = 0
    for name, path in _found(places):
        try:
            files[name] = read_small(path, _LARGEST).data
        except FileNotFoundError:
            continue
        except OSError as failure:
            raise ConfigError(f"it cannot be read: {why(failure)}", file=str(path), hint=hint_for(failure)) from None
        size += len(files[name])
        if size > MOST or len(files) > MOST_FILES:
            limit = f"expected at most {MOST >> 20} MB and {MOST_FILES} files"
            raise ConfigError("there is more in it than a backup holds", file=str(places.servicedir), hint=limit)
    if not any(name.endswith((".private", ".ini")) for name in files):
        hint = "start hardlined once, or name its directories with --datadir and --servicedir"
        raise ConfigError("there is no node whose copy could be made", file=str(places.datadir), hint=hint)
    outside = [path for path in certificate_files(places.servicedir) if path.parent != places.servicedir]
    said = [f"{path} lies outside of the service directory" for path in outside if path.exists()]
    return Taken(files, tuple(said))


def put_back(files: Mapping[str, bytes], places: Places, *, replace: bool) -> list[str]:
    """Write what is not there, and with `replace` what is another, keeping that beside; the paths of what was kept.

    Raises WrongArgument, having written nothing, where something is another and may not be replaced.
    """
    targets = {name: _path(name, places) for name in files}
    others = [path for name, path in targets.items() if path is not None and _is_another(path, files[name])]
    if others and not replace:
        listed = "".join(f"\n  {path}" for path in others[:10])
        more = f"\n  and {len(others) - 10} more" if len(others) > 10 else ""
        hint = "nothing was written; with --yes they are replaced, and kept beside"
        raise WrongArgument(f"there are other files already:{listed}{more}", hint=hint)
    kept = []
    aside = time.strftime(".before-%Y%m%d-%H%M%S")
    for name, path in targets.items():
        if path is None:
            continue
        try:
            with as_owner(_root(name, places)):
                make_private(path.parent)
                if path in others:
                    write_new(path.with_name(path.name + aside), read_small(path, _LARGEST).data, 0o600)
                    kept.append(str(path) + aside)
                if not path.exists() or path in others:
                    replace_whole(path, files[name])
        except OSError as failure:
            raise ConfigError(f"it cannot be written: {why(failure)}", file=str(path), hint=hint_for(failure)) from None
    return kept


def note_made(datadir: Path) -> None:
    """Have it be known that a backup was made now."""
    with contextlib.suppress(OSError), as_owner(datadir):
        replace_whole(datadir / MADE, f"{int(time.time())}\n".encode())


def last_made(datadir: Path) -> int | None:
    """When the last backup was made, in seconds since the epoch; None: never, as far as is known."""
    try:
        return int(read_small(datadir / MADE, 100).data)
    except (OSError, ValueError):
        return None


def _found(places: Places) -> Iterator[tuple[str, Path]]:
    for path in _files(places.servicedir):
        yield f"services/{path.name}", path
    for name in _OF_DATA:
        for path in (places.datadir / f"{name}{end}" for end in ("", ".private", ".hash")):
            yield f"data/{path.name}", path
    for directory in _DIRECTORIES:
        for path in _files(places.datadir / directory):
            yield f"data/{directory}/{path.name}", path
    if places.config is not None:
        yield _SETTINGS, places.config


def _files(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            found = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file()]
    except FileNotFoundError:
        return []
    except OSError as failure:
        raise ConfigError(f"it cannot be read: {why(failure)}", file=str(directory), hint=hint_for(failure)) from None
    return [directory / name for name in sorted(found) if is_name(f"services/{name}")]


def _path(name: str, places: Places) -> Path | None:
    if name == _SETTINGS:
        return places.config
    return _root(name, places) / name.partition("/")[2]


def _root(name: str, places: Places) -> Path:
    """The directory of ours that it is in: whose that is writes there."""
    if name == _SETTINGS and places.config is not None:
        return places.config.parent
    return places.servicedir if name.startswith("services/") else places.datadir


def _is_another(path: Path, data: bytes) -> bool:
    try:
        return read_small(path, _LARGEST).data != data
    except FileNotFoundError:
        return False
    except OSError:
        return True
