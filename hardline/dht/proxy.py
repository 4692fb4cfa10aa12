"""The DHT through other people's nodes: OpenDHT's REST proxies, asked by worker threads.

    get   GET  PROXY/key/KEY      a line of JSON per value, as they are found
    put   POST PROXY/key/KEY      {"data": base64}; the proxy's node stores it
    look  GET  PROXY/node/info    how many good nodes its node has

For machines that OpenDHT has no wheel for, and networks that let no UDP through.  A proxy can be up and cut off from
the DHT: it then still answers gets, with what it stores itself.  So one that has no good nodes is not used, however
friendly its answers are.  What fails is left alone for RETRY seconds and the next one is asked.

Proxies learn which keys are looked up, by whom: not whose they are, since nobody can compute a key hash from a key,
and nobody can read a sealed record without it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from hardline import log
from hardline.dht import lines
from hardline.dht.record import Key
from hardline.dht.table import NotStored
from hardline.errors import PeerError

if TYPE_CHECKING:
    from hardline.dht import web

FRESH = 60.0  # seconds for which a proxy that had good nodes counts as connected
RETRY = 30.0  # seconds for which one that failed is left alone, unless all have
LOOK_LIMIT = 5.0  # seconds for asking one how it is
MAX_THREADS = 16
MAX_INFO = 65_536  # bytes
MAX_ANSWER = 16 << 20  # bytes of one get

_T = TypeVar("_T")


@dataclass(slots=True)
class _Proxy:
    """One proxy and what is known of it; times are the event loop's."""

    url: str
    state: str = "unknown"  # or connected, isolated, failing
    good: int = 0
    reason: str = ""
    looked: float = 0.0


class Proxies:
    """A Table over the proxies at `urls`, in the order of preference."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._proxies = [_Proxy(url.rstrip("/")) for url in urls]
        self._threads: ThreadPoolExecutor | None = None
        self._cuts: set[web.Cut] = set()
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether there is a proxy that was not found to be useless lately."""
        return any(proxy.state in ("connected", "unknown") for proxy in self._proxies)

    async def get(self, key: Key, largest: int, limit: float) -> AsyncGenerator[bytes, None]:
        """As Table.get: the first connected proxy that answers to the end; the next one goes on where one broke."""
        deadline = asyncio.get_running_loop().time() + limit
        seen: set[int] = set()
        for proxy in self._in_order():
            if not await self._is_connected(proxy, deadline):
                continue
            work = _Stream(largest)
            cut = (await asyncio.to_thread(_web)).Cut()
            task = self._start(work.read, cut, f"{proxy.url}/key/{key}")
            try:
                while (value := await work.next(deadline)) is not None:
                    if hash(value) not in seen and len(seen) < lines.MAX_VALUES:
                        seen.add(hash(value))
                        yield value
            finally:
                self._end(cut)
                await _settled(task)
            if work.failure is None:
                return
            self._failed(proxy, work.failure)

    async def put(self, key: Key, value: bytes, limit: float) -> None:
        """As Table.put: by the first connected proxy that takes it."""
        deadline = asyncio.get_running_loop().time() + limit
        told = {"data": lines.encode_value(value)}
        reasons = []
        for proxy in self._in_order():
            if await self._is_connected(proxy, deadline):
                failure = await self._try(proxy, deadline, "POST", f"{proxy.url}/key/{key}", told)
                if isinstance(failure, bytes):
                    return
                self._failed(proxy, failure)
            reasons.append(f"{proxy.url}: {proxy.reason}")
        raise NotStored("; ".join(reasons) or "there is no proxy")

    def describe(self) -> dict[str, Any]:
        """As Table.describe."""
        return {
            "kind": "proxies",
            "proxies": [
                {"url": proxy.url, "state": proxy.state, "good": proxy.good, "reason": proxy.reason or None}
                for proxy in self._proxies
            ],
        }

    async def aclose(self) -> None:
        """Cut whatever is under way."""
        self._closed = True
        for cut in list(self._cuts):
            cut.cut()
        if self._threads is not None:
            # Without waiting: a thread may hang in the resolver, which nothing can cut.
            self._threads.shutdown(wait=False, cancel_futures=True)

    # One proxy.

    def _in_order(self) -> list[_Proxy]:
        """Those that work before those nobody asked yet, before those that fail; none at all that failed just now,
        unless there is no other."""
        now = asyncio.get_running_loop().time()
        ranks = {"connected": 0, "unknown": 1, "isolated": 2, "failing": 3}
        ordered = sorted(self._proxies, key=lambda proxy: ranks[proxy.state])
        rested = [p for p in ordered if p.state in ("connected", "unknown") or now - p.looked >= RETRY]
        return rested or ordered

    async def _is_connected(self, proxy: _Proxy, deadline: float) -> bool:
        """Ask a proxy how many good nodes it has, unless that is known."""
        now = asyncio.get_running_loop().time()
        if proxy.state == "connected" and now - proxy.looked < FRESH:
            return True
        if now >= deadline:
            return False
        answer = await self._try(proxy, min(deadline, now + LOOK_LIMIT), "GET", f"{proxy.url}/node/info")
        if not isinstance(answer, bytes):
            self._failed(proxy, answer)
            return False
        try:
            proxy.good = _good(answer)
        except PeerError as failure:
            self._failed(proxy, failure.message)
            return False
        proxy.looked = asyncio.get_running_loop().time()
        state, proxy.reason = ("connected", "") if proxy.good else ("isolated", "it has no good nodes")
        if state != proxy.state:
            proxy.state = state
            log.event(f"dht.proxy_{state}", proxy=proxy.url, good=proxy.good)
        return bool(proxy.good)

    def _failed(self, proxy: _Proxy, reason: str) -> None:
        if proxy.state != "failing":
            log.event("dht.proxy_failing", proxy=proxy.url, reason=reason)
        proxy.state, proxy.good, proxy.reason = "failing", 0, reason
        proxy.looked = asyncio.get_running_loop().time()

    async def _try(
        self, proxy: _Proxy, deadline: float, method: str, url: str, told: Mapping[str, str] | None = None
    ) -> bytes | str:
        """The whole answer as bytes, or why there is none as text."""
        cut = (await asyncio.to_thread(_web)).Cut()

        def work(cut: web.Cut) -> bytes | str:
            try:
                return b"\n".join(_web().lines_of(cut, method, url, MAX_INFO + 2 * lines.MAX_LINE, told))
            except _web().Failures as failure:
                return str(_web().reason(failure))

        task = self._start(work, cut)
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(task)
        except TimeoutError:
            return "no answer in time"
        finally:
            self._end(cut)
            await _settled(task)

    # Threads.

    def _start(self, work: Callable[..., _T], cut: web.Cut, *arguments: object) -> asyncio.Future[_T]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(MAX_THREADS, "dht-proxy")
        if self._closed:
            cut.cut()
        self._cuts.add(cut)
        return asyncio.get_running_loop().run_in_executor(self._threads, work, cut, *arguments)

    def _end(self, cut: web.Cut) -> None:
        cut.cut()
        self._cuts.discard(cut)


