"""Which record of a host is its newest, so that an old one cannot be played back, without I/O or clock.

Several hosts may hold one certificate: `instance` tells them apart, and each has its own newest record.
Source: docs/PROTOCOL.md, section 8.3.
"""

from __future__ import annotations

from hardline.dht.record import Record
from hardline.identity import KeyHash

MAX_REMEMBERED = 1000  # hosts; the one that was seen longest ago is forgotten first
MAX_INSTANCES = 16  # of one name: only who has its private key can make more


class Newest:
    """Per name and instance: when the newest record was issued."""

    def __init__(self) -> None:
        self._issued: dict[KeyHash, dict[str, int]] = {}

    def is_old(self, name: KeyHash, record: Record) -> bool:
        """Whether a newer record of the same host was seen; if not, this is now its newest."""
        instances = self._issued.pop(name, {})
        self._issued[name] = instances
        known = instances.pop(record.instance, -1)
        instances[record.instance] = max(known, record.issued)
        if len(instances) > MAX_INSTANCES:
            del instances[next(iter(instances))]
        if len(self._issued) > MAX_REMEMBERED:
            del self._issued[next(iter(self._issued))]
        return record.issued < known
