"""Inviting people: invitations given, shown and withdrawn, and the list of those who may visit.

    invite ──▶ a link for one person ──▶ shown by the key of his computer ──▶ a line in NAME.ini.clients
    revoke ──▶ that line is gone, and so is he; what was given to him and not used yet is withdrawn

Source: docs/PROTOCOL.md, section 4.3; docs/SETTINGS.md, [Access] clients.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from hardline import log
from hardline.errors import ConfigError, ConnectionLost, WrongArgument
from hardline.files import hint_for, read_small, replace_whole, why
from hardline.identity import KeyHash
from hardline.node.snapshot import Invited, LetIn
from hardline.peers.invites import Invite, Invites
from hardline.session.hello import Verdict
from hardline.settings.clients import MAX_CLIENTS, client_lines, with_client, without_clients
from hardline.settings.directory import MAX_CLIENTS_FILE, Service
from hardline.showable import is_plain, one_line

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

    async def load(self) -> None:
        """Read what was given before."""
        await self._invites.load()

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
            return await self._redeem(key_hash, client, secret)
        except ConfigError as failure:
            log.warning("access.failed", service=key_hash.short, reason=failure.message)
            raise ConnectionLost("the invitation could not be written down") from None

    async def _redeem(self, key_hash: KeyHash, client: KeyHash, secret: str) -> Verdict:
        async with self._invites.changing:
            service, now = self._services().get(key_hash), time.time()
            if service is None or service.file is None or not service.settings.for_invited:
                return Verdict.UNKNOWN
            if (invite := self._invites.find(key_hash, secret)) is None:
                return Verdict.UNKNOWN
            file = _list_of(service)
            text = await asyncio.to_thread(_read, file)
            clients = client_lines(text.lstrip("\ufeff"))
            if client in dict(clients):
                return Verdict.LET_IN
            if (verdict := invite.verdict(now)) is not Verdict.LET_IN:
                return verdict
            if len(clients) >= MAX_CLIENTS:
                raise ConfigError(f"{MAX_CLIENTS} visitors are on its list", file=str(file))
            # On the disk first: who is stopped between the two was not let in, and nobody is let in twice.
            await self._invites.change(invite, now, used_by=client)
            since = time.strftime("%Y-%m-%d", time.localtime(now))
            note = f"{invite.who}, since {since}, invitation {invite.number}"
            await asyncio.to_thread(_write, file, with_client(text, client, note))
        log.event("access.invited", service=service.name, who=invite.who, client=client.short)
        await self._taken_up(lambda: (now := self._services().get(key_hash)) is not None and now.lets_in(client))
        return Verdict.LET_IN

    async def who(self, service: Service) -> tuple[tuple[LetIn, ...], tuple[Invited, ...]]:
        """Who may visit, and who was invited and has not come yet."""
        text = await asyncio.to_thread(_read, _list_of(service)) if service.file is not None else ""
        now = time.time()
        waiting = (
            Invited(invite.number, invite.who, invite.until, "open" if invite.is_open(now) else "expired")
            for invite in self._invites.all
            if invite.service == str(service.key_hash) and not invite.used_by and not invite.withdrawn
        )
        return tuple(_let_in(client, note) for client, note in client_lines(text.lstrip("\ufeff"))), tuple(waiting)

    async def revoke(self, service: Service, who: str) -> tuple[LetIn, ...]:
        """Have nobody called so, or whose key hash begins so, visit any more; returns who that was.

        What was given to him and not used is withdrawn.  Raises WrongArgument where nobody is meant, or several are.
        """
        async with self._invites.changing:
            now, service_key = time.time(), str(service.key_hash)
            file = _list_of(service)
            text = await asyncio.to_thread(_read, file) if service.file is not None else ""
            rows = [_let_in(client, note) for client, note in client_lines(text.lstrip("\ufeff"))]
            gone = [row for row in rows if row.who.casefold() == who.strip().casefold()] or _by_digits(rows, who)
            names = {who.strip().casefold(), *(row.who.casefold() for row in gone)}
            numbers = {row.invitation for row in gone}
            withdrawn = [
                invite
                for invite in self._invites.all
                if invite.service == service_key
                and not invite.withdrawn
                and (invite.who.casefold() in names or invite.number in numbers or invite.number == who.strip())
            ]
            if not gone and not withdrawn:
                hint = f"hardline who {service.name}  shows who may"
                raise WrongArgument(f"nobody called {one_line(who, _MAX_WHO)!r} may visit {service.name}", hint=hint)
            for invite in withdrawn:
                await self._invites.change(invite, now)
            keys = {KeyHash.parse(row.key_hash) for row in gone}
            if keys:
                await asyncio.to_thread(_write, file, without_clients(text, keys))
        if keys:
            await self._taken_up(lambda: not any(map(self._services()[service.key_hash].lets_in, keys)))
        log.event("access.revoked", service=service.name, who=one_line(who, _MAX_WHO))
        return tuple(gone)


def _by_digits(rows: list[LetIn], text: str) -> list[LetIn]:
    digits = text.strip().lower()
    found = [row for row in rows if row.key_hash.startswith(digits)] if len(digits) >= 8 else []
    if len(found) > 1:
        raise WrongArgument(f"{digits} is the beginning of several keys", hint="give more digits")
    return found


def _let_in(client: KeyHash, note: str) -> LetIn:
    found = _NOTE.match(note)
    who, since, number = (found["who"], found["since"], found["number"]) if found else (note, None, None)
    return LetIn(str(client), one_line(who, _MAX_WHO), since, number)


def _list_of(service: Service) -> Path:
    assert service.file is not None, "one without a file has no list"
    return service.file.with_name(f"{service.file.name}.clients")


def _read(file: Path) -> str:
    try:
        return read_small(file, MAX_CLIENTS_FILE).data.decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as failure:
        reason = why(failure) if isinstance(failure, OSError) else "it is no UTF-8"
        raise ConfigError(f"the list of visitors cannot be read: {reason}", file=str(file)) from None


def _write(file: Path, text: str) -> None:
    try:
        replace_whole(file, text.encode())
    except OSError as failure:
        raise ConfigError(why(failure), file=str(file), hint=hint_for(failure)) from None