class _Stream:
    """Values from a thread to the loop, one at a time when they are many."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._loop = asyncio.get_running_loop()
        self._values: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.failure: str | None = None

    async def next(self, deadline: float) -> bytes | None:
        """The next value; None at the end, of the answer or of the time."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self._values.get()
        except TimeoutError:
            return None

    def read(self, cut: web.Cut, url: str) -> None:
        """In the thread: pass on values until the answer ends."""
        taken = 0
        try:
            for line in _web().lines_of(cut, "GET", url, MAX_ANSWER):
                value = _value(line)
                if value is not None and len(value) <= self._largest:
                    taken += 1
                    if taken > lines.MAX_VALUES:
                        break
                    self._tell(value)
        except _web().Failures as failure:
            self.failure = _web().reason(failure)
        finally:
            self._tell(None)

    def _tell(self, value: bytes | None) -> None:
        self._loop.call_soon_threadsafe(self._values.put_nowait, value)


async def _settled(task: asyncio.Future[Any]) -> None:
    """Give a thread whose request was cut a moment to end; it holds nothing that anybody needs."""
    await asyncio.wait([task], timeout=1.0)


def _value(line: bytes) -> bytes | None:
    """The value in a line; None for a line without one, such as one that says that a value expired."""
    try:
        fields = lines.decode(line)
        return None if "expired" in fields else lines.decode_value(fields.get("data"))
    except PeerError:
        return None


def _good(answer: bytes) -> int:
    """How many good nodes a description of a node tells.  Raises PeerError for what is none."""
    try:
        fields = json.loads(answer)
    except (ValueError, RecursionError):
        raise PeerError("it is no DHT proxy") from None
    families = [fields.get(family) for family in ("ipv4", "ipv6")] if isinstance(fields, dict) else []
    counts = [family.get("good") for family in families if isinstance(family, dict)]
    if not counts:
        raise PeerError("it is no DHT proxy")
    return sum(count for count in counts if type(count) is int and count > 0)


def _web() -> ModuleType:
    """Loaded when somebody asks a proxy: most nodes never do, and it takes memory."""
    from hardline.dht import web

    return web
