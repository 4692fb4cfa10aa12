"""What lies on this computer's disks for a node: keys, room, and what of its services others get at too easily.

Whoever runs the node looks: the daemon, or `hardline doctor` itself where none runs.  Nothing is written that stays.
A disk that hangs holds up nobody else (disks.py).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from hardline.disks import Disk, DiskHangs
from hardline.doctor import guessable
from hardline.doctor.facts import Exposed, KeyFile, Keys, Place
from hardline.doctor.rows import Unknown
from hardline.errors import WrongArgument
from hardline.files import probe, why
from hardline.places import Places
from hardline.settings.service import ServiceSettings
from hardline.target import refuse_everything

T = TypeVar("T")

PATIENCE = 4.0  # seconds
MAX_FILES, MAX_SHOWN = 20_000, 20
_OTHERS_MAY_TOUCH = 0o066


async def keys(places: Places, also: Iterable[Path] = ()) -> Keys | Unknown:
    """The private keys in the directories of the node, and `also` these."""
    listed = tuple(also)
    return await _in_time(lambda: _keys(places, listed))


async def room(places: Places) -> tuple[Place, ...] | Unknown:
    """How full the disks are, and whether the data directory can be written."""
    return await _in_time(lambda: (_place("the data directory", places.datadir, writes=True), *_beside(places)))


async def exposed(services: Sequence[tuple[str, str, ServiceSettings]]) -> tuple[Exposed, ...] | Unknown:
    """Of services, each with its name and password: those that are easy to get at."""
    return await _in_time(lambda: tuple(islice(_exposed(services), MAX_SHOWN)))


async def _in_time(work: Callable[[], T]) -> T | Unknown:
    try:
        return await Disk("the directories of the node", patience=PATIENCE).run(work, lambda _: None)
    except DiskHangs:
        return Unknown(f"the disk of the node's directories gave no answer within {PATIENCE:g} s", "dmesg | tail")


def _keys(places: Places, also: Sequence[Path]) -> Keys:
    from hardline.backup.files import last_made

    opened = tuple(islice(_open_keys(places, also), MAX_SHOWN))
    backed_up, made = last_made(places.datadir), list[float]()
    for file in {*also, *_private_in(places.servicedir)}:
        with contextlib.suppress(OSError):
            made.append(file.stat().st_mtime)
    newer = 0 if backed_up is None else sum(at > backed_up + 1 for at in made)
    return Keys(opened, len(made), newer, backed_up)


def _open_keys(places: Places, also: Sequence[Path]) -> Iterable[KeyFile]:
    seen = set[Path]()
    directories = (places.datadir, places.datadir / "keys", places.servicedir)
    for file in (*also, *(one for directory in directories for one in _private_in(directory))):
        if file in seen:
            continue
        seen.add(file)
        with contextlib.suppress(OSError):
            mode = file.stat().st_mode
            if os.name == "posix" and mode & _OTHERS_MAY_TOUCH:
                what = f"other users may touch this private key (its mode is {mode & 0o777:04o})"
                yield KeyFile(str(file), what, f"chmod 600 {file}")


def _private_in(directory: Path) -> list[Path]:
    found = []
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        found = [Path(one.path) for one in islice(entries, MAX_FILES) if one.name.endswith(".private")]
    return sorted(found)


def _beside(places: Places) -> list[Place]:
    return [_place("the service directory", places.servicedir, writes=False)] if places.servicedir.is_dir() else []


def _place(what: str, path: Path, *, writes: bool) -> Place:
    size = free = 0
    try:
        facts = os.statvfs(path)
        size, free = facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize
        if writes:
            probe(path)
    except OSError as failure:
        return Place(what, str(path), size, free, why(failure))
    return Place(what, str(path), size, free)


def _exposed(services: Sequence[tuple[str, str, ServiceSettings]]) -> Iterable[Exposed]:
    for name, password, settings in services:
        if settings.for_invited or settings.closed:
            continue
        if password and (reason := guessable.why(password, (name, settings.title))):
            yield Exposed(name, settings.title, "password", reason)
        if (directory := settings.cache.directory) is not None and settings.target is None:
            try:
                refuse_everything(os.path.realpath(directory))
            except WrongArgument as everything:
                yield Exposed(name, settings.title, "directory", everything.message.partition(";")[0])
