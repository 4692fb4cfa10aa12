"""Inviting people: invitations given, shown and withdrawn, and the list of those who may visit.

    invite ──▶ a link for one person ──▶ shown by the key of his computer ──▶ a line in NAME.ini.clients
    revoke ──▶ that line is gone, and so is he; what was given to him and not used yet is withdrawn

Source: docs/PROTOCOL.md, section 4.3; docs/SETTINGS.md, [Access] clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from hardline import log
from hardline.errors import ConfigError, ConnectionLost, HardlineError, NotKnown, WrongArgument
from hardline.files import hint_for, read_small, replace_whole, why
from hardline.identity import KeyHash
from hardline.node.snapshot import Invited, LetIn, Waiting
from hardline.peers.invites import Invite, Invites
from hardline.session.hello import Verdict
from hardline.settings.clients import client_lines, parse_clients, with_client, without_clients
from hardline.settings.directory import MAX_CLIENTS_FILE, Service
from hardline.showable import is_plain, one_line
from hardline.tasks import TaskSet

T = TypeVar("T")

LONGEST_DAYS = 366
_DAY = 86_400
_MAX_WHO = 60
_NOTE = re.compile(
    r"(?P<who>.*?),? since (?P<since>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:, invitation (?P<number>[0-9a-f]{6}))?\Z"
)


class Inviting:
    """Of one node: `services` by key hash; `taken_up` waits until visitors are judged by what was written."""

    def __init__(
        self,
        invites: Invites,
        *,
        services: Callable[[], Mapping[KeyHash, Service]],
        taken_up: Callable[[Callable[[], bool]], Awaitable[None]],
    ) -> None:
        self._invites = invites
        self._services, self._taken_up = services, taken_up
        self._tasks = TaskSet("inviting")

    async def aclose(self) -> None:
        """Stop what is being written between two files."""
        await self._tasks.aclose()

    async def load(self, known: Iterable[Service]) -> None:
        """Read what was given before, and see which of it got as far as the lists of these services."""
        await self._invites.load()
        files = {str(service.key_hash): _list_of(service) for service in known if service.file is not None}
        for invite in self._invites.all:
            if invite.used_by and not invite.listed and (file := files.get(invite.service)):
                with contextlib.suppress(ConfigError):
                    if invite.used_by in map(str, dict(client_lines(await asyncio.to_thread(_read, file)))):
                        await self._is_listed(invite, time.time())

    async def invite(self, service: Service, who: str, days: float) -> tuple[Invite, str]:
        """A new invitation, and its secret.  Raises WrongArgument, ConfigError."""
        name = one_line(who, _MAX_WHO)
        if not name or name != who.strip() or not is_plain(who) or "," in name or name.startswith("#"):
            raise WrongArgument(f"whom it is for is a name of up to {_MAX_WHO} characters in one line, without a comma")
        if not 0 < days <= LONGEST_DAYS:
            raise WrongArgument(f"an invitation is good for up to {LONGEST_DAYS} days")
        if not service.settings.for_invited:
            hint = f"hardline change {service.name} --invited  has it serve those alone whom you invite"
            raise WrongArgument(f"everybody who has the address of {service.name} may visit it", hint=hint)
        if service.file is None:
            raise WrongArgument(f"{service.name} has no file: the program that shares it says who may visit")
        now = time.time()
        return await self._invites.make(service.key_hash, name, int(now + days * _DAY), now)

    async def redeem(self, key_hash: KeyHash, client: KeyHash, secret: str) -> Verdict:
        """As tunnel.inviting.Redeem; what cannot be written down lets nobody in."""
        try:
            verdict = await self._to_its_end(self._redeem(key_hash, client, secret))
            if verdict is Verdict.LET_IN:  # whoever of them wrote it down
                await self._taken_up(lambda: self._is_let_in(key_hash, client))
        except ConfigError as failure:
            log.warning("access.failed", service=key_hash.short, reason=failure.message)
            raise ConnectionLost("the invitation could not be written down") from None
        return verdict

    async def _redeem(self, key_hash: KeyHash, client: KeyHash, secret: str) -> Verdict:
        async with self._invites.changing:
            service, now = self._services().get(key_hash), time.time()
            if service is None or service.file is None or not service.settings.for_invited:
                return Verdict.UNKNOWN
            if (invite := self._invites.find(key_hash, secret)) is None:
                return Verdict.UNKNOWN
            file = _list_of(service)
            text = await asyncio.to_thread(_read, file)
            if client in dict(client_lines(text)):
                return Verdict.LET_IN
            if (verdict := invite.verdict(client, now)) is not Verdict.LET_IN:
                return verdict
            since = time.strftime("%Y-%m-%d", time.localtime(now))
            note = f"{invite.who}, since {since}, invitation {invite.number}"
            text = with_client(text, client, note)
            if client not in parse_clients(text, file.name).allowed or len(_encoded(text)) > MAX_CLIENTS_FILE:
                raise ConfigError("the list of visitors is full", file=str(file))
            # On the disk before the list, so that nobody is let in twice, and once more behind it: whoever is taken off
            # the list by hand does not come in again.
            used = replace(invite, used_by=str(client))
            await self._invites.change(used, now)
            await asyncio.to_thread(_rewrite, file, lambda now: with_client(now, client, note))
            await self._is_listed(used, now)
        log.event("access.invited", service=service.name, who=invite.who, client=client.short)
        return Verdict.LET_IN

    async def _is_listed(self, invite: Invite, now: float) -> None:
        try:
            await self._invites.change(replace(invite, listed=True), now)
        except ConfigError as failure:  # he is in, and when this node starts next, it is seen again
            log.warning("access.failed", service=invite.service, reason=failure.message)

    def _is_let_in(self, key_hash: KeyHash, client: KeyHash) -> bool:
        service = self._services().get(key_hash)
        return service is not None and service.lets_in(client)

    async def _to_its_end(self, work: Coroutine[None, None, T]) -> T:
        """Whoever asked for it may be gone by then: what is half written would be written into by the next."""
        return await asyncio.shield(self._tasks.start(work, "writing", expects=HardlineError))

    def open(self) -> tuple[Waiting, ...]:
        """All that may still be used, the newest last, of services that are offered."""
        now, services = time.time(), self._services()
        names = {str(key_hash): service.name for key_hash, service in services.items()}
        return tuple(
            Waiting(one.number, names[one.service], one.who, one.until)
            for one in self._invites.all
            if one.is_open(now) and one.service in names
        )

    async def who(self, service: Service) -> tuple[tuple[LetIn, ...], tuple[Invited, ...]]:
        """Who may visit, and who was invited and has not come yet."""
        now = time.time()
        waiting = (
            Invited(invite.number, invite.who, invite.until, "open" if invite.is_open(now) else "expired")
            for invite in self._invites.all
            if invite.service == str(service.key_hash) and not invite.used_by and not invite.withdrawn
        )
        return await self.let_in(service), tuple(waiting)

    async def let_in(self, service: Service) -> tuple[LetIn, ...]:
        """Who may visit.  Raises ConfigError."""
        text = await asyncio.to_thread(_read, _list_of(service)) if service.file is not None else ""
        return tuple(_let_in(client, note) for client, note in client_lines(text))

    async def revoke(self, service: Service, who: str) -> tuple[LetIn, ...]:
        """Have nobody called so, or whose key hash begins so, visit any more; returns who that was.

        What was given to him and not used is withdrawn.  Raises WrongArgument where nobody is meant, or several are.
        """
        if not who.strip():
            raise WrongArgument("who is it?", hint=f"hardline who {service.name}  shows who may visit")
        gone = await self._to_its_end(self._revoke(service, who.strip()))
        keys = {KeyHash.parse(row.key_hash) for row in gone} - {service.key_hash}
        await self._taken_up(lambda: not self._keeps_in(service.key_hash, keys))
        return gone

    def _keeps_in(self, key_hash: KeyHash, keys: set[KeyHash]) -> bool:
        """Whether its list still has any of them; one that is for everybody, or for nobody, has none."""
        service = self._services().get(key_hash)
        return service is not None and service.clients is not None and not service.clients.isdisjoint(keys)

    async def _revoke(self, service: Service, who: str) -> tuple[LetIn, ...]:
        async with self._invites.changing:
            now, service_key = time.time(), str(service.key_hash)
            file = _list_of(service) if service.file is not None else None
            text = await asyncio.to_thread(_read, file) if file is not None else ""
            rows = [_let_in(client, note) for client, note in client_lines(text)]
            gone = [row for row in rows if row.who.casefold() == who.casefold()] or _by_digits(rows, who)
            names = {who.casefold(), *(row.who.casefold() for row in gone)}
            numbers = {row.invitation for row in gone}
            withdrawn = [
                invite
                for invite in self._invites.all
                if invite.service == service_key
                and not invite.withdrawn
                and (invite.who.casefold() in names or invite.number in numbers or invite.number == who)
            ]
            if not gone and not withdrawn:
                hint = f"hardline who {service.name}  shows who may"
                raise NotKnown(f"nobody called {one_line(who, _MAX_WHO)!r} may visit {service.name}", hint=hint)
            failed: ConfigError | None = None
            for invite in withdrawn:
                try:
                    await self._invites.change(replace(invite, withdrawn=True), now)
                except ConfigError as failure:  # he goes off the list all the same
                    failed = failure
            if file is not None and gone:
                keys = {KeyHash.parse(row.key_hash) for row in gone}
                await asyncio.to_thread(_rewrite, file, lambda now: without_clients(now, keys))
            if failed is not None:
                raise failed
        log.event("access.revoked", service=service.name, who=one_line(who, _MAX_WHO))
        return tuple(gone)


def _by_digits(rows: list[LetIn], text: str) -> list[LetIn]:
    digits = text.strip().lower()
    found = [row for row in rows if row.key_hash.startswith(digits)] if len(digits) >= 8 else []
    if len(found) > 1:
        raise WrongArgument(f"{digits} is the beginning of several keys", hint="give more digits")
    return found


def _let_in(client: KeyHash, note: str) -> LetIn:
    note = note.encode("utf-8", "replace").decode()  # of a list that is no UTF-8
    found = _NOTE.match(note)
    who, since, number = (found["who"], found["since"], found["number"]) if found else (note, None, None)
    return LetIn(str(client), one_line(who, _MAX_WHO), since, number)


def _list_of(service: Service) -> Path:
    assert service.file is not None, "one without a file has no list"
    return service.file.with_name(f"{service.file.name}.clients")


def _read(file: Path) -> str:
    try:
        return read_small(file, MAX_CLIENTS_FILE).data.decode("utf-8-sig", "surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as failure:
        raise ConfigError(f"the list of visitors cannot be read: {why(failure)}", file=str(file)) from None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _rewrite(file: Path, change: Callable[[str], str]) -> None:
    """Have `file` be what `change` makes of it; it is read anew, since its owner may have edited it a moment ago."""
    try:
        replace_whole(file, _encoded(change(_read(file))))
    except OSError as failure:
        raise ConfigError(why(failure), file=str(file), hint=hint_for(failure)) from None
