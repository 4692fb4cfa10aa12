"""Invitations that the user has accepted and that no host has seen yet: kept until one says what became of them.

    DATADIR/keys/KEYHASH.invite       the link's secret, shown to the host of KEYHASH only, with the key for it

Source: docs/PROTOCOL.md, section 4.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from itertools import islice
from pathlib import Path

from hardline import log
from hardline.errors import BadKeyHash, ConfigError
from hardline.files import hint_for, make_private, read_small, replace_whole, why
from hardline.identity import KeyHash

MAX_OPEN = 1000
_LONGEST = 64
_END = ".invite"


class Accepted:
    """Those in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._secrets: dict[KeyHash, str] = {}

    @property
    def open(self) -> tuple[KeyHash, ...]:
        """The hosts that have not answered yet."""
        return tuple(self._secrets)

    def secret(self, host: KeyHash) -> str:
        """What is shown to `host`; "" for nothing."""
        return self._secrets.get(host, "")

    async def load(self) -> None:
        """Read those that are there."""
        self._secrets = await asyncio.to_thread(self._read)

    async def accept(self, host: KeyHash, secret: str) -> None:
        """Show `secret` to `host` from now on.  Raises ConfigError."""
        if host not in self._secrets and len(self._secrets) >= MAX_OPEN:
            raise ConfigError(f"{MAX_OPEN} invitations wait for their hosts", hint=f"remove some in {self._directory}")
        try:
            await asyncio.to_thread(self._write, host, secret)
        except OSError as failure:
            raise ConfigError(why(failure), file=str(self._directory), hint=hint_for(failure)) from None
        self._secrets[host] = secret

    def over(self, host: KeyHash, secret: str) -> None:
        """`host` has said what becomes of `secret`; one that was accepted meanwhile is still to be shown."""
        if secret and self._secrets.get(host) == secret:
            del self._secrets[host]
            with contextlib.suppress(OSError):
                (self._directory / f"{host}{_END}").unlink(missing_ok=True)

    def _write(self, host: KeyHash, secret: str) -> None:
        make_private(self._directory)
        replace_whole(self._directory / f"{host}{_END}", secret.encode())

    def _read(self) -> dict[KeyHash, str]:
        found = dict[KeyHash, str]()
        try:
            with os.scandir(self._directory) as entries:
                names = [entry.name for entry in islice(entries, 100 * MAX_OPEN) if entry.name.endswith(_END)]
        except OSError:
            return {}
        for name in names[:MAX_OPEN]:
            try:
                host = KeyHash.parse(name.removesuffix(_END))
                found[host] = read_small(self._directory / name, _LONGEST).data.decode("ascii").strip()
            except BadKeyHash:
                continue
            except (OSError, UnicodeDecodeError) as failure:
                log.warning("invite.unreadable", service=host.short, reason=str(failure))
        return found
