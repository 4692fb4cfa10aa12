"""Those who come by public ports of relays, joined with the service as they are: they know nothing of hardline.

    RelayClient ──Joined──▶ PublicVisits ─┬─ a plain socket of the service ─▶ Pair: no byte comes by here
                                          └─ https, or another name ─▶ copied

Whence they come is the relay's word: it bounds how many there are of a source, and a service that asks is told it.
Source: docs/PROTOCOL.md, section 9.3.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable

from hardline import log
from hardline.errors import HardlineError, ServiceFailed
from hardline.relay.joins import Joined
from hardline.relay.pair import Pair
from hardline.relay.rates import RateLimits, Rates
from hardline.routes import Endpoint
from hardline.streams import DEFAULT_RECEIVE
from hardline.tasks import TaskSet
from hardline.transport.crowd import Seat, gives_way
from hardline.transport.descriptors import KEPT_FROM_SERVICES, scarce
from hardline.transport.sources import networks, source_of
from hardline.transport.tcp import TcpStream, keep_alive
from hardline.tunnel.host import Host
from hardline.tunnel.pump import carry
from hardline.tunnel.serving import Came, Reached

MOST, OF_A_SOURCE = 1024, 256  # visits at once


class PublicVisits:
    """All of a node's; `host` is looked up when somebody comes, `most` are here at once."""

    def __init__(self, host: Callable[[], Host], most: int = MOST) -> None:
        self._host = host
        self._tasks = TaskSet("public")
        self._most = most
        self._of_source: Counter[str] = Counter()
        self._pairs: dict[Pair, Joined] = {}
        self._tasks_of: dict[asyncio.Task[None], Joined] = {}  # of those that are no pair, or none yet
        self._rates = Rates(RateLimits())
        self._passed = 0  # bytes that were copied, and those of pairs that have ended

    @property
    def open_streams(self) -> int:
        """How many are here."""
        return len(self._pairs) + len(self._tasks_of)

    @property
    def sent(self) -> int:
        """Bytes of both directions."""
        return self._passed + sum(pair.passed for pair in self._pairs)

    @property
    def received(self) -> int:
        """They are counted in `sent`."""
        return 0

    def came(self, joined: Joined, at: Endpoint) -> None:
        """A relay brought somebody who had connected to its port `at`."""
        source = source_of(joined.source.host)
        if not self._has_room(source, joined.source.host):
            log.debug("visitor.refused", service=joined.service.short, reason="too many by public ports")
            joined.tcp.abort()
            return
        self._of_source[source] += 1
        task = self._tasks.start(self._visit(joined, source, Came(joined.source, at)), "visit")
        self._tasks_of[task] = joined
        task.add_done_callback(self._tasks_of.pop)

    def services_changed(self) -> None:
        """Who visits what nobody may visit so any more is cut."""
        is_public = self._host().is_public
        for pair in [pair for pair, joined in self._pairs.items() if not is_public(joined.service)]:
            pair.close(reset=True)
        for task in [task for task, joined in self._tasks_of.items() if not is_public(joined.service)]:
            task.cancel()

    async def aclose(self) -> None:
        """Cut everybody."""
        await self._tasks.aclose()
        for pair in tuple(self._pairs):
            pair.close(reset=True)
        self._rates.close()

    def _has_room(self, source: str, address: str) -> bool:
        """A relay keeps this for each port; here are all ports of all relays.  Who has most gives way to others."""
        if self._of_source[source] >= OF_A_SOURCE or scarce(KEPT_FROM_SERVICES):
            return False
        if self._of_source.total() < self._most:
            return True
        here = [*self._tasks_of.items(), *self._pairs.items()]
        seats = [Seat(one, networks(who.source.host), in_use=True, last_used=0.0) for one, who in here]
        match gives_way(seats, networks(address)):
            case Pair() as pair:
                pair.close(reset=True)
            case asyncio.Task() as task:
                task.cancel()
            case _:
                return False
        return True

    async def _visit(self, joined: Joined, source: str, came: Came) -> None:
        with contextlib.ExitStack() as over:
            over.callback(self._is_gone, source)
            over.callback(joined.tcp.abort)
            keep_alive(joined.tcp.transport.get_extra_info("socket"))
            try:
                reached = await self._host().reach_public(joined.service, source, came)
                over.callback(reached.leave)
                if reached.first is None:
                    await carry(_Patient(joined.tcp, self._has_passed), reached.local)
                elif self._join(joined, source, reached, reached.first):
                    over.pop_all()
            except ServiceFailed as failure:
                log.debug("stream.failed", service=joined.service.short, kind=failure.kind, reason=failure.detail)
            except HardlineError:
                pass  # either side may leave at any time, and the other has seen the cut

    def _join(self, joined: Joined, source: str, reached: Reached, first: bytes) -> bool:
        """Have the kernel carry it; False where an end is gone already, or no descriptor is left."""
        assert isinstance(reached.local, TcpStream), "it is a plain socket"
        if joined.tcp.transport.is_closing() or reached.local.transport.is_closing():
            reached.local.abort()
            return False
        try:
            theirs, early, _ = joined.tcp.detach()
        except OSError:
            reached.local.abort()
            return False
        try:
            ours, greeting, _ = reached.local.detach()
        except OSError:
            theirs.close()
            reached.local.abort()
            return False

        def ended(pair: Pair) -> None:
            del self._pairs[pair]
            self._has_passed(pair.passed)
            reached.leave()
            self._is_gone(source)

        pair = Pair(theirs, ours, source, self._rates, ended, (first + early, greeting))
        self._pairs[pair] = joined
        pair.start()
        return True

    def _has_passed(self, count: int) -> None:
        self._passed += count

    def _is_gone(self, source: str) -> None:
        self._of_source[source] -= 1
        if not self._of_source[source]:
            del self._of_source[source]


class _Patient:
    """A visitor's socket that is closed when he has taken all that the service said, however long that takes."""

    def __init__(self, tcp: TcpStream, passed: Callable[[int], None]) -> None:
        self._tcp, self._passed = tcp, passed

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE) -> bytes:
        """As ByteStream.receive."""
        data = await self._tcp.receive(max_bytes)
        self._passed(len(data))
        return data

    async def send(self, data: bytes) -> None:
        """As ByteStream.send."""
        await self._tcp.send(data)
        self._passed(len(data))

    async def send_eof(self) -> None:
        """As ByteStream.send_eof."""
        await self._tcp.send_eof()

    async def aclose(self) -> None:
        """As ByteStream.aclose, and waits for him."""
        if self._tcp.eof_sent:
            await self._tcp.close_patiently()
        else:
            self._tcp.abort()
