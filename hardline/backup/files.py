"""The files of a node that a backup holds, taken from their places and put back there.

    services/…     INI files, identities with their .private and .hash, lists of clients, what was removed
    data/…         the node's identity, keys that are shown to hosts, invitations, names, keys of scrapers and programs
    hardline.ini   its settings

What can be made or learned anew stays: `instance`, which tells two computers with one identity apart, caches, routes.
Root reads and writes the directories of another user's daemon as that user: a link that he has put there leads root
to nothing that is not his.  Everything here blocks.  Raises ConfigError naming the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hardline.backup.sealed import DIRECTORIES, MOST, MOST_FILES, OF_DATA, SETTINGS, is_name
from hardline.errors import ConfigError, HardlineError, WrongArgument
from hardline.files import as_owner, hint_for, make_private, read_small, replace_whole, why, write_new
from hardline.places import Places
from hardline.settings.directory import certificate_files, read_ini
from hardline.settings.node import parse_node
from hardline.showable import as_escapes

MADE = "backed-up"  # in the data directory: when the last one was made, in seconds since the epoch

_LARGEST = 1 << 20  # bytes of a file


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
    size, said = 0, list[str]()
    for base, found in _all(places):
        with as_owner(base):
            for name, path in found():
                try:
                    files[name] = read_small(path, _LARGEST).data
                except FileNotFoundError:
                    continue
                except OSError as failure:
                    if failure.errno == errno.EFBIG:  # no part of a node is
                        said.append(f"{path} {why(failure)}")
                        continue
                    wrong = f"it cannot be read: {why(failure)}"
                    raise ConfigError(wrong, file=str(path), hint=hint_for(failure)) from None
                size += len(files[name])
                if size > MOST or len(files) > MOST_FILES:
                    limit = f"expected at most {MOST >> 20} MB and {MOST_FILES} files"
                    raise ConfigError("there is more in it than a backup holds", file=str(base), hint=limit)
    if not any(name.endswith((".private", ".ini")) for name in files):
        hint = "start hardlined once, or name its directories with --datadir and --servicedir"
        raise ConfigError("there is no node whose copy could be made", file=str(places.datadir), hint=hint)
    outside = [path for path in certificate_files(places.servicedir) if path.parent != places.servicedir]
    said += [f"{path} lies outside of the service directory" for path in outside if path.exists()]
    return Taken(files, tuple(said))


def put_back(files: Mapping[str, bytes], places: Places, *, replace: bool) -> list[str]:
    """Write what is not there, and with `replace` what is another, keeping that beside; the paths of what was kept.

    Raises WrongArgument, having written nothing, where something is another and may not be replaced.
    """
    targets = {name: place for name in files if (place := _place(name, places)) is not None}
    others = set[str]()
    for name, (base, path) in targets.items():
        with as_owner(base):
            if _is_another(path, files[name]):
                others.add(name)
            if path.is_dir():
                raise WrongArgument(f"{as_escapes(str(path))} is a directory", hint="nothing was written; move it away")
    if others and not replace:
        paths = [as_escapes(str(targets[name][1])) for name in sorted(others)]
        listed = "".join(f"\n  {path}" for path in paths[:10])
        more = f"\n  and {len(paths) - 10} more" if len(paths) > 10 else ""
        hint = "nothing was written; with --yes they are replaced, and kept beside"
        raise WrongArgument(f"there are other files already:{listed}{more}", hint=hint)
    kept = []
    aside = time.strftime(".before-%Y%m%d-%H%M%S")
    for name, (base, path) in targets.items():
        try:
            with as_owner(base):
                make_private(path.parent)
                if name in others:
                    write_new(path.with_name(path.name + aside), read_small(path, _LARGEST).data, 0o600)
                    kept.append(str(path) + aside)
                if name in others or not path.exists():
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


_Found = Callable[[], Iterable[tuple[str, Path]]]


def _all(places: Places) -> Iterator[tuple[Path, _Found]]:
    """Each directory, and what finds the files in it by their names in a backup."""
    services, data, config = places

    def of_data() -> Iterator[tuple[str, Path]]:
        yield from ((f"data/{name}", data / name) for name in sorted(OF_DATA))
        for directory in DIRECTORIES:
            yield from ((f"data/{directory}/{path.name}", path) for path in _files(data / directory))

    yield services, lambda: [(f"services/{path.name}", path) for path in _files(services)]
    yield data, of_data
    if config is not None:
        yield config.parent, lambda: [(SETTINGS, config)]


def _files(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            found = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file()]
    except FileNotFoundError:
        return []
    except OSError as failure:
        raise ConfigError(f"it cannot be read: {why(failure)}", file=str(directory), hint=hint_for(failure)) from None
    return [directory / name for name in sorted(found) if is_name(f"services/{name}")]


def _place(name: str, places: Places) -> tuple[Path, Path] | None:
    """Where a file goes: the directory that decides whose it is, and its path.  None where it has no place."""
    if name == SETTINGS:
        return (places.config.parent, places.config) if places.config is not None else None
    root, _, below = name.partition("/")
    base = places.servicedir if root == "services" else places.datadir
    return base, base / below


def _is_another(path: Path, data: bytes) -> bool:
    try:
        return read_small(path, _LARGEST).data != data
    except FileNotFoundError:
        return False
    except OSError:
        return True
