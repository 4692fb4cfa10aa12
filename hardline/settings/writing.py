"""Files of services, written and put aside for `hardline share` and `hardline remove`.

A URL is the right to visit, so it goes back only to what it was for: `remove` puts NAME.ini aside as NAME.ini.removed,
and `share` puts it back for the same target; no other service gets its certificate.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from hardline.certificates import beside
from hardline.errors import ConfigError, HardlineError, NotKnown, WrongArgument
from hardline.files import hint_for, rename_new, replace_whole, why, write_new
from hardline.settings.directory import (
    MAX_NAME,
    MAX_SERVICES,
    Service,
    make_directory,
    read_ini,
    service_names,
    shown_name,
)
from hardline.settings.editing import edited
from hardline.settings.ini import quoted
from hardline.settings.local import LocalService
from hardline.settings.service import INVITED, ServiceSettings, parse_service
from hardline.settings.units import Unreadable
from hardline.showable import clean_title

Change = tuple[str, str, str | None]  # section, key, and its value, None for none, as `editing.edited` has them


class NoSuchFile(NotKnown):
    """There is no service of that name to remove."""

    code = ConfigError.code  # of `hardline remove`: what was typed may be right, and somebody was faster


# What comes back is there for good, unless somebody says otherwise.
_AS_NEW: tuple[Change, ...] = (("Access", "paused", None), ("Access", "until", None), ("Access", "once", None))
_REMOVED = ".ini.removed"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def write_service(
    directory: Path,
    name: str | None,
    target: str,
    title: str | None = None,
    *,
    like: str = "",
    listed: bool = True,
    invited: bool = False,
    changes: Iterable[Change] = (),
) -> Path:
    """Write `NAME.ini` for `hardline share`, where `bring_back` found nothing; return its path.

    `target` is what [Service] service may be, a port of this machine, or the whole path of a directory or file.  A
    `name` is used as it is, made safe for a file; without one it is made from `like`, which is the title, too, where
    the name could not keep all of it.  Without `listed` the network does not list it; `invited` serves those in its
    .clients; `changes` are written besides.

    Raises ConfigError when there is such a file already, its URL is that of something else, or it cannot be written,
    WrongArgument when `target` or `name` cannot be used.
    """
    safe = _safe(like) if name is None else _safe_name(name)
    lines = _directory_lines(target) if target.startswith("/") else _service_lines(target)
    make_directory(directory)
    if name is not None:
        _refuse_leftover(directory, safe)
    for candidate in [safe] if name is not None else _free_names(directory, safe):
        file = directory / f"{candidate}.ini"
        shown = clean_title(title or ("" if name is not None or like == candidate else like))
        info = [f"title = {quoted(shown)}"] if shown else []
        info += [] if listed else ["listed = no"]
        told = ["", "[Info]", *info] if info else []
        told += ["", "[Access]", f"clients = {INVITED}"] if invited else []
        text = "".join(f"{line}\n" for line in lines + told)
        for change in changes:
            text = edited(text, *change)
        _check(text, file)
        try:
            write_new(file, text.encode(), 0o600)
        except FileExistsError:
            continue
        except OSError as failure:
            message = f"cannot be written: {(failure.strerror or str(failure)).lower()}"
            raise ConfigError(message, file=str(file), hint=hint_for(failure)) from None
        return file
    hint = f"choose another with --name, or  hardline remove {safe}"
    raise ConfigError(f"there is a service {safe} already", file=str(directory / f"{safe}.ini"), hint=hint)


def _check(text: str, file: Path) -> None:
    """Raise WrongArgument for what could not be read again: nothing of it is in a file yet."""
    try:
        parse_service(text, os.fspath(file))
    except ConfigError as wrong:
        raise WrongArgument(f"cannot be shared so: {wrong.message}", hint=wrong.hint) from None


def find_shared(services: Iterable[Service], target: str) -> Service | None:
    """The service that `write_service` would make anew for `target`."""
    return next((one for one in services if _is_for(one.settings, target)), None)


def bring_back(directory: Path, name: str | None, target: str, changes: Iterable[Change] = ()) -> Path | None:
    """Put back what `remove_service` put aside, if it was for the same `target`: as it was, but for a pause, an end and
    `changes`, under its old URL.

    With a `name` only what had that name, else what was put aside last.  None when there is no such file.

    Raises ConfigError when it cannot be put back, WrongArgument when `name` cannot be used.
    """
    for removed in _removed(directory, name and _safe_name(name)):
        file = removed.with_name(removed.name.removesuffix(".removed"))
        settings = _settings_of(removed, file)
        if settings is None or not _is_for(settings, target) or os.path.lexists(file):
            continue
        before = text = read_ini(removed)
        for change in (*_AS_NEW, *changes):
            text = edited(text, *change)
        if parse_service(text, os.fspath(file)).closed:
            continue
        try:
            if text != before:  # before anybody is served by it
                replace_whole(removed, text.encode())
            rename_new(removed, file)
        except OSError as failure:
            message = f"cannot be made {file.name} again: {why(failure)}"
            raise ConfigError(message, file=str(removed), hint=hint_for(failure)) from None
        return file
    return None


def _removed(directory: Path, name: str | None) -> list[Path]:
    """The files that were put aside, the last first."""
    if name:
        return [directory / f"{name}{_REMOVED}"]
    found = []
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(_REMOVED) and entry.name[0] not in ".#~":
                with contextlib.suppress(OSError):
                    found.append((-entry.stat().st_mtime_ns, entry.name))
    return [directory / each for _, each in sorted(found)]


def _settings_of(removed: Path, file: Path) -> ServiceSettings | None:
    """What `removed` says, read as `file`; None where it says nothing that can be understood."""
    try:
        return parse_service(read_ini(removed), os.fspath(file))
    except (HardlineError, OSError):
        return None


def _is_for(settings: ServiceSettings, target: str) -> bool:
    if target.startswith("/"):
        directory = settings.cache.directory if settings.target is None else None
        if directory is None or not directory.is_absolute():
            return False
        return os.path.join(os.path.realpath(directory), settings.cache.only).removesuffix("/") == target
    try:
        wanted = local_service(target)
    except Unreadable:
        return False
    return settings.target is not None and replace(settings.target, verify=True) == wanted


def _refuse_leftover(directory: Path, name: str) -> None:
    """Raise ConfigError where the URL that `name` would have is that of what was removed under this name."""
    file, removed = directory / f"{name}.ini", directory / f"{name}{_REMOVED}"
    if not os.path.lexists(removed) or os.path.lexists(file):
        return
    settings = _settings_of(removed, file)
    target = settings and (settings.target or shared_path(settings))
    was = f"was {shown_name(str(target)[:200])}" if target else "cannot be told to have been the same"
    rest = [removed, *beside(directory / f"{name}.ini.cert")]
    there = ", ".join(each.name for each in rest if os.path.lexists(each))
    raise ConfigError(
        f"what was shared as {name} before {was}: who has its URL would get into this, too",
        hint=f"choose another --name; to give the old URL up for good, remove {there} in {shown_name(str(directory))}",
    )


def _safe_name(name: str) -> str:
    if not (safe := _safe(name)):
        raise WrongArgument(f"{shown_name(name[:60])} is no name for a file", hint="use letters, digits, - and _")
    return safe


def _safe(name: str) -> str:
    """What of a name every file system and every keyboard takes."""
    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return _UNSAFE.sub("-", plain).strip("-")[:MAX_NAME].strip("-")


def _free_names(directory: Path, safe: str) -> Iterator[str]:
    """`safe`, then with numbers; never one of whose URL something else is remembered by."""
    numbered = (f"{safe or 'service'}-{number}" for number in range(2 if safe else 1, 2 * MAX_SERVICES))
    for name in chain([safe] if safe else [], numbered):
        leftovers = [directory / f"{name}{_REMOVED}", *beside(directory / f"{name}.ini.cert")]
        if not any(map(os.path.lexists, leftovers)):
            yield name


def local_service(target: str) -> LocalService:
    """What `hardline share` was told, unless it is a directory.  Raises Unreadable."""
    return LocalService.parse(f"localhost:{target}" if target.isascii() and target.isdigit() else target)


def _service_lines(target: str) -> list[str]:
    try:
        local = local_service(target)
        if local.kind == "unix":
            return ["[Service]", f"service = {quoted(str(local))}"]
    except Unreadable as wrong:
        hint = "for example 8000, nas:8080, http://localhost:3000, unix:/run/app.sock or a directory"
        message = f"cannot share {shown_name(target[:60])}, expected {wrong.expected}"
        raise WrongArgument(message, hint=hint) from None  # its own hint is for who writes a file
    scheme = "https://" if local.kind == "https" else ""
    return ["[Service]", f"service = {scheme}{_bracketed(local.host)}", f"port = {local.port}"]


def shared_path(settings: ServiceSettings) -> Path | None:
    """The directory whose files are shared, or the one file."""
    directory = settings.cache.directory
    return directory / settings.cache.only if directory is not None else None


def _directory_lines(target: str) -> list[str]:
    is_file = False
    try:
        mode = os.stat(target).st_mode
        is_file = stat.S_ISREG(mode)
        there, reason = is_file or stat.S_ISDIR(mode), "it is neither a file nor a directory"
    except (FileNotFoundError, NotADirectoryError):
        there, reason = False, "there is no such file or directory"
    except (OSError, ValueError) as failure:
        there, reason = False, (getattr(failure, "strerror", None) or str(failure)).lower()
    if not there:
        raise WrongArgument(f"cannot share {shown_name(target[:200])}: {reason}")
    try:
        path = quoted(os.path.dirname(target) if is_file else target)
        only = [f"only = {quoted(os.path.basename(target))}"] if is_file else ["allowListing = yes"]
    except Unreadable as wrong:
        message = f"cannot share {shown_name(target[:200])}: a path in a settings file has {wrong.expected}"
        raise WrongArgument(message, hint="rename it, or share the directory that it is in") from None
    return ["[Service]", "service =", "", "[Cache]", f"directory = {path}", *only]


def change_service(service: Service, changes: Iterable[Change]) -> ServiceSettings:
    """Write `changes` into a service's file; returns what it says now.

    Raises ConfigError, also for a service without a file, and where what was written could not be understood.
    """
    if (file := service.file) is None:
        raise ConfigError(f"{service.name} has no file: the program that shares it says how it is")
    before = text = read_ini(file)
    try:
        for change in changes:
            text = edited(text, *change)
        settings = parse_service(text, os.fspath(file))
    except ConfigError as wrong:
        hint = wrong.hint or "edit the file by hand"
        raise ConfigError(f"cannot be changed so: {wrong.message}", file=str(file), hint=hint) from None
    try:
        if text != before:
            replace_whole(file, text.encode())
    except OSError as failure:
        raise ConfigError(why(failure), file=str(file), hint=hint_for(failure)) from None
    return settings


def target_changes(target: str) -> list[Change]:
    """What makes a service lead to `target`, as `write_service` has it.  Raises WrongArgument."""
    lines = _directory_lines(target) if target.startswith("/") else _service_lines(target)
    section, found = "", list[Change]()
    for line in lines:
        key, equals, value = line.partition(" =")
        if equals:
            found.append((section, key, value.strip()))
        else:
            section = line.strip("[]") or section
    if target.startswith("/"):
        whole = () if any(key == "only" for _, key, _ in found) else (("Cache", "only", None),)
        return [*found, *whole, ("Service", "port", None)]
    gone = () if any(key == "port" for _, key, _ in found) else (("Service", "port", None),)
    return [*found, *gone, ("Cache", "directory", None), ("Cache", "only", None)]


def remove_service(directory: Path, name: str) -> Path:
    """Put `NAME.ini` aside as `NAME.ini.removed` for `hardline remove`; return the path that it had.

    The certificate and its key stay: `bring_back` puts it back under its old URL.

    Raises ConfigError when there is no such service, or it cannot be removed.
    """
    name = name.removesuffix(".ini")
    there: list[str] = []
    with contextlib.suppress(OSError):
        there = service_names(directory)
    name = next((one for one in there if name in (one, shown_name(one))), name)
    file = directory / f"{name}.ini"
    if name not in there:  # this refuses ../ and the like, too
        import difflib

        close = difflib.get_close_matches(name[:MAX_NAME], there, n=1)
        hint = f"did you mean {close[0]}?" if close else "hardline ls  shows what there is"
        raise NoSuchFile(f"there is no service {shown_name(name[:60])} in {directory}", hint=hint)
    try:
        # Instead of what was removed under this name before: the certificate is now that of this one.
        removed = file.rename(directory / f"{name}{_REMOVED}")
        with contextlib.suppress(OSError):  # for the order only; it may belong to somebody else
            os.utime(removed)
    except OSError as failure:
        message = f"cannot be removed: {why(failure)}"
        raise ConfigError(message, file=str(file), hint=hint_for(failure)) from None
    return file


def is_put_aside(directory: Path, name: str) -> bool:
    """Whether `remove_service` has put something of this name aside, and nothing new has it."""
    name = name.removesuffix(".ini")
    return not os.path.lexists(directory / f"{name}.ini") and os.path.lexists(directory / f"{name}{_REMOVED}")


def forget_url(directory: Path, name: str) -> tuple[str, ...]:
    """Give up the URL of what was removed as `name` for good: its certificate, its key, and who was let in there.

    Returns the names of the files that are gone; () when there was nothing.  Raises ConfigError.
    """
    name = name.removesuffix(".ini")
    if not name or Path(name).name != name:
        raise WrongArgument(f"{shown_name(name[:60])} is no name of a service", hint="hardline ls  shows what there is")
    file = directory / f"{name}.ini"
    if os.path.lexists(file):
        raise ConfigError(f"{name} is shared", hint=f"hardline remove {name}  first")
    gone = list[str]()
    for each in (
        directory / f"{name}{_REMOVED}",
        *beside(directory / f"{name}.ini.cert"),
        directory / f"{name}.ini.clients",
    ):
        try:
            each.unlink()
            gone.append(each.name)
        except FileNotFoundError:
            continue
        except OSError as failure:
            raise ConfigError(f"cannot be removed: {why(failure)}", file=str(each), hint=hint_for(failure)) from None
    return tuple(gone)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
