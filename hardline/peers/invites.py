"""Invitations that the owner of a service has given: each lets one key in, once, for some days.

    DATADIR/invites      JSON; of each its number, service, to whom, until when, what became of it, and a hash of what
                         the link holds: whoever reads the file can use none of them

An invitation is used up on the disk before anybody is let in, and is `listed` behind that: who had used it, and was
on no list yet when the machine went down, is let in by it again, and nobody else.
Source: docs/PROTOCOL.md, section 4.3.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from hardline import log
from hardline.errors import BadKeyHash, ConfigError, HardlineError
from hardline.files import hint_for, read_small, replace_whole, why
from hardline.identity import KeyHash
from hardline.session.hello import Verdict

MAX_OPEN = 1000  # of all services
_MAX_KEPT = 2000
_MAX_FILE = 2_097_152
_SECRET = 16  # bytes
_LONGEST = 64  # letters of a secret: what is longer is none of ours


@dataclass(frozen=True, slots=True)
class Invite:
    """One: `number` names it to its owner; `until` is seconds since 1970; `used_by` is the key that came with it, and
    `listed` says that it is on the list, or was."""

    number: str
    service: str
    who: str
    digest: str
    until: int
    used_by: str = ""
    listed: bool = False
    withdrawn: bool = False

    def is_open(self, now: float) -> bool:
        """It may be used."""
        return not self.used_by and not self.withdrawn and now < self.until

    def verdict(self, client: KeyHash, now: float) -> Verdict:
        """What becomes of `client`, who shows it."""
        if self.withdrawn:
            return Verdict.WITHDRAWN
        if self.used_by == str(client) and not self.listed:
            return Verdict.LET_IN
        if self.used_by:
            return Verdict.USED
        return Verdict.LET_IN if now < self.until else Verdict.EXPIRED


class Invites:
    """Those in `file`, which is made with the first of them."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._invites: tuple[Invite, ...] = ()
        self._unusable: HardlineError | None = None
        self.changing = asyncio.Lock()  # held from the verdict to the end of what follows from it

    @property
    def all(self) -> tuple[Invite, ...]:
        """The newest last."""
        return self._invites

    async def load(self) -> None:
        """Read the file; while it cannot be read, nobody is let in by it and nothing is written over it."""
        try:
            self._invites = _parsed((await asyncio.to_thread(read_small, self._file, _MAX_FILE)).data)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, RecursionError, BadKeyHash) as failure:
            reason = why(failure) if isinstance(failure, OSError) else "it is not what hardlined has written"
            self._unusable = ConfigError(
                f"the invitations cannot be read: {reason}",
                file=str(self._file),
                hint="move it away: those that are open do not count any more then",
            )
            log.warning("invites.unreadable", file=self._file, reason=reason)

    async def make(self, service: KeyHash, who: str, until: int, now: float) -> tuple[Invite, str]:
        """A new one to `service`, and its secret, which is kept nowhere.  Raises ConfigError."""
        async with self.changing:
            if sum(invite.is_open(now) for invite in self._invites) >= MAX_OPEN:
                raise ConfigError(f"{MAX_OPEN} invitations are open", hint="withdraw some: hardline revoke NAME WHO")
            secret = secrets.token_urlsafe(_SECRET)
            numbers = {invite.number for invite in self._invites}
            number = next(one for _ in range(1000) if (one := secrets.token_hex(3)) not in numbers)
            invite = Invite(number, str(service), who, _digest(secret), until)
            await self.write([*self._invites, invite], now)
        return invite, secret

    def find(self, service: KeyHash, secret: str) -> Invite | None:
        """The one to `service` whose secret this is."""
        if not secret.isascii() or len(secret) > _LONGEST:
            return None
        digest, found = _digest(secret), None
        for invite in self._invites:
            if hmac.compare_digest(invite.digest, digest) and invite.service == str(service):
                found = invite
        return found

    async def change(self, changed: Invite, now: float) -> None:
        """Have it be so from now on: the one with its number.  Raises ConfigError; `changing` is held."""
        await self.write([changed if one.number == changed.number else one for one in self._invites], now)

    async def write(self, invites: Iterable[Invite], now: float) -> None:
        """Have these be all; of those that are not open the oldest are forgotten."""
        if self._unusable is not None:
            raise self._unusable
        kept = list(invites)
        while len(kept) > _MAX_KEPT:
            kept.remove(next(one for one in kept if not one.is_open(now)))
        data = json.dumps([asdict(one) for one in kept], indent=1, ensure_ascii=False).encode()
        try:
            await asyncio.to_thread(replace_whole, self._file, data)
        except OSError as failure:
            raise ConfigError(why(failure), file=str(self._file), hint=hint_for(failure)) from None
        self._invites = tuple(kept)


def _digest(secret: str) -> str:
    return hashlib.blake2b(secret.encode(), digest_size=32, person=b"hardline invite").hexdigest()


def _parsed(data: bytes) -> tuple[Invite, ...]:
    rows = json.loads(data)
    if not isinstance(rows, list) or len(rows) > _MAX_KEPT:
        raise ValueError("no list of invitations")
    return tuple(_invite(row) for row in rows)


def _invite(row: object) -> Invite:
    if not isinstance(row, dict):
        raise ValueError("no invitation")
    texts = [row.get(key, "") for key in ("number", "service", "who", "digest", "used_by")]
    until, listed, withdrawn = row.get("until"), row.get("listed"), row.get("withdrawn")
    if not all(isinstance(text, str) for text in texts) or type(until) is not int:
        raise ValueError("no invitation")
    if not isinstance(listed, bool) or not isinstance(withdrawn, bool):
        raise ValueError("no invitation")
    number, service, who, digest, used_by = texts
    KeyHash.parse(service)
    return Invite(number, service, who, digest, until, used_by, listed, withdrawn)
