"""All checks at once: every fact is asked for when it is needed first, every row is there as soon as it can be judged.

    examine(node) ─┬─ facts of this session: resolver, firewall, routes, clock …
                   └─ facts of the node: LAN, DHT, relays, services … ──▶ judgements ──▶ Row, Row …

No fact is waited for longer than its limit; what did not come until then is not checked, and says so.
"""

from __future__ import annotations

import asyncio
import typing
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from hardline import __version__
from hardline.doctor import firewall, session
from hardline.doctor.asked import Node
from hardline.doctor.beyond import relay_hosts
from hardline.doctor.checks import CHECKS, Check
from hardline.doctor.facts import Daemon, Facts, Firewall, Hops, Lingering, Resolving, read
from hardline.doctor.hops import first_hops
from hardline.doctor.rows import Row, Unknown, not_checked
from hardline.doctor.ruleset import Packet
from hardline.doctor.threads import in_thread
from hardline.errors import Deaf, HardlineError, NoDaemon
from hardline.tasks import TaskSet

LIMIT = 6.0  # seconds for a fact
LIMITS = {"status": 11.0, "dht": 13.0, "dialled_back": 13.5, "lan": 8.0, "resolving": 12.0, "shared": 8.0}
LAN_PORTS = (Packet("udp", 6771), Packet("udp", 5353))

_SETTLING = 0.4  # seconds between two looks
_OTHER_VERSION = Unknown("the hardlined that runs is of another version", "restart it")
_OF_THE_NODE = ("lan", "dht", "dialled_back", "shared", "keys", "places", "exposed", "ports")
_KINDS = typing.get_type_hints(Facts)


async def examine(node: Node) -> AsyncGenerator[Row, None]:
    """Yield the rows of every check as they come: those of one check together, and the checks in any order.

    Takes less than 15 s.  Safe to cancel, and to leave half-way (aclose): nothing goes on.
    """
    async with aclosing(by_check(node)) as checks:
        async for rows in checks:
            for row in rows:
                yield row


async def by_check(node: Node) -> AsyncGenerator[list[Row], None]:
    """The same: all rows of a check at once."""
    examination = _Examination(node)
    try:
        async with aclosing(examination.run()) as found:
            async for rows in found:
                yield rows
    finally:
        await examination.aclose()


class _Examination:
    """One run: its facts, and the tasks that look for them."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._facts = Facts(__version__)
        self._tasks = TaskSet("doctor")
        self._looking: dict[str, asyncio.Task[Any]] = {}
        self._began = asyncio.get_running_loop().time()

    async def run(self) -> AsyncGenerator[list[Row], None]:
        """The rows of each check."""
        done: asyncio.Queue[list[Row]] = asyncio.Queue()
        for check in CHECKS:
            self._tasks.start(self._judge(check, done), check.name)
        for _ in CHECKS:
            yield await done.get()

    async def aclose(self) -> None:
        """End what still looks."""
        await self._tasks.aclose()

    async def _judge(self, check: Check, done: asyncio.Queue[list[Row]]) -> None:
        await asyncio.wait([self._look(name) for name in check.needs])
        took = asyncio.get_running_loop().time() - self._began
        try:
            rows, hosts = check.judge(self._facts), relay_hosts(self._facts)
        except (KeyError, TypeError, AttributeError, ValueError):
            rows, hosts = [not_checked(check.name, _OTHER_VERSION)], []  # a status that lacks what is looked for
        done.put_nowait([replace(row, took_s=round(took, 3), private=(*row.private, *hosts)) for row in rows])

    def _look(self, name: str) -> asyncio.Task[Any]:
        if name not in self._looking:
            self._looking[name] = self._tasks.start(self._find(name), name)
        return self._looking[name]

    async def _find(self, name: str) -> None:
        """Fill in one of the facts."""
        limit = LIMITS.get(name, LIMIT)
        try:
            async with asyncio.timeout(limit):
                found = await self._found(name)
        except TimeoutError:
            found = Unknown(f"no answer within {limit:g} s")
        except NoDaemon as nobody:
            found = Unknown(nobody.message, nobody.hint) if name == "daemon" else Unknown("no hardlined runs")
        except Deaf as hangs:
            found = Unknown(hangs.message, hangs.hint) if name == "daemon" else Unknown("hardlined does not answer")
        except HardlineError as failure:
            found = Unknown(failure.message, failure.hint)
        except (KeyError, TypeError, ValueError, AttributeError):
            found = _OTHER_VERSION
        setattr(self._facts, name, found)

    async def _found(self, name: str) -> object:
        if name in _OF_THE_NODE:
            return await self._of_the_node(name)
        looks: Mapping[str, Callable[[], Awaitable[object]]] = {
            "daemon": self._daemon,
            "status": self._settled_status,
            "lingering": self._lingering,
            "resolving": self._resolving,
            "firewall": self._firewall,
            "hops": self._hops,
            "routes": lambda: asyncio.to_thread(session.routes),
            "clock": lambda: asyncio.to_thread(session.clock),
        }
        return await looks[name]()

    async def _of_the_node(self, name: str) -> object:
        said = await self._node.facts(name)
        if isinstance(said, Mapping) and "unknown" in said:
            return Unknown(str(said["unknown"]), str(said.get("do", "")))
        kinds = [one for one in typing.get_args(_KINDS[name]) if one is not Unknown]
        return read(kinds[0], said)

    async def _daemon(self) -> Daemon:
        status = await self._node.status()
        return await asyncio.to_thread(session.running, str(status["version"]), int(status["pid"]))

    async def _lingering(self) -> Lingering | Unknown:
        await asyncio.wait([self._look("daemon")])
        if isinstance(running := self._facts.daemon, Unknown):
            await self._node.status()  # which says in a word why it is not known
            return running
        return await asyncio.to_thread(session.lingering, running.user)

    async def _resolving(self) -> Resolving:
        # A router says a few times a second that it cannot send something on: what nobody resolves would use that up.
        await asyncio.wait([self._look("hops")])
        return await session.resolving()

    async def _hops(self) -> Hops:
        return Hops(await in_thread(first_hops))

    async def _firewall(self) -> Firewall | Unknown:
        port = 7008
        try:
            listens = (await self._node.status())["node"]["p2p"]
            port = int(str(listens[0]).rpartition(":")[2]) if listens else port
        except (HardlineError, KeyError, ValueError, TypeError):
            pass
        return await firewall.look([Packet("tcp", port), *LAN_PORTS])

    async def _settled_status(self) -> Mapping[str, Any]:
        """What the node says once routers and relays have answered, or have had the time to."""
        patience = asyncio.get_running_loop().time() + LIMITS["status"] - 2 * _SETTLING - 1
        while True:
            status = await self._node.status()
            if is_settled(status) or asyncio.get_running_loop().time() >= patience:
                return status
            await asyncio.sleep(_SETTLING)


def is_settled(status: Mapping[str, Any]) -> bool:
    """Nobody is still being asked for the first time."""
    upnp = status["outside"]["upnp"]
    if upnp is not None and upnp["searched_s"] is None:
        return False
    return not any(
        one["problem"] is None
        and (one["state"] == "connecting" or (one["state"] == "registered" and one["tested"] < one["names"]))
        for one in status["relays"]["used"]
    )
