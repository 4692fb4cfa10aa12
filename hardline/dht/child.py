"""The process that OpenDHT lives in: `python -m hardline.dht.child`, JSON lines on stdin and stdout (lines.py).

    stdin ──▶ main thread ──▶ Peer "reads" (gets)        ─┐ callbacks, on the library's own threads
                         └──▶ Peer "writes" (puts)       ─┴▶ Outbox ──▶ its own thread ──▶ stdout
    ticker thread: every second, and at once when the first good node is there: how both are
    names thread: looks up the bootstrap nodes while there is no good node

It is apart because the library can abort, hang or be crashed from outside; it holds nothing that must not be lost.
It ends when stdin does, and with the process that started it.

Two nodes, because one that has put a value answers its own gets from what it keeps: what the other one reads was
told by the network.  Neither is ever shut down (the library cannot do that without the risk of a deadlock): the
process ends instead.  The routing table is asked for only while no operation is under way, since that call keeps
Python's lock while it waits for the library's, and a callback waits for them in the other order.  The library looks up
names with its lock held, for as long as a resolver is silent: it is given addresses only.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import IO, Any

from hardline.dht import lines
from hardline.errors import PeerError
from hardline.routes import Endpoint

BEAT = 1.0  # seconds between two descriptions
LOOK = 0.05  # seconds between two looks at everything while a node has no good node
TICK = 0.25  # the same when all have some
LOOK_AGAIN = 5.0  # seconds between two looks at the table of a node that has some
TELL_NODES = 30.0  # seconds between two lists of good nodes
MAX_WAITING = 16 << 20  # bytes of values that stdout does not take; more are dropped
QUIET = 0.1  # seconds without the end of an operation
FORGOTTEN = 60.0  # seconds after which an operation that never ended does not count as under way
SEEK, SEEK_SELDOM = 1.5, 60.0  # seconds between two batches of nodes that are asked whether they are still there
SEEK_AT_ONCE = 16
MAX_ADDRESSES = 64  # of bootstrap nodes
LOOK_UP = 10.0  # seconds between two lookups of the bootstrap nodes while a node has no good node
PING_ANSWERED, PING_FAILED = 1.2, 7.0  # seconds between which no ping ends: the library gives up after eight
FAMILIES = (socket.AF_INET, socket.AF_INET6)

_PR_SET_PDEATHSIG = 1


class Outbox:
    """Lines on their way out.  Whoever adds one never waits: callbacks run on the library's threads."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._waiting = 0
        threading.Thread(target=self._write, daemon=True, name="outbox").start()

    def add(self, fields: dict[str, object], *, may_drop: bool = False) -> None:
        """Send a line; one that `may_drop` is dropped when too much waits."""
        line = lines.encode(fields)
        if not may_drop or self._waiting < MAX_WAITING:
            self._waiting += len(line)
            self._lines.put(line)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            try:
                self._out.write(line)
                self._out.flush()
            except OSError:
                os._exit(0)  # nobody listens any more
            self._waiting -= len(line)


