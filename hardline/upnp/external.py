"""What an address that a router claims to have is worth, without I/O.

"203.0.113.9" ──judge──▶ External(address, kind) ── kind PUBLIC: published; any other: said, with its reason
"""

from __future__ import annotations

from dataclasses import dataclass

from hardline.addresses import Address, Kind, kind_of, parse, unmapped

__all__ = ["External", "Kind", "judge"]

MAX_TEXT = 64


@dataclass(frozen=True, slots=True)
class External:
    """An address as the router told it.  `address` is None where that was none at all."""

    address: Address | None
    kind: Kind

    @property
    def public(self) -> bool:
        """Whether the world can send to it."""
        return self.kind is Kind.PUBLIC

    def __str__(self) -> str:
        return str(self.address) if self.address else ""


def judge(text: str) -> External:
    """Say what the address in `text` is.  Never raises."""
    words = text[: MAX_TEXT + 1].strip()
    if not words:
        return External(None, Kind.NONE)
    address = parse(words)
    if address is None or getattr(address, "scope_id", None):
        return External(None, Kind.NONSENSE)
    return External(unmapped(address), kind_of(address))
