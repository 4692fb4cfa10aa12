"""The directory of services: one INI file each, followed while the daemon runs.

    services/blog.ini ──parse_service──▶ ServiceSettings ┐
    services/blog.ini.cert ──load_or_create──▶ Identity  ┴─▶ Service ──changed()──▶ daemon
                                     a mistake in either ──▶ Problem, and the last good Service stays

One broken file never stops the others.  What a problem is and since when is in the log (service.broken,
service.mended) and in `problems`.  Changes are taken from the system's notifications and, because those miss
what happens on network disks and in directories that were made anew, from a look every second.

Source: docs/SETTINGS.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from hardline import log
from hardline.certificates import Identity, beside, load_or_create
from hardline.errors import ConfigError, HardlineError
from hardline.files import hint_for, make_private, read_small, why
from hardline.identity import KeyHash, Label
from hardline.settings.clients import Clients, parse_clients
from hardline.settings.service import ServiceSettings, parse_service
from hardline.settings.units import KB, format_size
from hardline.showable import as_escapes, is_plain

MAX_FILE = 64 * KB
MAX_CLIENTS_FILE = 1024 * KB
MAX_SERVICES = 1000
MAX_NAME = 64
_MAX_ENTRIES = 8 * MAX_SERVICES  # an INI file has three files beside it, and a few may be the owner's notes

_DEBOUNCE_MS = 100
_STEP_MS = 50
_LOOK_EVERY = 1.0  # seconds between two looks for what no notification told

Stamps = frozenset[tuple[str, int, int, int, int]]


@dataclass(frozen=True, slots=True)
class Service:
    """A service that can be offered; to `clients` alone where that is not None."""

    name: str
    settings: ServiceSettings
    identity: Identity
    file: Path | None  # None: it was shared by the program itself
    clients: frozenset[KeyHash] | None = None

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

    @property
    def listed(self) -> bool:
        """Whether it is shown to whoever asks the LAN."""
        return self.settings.listed and self.clients is None

    @property
    def legacy(self) -> bool:
        """Whether it speaks hardline/1, which cannot tell who visits."""
        return self.settings.legacy and self.clients is None

    def lets_in(self, client: KeyHash | None) -> bool:
        """Whether who has proven to be `client` may visit; whoever has the service's own key may."""
        return self.clients is None or client in self.clients or client == self.key_hash


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
        await asyncio.to_thread(_load_what_watches)
        async with aclosing(self._notices()) as notices:
            async for told in notices:
                await self._follow(changed, told=told)

    async def _notices(self) -> AsyncGenerator[bool, None]:
        """Yield True when the system told of a change, False when it is time to look for one."""
        from watchfiles import awatch

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
                    found[name] = self._still(last[name])

        # A certificate belongs to the file that had it first, so that a new file never takes over a service.
        owners: dict[KeyHash, str] = {}
        for name in sorted(found, key=lambda name: (not _had_it(last, found[name]), name)):
            service = found[name]
            owner = owners.setdefault(service.key_hash, name)
            if owner != name:
                failures[name] = ConfigError(
                    f"{service.file}: has the same certificate as {owner}.ini", hint=_how_to_part(service, found[owner])
                )
                service = self._still(last[name]) if name in last else service
                if owners.setdefault(service.key_hash, name) != name:
                    continue
            services[name] = service
        for name, wrong in failures.items():
            shown, file = shown_name(name), self.path / f"{name}.ini"
            problems[shown] = Problem(shown, file, wrong.message, wrong.hint, still_serving=name in services)
        return _Contents(dict(sorted(services.items())), problems)

    def _service(self, name: str) -> Service:
        file = self.path / f"{name}.ini"
        if not is_plain(name) or len(name) > 200:
            message = f"{shown_name(name)}.ini: a service cannot be named so"
            raise ConfigError(message, hint="name the file with letters and digits")
        settings = parse_service(read_ini(file), os.fspath(file))
        certificate = self.path / (settings.certfile or f"{name}.ini.cert")
        identity = load_or_create(certificate)
        if not settings.for_invited:
            return Service(name, settings, identity, file)
        clients = self._clients(name)
        settings = replace(settings, notes=(*settings.notes, *clients.notes))
        return Service(name, settings, identity, file, clients.allowed)

    def _still(self, service: Service) -> Service:
        """A service whose file is broken, as it was, for those who may visit it now."""
        return service if service.clients is None else replace(service, clients=self._clients(service.name).allowed)

    def _clients(self, name: str) -> Clients:
        return _clients(self.path / f"{name}.ini.clients")


def _clients(file: Path) -> Clients:
    """Whom the file names.  What cannot be read names nobody: who was taken out of it must not stay in."""
    try:
        return parse_clients(read_small(file, MAX_CLIENTS_FILE).data.decode("utf-8-sig", "replace"), file.name)
    except FileNotFoundError:
        return Clients(notes=(f"{file.name} is missing, so nobody may visit: it is for what `hardline key` prints",))
    except OSError as failure:
        return Clients(notes=(f"{file.name}: {why(failure)}, so nobody may visit",))


def _load_what_watches() -> None:
    """watchfiles, and what it loads when it is first used, take a tenth of a second, a few on a busy machine: the node
    is reached by others already, and its loop would stand still."""
    import_module("watchfiles")
    with contextlib.suppress(ImportError):
        import_module("anyio._backends._asyncio")


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
        make_private(path)
    except OSError as failure:
        reason = (
            "is no directory" if isinstance(failure, FileExistsError) else (failure.strerror or str(failure)).lower()
        )
        raise ConfigError(reason, file=str(path), hint=hint_for(failure) or "choose another directory") from None


def _had_it(last: Mapping[str, Service], service: Service) -> bool:
    return service.name in last and last[service.name].key_hash == service.key_hash


def _how_to_part(service: Service, other: Service) -> str:
    """What to do about two services with one certificate: made by a copy, or by their settings."""
    for each in (service, other):
        if each.settings.certfile is not None:
            return f"give each service a certificate of its own: remove the key certfile from {each.name}.ini"
    copied = service.identity.certificate_path.name
    return f"if {copied} is a copy, remove it, {copied}.private and {copied}.hash: new ones are made, with another URL"


def shown_name(name: str) -> str:
    """As people may see it."""
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
        closed = "" if service.settings.access.paused else service.settings.closed
        if closed and (known is None or known.settings.closed != closed):
            log.warning("service.closed", service=name, reason=closed)
        if service.settings.notes and (known is None or known.settings.notes != service.settings.notes):
            log.warning("service.noted", service=name, notes="; ".join(service.settings.notes))