class Peer:
    """One node of the library, what waits for its first good node, and which operations are under way on it."""

    def __init__(self, library: Any, request: dict[str, Any], port: int) -> None:
        self._library = library
        self._runner = library.DhtRunner()
        config = library.DhtConfig()  # a fresh one: the library's default is shared by all nodes
        config.setNetwork(int(request["network"]))
        four, six = addresses(request["bind"])
        self._runner.run(port=port, ipv4=four, ipv6=six, config=config)
        self.port = int(self._runner.getBound().getPort())
        self.node_id = str(self._runner.getNodeId())
        self._lock = threading.Lock()
        self._under_way: dict[object, float] = {}
        self._pings: dict[object, float] = {}
        self._ended = self._looked = self._sought = 0.0
        self._batches = 0
        self._waiting: dict[int, Callable[[], None]] = {}
        self._joined = set[tuple[str, int]]()
        self._was_good = False
        self.good: dict[str, str] = {}

    def join(self, addresses: Iterable[tuple[str, int]]) -> None:
        """Find others through these, too; the library keeps them, and asks them whenever it has nobody."""
        for address in addresses:
            if address not in self._joined:
                self._joined.add(address)
                self._runner.bootstrap(address[0], str(address[1]))

    def seek(self, now: float, known: Sequence[Endpoint], *, anew: bool = False) -> None:
        """While there is no good node, ask some of those that were: all of them soon, then ever more seldom."""
        if anew:
            self._batches, self._sought = 0, 0.0
        rounds = min(self._batches * SEEK_AT_ONCE // len(known), 10) if known else 0
        if not known or self.good or now - self._sought < min(SEEK * 2**rounds, SEEK_SELDOM):
            return
        begin = self._batches * SEEK_AT_ONCE % len(known)
        self._batches, self._sought = self._batches + 1, now
        for endpoint in known[begin : begin + SEEK_AT_ONCE]:
            for address in self._library.SockAddr.resolve(endpoint.host, str(endpoint.port)):
                mark = self._begin(self._pings)
                self._runner.ping(address, lambda ok, mark=mark, at=str(endpoint): self._answered(mark, at, ok))

    def when_good(self, number: int, work: Callable[[], None]) -> None:
        """Do `work` once there is a good node, unless `drop(number)` comes first."""
        with self._lock:
            if not self.good:
                self._waiting[number] = work
                return
        work()

    def drop(self, number: int) -> None:
        """What still waits is not wanted any more."""
        with self._lock:
            self._waiting.pop(number, None)

    def get(self, key: str, got: Callable[[Any], bool], done: Callable[[bool, Any], None]) -> None:
        """Start a get."""
        self._runner.get(self._info_hash(key), got, self._until(done))

    def put(self, key: str, value: bytes, done: Callable[[bool, Any], None]) -> None:
        """Start a put, under a value id that nobody can know before and take first: the library makes one."""
        self._runner.put(self._info_hash(key), self._library.Value(value), self._until(done))

    def look(self, now: float, own: Sequence[str]) -> bool:
        """Count the good nodes, `own` ones left out, when that is due and safe, and start what waits for them.

        True when there was none, and now there is.
        """
        with self._lock:
            if now - self._looked >= (LOOK_AGAIN if self._was_good else LOOK) and self._is_quiet(now):
                self._looked = now
                tables = [self._runner.getRoutingTablesLog(family) for family in FAMILIES]
                found = {node: at for table in tables for node, at in lines.good_nodes(table).items()}
                self.good = {node: at for node, at in found.items() if node not in own}
            ready, self._waiting = (self._waiting, {}) if self.good else ({}, self._waiting)
            first, self._was_good = bool(self.good) and not self._was_good, bool(self.good)
        for work in ready.values():
            work()
        return first

    def _is_quiet(self, now: float) -> bool:
        # An operation that has just ended may still be on its way out of its callback; a ping that was not answered
        # at once ends after eight seconds, so between those times it is quiet too.
        return (
            now - self._ended > QUIET
            and all(now - began > FORGOTTEN for began in self._under_way.values())
            and all(PING_ANSWERED < now - began < PING_FAILED for began in self._pings.values())
        )

    def _answered(self, mark: object, at: str, ok: bool) -> None:
        if ok:
            self.good[at] = at  # until the first look at the table, which knows its id
        self._end(mark)

    def _until(self, done: Callable[[bool, Any], None]) -> Callable[[bool, Any], None]:
        mark = self._begin(self._under_way)

        def ended(ok: bool, nodes: Any) -> None:
            done(ok, nodes)
            self._end(mark)

        return ended

    def _begin(self, kind: dict[object, float]) -> object:
        mark = object()
        with self._lock:
            kind[mark] = time.monotonic()
        return mark

    def _end(self, mark: object) -> None:
        with self._lock:
            self._under_way.pop(mark, None)
            self._pings.pop(mark, None)
            self._ended = time.monotonic()

    def _info_hash(self, key: str) -> Any:
        return self._library.InfoHash(key.encode("ascii"))


class Get:
    """One get: passes on each value once, as long as it is wanted and within the limits."""

    def __init__(self, number: int, largest: int, outbox: Outbox) -> None:
        self._number, self._largest, self._outbox = number, largest, outbox
        self._seen: set[bytes] = set()
        self.dropped = False

    def got(self, value: Any) -> bool:
        """As the library calls it; False ends the get."""
        if self.dropped or len(self._seen) >= lines.MAX_VALUES:
            return False
        data = bytes(value.data)
        digest = blake2b(data, digest_size=16).digest()
        if len(data) <= self._largest and digest not in self._seen:
            self._seen.add(digest)
            self._outbox.add({"id": self._number, "value": lines.encode_value(data)}, may_drop=True)
        return True


class Child:
    """What the lines ask for."""

    def __init__(self, library: Any, request: dict[str, Any], outbox: Outbox) -> None:
        self._library, self._request, self._outbox = library, request, outbox
        self._known = lines.read_endpoints(request["nodes"])
        self._names, self._addresses = named(request["bootstrap"]), list[tuple[str, int]]()
        self._anew = threading.Event()
        self._gets: dict[int, Get] = {}
        self._writes: Peer | None = None
        wanted = int(request["port"])
        self._reads = Peer(library, request, wanted if is_free(wanted, request["bind"]) else 0)
        threading.Thread(target=self._tick, daemon=True, name="ticker").start()
        threading.Thread(target=self._look_up, daemon=True, name="names").start()

    def do(self, request: dict[str, Any]) -> None:
        """One request."""
        number = int(request.get("id", 0))
        match request["do"]:
            case "seek":
                self._anew.set()
                self._seek(anew=True)
            case "get":
                self._get(number, str(request["key"]), int(request["largest"]))
            case "put":
                self._put(number, str(request["key"]), lines.decode_value(request["value"]))
            case "drop":
                self._drop(number)

    def _get(self, number: int, key: str, largest: int) -> None:
        get = self._gets[number] = Get(number, largest, self._outbox)

        def done(ok: bool, nodes: Any) -> None:
            self._gets.pop(number, None)
            self._done(number, ok, nodes)

        self._reads.when_good(number, lambda: self._reads.get(key, get.got, done))

    def _put(self, number: int, key: str, value: bytes) -> None:
        if self._writes is None:
            self._writes = Peer(self._library, self._request, 0)
            self._writes.join(self._addresses)
        writes = self._writes
        writes.when_good(number, lambda: writes.put(key, value, lambda ok, nodes: self._done(number, ok, nodes)))

    def _drop(self, number: int) -> None:
        if get := self._gets.pop(number, None):
            get.dropped = True
        for peer in self._peers:
            peer.drop(number)

    def _done(self, number: int, ok: bool, nodes: Any) -> None:
        others = sum(str(node.getId()) not in self._own() for node in nodes)
        self._outbox.add({"id": number, "done": True, "ok": bool(ok), "nodes": others})

    @property
    def _peers(self) -> list[Peer]:
        return [peer for peer in (self._reads, self._writes) if peer]

    def _own(self) -> list[str]:
        return [peer.node_id for peer in self._peers]

    def _seek(self, *, anew: bool = False) -> None:
        good = [at for peer in self._peers for at in peer.good.values()]
        self._known = lines.read_endpoints(good) or self._known
        for peer in self._peers:
            peer.seek(time.monotonic(), self._known, anew=anew)

    def _look_up(self) -> None:
        while True:
            if not all(peer.good for peer in self._peers):
                for endpoint in self._names:
                    self._addresses = [*dict.fromkeys((*self._addresses, *resolved(endpoint)))][-MAX_ADDRESSES:]
                    for peer in self._peers:
                        peer.join(self._addresses)
            self._anew.wait(LOOK_UP)
            self._anew.clear()

    def _tick(self) -> None:
        told = told_nodes = 0.0
        number_told = 1
        while True:
            now = time.monotonic()
            if not all(peer.good for peer in self._peers):
                self._seek()
            first = [peer.look(now, self._own()) for peer in self._peers]
            if any(first) or now - told >= BEAT:
                told = now
                state: dict[str, object] = {
                    "good": len(self._reads.good),
                    "port": self._reads.port,
                }
                if any(first) or now - told_nodes >= TELL_NODES or len(self._reads.good) >= 2 * number_told:
                    told_nodes, number_told = now, max(1, len(self._reads.good))
                    nodes = list(self._reads.good.values())[: lines.MAX_GOOD]
                    self._known = lines.read_endpoints(nodes) or self._known
                    state["nodes"] = nodes
                self._outbox.add({"state": state})
            time.sleep(TICK if all(peer.good for peer in self._peers) else LOOK)


def addresses(bind: Sequence[str]) -> tuple[str, str]:
    """The IPv4 and the IPv6 address that the library should bind; both empty: all there are."""
    four = [address for address in bind if ":" not in address]
    six = [address for address in bind if ":" in address]
    return (four[0] if four else ""), (six[0] if six else "")


def is_free(port: int, bind: Sequence[str]) -> bool:
    """Whether the library can have a UDP port; it ends the whole process when it cannot."""
    for family, address in zip(FAMILIES, addresses(bind), strict=True):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((address, port))
            except OSError as failure:
                if failure.errno in (errno.EADDRINUSE, errno.EACCES):
                    return False
    return True


def named(texts: Sequence[object]) -> list[Endpoint]:
    """The bootstrap nodes of the settings, which may be host names."""
    return [Endpoint.parse(text) for text in texts if isinstance(text, str)]


def resolved(endpoint: Endpoint) -> list[tuple[str, int]]:
    """The addresses of a bootstrap node; none where its name is not known now.  Blocks, and holds no lock meanwhile."""
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return []
    return [(str(address[0]), endpoint.port) for *_, address in found]


def die_with(parent: int) -> None:
    """End when the process that started this one does, however it does; where the system can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)


def serve(source: IO[bytes], out: IO[bytes]) -> None:
    """Do what the lines of `source` ask for until it ends."""
    request = lines.decode(source.readline(lines.MAX_LINE))
    die_with(int(request["parent"]))
    outbox = Outbox(out)
    try:
        library = importlib.import_module("opendht")  # not every platform has it: an answer, not a failure
    except ImportError as failure:
        outbox.add({"missing": str(failure)})
        source.readline()
        return
    child = Child(library, request, outbox)
    while line := source.readline(lines.MAX_LINE):
        child.do(lines.decode(line))


def main() -> None:
    """Keep stdout for lines: what the library prints goes nowhere."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        serve(sys.stdin.buffer, out)
    except (PeerError, KeyError, ValueError, TypeError) as failure:
        sys.stderr.write(f"{failure!r}\n")
        sys.stderr.flush()
        os._exit(2)
    os._exit(0)


if __name__ == "__main__":
    main()
