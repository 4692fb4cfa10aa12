"""What the owner of a relay allows, as its parts take it.  Source: docs/PROTOCOL.md, section 9.6."""

from __future__ import annotations

from dataclasses import dataclass, field

from hardline.relay.rates import RateLimits
from hardline.relay.registry import RegistryLimits


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """What its owner allows.  `new_pairs` is of one source a second; `hello_timeout` in seconds."""

    registry: RegistryLimits = field(default_factory=RegistryLimits)
    pairs: int = 64  # of one name
    pairs_of_port: int = (
        256  # of a public one, or of a domain: there each of a visitor's connections is a pair, not each visitor
    )
    pairs_per_source: int = 256
    new_pairs: int = 20
    rates: RateLimits = field(default_factory=RateLimits)
    hello_timeout: float = 10.0
