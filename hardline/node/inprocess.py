"""Services that the program answers itself, in which the node runs: no file, no port.

    share(app) ─▶ key in datadir/apps ─▶ AppSite or HandlerSite ─ started ─▶ Offering ─▶ Host
    remove     ─▶ answers under way come to their end ─▶ Offering ─▶ Host ─▶ the application shuts down

The key, and so the URL, is the name's: the same name in the same data directory has the same URL after every start.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from hardline.apps.kinds import Handler, Kind, kind_of
from hardline.certificates import Identity, load_or_create
from hardline.errors import ConfigError, HardlineError, WrongArgument
from hardline.files import hint_for, make_private, why
from hardline.identity import KeyHash, Label
from hardline.node.changes import Changes
from hardline.node.offering import Offering
from hardline.session.stream import Stream
from hardline.settings import values
from hardline.settings.directory import MAX_NAME, Service
from hardline.settings.service import AccessSection, ServiceSettings
from hardline.settings.units import Unreadable
from hardline.showable import as_escapes, clean_title
from hardline.transport.tcp import TcpStream

MOST_THREADS = 1000
GRACE = 10.0  # seconds for answers under way
_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_NAME}}}\Z")
_EXTRA = "pip install 'hardline-tunnel[app]'"


class OwnSite(Protocol):
    """What answers for a service of the program's own: a LocalSite with a beginning and an end."""

    end_grace: float

    async def start(self) -> None: ...
    async def ready(self) -> None: ...
    async def serve(self, stream: Stream) -> None: ...
    async def connect(self, source: str = "") -> TcpStream: ...
    async def retire(self, grace: float) -> None: ...
    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SharedApp:
    """A service of the program's own; as text it is its `url`, which is the right to visit it."""

    name: str
    title: str
    label: Label = field(repr=False)
    url: str = field(repr=False)
    _remove: Callable[[float], Awaitable[None]] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.url

    async def remove(self, grace: float = GRACE) -> None:
        """Share it no more: nothing new is let in, and what is under way has `grace` seconds to come to its end.

        Returns when its visitors have left and the application has shut down.  Its key stays.  Idempotent.
        """
        await self._remove(grace)


class InProcess:
    """Those of one node.  `directory` has their keys, `served` are the services that visitors are served now.

    `check_loop` raises where it is called in another event loop than the node's.
    """

    def __init__(
        self,
        directory: Path,
        offering: Offering,
        changes: Changes,
        served: Callable[[], Sequence[Service]],
        url: Callable[[Label], str],
        check_loop: Callable[[], None],
    ) -> None:
        self._directory, self._offering, self._changes = directory, offering, changes
        self._served, self._url, self._check_loop = served, url, check_loop
        self._sites: dict[KeyHash, OwnSite] = {}
        self._ending = False

    async def share(
        self,
        app: object,
        *,
        name: str,
        title: str,
        password: str,
        listed: bool,
        clients: Sequence[KeyHash | str] | None,
        interface: str,
        threads: int,
    ) -> SharedApp:
        """As Node.share.  Cancelled, nothing is shared."""
        kind = kind_of(app, interface)
        if not _NAME.match(name):
            raise WrongArgument(
                f"{as_escapes(str(name)[:60])} is no name for a service",
                hint=f"1 to {MAX_NAME} letters, digits, - and _",
            )
        if not 1 <= threads <= MOST_THREADS:
            raise WrongArgument(f"threads is {threads}, expected 1 to {MOST_THREADS}")
        settings = ServiceSettings(
            target=None,
            title=clean_title(title or name),
            listed=listed,
            password=_password(password),
            access=AccessSection(clients="everyone" if clients is None else "invited"),
        )
        allowed = None if clients is None else frozenset(map(_key_hash, clients))
        identity = await asyncio.to_thread(self._identity, name)
        service = Service(name, settings, identity, None, allowed)
        if service.key_hash in self._sites:
            raise _taken(name)
        site = await _site(name, app, kind, threads)
        try:
            await site.start()
            self._offering.share(service, site)
            self._sites[service.key_hash] = site
            await self._until(lambda: service in self._served())
            if self._ending:
                raise HardlineError("this node is being stopped", hint="share it by another one")
        except BaseException:
            await self._remove(service.key_hash, site, 0.0)
            raise
        label = service.label
        return SharedApp(
            name,
            settings.title,
            label,
            self._url(label),
            lambda grace: self._remove(service.key_hash, site, grace),
        )

    async def aclose(self) -> None:
        """End all: answers under way have a moment."""
        self._ending = True
        self._changes.tell()
        await asyncio.gather(*(site.retire(site.end_grace) for site in self._sites.values()))
        sites, self._sites = list(self._sites.items()), {}
        for key_hash, _ in sites:
            self._offering.withdraw(key_hash)
        await asyncio.gather(*(site.aclose() for _, site in sites))

    def _identity(self, name: str) -> Identity:
        try:
            make_private(self._directory)
        except OSError as failure:
            raise ConfigError(why(failure), file=str(self._directory), hint=hint_for(failure)) from None
        return load_or_create(self._directory / f"{name}.cert")

    async def _remove(self, key_hash: KeyHash, site: OwnSite, grace: float) -> None:
        self._check_loop()
        if self._sites.get(key_hash) is not site:
            await site.aclose()
            return
        try:
            await site.retire(grace)
        finally:
            if self._sites.pop(key_hash, None) is site:
                self._offering.withdraw(key_hash)
            await site.aclose()
        await self._until(lambda: all(one.key_hash != key_hash for one in self._served()))

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until a change of the offering has been taken up, or never will be."""
        watching = self._changes.watch()
        try:
            async for _ in watching:
                if condition() or self._ending:
                    return
        finally:
            await watching.aclose()


async def _site(name: str, app: object, kind: Kind, threads: int) -> OwnSite:
    if kind is Kind.STREAM:
        from hardline.apps.handled import HandlerSite

        return HandlerSite(name, cast(Handler, app))
    if missing := [one for one in ("uvicorn", "httptools", "websockets") if find_spec(one) is None]:
        raise HardlineError(f"{' and '.join(missing)} must be installed to share an application", hint=_EXTRA)
    # Not on the event loop: it takes a while to load.
    return await asyncio.to_thread(_app_site, name, app, kind, threads)


def _app_site(name: str, app: object, kind: Kind, threads: int) -> OwnSite:
    from hardline.apps.connection import misses
    from hardline.apps.site import AppSite

    if missing := misses():
        raise HardlineError(f"this version of uvicorn cannot be used: it has no {missing}", hint=_EXTRA)
    return AppSite(name, app, kind, threads)


def _password(text: str) -> str | None:
    """None where the key's own .hash file decides."""
    if not text:
        return None
    try:
        return values.password(text)
    except Unreadable as wrong:
        raise WrongArgument(f"password: expected {wrong.expected}", hint=wrong.hint) from None


def _key_hash(client: KeyHash | str) -> KeyHash:
    return client if isinstance(client, KeyHash) else KeyHash.parse(client)


def _taken(name: str) -> HardlineError:
    return ConfigError(f"{name}: this node shares that already", hint="choose another name, or remove it first")
