"""Who on the LAN is answered, with what, and how often, without I/O.

    search for everything      ── a budget for all of them ──▶ the label of each listed service, for all to hear
    search for a rolling code  ── a budget for each code ────▶ that code; to an original the label of a listed service

Whoever heard a code can repeat it, and learns where the service is and nothing else.  One source is told of one
service four times a second, and once about one search, which comes by several ways at a time: a forged search is
amplified into nothing worth having.  Source: docs/PROTOCOL.md, sections 6.2 and 6.3.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from hardline.discovery.lpd import VERSION, Search
from hardline.discovery.rates import Rate
from hardline.identity import KeyHash, Label

PER_SOURCE = 4  # answers a second to one source about one service
BROWSED = 50  # answers a second to searches for everything and for key hashes
PER_CODE = 200  # answers a second to searches for one code: a quarter of what is read of them
SAME_SEARCH = 0.05  # seconds; it is repeated after a tenth
_TABLE = 4096


@dataclass(frozen=True, slots=True)
class LanService:
    """What the LAN may learn of a service."""

    label: Label
    title: str
    listed: bool
    legacy: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is due: about which service, under which name, and whether the whole LAN may hear it."""

    service: LanService
    name: str
    to_all: bool


@dataclass(slots=True)
class _Told:
    """What one source was told of one service."""

    rate: Rate = field(default_factory=lambda: Rate(PER_SOURCE, PER_SOURCE))
    cookie: str = ""
    at: float = float("-inf")


class AnswerPolicy:
    """Decides; `now` is seconds on any monotonic clock, `day` the UTC day."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, KeyHash], _Told] = OrderedDict()
        self._browsed = Rate(BROWSED, BROWSED)
        self._coded: dict[KeyHash, Rate] = {}
        self._codes: dict[str, LanService] = {}
        self._codes_of: tuple[tuple[LanService, ...], int] = ((), 0)

    def replies(
        self, search: Search, source: str, services: Sequence[LanService], *, day: int, now: float
    ) -> list[Reply]:
        """What to answer to `search`, which came from the address `source`."""
        known = self.codes(services, day)
        asked = [known[search.code]] if search.code in known else services
        return [
            reply
            for service in asked
            if (reply := _reply(search, service, coded=search.code in known)) is not None
            and self._may(reply, search, source, now)
        ]

    def codes(self, services: Sequence[LanService], day: int) -> dict[str, LanService]:
        """The rolling codes that are answered on `day`: those of three days."""
        if self._codes_of != (of := (tuple(services), day)):
            self._codes_of = of
            near = [one for one in (day - 1, day, day + 1) if one >= 0]
            self._codes = {service.label.key_hash.rolling(one): service for service in services for one in near}
            self._coded = {
                key_hash: self._coded.get(key_hash) or Rate(PER_CODE, PER_CODE)
                for key_hash in (service.label.key_hash for service in services)
            }
        return self._codes

    def _may(self, reply: Reply, search: Search, source: str, now: float) -> bool:
        service = reply.service.label.key_hash
        key = (source, service)
        told = self._told.get(key) or _Told()
        if search.cookie == told.cookie and now - told.at < SAME_SEARCH:
            return False
        in_all = self._coded[service] if search.code in self._codes else self._browsed
        if not (told.rate.takes(now) and in_all.takes(now)):
            return False
        told.cookie, told.at = search.cookie, now
        self._told[key] = told
        self._told.move_to_end(key)
        while len(self._told) > _TABLE:
            self._told.popitem(last=False)
        return True


def _reply(search: Search, service: LanService, *, coded: bool) -> Reply | None:
    label = service.label
    if service.listed and (not search.code or search.code == str(label.key_hash)):
        return Reply(service, str(label), to_all=True)
    if not coded:
        return None
    # An original asks by code only, and understands an answer only by the whole label.
    if service.listed and service.legacy and search.version < VERSION:
        return Reply(service, str(label), to_all=True)
    return Reply(service, search.code, to_all=False)
