"""Who may ask: what `hardline open` gives a browser, and what the browser has from then on.

    hardline open ── once, by the control socket ──▶ #once=… in the address (60 s, one use)
    the page      ── POST login, once ─────────────▶ a token (30 days), in the browser's storage of this origin

    DATADIR/page-tokens     a line each: the token's SHA-256, until when it holds (seconds since 1970), and the number
                            of the user whose browser has it, - where the system does not tell

No cookie: those ignore ports, and what else listens on this computer would get them.  Tokens are of 256 random bits,
so a fast hash is enough, and nothing is gained by guessing: who guesses is slowed down and told of, others are not.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hardline import log
from hardline.errors import ConfigError
from hardline.files import hint_for, read_small, replace_whole, why

ONCE_FOR = 60.0  # seconds
HOLDS_FOR = 30 * 86_400
MAX_TOKENS = 32  # of a user's browsers; the oldest goes
_MAX_ONCE = 8
_LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) (?P<until>[0-9]{1,12}) (?P<user>-|[0-9]{1,10})\Z")
_MAX_FILE = 65_536
_BYTES = 32
_LONGEST = 64  # letters: what is longer is no token
WRONG_AT_ONCE, WRONG_EVERY = 10, 1.0  # wrong ones that are judged, and seconds until one more is


@dataclass(frozen=True, slots=True)
class Held:
    """One token: it holds `until` (seconds since 1970), for the browser of that user; None: of any."""

    until: int
    user: int | None

    def is_of(self, user: int | None) -> bool:
        """Whether `user` may show it, None where the system does not tell who that is; root may do anything here."""
        return user in (None, 0) or self.user in (None, user)


class Tokens:
    """Those in `file`, which is made with the first of them; `clock` is seconds since 1970."""

    def __init__(self, file: Path, clock: Callable[[], float]) -> None:
        self._file, self._clock = file, clock
        self._once: OrderedDict[str, float] = OrderedDict()  # digest → until when
        self._tokens: OrderedDict[str, Held] | None = None
        self._writing = asyncio.Lock()
        self._wrong, self._wrong_at = float(WRONG_AT_ONCE), clock()

    def once(self) -> str:
        """A new secret for one login."""
        while len(self._once) >= _MAX_ONCE:
            self._once.popitem(last=False)
        secret = secrets.token_urlsafe(_BYTES)
        self._once[_digest(secret)] = self._clock() + ONCE_FOR
        return secret

    async def login(self, once: str, user: int | None = None) -> str | None:
        """The token for the `user` that has that secret, which is used up; None for one that is not known any more.

        Raises ConfigError where it cannot be written down.
        """
        until = self._once.pop(_digest(once), None)
        now = self._clock()
        if until is None or not now < until <= now + ONCE_FOR:
            return None
        token = secrets.token_urlsafe(_BYTES)
        async with self._writing:
            tokens = await self._known()
            tokens[_digest(token)] = Held(int(now + HOLDS_FOR), user)
            while len(tokens) > MAX_TOKENS:
                tokens.popitem(last=False)
            await self._write(tokens)
        return token

    async def digest_of(self, token: str) -> str | None:
        """Under what it is known, None for one that does not hold."""
        digest = _digest(token)
        return digest if await self.holds(digest) else None

    async def holds(self, digest: str) -> bool:
        """Whether that one still does."""
        held = (await self._known()).get(digest)
        return held is not None and self._clock() < held.until

    async def is_of(self, digest: str, user: int | None) -> bool:
        """Whether `user` may show it."""
        held = (await self._known()).get(digest)
        return held is not None and held.is_of(user)

    async def revoke(self) -> int:
        """Forget all; returns how many there were."""
        async with self._writing:
            count = len(await self._known())
            self._once.clear()
            await self._write(OrderedDict())
        return count

    def wrong(self) -> bool:
        """A wrong one came.  Whether it came too soon after others."""
        now = self._clock()
        self._wrong = min(WRONG_AT_ONCE, self._wrong + max(0.0, now - self._wrong_at) / WRONG_EVERY)
        self._wrong_at = now
        if self._wrong < 1:
            return True
        self._wrong -= 1
        return False

    async def _known(self) -> OrderedDict[str, Held]:
        if self._tokens is None:
            read = await asyncio.to_thread(self._read)
            if self._tokens is None:  # else somebody else has, and may have changed it since
                self._tokens = read
        return self._tokens

    def _read(self) -> OrderedDict[str, Held]:
        """A file that cannot be read lets nobody in."""
        found = OrderedDict[str, Held]()
        try:
            text = read_small(self._file, _MAX_FILE).data.decode("ascii", "replace")
        except FileNotFoundError:
            return found
        except OSError as failure:
            log.warning("page.tokens_unreadable", file=self._file, reason=why(failure))
            return found
        for line in text.splitlines():
            if (match := _LINE.match(line)) and int(match["until"]) > self._clock():
                user = match["user"]
                found[match["digest"]] = Held(int(match["until"]), None if user == "-" else int(user))
        return found

    async def _write(self, tokens: OrderedDict[str, Held]) -> None:
        data = "".join(
            f"{digest} {held.until} {'-' if held.user is None else held.user}\n" for digest, held in tokens.items()
        ).encode()
        self._tokens = tokens  # also where the disk takes nothing: what is revoked must not hold
        try:
            await asyncio.to_thread(replace_whole, self._file, data)
        except OSError as failure:
            self._tokens = OrderedDict() if not tokens else None
            raise ConfigError(why(failure), file=str(self._file), hint=hint_for(failure)) from None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret[: _LONGEST + 1].encode("utf-8", "replace")).hexdigest()
