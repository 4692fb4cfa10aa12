"""Looking at the requests of a service while somebody wants to: nothing of it is there before or after, or on a disk.

look(service) ─▶ Look ─ news: exchanges that began or are over      as long as one of its lookers is there
                  └─ find(number), replay(number, …)
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from hardline.allowance import Allowance
from hardline.errors import HardlineError, LimitReached, PeerError, WrongArgument
from hardline.identity import KeyHash
from hardline.inspector.exchanges import Exchange, Reading, changed
from hardline.inspector.ring import Ring
from hardline.inspector.watched import Beside, Watched
from hardline.settings.directory import Service
from hardline.tunnel.host import Host
from hardline.tunnel.pump import Local

MOST = 8  # services at once
_NEWS = 1000  # that wait for a looker who is slow, and that he is told of at once
_NEWS_A_SECOND = 200.0  # in the long run: to tell of one costs more than to read along
_TOGETHER = 0.05  # seconds: what is over within them is told at once, for who is told each alone is woken for each
_ANSWERED_WITHIN = 60.0  # seconds, for a replay


class Looker:
    """One who looks: what happens comes to him until he is told that it is over, as much of it as anybody reads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: deque[Exchange] = deque(maxlen=_NEWS)
        self._told = asyncio.Event()
        self._reads = Allowance(_NEWS, _NEWS_A_SECOND)

    def tell(self, exchange: Exchange) -> None:
        """One is over."""
        if self._reads.take("", self._clock()):
            self._waiting.append(exchange)
            self._told.set()

    async def news(self) -> AsyncIterator[Exchange]:
        """Exchanges as they are over, until cancelled."""
        while True:
            await self._told.wait()
            self._told.clear()
            while self._waiting:
                yield self._waiting.popleft()
            await asyncio.sleep(_TOGETHER)


class Look:
    """The exchanges of one service."""

    def __init__(self) -> None:
        self.ring = Ring()
        self.lookers: list[Looker] = []

    def pipe(
        self,
        local: Local,
        told: bytes = b"",
        replay_of: int | None = None,
        begins: Callable[[Exchange], None] = lambda _: None,
    ) -> Watched:
        """As serving.Watcher; `begins` hears of each of its exchanges."""
        reading = self._reading(replay_of, begins)
        if told:
            reading.asked(told, time.monotonic())
        return Watched(local, local.abort, reading, time.monotonic)

    def gate(self) -> Beside:
        """As serving.Watcher."""
        return Beside(self._reading(), time.monotonic, self.lookers)

    def _reading(self, replay_of: int | None = None, begins: Callable[[Exchange], None] = lambda _: None) -> Reading:
        def began(exchange: Exchange) -> None:
            exchange.began = time.time()
            self.ring.add(exchange)
            begins(exchange)

        return Reading(self.ring.number, began, self.ring.grew, self._over, replay_of)

    def _over(self, exchange: Exchange) -> None:
        for looker in self.lookers:
            looker.tell(exchange)


class Inspecting:
    """Those of one node."""

    def __init__(self, host: Callable[[], Host]) -> None:
        self._host = host
        self._looks: dict[KeyHash, Look] = {}

    async def look(self, service: Service) -> tuple[AsyncIterator[Exchange], Callable[[], Awaitable[None]]]:
        """Look at `service`: its news, and what is to be called in the end.  Raises LimitReached."""
        look = self._looks.get(service.key_hash)
        if look is None and len(self._looks) >= MOST:
            raise LimitReached(f"{MOST} services are looked at already", hint="end another  hardline inspect")
        looker, first = Looker(), look is None
        if look is None:
            look = self._looks[service.key_hash] = Look()
        look.lookers.append(looker)

        async def end() -> None:
            look.lookers.remove(looker)
            if not look.lookers and self._looks.get(service.key_hash) is look:
                del self._looks[service.key_hash]
                await self._host().watch(service.key_hash, None)

        if first:
            try:
                await self._host().watch(service.key_hash, look)
            except BaseException:  # whoever asked has gone meanwhile
                await end()
                raise
        return looker.news(), end

    def exchanges(self, service: Service) -> Ring:
        """What was seen.  Raises WrongArgument while nobody looks."""
        return self._of(service).ring

    async def replay(
        self, service: Service, number: int, method: str, target: str, fields: list[bytes], body: bytes | None
    ) -> Exchange:
        """Ask the service the same once more, or with changes; the new exchange, which is over.

        Raises WrongArgument, ServiceFailed, and HardlineError where it does not answer.
        """
        look = self._of(service)
        try:
            request = changed(look.ring.find(number), method, target, fields, body)
        except PeerError as failure:
            raise WrongArgument(failure.message, hint="give another with --data") from None
        made: list[Exchange] = []
        local = look.pipe(await self._host().open_service(service.key_hash), b"", number, made.append)
        try:
            async with asyncio.timeout(_ANSWERED_WITHIN):
                await local.send(request)
                while await local.receive():
                    if made and made[-1].took_s is not None:
                        break
        except TimeoutError:
            raise HardlineError(f"the service did not answer within {_ANSWERED_WITHIN:g} s") from None
        finally:
            await local.aclose()
        if not made:
            raise HardlineError("the changed request cannot be read", hint="look at --path and --header")
        return made[-1]

    def _of(self, service: Service) -> Look:
        if (look := self._looks.get(service.key_hash)) is None:
            hint = f"hardline inspect {service.name}  in another terminal"
            raise WrongArgument("nobody looks at its requests now, and so none are kept", hint=hint)
        return look
