"""As whom this node visits: a key for each host that asks who its visitors are.

    DATADIR/keys/KEYHASH, KEYHASH.private      made by `hardline key ADDRESS`, shown to the host of KEYHASH only

One key a host, so that hosts cannot compare their visitors.  Source: docs/PROTOCOL.md, section 4.1.
"""

from __future__ import annotations

import asyncio
import os
from itertools import islice
from pathlib import Path

from hardline import certificates, log
from hardline.errors import BadKeyHash, ConfigError, HardlineError
from hardline.files import hint_for, make_private, why
from hardline.identity import KeyHash
from hardline.proof import Prover
from hardline.signatures import signing_key

MAX_KEYS = 10_000


class ClientKeys:
    """The keys in `directory`, which is made with the first of them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._provers: dict[KeyHash, Prover] = {}

    async def load(self) -> None:
        """Read those that are there; what cannot be read is in the log."""
        self._provers = await asyncio.to_thread(self._read)

    def prover(self, host: KeyHash) -> Prover | None:
        """As whom `host` is visited; None: as nobody in particular."""
        return self._provers.get(host)

    async def make(self, host: KeyHash) -> KeyHash:
        """The key hash of the key for `host`, which is made where there is none.  Raises HardlineError."""
        if host not in self._provers:
            if len(self._provers) >= MAX_KEYS:
                raise ConfigError(f"{self._directory}: {MAX_KEYS} keys", hint="remove those of hosts long gone")
            self._provers[host] = await asyncio.to_thread(self._make, host)
        return KeyHash.of_certificate(self._provers[host].certificate)

    def _make(self, host: KeyHash) -> Prover:
        try:
            make_private(self._directory)
        except OSError as failure:
            raise ConfigError(why(failure), file=str(self._directory), hint=hint_for(failure)) from None
        identity = certificates.load_or_create(self._directory / str(host))
        return Prover(identity.der, signing_key(identity.private_key_pem))

    def _read(self) -> dict[KeyHash, Prover]:
        found = dict[KeyHash, Prover]()
        for host in self._names():
            try:
                identity = certificates.load(self._directory / str(host))
                found[host] = Prover(identity.der, signing_key(identity.private_key_pem))
            except HardlineError as failure:
                log.warning("key.unusable", host=host.short, reason=failure.message, hint=failure.hint or None)
        return found

    def _names(self) -> list[KeyHash]:
        names = []
        try:
            with os.scandir(self._directory) as entries:
                for entry in islice(entries, 3 * MAX_KEYS):
                    try:
                        names.append(KeyHash.parse(entry.name))
                    except BadKeyHash:
                        continue
        except FileNotFoundError:
            return []
        except OSError as failure:
            log.warning("keys.unreadable", directory=self._directory, reason=why(failure))
        return names
