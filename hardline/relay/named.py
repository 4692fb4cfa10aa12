"""Services that are registered at a relay under their own names: which server names stand for them, without I/O.

A handle stands for itself.  A named service is found by its rolling codes of yesterday, today and tomorrow, as at its
host, and by its plain key hash only where the host wants originals to find it.
Source: docs/PROTOCOL.md, sections 2.3 and 9.3.
"""

from __future__ import annotations

from hardline.identity import KeyHash

NOBODY = "-"  # no name that is registered


class NamedServices:
    """Those of one relay."""

    def __init__(self) -> None:
        self._services: dict[str, tuple[KeyHash, bool]] = {}  # by name, and whether the plain one is answered
        self._day = -1
        self._codes: dict[str, str] = {}  # of all, for that day: strangers register, and must not have them made anew

    def add(self, key_hash: KeyHash, *, plain: bool) -> None:
        """It is registered, or once more."""
        self._services[str(key_hash)] = (key_hash, plain)
        self._codes |= dict.fromkeys(_near(key_hash, self._day), str(key_hash))

    def discard(self, name: str) -> None:
        """It is registered no more."""
        if (service := self._services.pop(name, None)) is not None:
            for code in _near(service[0], self._day):
                del self._codes[code]

    def find(self, server_name: str, day: int) -> str:
        """The registered name that is meant by what a visitor says on a UTC day."""
        if not self._services:
            return server_name
        if day != self._day:
            self._day = day
            self._codes = {
                code: name for name, (key_hash, _) in self._services.items() for code in _near(key_hash, day)
            }
        if (service := self._services.get(server_name)) is not None:
            return server_name if service[1] else NOBODY
        return self._codes.get(server_name, server_name)


def _near(key_hash: KeyHash, day: int) -> list[str]:
    return [key_hash.rolling(near) for near in (day - 1, day, day + 1) if near >= 0]
