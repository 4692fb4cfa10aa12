"""What kind of router is before this node: one port of ours, looked at from two places.

    the control connection's port ─▶ another relay, or another port of the same one ─▶ welcome: saw

Source: docs/PROTOCOL.md, section 9.2.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from hardline import log
from hardline.errors import HardlineError, PeerError
from hardline.identity import KeyHash
from hardline.relay.client import RelayClient
from hardline.relay.greeting import greet
from hardline.relay.nat import Nat, judge
from hardline.routes import Endpoint
from hardline.transport import tcp
from hardline.transport.resolver import Resolver

SETTLES = 2.0  # seconds after a relay has greeted us
ASKS_FOR = 5.0  # seconds


class RouterWatch:
    """`clients` are those of all relays; `clock` is seconds since 1970; `nat` is None until it is known."""

    def __init__(self, clients: Callable[[], Sequence[RelayClient]], clock: Callable[[], float]) -> None:
        self._clients, self._clock = clients, clock
        self._greeted = asyncio.Event()
        self.nat: Nat | None = None

    def greeted(self) -> None:
        """A relay has just said where it sees us."""
        self._greeted.set()

    async def run(self) -> None:
        """Look whenever that may have changed, until cancelled."""
        while True:
            await self._greeted.wait()
            await asyncio.sleep(SETTLES)
            self._greeted.clear()
            before, self.nat = self.nat, await self._look()
            if self.nat is not None and self.nat is not before:
                log.event("router.judged", nat=self.nat.name.lower())

    async def _look(self) -> Nat | None:
        for client in self._clients():
            seen, local = client.seen, client.local
            if seen is None or local is None:
                continue
            places = [(other.relay.key_hash, at) for other in self._clients() for at in other.endpoints]
            for key_hash, at in places:
                if key_hash != client.relay.key_hash or at != client.endpoints[0]:
                    with contextlib.suppress(OSError, HardlineError, TimeoutError):
                        return judge(local, seen, [await self._seen_from(local, key_hash, at)])
            return judge(local, seen, [])
        return None

    async def _seen_from(self, local: Endpoint, relay: KeyHash, at: Endpoint) -> Endpoint:
        """Where the relay that is `at` sees `local`.  Raises OSError, HardlineError, TimeoutError."""
        async with asyncio.timeout(ASKS_FOR):
            addresses = await Resolver.of_services().addresses(at)
            same = [one for one in addresses if (":" in one.host) == (":" in local.host)]
            stream = await tcp.connect_any(same, tcp.Manner(shares=True, local=local))
            tls, _, welcome = await greet(stream, relay, self._clock())
            tls.abort()
            seen = Endpoint.parse(welcome.saw)
            if seen.address is None:
                raise PeerError("the relay does not say where it sees us")
            return seen
