"""Invitations that the user has accepted and that no host has seen yet: kept until one says what became of them.

    DATADIR/keys/KEYHASH.invite       LABEL.SECRET, shown to the host of KEYHASH only, with the key for it

Source: docs/PROTOCOL.md, section 4.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from itertools import islice
from pathlib import Path

from hardline import log
from hardline.errors import BadKeyHash, BadLabel, ConfigError
from hardline.files import hint_for, make_private, read_small, replace_whole, why
from hardline.identity import KeyHash, Label

MAX_OPEN = 1000
_LONGEST = 256
_END = ".invite"


class Accepted:
    """Those in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._secrets: dict[KeyHash, tuple[Label, str]] = {}

    @property
    def open(self) -> tuple[Label, ...]:
        """The services whose hosts have not answered yet."""
        return tuple(label for label, _ in self._secrets.values())

    def secret(self, host: KeyHash) -> str:
        """What is shown to `host`; "" for nothing."""
        return self._secrets[host][1] if host in self._secrets else ""

    async def load(self) -> None:
        """Read those that are there."""
        self._secrets = await asyncio.to_thread(self._read)

    async def accept(self, label: Label, secret: str) -> None:
        """Show `secret` to the host of `label` from now on.  Raises ConfigError."""
        host = label.key_hash
        if host not in self._secrets and len(self._secrets) >= MAX_OPEN:
            raise ConfigError(f"{MAX_OPEN} invitations wait for their hosts", hint=f"remove some in {self._directory}")
        try:
            await asyncio.to_thread(self._write, label, secret)
        except OSError as failure:
            raise ConfigError(why(failure), file=str(self._directory), hint=hint_for(failure)) from None
        self._secrets[host] = label, secret

    def over(self, host: KeyHash, secret: str) -> None:
        """`host` has said what becomes of `secret`; one that was accepted meanwhile is still to be shown."""
        if secret and self.secret(host) == secret:
            del self._secrets[host]
            with contextlib.suppress(OSError):
                (self._directory / f"{host}{_END}").unlink(missing_ok=True)

    def _write(self, label: Label, secret: str) -> None:
        make_private(self._directory)
        replace_whole(self._directory / f"{label.key_hash}{_END}", f"{label}.{secret}\n".encode())

    def _read(self) -> dict[KeyHash, tuple[Label, str]]:
        found = dict[KeyHash, tuple[Label, str]]()
        try:
            with os.scandir(self._directory) as entries:
                names = [entry.name for entry in islice(entries, 100 * MAX_OPEN) if entry.name.endswith(_END)]
        except OSError:
            return {}
        for name in names[:MAX_OPEN]:
            try:
                host = KeyHash.parse(name.removesuffix(_END))
            except BadKeyHash:
                continue
            try:
                text = read_small(self._directory / name, _LONGEST).data.decode("ascii").strip()
                label, _, secret = text.rpartition(".")
                found[host] = Label.parse(label), secret
            except (OSError, UnicodeDecodeError, BadKeyHash, BadLabel) as failure:
                reason = why(failure) if isinstance(failure, OSError) else "it is not what hardlined has written"
                log.warning("invite.unreadable", service=host.short, reason=reason)
        return found
