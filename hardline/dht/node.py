"""A node of the DHT of our own: OpenDHT in a child process that may die at any time.

    get, put ──▶ OpenDhtNode ──JSON lines──▶ python -m hardline.dht.child ──UDP──▶ the DHT
                   └─ watches: an end, or SILENCE without a word → kill, wait, start anew

The child is started by the first get or put.  What is under way when it dies is asked again of the next one, within
its own time.  Nothing here waits for the child on the event loop, and what it says is bounded before it is believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardline import log
from hardline.dht import lines
from hardline.dht.known import KnownNodes
from hardline.dht.record import Key
from hardline.dht.table import NotStored
from hardline.errors import PeerError
from hardline.routes import Endpoint
from hardline.tasks import TaskSet

SILENCE = 4.0  # seconds without a line after which a child counts as hanging; it says something every second
FIRST_WORD = 15.0  # the same at its start, while it loads the library
MAX_REQUESTS = 64  # under way at once; more wait
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 60.0  # seconds before the next child
KEEP_NODES = 600.0  # seconds between two writings of the known nodes

_PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """Settings [DHT] and [Node] bind.  `bind`: the addresses to use, none for all; port 0: any free one."""

    bootstrap: Sequence[Endpoint] = ()
    port: int = 0
    network: int = 0
    bind: Sequence[str] = ()


@dataclass(slots=True)
class _State:
    """What the child that runs now said last."""

    good: int = 0
    port: int | None = None
    nodes: list[Endpoint] = field(default_factory=list)


class _ChildGone:
    """The child that was asked died before it had answered."""


class _Ended:
    """The child is done with a request: `ok`, and how many nodes that are not its own took part."""

    def __init__(self, ok: bool, others: int) -> None:
        self.ok, self.others = ok, others


_Said = bytes | _Ended | _ChildGone


class _Request:
    """One request, and what came for it: at most MAX_VALUES values and an end."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._said: asyncio.Queue[_Said] = asyncio.Queue()

    def came(self, said: _Said) -> None:
        """The child said something, or ended."""
        if not isinstance(said, bytes) or self._said.qsize() < lines.MAX_VALUES:
            self._said.put_nowait(said)

    async def answer(self, deadline: float) -> _Said | None:
        """The next of it; None when time is up."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self._said.get()
        except TimeoutError:
            return None


class OpenDhtNode:
    """A Table.  `nodes_file` is where good nodes are remembered for the next start."""

    def __init__(self, options: NodeOptions, nodes_file: Path | None = None) -> None:
        self._options = options
        self._known = KnownNodes(nodes_file)
        self._tasks, self._reapers = TaskSet("dht.node"), TaskSet("dht.node")
        self._reaping: asyncio.Task[None] | None = None
        self._room = asyncio.Semaphore(MAX_REQUESTS)
        self._asked: dict[int, _Request] = {}
        self._last_number = 0
        self._process: Process | None = None
        self._up = asyncio.Event()
        self._changed = asyncio.Event()
        self._state = _State()
        self._phase = "idle"
        self._reason = ""
        self._restarts = 0
        self._kept = 0.0

    @property
    def connected(self) -> bool:
        """Whether the child runs and has good nodes."""
        return self._up.is_set() and self._state.good > 0

    @property
    def asleep(self) -> bool:
        """Whether no child was started yet."""
        return self._phase == "idle"

    @property
    def missing(self) -> bool:
        """Whether there is no OpenDHT for this Python and machine, so that no child can ever run."""
        return self._phase == "missing"

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the child; the first get or put does it otherwise.  Idempotent."""
        if self._phase == "idle":
            self._phase = "starting"
            self._tasks.start(self._supervise(), "supervise")

    def network_changed(self) -> None:
        """This machine has other addresses than before: if nobody answers any more, look for nodes at once."""
        if self._up.is_set():
            self._tell({"do": "seek"})

    async def wait_connected(self, limit: float) -> bool:
        """Start, and wait for a good node."""
        self.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while not self.connected and not self.missing:
                    self._changed.clear()
                    await self._changed.wait()
        return self.connected

    async def get(self, key: Key, largest: int, limit: float) -> AsyncGenerator[bytes, None]:
        """As Table.get; it waits for a good node within `limit`."""
        deadline = asyncio.get_running_loop().time() + limit
        fields = {"do": "get", "key": key, "largest": min(largest, lines.MAX_VALUE)}
        seen: set[int] = set()
        while (request := await self._ask(fields, deadline)) is not None:
            try:
                while not isinstance(said := await request.answer(deadline), _ChildGone):
                    if said is None or isinstance(said, _Ended):
                        return
                    if len(said) <= largest and len(seen) < lines.MAX_VALUES and hash(said) not in seen:
                        seen.add(hash(said))
                        yield said
            finally:
                self._forget(request)

    async def put(self, key: Key, value: bytes, limit: float) -> None:
        """As Table.put; it waits for a good node within `limit`."""
        deadline = asyncio.get_running_loop().time() + limit
        fields = {"do": "put", "key": key, "value": lines.encode_value(value)}
        while (request := await self._ask(fields, deadline)) is not None:
            try:
                said = await request.answer(deadline)
            finally:
                self._forget(request)
            if said is None:
                break
            if isinstance(said, _Ended):
                if said.ok and said.others:
                    return
                raise NotStored("no other node took it")
        if self.missing:
            raise NotStored("OpenDHT is not installed")
        raise NotStored(f"no answer within {limit:g} s" if self._state.good else f"no good node within {limit:g} s")

    def describe(self) -> dict[str, Any]:
        """As Table.describe: phase is idle, starting, running, restarting, missing or stopped."""
        phase = self._phase
        return {
            "kind": "node",
            "phase": phase,
            "good": self._state.good if phase == "running" else 0,
            "port": self._state.port,
            "port_wanted": self._options.port or None,
            "pid": self.pid,
            "restarts": self._restarts,
            "reason": self._reason or None,
        }

    async def aclose(self) -> None:
        """End the child, and remember its good nodes."""
        self._phase = "stopped"
        await self._tasks.aclose()
        if self._reaping:
            await self._reaping
        self._process = None
        await asyncio.to_thread(self._known.save, self._state.nodes)

    # Requests.

    async def _ask(self, fields: Mapping[str, object], deadline: float) -> _Request | None:
        """Send a request to a child as soon as there is one, else None.  `_forget` must follow on a request."""
        self.start()
        try:
            async with asyncio.timeout_at(deadline):
                await self._room.acquire()
                try:
                    while not self._up.is_set() and not self.missing:
                        self._changed.clear()
                        await self._changed.wait()
                except BaseException:
                    self._room.release()
                    raise
        except TimeoutError:
            return None
        if self.missing:
            self._room.release()
            return None
        self._last_number += 1
        request = self._asked[self._last_number] = _Request(self._last_number)
        self._tell({"id": request.number} | dict(fields))
        return request

    def _forget(self, request: _Request) -> None:
        self._room.release()
        if self._asked.pop(request.number, None) is not None and self._up.is_set():
            self._tell({"do": "drop", "id": request.number})

    def _tell(self, fields: dict[str, object]) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(lines.encode(fields))  # a child that does not read it is replaced within SILENCE

    # The child.

    async def _supervise(self) -> None:
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
        while True:
            began = loop.time()
            reason = await self._one_child()
            if self.missing:
                log.event("dht.missing", reason=reason, consequence="the DHT is used through proxies")
                return
            if loop.time() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            self._phase, self._reason = "restarting", reason
            self._restarts += 1
            log.warning("dht.child_ended", reason=reason, pause_s=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _one_child(self) -> str:
        """Run a child to its end; return why it ended.  Cancelling this kills it."""
        known = self._state.nodes or await asyncio.to_thread(self._known.load)
        # What lies in the directory that somebody was in when he started the daemon is no module of ours.
        modules = [str(_PACKAGE), *filter(os.path.isabs, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(modules)}
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "hardline.dht.child"),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env=environment,
                cwd="/",
                limit=lines.MAX_LINE,
                start_new_session=True,  # Ctrl-C in a terminal is for us, who then end it
            )
        except OSError as failure:
            return f"cannot be started: {(failure.strerror or str(failure)).lower()}"
        self._process = process
        try:
            self._tell(
                {
                    "do": "run",
                    "parent": os.getpid(),
                    "network": self._options.network,
                    "port": self._options.port,
                    "bind": list(self._options.bind),
                    "bootstrap": [str(endpoint) for endpoint in self._options.bootstrap],
                    "nodes": [str(endpoint) for endpoint in known],
                }
            )
            return await self._listen(process)
        finally:
            self._up.clear()
            self._abandon()
            self._state = _State(nodes=self._state.nodes)
            self._reaping = self._reapers.start(_reap(process), "reap")
            await asyncio.shield(self._reaping)
            self._process = None

    async def _listen(self, process: Process) -> str:
        assert process.stdout is not None
        while True:
            try:
                async with asyncio.timeout(SILENCE if self._up.is_set() else FIRST_WORD):
                    line = await process.stdout.readline()
            except TimeoutError:
                return "it said nothing any more"
            except ValueError:
                return "it wrote a line that is too long"
            if not line:
                return f"it ended ({_how(await process.wait())})"
            try:
                self._heard(lines.decode(line))
            except (PeerError, TypeError) as failure:
                return f"it wrote nonsense: {failure}"
            if self.missing:
                return self._reason

    def _heard(self, fields: dict[str, Any]) -> None:
        if "missing" in fields:
            self._phase, self._reason = "missing", str(fields["missing"])[:200]
            self._changed.set()
        elif isinstance(state := fields.get("state"), dict):
            self._stated(state)
        elif request := self._asked.get(_number(fields.get("id"))):
            if fields.get("done") is True:
                request.came(_Ended(fields.get("ok") is True, _number(fields.get("nodes"))))
            else:
                request.came(lines.decode_value(fields.get("value")))

    def _stated(self, state: dict[str, Any]) -> None:
        was_connected = self.connected
        self._state.good = _number(state.get("good"))
        self._state.port = _number(state.get("port"))
        if nodes := lines.read_endpoints(state.get("nodes")):
            self._state.nodes = nodes
            self._keep()
        if not self._up.is_set():
            self._phase, self._reason = "running", ""
            log.event("dht.started", port=self._state.port, pid=self.pid)
            self._up.set()
        if self.connected != was_connected:
            log.event("dht.connected" if self.connected else "dht.disconnected", good=self._state.good)
        self._changed.set()

    def _keep(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self._kept or now - self._kept > KEEP_NODES:
            self._kept = now
            self._tasks.start(asyncio.to_thread(self._known.save, self._state.nodes), "keep")

    def _abandon(self) -> None:
        """Tell everybody who waits for this child that it is gone."""
        for request in self._asked.values():
            request.came(_ChildGone())
        self._asked.clear()
        self._changed.set()


async def _reap(process: Process) -> None:
    """End a child.  Nobody cancels this half-way: a process that nobody waits for stays until the end of ours."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    while await process.stdout.read(lines.MAX_LINE):  # the rest of what it had said, or its pipe stays open
        pass


def _number(value: object) -> int:
    return value if type(value) is int and value >= 0 else 0


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
