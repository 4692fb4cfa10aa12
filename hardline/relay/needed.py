"""Whether a host needs a relay, which only that relay can show: it dials the host, and the host sees who comes.

    Need ──dialback(port, id)──▶ relay ──HARDLINE-PROBE id──▶ the host's own P2P port ──▶ Expected ──▶ Need
      ├─ it came: the world reaches this host at that address; nothing is registered, and the connection ends
      └─ it did not: registered, and asked again now and then

What the relay says of it counts for nothing: the id is 128 random bits, good once, and comes from outside or never.
When it is asked: askings.py.  Source: docs/PROTOCOL.md, section 9.4.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hardline import log
from hardline.errors import ConnectionLost, PeerError
from hardline.relay.askedback import AskedBack, is_here, is_public_ipv4
from hardline.relay.askings import Askings, port_to_ask
from hardline.relay.expected import Expected
from hardline.relay.messages import Message, may_be_dialled
from hardline.routes import Endpoint
from hardline.transport.resolver import Resolver

WITHDRAWN_WITHIN = 60.0  # seconds until nobody is told any more of what was told
LOOKS_AGAIN = 2.0  # seconds, whether visitors are left
RESOLVED_WITHIN = 3.0  # seconds, a name of [Node] public


@dataclass(frozen=True, slots=True)
class Reaching:
    """What is known of how the host is reached: what the world is `told` of where it is, the `port` that it listens on,
    whether it is `busy` with visitors whom a relay brought.  `found` is called when a Need's `reached` is another.
    """

    expected: Expected
    told: Callable[[], Sequence[Endpoint]]
    port: Callable[[], int]
    busy: Callable[[Endpoint], bool]
    found: Callable[[], None]
    proves: Callable[[str], bool] = is_public_ipv4
    is_here: Callable[[str], bool] = is_here


class Need:
    """Of one relay, at `relay`."""

    def __init__(self, relay: Endpoint, host: Reaching) -> None:
        self._relay, self._host = relay, host
        self._askings = Askings()
        self._changed = asyncio.Event()
        self._asked = AskedBack(host.expected, host.is_here)
        self._saw: Endpoint | None = None  # of this connection; None where a dial would prove nothing
        self.registers = True  # on this connection
        self.reached: Endpoint | None = None  # where the relay has reached this host

    @property
    def is_over(self) -> bool:
        """The relay is not needed, as far as is known."""
        return self._askings.needed is False

    @property
    def rests(self) -> bool:
        """No connection to the relay is wanted now."""
        return self._askings.connects > _now()

    def whereabouts_changed(self) -> None:
        """The world sees this host elsewhere than before, or another port is open."""
        self._askings.change(_now())
        self._changed.set()

    def network_changed(self) -> None:
        """This machine is in another network."""
        self.whereabouts_changed()
        self._found(None)

    def look_again(self) -> None:
        """What `connects` goes by may be another."""
        self._changed.set()

    async def connects(self, *, unless: Callable[[], bool] = lambda: False) -> None:
        """Wait until a connection to the relay is wanted, or `unless` that says true."""
        while (wait := self._askings.connects - _now()) > 0 and not unless():
            await self._pause(wait)

    def begin(self, saw: str, *, stands: bool = False) -> None:
        """A connection is there, on which the relay `saw` this host; it `stands` whether or not the relay is needed."""
        self._saw = None
        with contextlib.suppress(PeerError):
            seen = Endpoint.parse(saw)
            self._saw = seen if self._host.proves(seen.host) else None
        if self._saw is None:
            self._found(None)
        known = self._askings.needed is False and stands
        self.registers = self._saw is None or self._askings.needed is True or (_now() < self._askings.due and not known)
        if self.registers:
            self._askings.needed = True

    async def run(
        self,
        say: Callable[[Message], None],
        *,
        register: Callable[[], None],
        withdraw: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        """Ask again and again while this connection stands; returns when it is not wanted any more, or proves nothing.

        `register` has others told, too; `withdraw` has nobody told any more, while who comes all the same is let in;
        `end` ends the connection.  The first two raise ConnectionLost where it is lost.
        """
        saw = self._saw
        while saw is not None:
            while (wait := self._askings.due - _now()) > 0:
                await self._pause(wait)
            try:
                if await self._is_reached(saw, say):
                    if self.registers:
                        withdraw()
                    if not self.registers or await self._may_leave():
                        end()
                        return
                else:
                    self.registers = True
                    register()
            except ConnectionLost:
                return

    async def _is_reached(self, saw: Endpoint, say: Callable[[Message], None]) -> bool:
        """Ask once."""
        self._askings.ask(_now())
        port = port_to_ask(self._host.told(), saw.host, self._host.port())
        at = Endpoint(saw.host, port)
        came = may_be_dialled(port) and await self._asked.comes(port, say)
        if came is None:
            # Somebody else at this address asked within the minute, or the relay has too much to do: nothing is known.
            self._askings.change(_now() + random.random())
            if self._askings.needed is None:
                self._askings.needed = True
            return self._askings.needed is False
        self._found(at if came else None)
        needed = not (came and await self._is_told(at))
        if needed is not self._askings.needed:
            what = "relay.needed" if needed else "relay.not_needed"
            log.event(what, relay=self._relay, reached=at if came else None)
        self._askings.needed = needed
        return not needed

    def dialled(self, name: str) -> None:
        """The relay says that it dials, or does not want to."""
        self._asked.dialled(name)

    async def _is_told(self, at: Endpoint) -> bool:
        """Whether visitors hear of it: what nobody knows of reaches nobody."""
        told = [one for one in self._host.told() if one.port == at.port]
        if at in told:
            return True
        for name in [one for one in told if one.address is None]:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(RESOLVED_WITHIN):
                    if at in await Resolver.of_services().addresses(name):
                        return True
        return False

    async def _may_leave(self) -> bool:
        """Wait until nobody needs what is registered: what was told is forgotten, and who came by it has left.

        False where it is to be asked once more before.
        """
        left = _now() + WITHDRAWN_WITHIN
        while (now := _now()) < left or self._host.busy(self._relay):
            if now >= self._askings.due:
                return False
            await self._pause(min(max(left - now, LOOKS_AGAIN), self._askings.due - now))
        return True

    def _found(self, reached: Endpoint | None) -> None:
        if reached != self.reached:
            self.reached = reached
            self._host.found()

    async def _pause(self, seconds: float) -> None:
        """Until then, or until something changes."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()
