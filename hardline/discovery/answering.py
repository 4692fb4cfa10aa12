"""Who on the LAN is answered, with what, and how often, without I/O.

An answer goes only to a source on an attached subnet, at most once per source and service every 250 ms and 50 times a
second in all: a forged search is amplified into nothing worth having.  Source: docs/PROTOCOL.md, section 6.3.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from hardline.identity import KeyHash, Label

PER_SOURCE = 0.25  # seconds between answers to one source about one service
IN_ALL = 50  # answers a second
_TABLE = 4096


@dataclass(frozen=True, slots=True)
class LanService:
    """What the LAN may learn of a service."""

    label: Label
    title: str
    listed: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is due: about which service, under which name, and whether the whole LAN may hear it."""

    service: LanService
    name: str
    to_all: bool


class AnswerPolicy:
    """Decides; `now` is seconds on any monotonic clock, `day` the UTC day."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, KeyHash], float] = OrderedDict()
        self._tokens, self._counted = float(IN_ALL), 0.0

    def replies(self, code: str, source: str, services: Sequence[LanService], *, day: int, now: float) -> list[Reply]:
        """What to answer to a search for `code` ("" for everything) from the address `source`."""
        replies = []
        for service in services:
            reply = _reply(code, service, day)
            if reply is not None and self._may(source, service.label.key_hash, now):
                replies.append(reply)
        return replies

    def _may(self, source: str, service: KeyHash, now: float) -> bool:
        key = (source, service)
        if now - self._last.get(key, -PER_SOURCE) < PER_SOURCE:
            return False
        self._tokens = min(float(IN_ALL), self._tokens + (now - self._counted) * IN_ALL)
        self._counted = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        self._last[key] = now
        self._last.move_to_end(key)
        while len(self._last) > _TABLE:
            self._last.popitem(last=False)
        return True


def _reply(code: str, service: LanService, day: int) -> Reply | None:
    key_hash = service.label.key_hash
    known = code in {key_hash.rolling(near) for near in (day - 1, day, day + 1) if near >= 0} if code else False
    if service.listed:
        wanted = not code or known or code == str(key_hash)
        return Reply(service, str(service.label), to_all=True) if wanted else None
    return Reply(service, code, to_all=False) if known else None
