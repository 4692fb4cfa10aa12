"""Which node a domain is for, by the word of whoever has the domain: a TXT record beside it.

    _hardline.nas.example.org  TXT  "node=0123…"      ──▶ the node may have nas.example.org at this relay

What was found counts while the relay runs, and is looked for again when the node registers again.  Without DNSSEC a
record is as true as the way to the resolver.  Source: docs/PROTOCOL.md, section 9.3.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from hardline import log
from hardline.identity import KeyHash
from hardline.routes import Endpoint

LABEL, KEY = "_hardline", "node="
AT_ONCE, OF_A_SOURCE = 64, 8  # look-ups
MOST_WAITING = 64  # of a source, for their turn
_WITHIN = 5.0  # seconds
_MOST_PROVEN = 4096
_MOST_RECORDS, _MOST_SIZE = 64, 512  # texts of a name, and bytes of one, that are looked at

LookUp = Callable[[str], Awaitable[Sequence[bytes]]]  # the TXT records of a name; raises whatever it likes


class DnsProofs:
    """Those of a relay, by the `look_up` of `resolver_at`."""

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        self._proven: OrderedDict[tuple[KeyHash, str], None] = OrderedDict()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._sources: dict[str, _Asking] = {}

    def has(self, node: KeyHash | None, domain: str) -> bool:
        """Whether that was found when it was last looked for."""
        return node is not None and (node, domain) in self._proven

    async def look(self, node: KeyHash, domain: str, source: str) -> bool | None:
        """Look whether `domain` names `node`, which asks from `source`.

        False also where nobody knows; None, and what was found before holds, where it asks for too much at once.
        """
        asking = self._sources.setdefault(source, _Asking())
        if asking.count >= MOST_WAITING:
            return None
        asking.count += 1
        try:
            async with asking.room, self._room:  # a server that is slow keeps nobody waiting but its own
                found = await self._found(node, domain)
        finally:
            asking.count -= 1
            if not asking.count:
                del self._sources[source]
        self._proven.pop((node, domain), None)
        if found:
            self._proven[node, domain] = None
            while len(self._proven) > _MOST_PROVEN:
                self._proven.popitem(last=False)
        return found

    async def _found(self, node: KeyHash, domain: str) -> bool:
        try:
            async with asyncio.timeout(_WITHIN):
                texts = await self._look_up(f"{LABEL}.{domain}")
            return any(names_node(text, node) for text in texts[:_MOST_RECORDS])
        except Exception as failure:  # the library has many for a name that is not there
            log.debug("relay.no_record", name=f"{LABEL}.{domain}", reason=type(failure).__name__)
            return False


class _Asking:
    """What one source has looked up, and what of that waits."""

    def __init__(self) -> None:
        self.count, self.room = 0, asyncio.Semaphore(OF_A_SOURCE)


def names_node(text: bytes, node: KeyHash) -> bool:
    """Whether a TXT record says that `node` may have the domain beside it."""
    said = text[:_MOST_SIZE].decode("latin-1").strip().lower()
    return said == f"{KEY}{node}"


def resolver_at(server: Endpoint | None) -> LookUp:
    """Asks the DNS server there, or those of this system.  Raises ImportError where the library is missing."""
    from dns.asyncresolver import Resolver

    resolver = Resolver(configure=server is None)
    if server is not None:
        resolver.nameservers, resolver.port = [server.host], server.port

    async def look_up(name: str) -> Sequence[bytes]:
        answer = await resolver.resolve(f"{name}.", "TXT", lifetime=_WITHIN)
        return [b"".join(record.strings) for record in answer]

    return look_up
