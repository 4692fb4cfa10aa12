"""Names that a host wants to be found by at a relay, and what became of each, without I/O.

Source: docs/PROTOCOL.md, section 9.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardline.identity import KeyHash
from hardline.proof import Prover
from hardline.relay.messages import Kind


@dataclass(frozen=True, slots=True)
class Wanted:
    """A name to be found by: who proves it, for which service; a NAMED one is the service's own.

    Of a PORT `port` is the one that is wanted, 0 for any; `domain` is that of a DOMAIN.
    """

    service: KeyHash
    prover: Prover
    kind: Kind = Kind.HANDLE
    instance: str = ""
    legacy: bool = False
    port: int = 0
    domain: str = ""


@dataclass(slots=True)
class Registration:
    """What became of a Wanted at a relay, which knows it by `name`; `port` is the public one that it has there."""

    wanted: Wanted
    name: str
    registered: bool = False
    tested: bool = False
    port: int = 0

    @property
    def public(self) -> bool:
        """Its visitors come by a public port, without TLS."""
        return self.wanted.kind is Kind.PORT

    @property
    def domain(self) -> str:
        """The one that its visitors, who know nothing of hardline, ask for by TLS; empty for none."""
        return self.wanted.domain

    @property
    def by_name(self) -> bool:
        """Visitors who know the service find it."""
        return self.wanted.kind in (Kind.HANDLE, Kind.NAMED)

    @property
    def service(self) -> KeyHash:
        """Whose visitors come by it."""
        return self.wanted.service

    def is_still(self, wanted: Wanted | None) -> bool:
        """Whether it is what is wanted under its name now."""
        mine = self.wanted
        return wanted is not None and (mine.kind, mine.instance, mine.legacy, mine.port) == (
            wanted.kind,
            wanted.instance,
            wanted.legacy,
            wanted.port,
        )

    @property
    def joined_as(self) -> str:
        """What its visitors say there; empty for what they say anywhere."""
        return self.name if self.wanted.kind is Kind.HANDLE else ""
