"""Host names → addresses, in threads of their own, so that names that hang hold up nobody but who asks for them.

    addresses(a), addresses(a) ──▶ one look-up ──▶ QUICK threads ── 1 s ──▶ one of HANGING, and its place is another's
    addresses(b) ─────────────────▶ another    ──▶

getaddrinfo cannot be stopped: with a name server that swallows packets it takes half a minute, and whoever asked has
long gone.  So a name is looked up once for all who want it, nobody has more than PER_ASKER look-ups under way, and one
that takes longer than SLOW seconds frees its place.  A name that was slow last time begins only where one of the
places for those is free.  Names of the owner's services and names that strangers told have resolvers of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Self
from weakref import WeakKeyDictionary

from hardline.errors import afresh
from hardline.routes import Endpoint

QUICK, HANGING = 16, 48  # threads
PER_ASKER = 4
SLOW = 1.0  # seconds
MAX_ADDRESSES = 16  # of one name that are tried
_REMEMBERED = 1024  # slow names


class _LookUp:
    def __init__(self, name: str, asker: str) -> None:
        self.name, self.asker = name, asker
        self.answer: asyncio.Future[list[str] | OSError] = asyncio.get_running_loop().create_future()
        self.wanted = 0
        self.timer: asyncio.TimerHandle | None = None
        self.slow = self.hangs = False  # it took long; and its place is another's now


class Resolver:
    """Look-ups of one event loop: `of_services` or `of_strangers`.

    `look_up` blocks, returns the addresses of a name in the order in which they are to be tried, and raises OSError.
    """

    def __init__(
        self,
        look_up: Callable[[str], Sequence[str]] | None = None,
        *,
        quick: int = QUICK,
        hanging: int = HANGING,
        slow: float = SLOW,
    ) -> None:
        self._look_up = look_up or _getaddrinfo
        self._quick, self._hanging, self._slow_after = quick, hanging, slow
        self._by_name: dict[str, _LookUp] = {}  # waiting or under way
        self._waiting: OrderedDict[str, deque[_LookUp]] = OrderedDict()  # by asker, whose turn it is first
        self._of_asker: Counter[str] = Counter()  # under way
        self._busy = self._hung = 0
        self._slow: OrderedDict[str, None] = OrderedDict()

    @classmethod
    def of_services(cls) -> Self:
        """For what the owner of this node named."""
        return cls._of_this_loop("services")

    @classmethod
    def of_strangers(cls) -> Self:
        """For what others told."""
        return cls._of_this_loop("strangers")

    @classmethod
    def _of_this_loop(cls, whose: str) -> Self:
        mine = _resolvers.setdefault(asyncio.get_running_loop(), {})
        return mine.setdefault(whose, cls())  # type: ignore[return-value]  # nobody derives from it

    async def addresses(self, endpoint: Endpoint, asker: str = "") -> list[Endpoint]:
        """The addresses of a name, families in turns (RFC 8305, section 4); an address is its own.

        `asker` is on whose behalf.  Raises OSError (socket.gaierror).  Safe to cancel: a look-up that is under way goes
        on for others.
        """
        if endpoint.host == "localhost":
            return [Endpoint("127.0.0.1", endpoint.port), Endpoint("::1", endpoint.port)]
        if endpoint.address is not None:
            return [endpoint]
        found = await self._ask(endpoint.host, asker or endpoint.host)
        return [Endpoint(address, endpoint.port) for address in _in_turns(found)][:MAX_ADDRESSES]

    async def _ask(self, name: str, asker: str) -> list[str]:
        one = self._by_name.get(name)
        if one is None:
            one = self._by_name[name] = _LookUp(name, asker)
            self._waiting.setdefault(asker, deque()).append(one)
            self._start_some()
        one.wanted += 1
        try:
            answer = await asyncio.shield(one.answer)
            if isinstance(answer, OSError):
                raise afresh(answer)
            return answer
        finally:
            one.wanted -= 1
            if not one.wanted and one in self._waiting.get(one.asker, ()):
                self._leaves_queue(one)
                del self._by_name[name]

    def _start_some(self) -> None:
        loop = asyncio.get_running_loop()
        while (one := self._next()) is not None:
            self._leaves_queue(one)
            if one.asker in self._waiting:
                self._waiting.move_to_end(one.asker)
            self._of_asker[one.asker] += 1
            one.hangs = one.name in self._slow
            if one.hangs:
                self._hung += 1
            else:
                self._busy += 1
            one.timer = loop.call_later(self._slow_after, self._is_slow, one)
            thread = threading.Thread(target=self._run, args=(one, loop), name=f"look up {one.name}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                self._ended(one, OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)))

    def _next(self) -> _LookUp | None:
        for asker, queue in self._waiting.items():
            if self._of_asker[asker] < PER_ASKER:
                for one in queue:
                    room = self._hung < self._hanging if one.name in self._slow else self._busy < self._quick
                    if room:
                        return one
        return None

    def _leaves_queue(self, one: _LookUp) -> None:
        queue = self._waiting[one.asker]
        queue.remove(one)
        if not queue:
            del self._waiting[one.asker]

    def _is_slow(self, one: _LookUp) -> None:
        one.slow = True
        self._slow[one.name] = None
        self._slow.move_to_end(one.name)
        while len(self._slow) > _REMEMBERED:
            self._slow.popitem(last=False)
        if one.hangs:
            return
        if self._hung >= self._hanging:
            one.timer = asyncio.get_running_loop().call_later(self._slow_after, self._is_slow, one)
            return
        one.hangs = True
        self._hung += 1
        self._busy -= 1
        self._start_some()

    def _run(self, one: _LookUp, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread."""
        answer: Sequence[str] | OSError
        try:
            answer = self._look_up(one.name)
        except OSError as failure:
            answer = failure
        except UnicodeError:  # a label that is too long, for example
            answer = socket.gaierror(socket.EAI_NONAME, "it cannot be a host name")
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._ended, one, answer)

    def _ended(self, one: _LookUp, answer: Sequence[str] | OSError) -> None:
        if one.timer is not None:
            one.timer.cancel()
        if not one.slow:
            self._slow.pop(one.name, None)
        if one.hangs:
            self._hung -= 1
        else:
            self._busy -= 1
        self._of_asker[one.asker] -= 1
        if not self._of_asker[one.asker]:
            del self._of_asker[one.asker]
        del self._by_name[one.name]
        one.answer.set_result(answer if isinstance(answer, OSError) else list(answer))
        self._start_some()


_resolvers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Resolver]] = WeakKeyDictionary()


def _getaddrinfo(name: str) -> list[str]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _in_turns(addresses: Sequence[str]) -> list[str]:
    """The first one's family and the other one in turns, so that a family that leads nowhere costs one step."""
    first, others = list[str](), list[str]()
    for address in addresses:
        (first if (":" in address) == (":" in addresses[0]) else others).append(address)
    pairs = zip(first, others, strict=False)
    rest = first[len(others) :] + others[len(first) :]
    return [address for pair in pairs for address in pair] + rest
