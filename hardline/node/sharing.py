"""What this node shares: shared, changed, removed, each by writing its INI file and waiting until it is taken up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

from hardline.cache.own import OwnFiles
from hardline.errors import ConfigError, NotKnown, WrongArgument
from hardline.node.changes import Changes
from hardline.node.known import Known
from hardline.node.offering import Offering
from hardline.node.rows import target_of, url_of
from hardline.node.snapshot import Removed, Shared
from hardline.settings.directory import Service
from hardline.settings.ini import quoted
from hardline.settings.service import INVITED
from hardline.settings.units import Unreadable
from hardline.settings.values import written_moment
from hardline.settings.writing import (
    Change,
    bring_back,
    change_service,
    find_shared,
    forget_url,
    is_put_aside,
    local_service,
    remove_service,
    target_changes,
    write_service,
)
from hardline.showable import as_escapes, clean_title
from hardline.transport.own import OwnListeners
from hardline.tunnel.serving import OURSELVES

_UNLISTED: Change = ("Info", "listed", "no")
_FOR_INVITED: Change = ("Access", "clients", INVITED)
_APPEAR_LIMIT = 10.0  # seconds
_SHOWN = 10  # of what may be meant


class Sharing:
    """The services of one node, in `servicedir`: what of Actions is about them.

    `served` are the services that visitors are served now, `changes` tells when they are others; `known` is who is
    meant, and `check_running` raises where there is nobody to ask.
    """

    def __init__(
        self,
        servicedir: Path,
        offering: Offering,
        own_files: OwnFiles,
        own_listeners: OwnListeners,
        changes: Changes,
        served: Callable[[], Sequence[Service]],
        known: Known,
        door_port: Callable[[], int],
        check_running: Callable[[], None],
    ) -> None:
        self._directory, self._offering, self._changing = servicedir, offering, asyncio.Lock()
        self._own_files, self._own_listeners, self._changes = own_files, own_listeners, changes
        self._served, self._known, self._door_port = served, known, door_port
        self._check_running = check_running

    async def share(
        self,
        target: str,
        title: str = "",
        name: str = "",
        *,
        listed: bool = True,
        invited: bool = False,
        until: float | None = None,
        hidden: bool = False,
        uploads: str = "",
        host: str = "",
        once: str = "",
    ) -> Shared:
        """Offer `target` (a port, an address, a directory, a file), and return once visitors are served.

        What is shared already stays as it is, and what was shared once comes back with its URL; for fewer people than
        before where that is asked for, never for more.  `until` is when it ends, in seconds since 1970; `hidden` shows
        names that begin with a dot, `uploads` is `yes` or `drop` where visitors may bring files; `host` is what a web
        server is asked for; `once` is what the offering holds it by.
        Raises WrongArgument, ConfigError.
        """
        self._check_running()
        how = _how(target, until=until, hidden=hidden, uploads=uploads, host=host, once=once)
        await self._refuse_itself(target)
        known = tuple(self._offering.known.values())
        if not name and (service := await asyncio.to_thread(find_shared, known, target)):
            settings = service.settings
            if once:
                wrong = f"{service.name} is shared already, and not only for as long as a command runs"
                raise ConfigError(wrong, hint=f"hardline remove {service.name}  first, or share it without --once")
            if how:
                await self._change(service, how)
            if settings.access.paused or (invited and not settings.for_invited) or (settings.listed and not listed):
                fewer = (None if listed else False), (invited or None)
                changed = await self.change(service.name, listed=fewer[0], invited=fewer[1], paused=False)
                return replace(changed, already=True)
            return await self._shared(service, already=True)
        changes = [*([] if listed else [_UNLISTED]), *([_FOR_INVITED] if invited else []), *how]
        if back := await asyncio.to_thread(bring_back, self._directory, name or None, target, changes):
            return await self._taken_up(back, back=True)
        is_path = target.startswith(("/", "unix:"))
        like = title or (Path(target).name if is_path else target.partition("://")[2].rstrip("/") or target)
        file = await asyncio.to_thread(
            lambda: write_service(
                *(self._directory, name or None, target, title or None),
                like=like,
                listed=listed,
                invited=invited,
                changes=how,
            )
        )
        return await self._taken_up(file)

    async def change(
        self,
        name: str,
        target: str = "",
        *,
        title: str | None = None,
        listed: bool | None = None,
        invited: bool | None = None,
        paused: bool | None = None,
        until: float | None = None,
    ) -> Shared:
        """Change what is said of the service of `name`, and keep its URL; visitors who are there stay, but for one that
        is paused.  `until` is when it ends, in seconds since 1970, infinity for never.

        Raises WrongArgument, ConfigError.
        """
        self._check_running()
        service = await self.ours(name)
        changes = list[Change]()
        if target:
            await self._refuse_itself(target)
            changes += await asyncio.to_thread(target_changes, target)
        if title is not None:
            shown = clean_title(title)
            changes.append(("Info", "title", quoted(shown) if shown else None))
        if listed is not None:
            changes.append(("Info", "listed", None) if listed else _UNLISTED)
        if invited is not None:
            changes.append(_FOR_INVITED if invited else ("Access", "clients", None))
        if paused is not None:
            changes.append(("Access", "paused", "yes" if paused else None))
        if until is not None:
            changes.append(("Access", "until", None if until == inf else written_moment(until)))
        await self._change(service, changes)
        return await self._shared(self._offering.known[service.name])

    async def _change(self, service: Service, changes: Sequence[Change]) -> None:
        async with self._changing:  # of two at once the later one begins with what the earlier one wrote
            settings = replace(await asyncio.to_thread(change_service, service, changes), notes=())

            def is_taken_up() -> bool:
                known = self._service(service.name)
                return known is not None and replace(known.settings, notes=()) == settings

            await self.until(is_taken_up)

    async def remove(self, name: str, *, forget_url: bool = False) -> Removed:
        """Stop sharing the service of `name`; with `forget_url` nothing ever has its URL again, also of one that was
        removed before.  Raises WrongArgument, ConfigError."""
        self._check_running()
        if forget_url and await asyncio.to_thread(is_put_aside, self._directory, name):
            return await self._forget(name)
        with contextlib.suppress(WrongArgument):  # the file of one that is broken has a name all the same
            name = (await self.ours(name)).name
        file = await asyncio.to_thread(remove_service, self._directory, name)
        gone = file.name.removesuffix(".ini")

        def is_gone() -> bool:  # of one that is paused nobody is served, and it is known all the same
            return gone not in self._offering.known and all(service.name != gone for service in self._served())

        await self.until(is_gone)
        return await self._forget(gone) if forget_url else Removed(gone, str(file))

    async def _forget(self, name: str) -> Removed:
        gone = await asyncio.to_thread(forget_url, self._directory, name)
        return Removed(name, str(self._directory / f"{name}.ini"), gone)

    async def ours(self, what: str) -> Service:
        """The service of this node that `what` means.  Raises WrongArgument."""
        known = self._offering.known
        if what not in known and (problem := self._offering.problems.get(what)) is not None:
            raise WrongArgument(f"{what} cannot be understood as it is: {problem.message}", hint=problem.hint)
        meant = {one.key_hash for one in await self._known.matching(what)}
        found = [known[what]] if what in known else [one for one in known.values() if str(one.key_hash) in meant]
        if len(found) != 1:
            close = "".join(f"\n  {one.name}  {one.title}" for one in found[:_SHOWN])
            if not found:
                raise NotKnown(f"no service here is {what[:60]!r}", hint="hardline ls  shows what there is")
            raise WrongArgument(f"{what[:60]!r} may be{close}", hint="hardline ls  shows what there is")
        return found[0]

    def names(self) -> tuple[str, ...]:
        """What the services of this node are called, those that cannot be understood as well."""
        return tuple(sorted(filter(None, {*self._offering.known, *self._offering.problems})))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what was just written has been taken up."""
        try:
            async with asyncio.timeout(_APPEAR_LIMIT):
                async for _ in self._changes.watch():
                    if condition():
                        return
        except TimeoutError:
            raise ConfigError(
                "the change was written, but the daemon has not taken it up yet", hint="look at its log"
            ) from None

    async def _refuse_itself(self, target: str) -> None:
        if target.startswith("/") and await asyncio.to_thread(self._own_files.is_ours, Path(target)):
            message = f"{as_escapes(target[:200])} is where hardlined keeps its keys, and nothing of it is shown"
            raise WrongArgument(message, hint="share another directory")
        try:
            itself = not target.startswith("/") and await self._own_listeners.leads_home(local_service(target))
        except Unreadable:
            return  # write_service says it better
        if itself:
            message = f"cannot share {as_escapes(target[:60])}: {OURSELVES}"
            raise WrongArgument(message, hint="what is to be shared has a port of its own")

    async def _taken_up(self, file: Path, *, back: bool | None = None) -> Shared:
        name = file.name.removesuffix(".ini")
        await self.until(lambda: self._service(name) is not None or name in self._offering.problems)
        problem = self._offering.problems.get(name)
        if problem is not None:
            raise ConfigError(problem.message, hint=problem.hint)
        service = self._offering.known[name]
        return await self._shared(service, back=back)

    def _service(self, name: str) -> Service | None:
        """One that visitors are served, or that nobody may visit yet."""
        known = self._offering.known.get(name)
        return known if known is not None and (known.settings.closed or known in self._served()) else None

    async def _shared(self, service: Service, *, already: bool | None = None, back: bool | None = None) -> Shared:
        from hardline.node.probing import probe

        cache = service.settings.cache
        lists = service.settings.target is not None or bool(cache.only) or cache.allow_listing
        return Shared(
            name=service.name,
            title=service.title,
            target=target_of(service),
            url=url_of(service.label, self._door_port()),
            file=str(service.file),
            lists=lists,
            listed=service.listed,
            for_invited=service.settings.for_invited,
            until=service.settings.access.until,
            probed=None if service.settings.access.paused else await probe(service.settings),
            already=already,
            back=back,
        )


def _how(target: str, *, until: float | None, hidden: bool, uploads: str, host: str, once: str) -> list[Change]:
    """What is written besides.  Raises WrongArgument."""
    if uploads and not target.startswith("/"):
        raise WrongArgument("visitors bring files into a directory only", hint="share one, or leave it out")
    if hidden and not target.startswith("/"):
        raise WrongArgument("only of a directory hidden names can be shown", hint="leave --hidden out")
    if host and target.startswith("/"):
        raise WrongArgument("files are asked for by no host name", hint="leave --host out")
    changes = list[Change]()
    if until is not None:
        changes.append(("Access", "until", written_moment(until)))
    if once:
        changes.append(("Access", "once", once))
    if hidden:
        changes.append(("Cache", "hidden", "yes"))
    if uploads:
        changes.append(("Cache", "uploads", uploads))
    if host:
        changes.append(("HTTP", "host", host))
    return changes
