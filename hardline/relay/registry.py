"""Who is registered at a relay, and under which names, without I/O.

    register(Registration) ──▶ those that it replaces, or Why not        leave(holder) ──▶ what it had
    find(name) ──▶ one of the pool that has this name, in turns

The same name and instance again replaces the older registration: a node that comes back must not hear that it is there
already.  Several instances of one name are a pool.  Source: docs/PROTOCOL.md, section 9.3.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from hardline.relay.messages import Kind, Why

_PORT = "port:"  # no server name has a colon


class Holder(Protocol):
    """A node's control connection, and whom it counts for: an address or /64, and the network around that."""

    @property
    def source(self) -> str: ...
    @property
    def network(self) -> str: ...
    def __hash__(self) -> int: ...


H = TypeVar("H", bound=Holder)


@dataclass(frozen=True, slots=True)
class RegistryLimits:
    """How many registrations there may be: in all, of one address, of one network, of one connection."""

    registrations: int = 10_000
    per_source: int = 256
    per_network: int = 1024
    per_connection: int = 64


@dataclass(frozen=True, slots=True)
class Registration(Generic[H]):
    """`number` is the holder's own; `instance` tells apart those that share a name, "" where they may not."""

    holder: H
    number: int
    kind: Kind
    name: str
    instance: str = ""


class Registry(Generic[H]):
    """All of a relay."""

    def __init__(self, limits: RegistryLimits) -> None:
        self._limits = limits
        self._pools: dict[str, OrderedDict[str, Registration[H]]] = {}  # by name and instance, next in turn first
        self._of_holder: dict[H, dict[int, Registration[H]]] = {}
        self._of_source: Counter[str] = Counter()
        self._of_network: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(map(len, self._of_holder.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._pools

    def register(self, one: Registration[H]) -> list[Registration[H]] | Why:
        """Have it found from now on.  Returns those that it replaces, or why it is refused."""
        before = self._of_holder.get(one.holder, {}).get(one.number)
        pool = self._pools.get(one.name)
        same = None if pool is None else pool.get(one.instance)
        replaced = list(dict.fromkeys(each for each in (before, same) if each is not None))
        if (why := self._is_full(one, replaced)) is not None:
            return why
        for each in replaced:
            self._forget(each)
        self._of_holder.setdefault(one.holder, {})[one.number] = one
        self._pools.setdefault(one.name, OrderedDict())[one.instance] = one
        self._of_source[one.holder.source] += 1
        self._of_network[one.holder.network] += 1
        return replaced

    def find(self, name: str) -> Registration[H] | None:
        """Who serves the next visitor of `name`; None where nobody has it."""
        pool = self._pools.get(name)
        if pool is None:
            return None
        instance = next(iter(pool))
        pool.move_to_end(instance)
        return pool[instance]

    def unregister(self, holder: H, number: int) -> Registration[H] | None:
        """Have it found no more.  Returns it, None where there is none."""
        found = self._of_holder.get(holder, {}).get(number)
        if found is not None:
            self._forget(found)
        return found

    def leave(self, holder: H) -> list[Registration[H]]:
        """Its connection has ended.  Returns what it had."""
        left = list(self._of_holder.get(holder, {}).values())
        for each in left:
            self._forget(each)
        return left

    def held_by(self, holder: H) -> tuple[Registration[H], ...]:
        """What it has."""
        return tuple(self._of_holder.get(holder, {}).values())

    def _is_full(self, one: Registration[H], replaced: list[Registration[H]]) -> Why | None:
        """What it replaces makes room for it."""
        limits, holder = self._limits, one.holder
        held = len(self._of_holder.get(holder, ())) - sum(each.holder is holder for each in replaced)
        if held >= limits.per_connection:
            return Why.QUOTA
        source = self._of_source[holder.source] - sum(each.holder.source == holder.source for each in replaced)
        network = self._of_network[holder.network] - sum(each.holder.network == holder.network for each in replaced)
        if source >= limits.per_source or network >= limits.per_network:
            return Why.QUOTA
        return Why.FULL if len(self) - len(replaced) >= limits.registrations else None

    def _forget(self, one: Registration[H]) -> None:
        held = self._of_holder[one.holder]
        del held[one.number]
        if not held:
            del self._of_holder[one.holder]
        pool = self._pools[one.name]
        del pool[one.instance]
        if not pool:
            del self._pools[one.name]
        for counter, whose in ((self._of_source, one.holder.source), (self._of_network, one.holder.network)):
            counter[whose] -= 1
            if not counter[whose]:
                del counter[whose]


def pool_of(kind: Kind, name: str) -> str:
    """What it is registered as: a port shares a pool with nothing else."""
    return _PORT + name if kind is Kind.PORT else name


def holder_of_port(pool: str) -> str:
    """The service whose public port that is; "" where it is none."""
    return pool.removeprefix(_PORT) if pool.startswith(_PORT) else ""


def is_public(pool: str) -> bool:
    """Whether it is nobody's secret: a public port, or a domain, which has a dot in it as no handle has."""
    return pool.startswith(_PORT) or "." in pool
