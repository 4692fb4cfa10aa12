"""Which service a TLS server name asks for, without I/O.

A host answers to the rolling codes of yesterday, today and tomorrow, and to the plain key hash of a service that
serves hardline/1.  Source: docs/PROTOCOL.md, section 2.3.
"""

from __future__ import annotations

from collections.abc import Iterable

from hardline.identity import KeyHash


class ServerNames:
    """The table for a set of services: each a key hash, and whether its plain form is answered."""

    def __init__(self, services: Iterable[tuple[KeyHash, bool]]) -> None:
        self._services = tuple(services)
        self._day: int | None = None
        self._table: dict[str, KeyHash] = {}

    def find(self, server_name: str, day: int) -> KeyHash | None:
        """The key hash that `server_name` stands for on UTC day `day`."""
        if day != self._day:
            self._table = dict(self._names(day))
            self._day = day
        return self._table.get(server_name)

    def plain(self, server_name: str) -> KeyHash | None:
        """The key hash that `server_name` is in plain, where that is answered."""
        return next((key_hash for key_hash, plain in self._services if plain and server_name == str(key_hash)), None)

    def _names(self, day: int) -> Iterable[tuple[str, KeyHash]]:
        for key_hash, plain in self._services:
            for near in (day - 1, day, day + 1):
                if near >= 0:
                    yield key_hash.rolling(near), key_hash
            if plain:
                yield str(key_hash), key_hash
