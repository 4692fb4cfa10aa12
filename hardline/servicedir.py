"""The directory of services: one INI file each, followed while the daemon runs.

    services/blog.ini ──parse_service──▶ ServiceSettings ┐
    services/blog.ini.cert ──load_or_create──▶ Identity  ┴─▶ Service ──changed()──▶ daemon
                                     a mistake in either ──▶ Problem, and the last good Service stays

One broken file never stops the others.  What a problem is and since when is in the log (service.broken,
service.mended) and in `problems`.  Changes are taken from the system's notifications and, because those miss
what happens on network disks and in directories that were made anew, from a look every second.

A URL is the right to visit, so it goes back only to what it was for: `hardline remove` puts NAME.ini aside as
NAME.ini.removed, and `hardline share` puts it back for the same target; no other service gets its certificate.
Source: docs/SETTINGS.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import os
import re
import stat
import unicodedata
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType

from watchfiles import awatch

from hardline import log
from hardline.certificates import Identity, beside, load_or_create
from hardline.config import MAX_FILE, LocalService, ServiceSettings, clean_title, parse_service
from hardline.errors import ConfigError, HardlineError, WrongArgument
from hardline.files import hint_for, read_small, rename_new, why, write_new
from hardline.identity import KeyHash, Label
from hardline.ini import quoted
from hardline.showable import as_escapes, is_plain
from hardline.units import Unreadable, format_size

MAX_SERVICES = 1000
MAX_NAME = 64
_MAX_ENTRIES = 8 * MAX_SERVICES  # an INI file has three files beside it, and a few may be the owner's notes
_REMOVED = ".ini.removed"

_DEBOUNCE_MS = 100
_STEP_MS = 50
_LOOK_EVERY = 1.0  # seconds between two looks for what no notification told

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")

Stamps = frozenset[tuple[str, int, int, int, int]]


@dataclass(frozen=True, slots=True)
class Service:
    """A service that can be offered."""

    name: str
    settings: ServiceSettings
    identity: Identity
    file: Path | None  # None: it was shared by the program itself

    @property
    def key_hash(self) -> KeyHash:
        """What visitors ask for."""
        return self.identity.key_hash

    @property
    def label(self) -> Label:
        """What stands before `.localhost` in its URL: the settings' password, else what the .hash file says."""
        password = self.settings.password
        return Label(self.key_hash, self.identity.password if password is None else password)

    @property
    def title(self) -> str:
        """What people read."""
        return self.settings.title


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps a file from being offered as it is now.  `name` is "" where it is the directory itself."""

    name: str
    file: Path
    message: str
    hint: str
    still_serving: bool  # as it was before the mistake


@dataclass(frozen=True, slots=True)
class _Contents:
    services: Mapping[str, Service] = field(default_factory=dict)
    problems: Mapping[str, Problem] = field(default_factory=dict)


class ServiceDirectory:
    """The services that a directory describes, as of the last `load`.

    `load` blocks and may run in any thread, one at a time; the properties may be read meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._contents = _Contents()
        self.version = 0  # another one after every reading
        self._stamps: Stamps | None = None

    @property
    def services(self) -> Mapping[str, Service]:
        """What can be offered, by name; a file that broke later is still here as it was."""
        return MappingProxyType(self._contents.services)

    @property
    def problems(self) -> Mapping[str, Problem]:
        """What cannot be understood as it is now, by name."""
        return MappingProxyType(self._contents.problems)

    def load(self) -> None:
        """Read every file; make the directory and missing certificates.

        Raises ConfigError only when there is no directory and none can be made.
        """
        make_directory(self.path)
        self.reload()

    def reload(self) -> None:
        """Read every file again.  A directory that is gone is a problem, and offers nothing."""
        self._stamps = self._look()
        before, now = self._contents, self._read()
        self._contents = now
        self.version += 1
        _tell(before, now)

    async def watch(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Follow the directory until cancelled; await `changed` whenever services or problems became others.

        Reads in a worker thread.  What `changed` raises ends this.  Cancelled, it leaves no thread watching.
        """
        async with aclosing(self._notices()) as notices:
            async for told in notices:
                await self._follow(changed, told=told)

    async def _notices(self) -> AsyncGenerator[bool, None]:
        """Yield True when the system told of a change, False when it is time to look for one."""
        deaf = False
        while True:
            try:
                async with aclosing(
                    awatch(
                        self.path,
                        watch_filter=lambda _, name: not os.path.basename(name).startswith("."),
                        debounce=_DEBOUNCE_MS,
                        step=_STEP_MS,
                        rust_timeout=int(_LOOK_EVERY * 1000),
                        yield_on_timeout=True,
                        recursive=False,
                    )
                ) as batches:
                    deaf = False
                    async for batch in batches:
                        yield bool(batch)
                        if any(Path(name) == self.path for _, name in batch):
                            break  # the directory itself went: the next watch is for the one that takes its place
            except Exception as failure:
                # No directory, no notifications left to be had, a name there that watchfiles cannot read, no thread: it
                # raises what it likes, in groups too, and none of that is worth more than one line.
                if not deaf:
                    log.debug("services.unwatched", directory=self.path, reason=failure)
                deaf = True
            await asyncio.sleep(_LOOK_EVERY / 2)
            yield False

    async def _follow(self, changed: Callable[[], Awaitable[None]], *, told: bool) -> None:
        if not told and await asyncio.to_thread(self._look) == self._stamps:
            return
        before = self._contents
        await asyncio.to_thread(self.reload)
        if self._contents != before:
            await changed()

    def _look(self) -> Stamps | None:
        """Something that differs when a file of the directory does; None when there is no directory."""
        stamps = []
        try:
            with os.scandir(self.path) as entries:
                for entry in islice(entries, _MAX_ENTRIES):
                    try:
                        facts = entry.stat()
                    except OSError:
                        continue
                    stamps.append((entry.name, facts.st_ino, facts.st_mtime_ns, facts.st_size, facts.st_mode))
        except OSError:
            return None
        return frozenset(stamps)

    def _read(self) -> _Contents:
        last = self._contents.services
        services: dict[str, Service] = {}
        problems: dict[str, Problem] = {}
        try:
            names = service_names(self.path)
        except OSError as failure:
            message = f"{self.path}: {(failure.strerror or str(failure)).lower()}"
            hint = hint_for(failure) or ("make the directory again" if isinstance(failure, FileNotFoundError) else "")
            return _Contents({}, {"": Problem("", self.path, message, hint, still_serving=False)})
        if len(names) > MAX_SERVICES:
            message = f"{self.path}: {len(names)} services, expected at most {MAX_SERVICES}"
            hint = f"those after {names[MAX_SERVICES - 1]} are not offered; move them to another node"
            problems[""] = Problem("", self.path, message, hint, still_serving=False)
            del names[MAX_SERVICES:]

        found: dict[str, Service] = {}
        failures: dict[str, HardlineError] = {}
        for name in names:
            try:
                found[name] = self._service(name)
            except FileNotFoundError:
                continue  # removed since the directory was listed
            except HardlineError as failure:
                failures[name] = failure
                if name in last:
                    found[name] = last[name]

        # A certificate belongs to the file that had it first, so that a new file never takes over a service.
        owners: dict[KeyHash, str] = {}
        for name in sorted(found, key=lambda name: (not _had_it(last, found[name]), name)):
            service = found[name]
            owner = owners.setdefault(service.key_hash, name)
            if owner != name:
                failures[name] = ConfigError(
                    f"{service.file}: has the same certificate as {owner}.ini", hint=_how_to_part(service, found[owner])
                )
                service = last.get(name, service)
                if owners.setdefault(service.key_hash, name) != name:
                    continue
            services[name] = service
        for name, wrong in failures.items():
            shown, file = _printable(name), self.path / f"{name}.ini"
            problems[shown] = Problem(shown, file, wrong.message, wrong.hint, still_serving=name in services)
        return _Contents(dict(sorted(services.items())), problems)

    def _service(self, name: str) -> Service:
        file = self.path / f"{name}.ini"
        if not is_plain(name) or len(name) > 200:
            message = f"{_printable(name)}.ini: a service cannot be named so"
            raise ConfigError(message, hint="name the file with letters and digits")
        settings = parse_service(read_ini(file), os.fspath(file))
        certificate = self.path / (settings.certfile or f"{name}.ini.cert")
        return Service(name, settings, load_or_create(certificate), file)


def service_names(directory: Path) -> list[str]:
    """The names of the services in it, sorted: *.ini without what editors and people put aside.  Raises OSError."""
    with os.scandir(directory) as entries:
        return sorted(
            entry.name.removesuffix(".ini")
            for entry in islice(entries, _MAX_ENTRIES)
            if entry.name.endswith(".ini") and entry.name[0] not in ".#~"
        )


def certificate_files(directory: Path) -> list[Path]:
    """The certificates that settings in `directory` name, which may lie anywhere, with their keys.  Makes none."""
    found: list[Path] = []
    with contextlib.suppress(OSError):
        for file in sorted(directory.glob("*.ini"))[:MAX_SERVICES]:
            with contextlib.suppress(HardlineError, OSError):
                if certfile := parse_service(read_ini(file), os.fspath(file)).certfile:
                    found += beside(directory / certfile)
    return found


def read_ini(path: Path) -> str:
    """The text of a settings file.

    Raises FileNotFoundError when there is none, ConfigError when it is too big, not UTF-8 or cannot be read.
    """
    try:
        data = read_small(path, MAX_FILE).data
        if b"\0" in data:
            message, hint = "this is no text, or text in UTF-16", "save the file as UTF-8"
            raise ConfigError(message, file=str(path), hint=hint)
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        if path.is_symlink():
            raise ConfigError("this link leads nowhere", file=str(path), hint="mend or remove it") from None
        raise
    except UnicodeDecodeError as wrong:
        line = data.count(b"\n", 0, wrong.start) + 1
        raise ConfigError("this is not UTF-8", file=str(path), line=line, hint="save the file as UTF-8") from None
    except OSError as failure:
        message = (failure.strerror or str(failure)).lower()
        hint = hint_for(failure) or f"expected a text file of at most {format_size(MAX_FILE)}"
        raise ConfigError(message, file=str(path), hint=hint) from None


def make_directory(path: Path) -> None:
    """Make the directory, for its owner only, where there is none.  Raises ConfigError when that cannot be."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as failure:
        reason = (
            "is no directory" if isinstance(failure, FileExistsError) else (failure.strerror or str(failure)).lower()
        )
        raise ConfigError(reason, file=str(path), hint=hint_for(failure) or "choose another directory") from None


def write_service(directory: Path, name: str | None, target: str, title: str | None = None, *, like: str = "") -> Path:
    """Write `NAME.ini` for `hardline share`, where `bring_back` found nothing; return its path.

    `target` is what [Service] service may be, a port of this machine, or the whole path of a directory.  A `name` is
    used as it is, made safe for a file; without one it is made from `like`, which is the title, too, where the name
    could not keep all of it.

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
        told = ["", "[Info]", f"title = {quoted(shown)}"] if shown else []
        try:
            write_new(file, "".join(f"{line}\n" for line in lines + told).encode(), 0o600)
        except FileExistsError:
            continue
        except OSError as failure:
            message = f"cannot be written: {(failure.strerror or str(failure)).lower()}"
            raise ConfigError(message, file=str(file), hint=hint_for(failure)) from None
        return file
    hint = f"choose another with --name, or  hardline remove {safe}"
    raise ConfigError(f"there is a service {safe} already", file=str(directory / f"{safe}.ini"), hint=hint)


def find_shared(services: Iterable[Service], target: str) -> Service | None:
    """The service that `write_service` would make anew for `target`."""
    return next((one for one in services if _is_for(one.settings, target)), None)


def bring_back(directory: Path, name: str | None, target: str) -> Path | None:
    """Put back what `remove_service` put aside, if it was for the same `target`: as it was, under its old URL.

    With a `name` only what had that name, else what was put aside last.  None when there is no such file.

    Raises ConfigError when it cannot be put back, WrongArgument when `name` cannot be used.
    """
    for removed in _removed(directory, name and _safe_name(name)):
        file = removed.with_name(removed.name.removesuffix(".removed"))
        settings = _settings_of(removed, file)
        if settings is None or settings.closed or not _is_for(settings, target) or os.path.lexists(file):
            continue
        try:
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
        return directory is not None and directory.is_absolute() and os.path.realpath(directory) == target
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
    target = settings and (settings.target or settings.cache.directory)
    was = f"was {_printable(str(target)[:200])}" if target else "cannot be told to have been the same"
    rest = [removed, *beside(directory / f"{name}.ini.cert")]
    there = ", ".join(each.name for each in rest if os.path.lexists(each))
    raise ConfigError(
        f"what was shared as {name} before {was}: who has its URL would get into this, too",
        hint=f"choose another --name; to give the old URL up for good, remove {there} in {_printable(str(directory))}",
    )


def _safe_name(name: str) -> str:
    if not (safe := _safe(name)):
        raise WrongArgument(f"{_printable(name[:60])} is no name for a file", hint="use letters, digits, - and _")
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
        message = f"cannot share {_printable(target[:60])}, expected {wrong.expected}"
        raise WrongArgument(message, hint=hint) from None  # its own hint is for who writes a file
    scheme = "https://" if local.kind == "https" else ""
    return ["[Service]", f"service = {scheme}{_bracketed(local.host)}", f"port = {local.port}"]


def _directory_lines(target: str) -> list[str]:
    try:
        there = stat.S_ISDIR(os.stat(target).st_mode)
        reason = "it is no directory"
    except (FileNotFoundError, NotADirectoryError):
        there, reason = False, "there is no such directory"
    except (OSError, ValueError) as failure:
        there, reason = False, (getattr(failure, "strerror", None) or str(failure)).lower()
    if not there:
        raise WrongArgument(f"cannot share {_printable(target[:200])}: {reason}")
    try:
        path = quoted(target)
    except Unreadable as wrong:
        message = f"cannot share {_printable(target[:200])}: a path in a settings file has {wrong.expected}"
        raise WrongArgument(message, hint="rename it, or share the directory that it is in") from None
    return ["[Service]", "service =", "", "[Cache]", f"directory = {path}", "allowListing = yes"]


def remove_service(directory: Path, name: str) -> Path:
    """Put `NAME.ini` aside as `NAME.ini.removed` for `hardline remove`; return the path that it had.

    The certificate and its key stay: `bring_back` puts it back under its old URL.

    Raises ConfigError when there is no such service, or it cannot be removed.
    """
    name = name.removesuffix(".ini")
    there: list[str] = []
    with contextlib.suppress(OSError):
        there = service_names(directory)
    name = next((one for one in there if name in (one, _printable(one))), name)
    file = directory / f"{name}.ini"
    if name not in there:  # this refuses ../ and the like, too
        close = difflib.get_close_matches(name[:MAX_NAME], there, n=1)
        hint = f"did you mean {close[0]}?" if close else "hardline ls  shows what there is"
        raise ConfigError(f"there is no service {_printable(name[:60])} in {directory}", hint=hint)
    try:
        # Instead of what was removed under this name before: the certificate is now that of this one.
        removed = file.rename(directory / f"{name}{_REMOVED}")
        with contextlib.suppress(OSError):  # for the order only; it may belong to somebody else
            os.utime(removed)
    except OSError as failure:
        message = f"cannot be removed: {why(failure)}"
        raise ConfigError(message, file=str(file), hint=hint_for(failure)) from None
    return file


def _had_it(last: Mapping[str, Service], service: Service) -> bool:
    return service.name in last and last[service.name].key_hash == service.key_hash


def _how_to_part(service: Service, other: Service) -> str:
    """What to do about two services with one certificate: made by a copy, or by their settings."""
    for each in (service, other):
        if each.settings.certfile is not None:
            return f"give each service a certificate of its own: remove the key certfile from {each.name}.ini"
    copied = service.identity.certificate_path.name
    return f"if {copied} is a copy, remove it, {copied}.private and {copied}.hash: new ones are made, with another URL"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _printable(name: str) -> str:
    return as_escapes(name)


def _tell(before: _Contents, now: _Contents) -> None:
    for name, problem in now.problems.items():
        if before.problems.get(name) != problem:
            log.warning(
                "service.broken",
                service=name or None,
                reason=problem.message,
                hint=problem.hint or None,
                still_serving=problem.still_serving,
            )
    for name in before.problems.keys() - now.problems.keys():
        if name in now.services:
            log.event("service.mended", service=name)
    for name, service in now.services.items():
        known = before.services.get(name)
        closed = service.settings.closed
        if closed and (known is None or known.settings.closed != closed):
            log.warning("service.closed", service=name, reason=closed)
        if service.settings.notes and (known is None or known.settings.notes != service.settings.notes):
            log.warning("service.noted", service=name, notes="; ".join(service.settings.notes))
