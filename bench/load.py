"""The load: what a browser would do, at the lowest cost, and every answer checked.

A fast failure must not win: each small answer is compared with the whole expected body, each transfer is counted to the
byte, and `verify` compares SHA-256 both ways once per run.  Timed transfers let the kernel discard what was received
(MSG_TRUNC), because load and proxies share the same cores.  Everything raises Broken when an answer is wrong.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import selectors
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from daemons import Broken
from origin import TINY

_CHUNK = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True, slots=True)
class Door:
    """Where a client connects, and the Host that it says there."""

    port: int
    host: str
    address: str = "127.0.0.1"

    def connect(self) -> socket.socket:
        """A new connection."""
        connection = socket.create_connection((self.address, self.port), timeout=_TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def get(self, path: str) -> bytes:
        """The head of a request."""
        return f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nAccept: */*\r\n\r\n".encode()

    def post(self, path: str, size: int) -> bytes:
        """The head of an upload."""
        return f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {size}\r\n\r\n".encode()


def wait_served(door: Door, limit: float = 20.0) -> None:
    """Return when the way through `door` works."""
    deadline = time.monotonic() + limit
    while True:
        try:
            first_byte(door)
            return
        except (OSError, Broken):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def verify(files: Door, sink: Door, bulk: Path) -> None:
    """Once per run: the large file is the same by SHA-256, down and up."""
    expected = hashlib.sha256(bulk.read_bytes()).hexdigest()
    size = bulk.stat().st_size
    with files.connect() as connection:
        connection.sendall(files.get("/bulk"))
        body = _body_start(connection, size)
        hashed, count = hashlib.sha256(body), len(body)
        while count < size:
            piece = connection.recv(_CHUNK)
            if not piece:
                raise Broken(f"the download ended after {count} of {size} bytes")
            hashed.update(piece)
            count += len(piece)
    if hashed.hexdigest() != expected:
        raise Broken("the download has the wrong SHA-256")
    answer = _upload(sink, "/hash", bulk)
    if answer != f"{size} {expected}":
        raise Broken(f"the upload arrived as {answer[:80]!r}")


def download(door: Door, size: int, path: str = "/bulk") -> float:
    """Seconds that GET `path` took, connection included."""
    buffer = memoryview(bytearray(_CHUNK))
    start = time.perf_counter()
    with door.connect() as connection:
        connection.sendall(door.get(path))
        count = len(_body_start(connection, size))
        while count < size:
            got = connection.recv_into(buffer, _CHUNK, socket.MSG_TRUNC)
            if not got:
                raise Broken(f"the download ended after {count} of {size} bytes")
            count += got
        took = time.perf_counter() - start
    if count != size:
        raise Broken(f"the download has {count} bytes, expected {size}")
    return took


def upload(door: Door, bulk: Path) -> float:
    """Seconds until the sink had confirmed every byte."""
    start = time.perf_counter()
    answer = _upload(door, "/count", bulk)
    took = time.perf_counter() - start
    if answer != f"{bulk.stat().st_size} -":
        raise Broken(f"the upload was answered with {answer[:80]!r}")
    return took


@contextlib.contextmanager
def slow_reader(door: Door) -> Iterator[None]:
    """Somebody who asked for the large file and reads 1 kB of it a second."""
    over = threading.Event()

    def read(connection: socket.socket) -> None:
        while not over.wait(1.0):
            connection.recv(1000)

    with door.connect() as connection:
        connection.sendall(door.get("/bulk"))
        reader = threading.Thread(target=read, args=(connection,), daemon=True)
        reader.start()
        try:
            yield
        finally:
            over.set()
            reader.join()


def first_byte(door: Door) -> float:
    """Seconds from connecting to the first byte of the answer, on a new connection."""
    request = door.get("/tiny")
    start = time.perf_counter()
    with door.connect() as connection:
        connection.sendall(request)
        piece = connection.recv(65_536)
        took = time.perf_counter() - start
        _finish_tiny(connection, piece)
    return took


def listing(door: Door, entries: int) -> float:
    """Seconds to the first row of a listing of `many/`, which is then read whole and must have `entries` rows."""
    start = time.perf_counter()
    with door.connect() as connection:
        connection.sendall(door.get("/many/"))
        data, took = b"", 0.0
        while not data.endswith(b"\r\n0\r\n\r\n") and (piece := connection.recv(_CHUNK)):
            data += piece
            if not took and b"file-" in data:
                took = time.perf_counter() - start
    if data.count(b'href="file-') != entries:
        raise Broken(f"{data.count(b'file-')} rows in the listing of {entries} files: {data[:200]!r}")
    return took


def whole_request(door: Door) -> float:
    """Seconds from connecting to the last byte of a small answer, on a new connection."""
    request = door.get("/tiny")
    start = time.perf_counter()
    with door.connect() as connection:
        connection.sendall(request)
        _finish_tiny(connection, connection.recv(65_536))
        return time.perf_counter() - start


def kept_alive(door: Door, requests: int) -> list[float]:
    """Seconds of each of `requests` on one connection."""
    request, buffer = door.get("/tiny"), bytearray(65_536)
    view, times = memoryview(buffer), []
    with door.connect() as connection:
        connection.sendall(request)
        size = _finish_tiny(connection, connection.recv(65_536))
        for _ in range(requests):
            start = time.perf_counter()
            connection.sendall(request)
            count = 0
            while count < size:
                got = connection.recv_into(view[count:])
                if not got:
                    raise Broken("a kept-alive connection was closed")
                count += got
            times.append(time.perf_counter() - start)
            if count != size or not buffer.startswith(b"HTTP/1.1 200 ") or view[size - len(TINY) : size] != TINY:
                raise Broken(f"wrong answer on a kept-alive connection: {bytes(view[:40])!r}")
    return times


def many_kept_alive(door: Door, connections: int, seconds: int) -> float:
    """Requests per second over `connections`: by wrk where it is installed."""
    with door.connect() as connection:
        connection.sendall(door.get("/tiny"))
        size = _finish_tiny(connection, connection.recv(65_536))
    if shutil.which("wrk"):
        return _wrk(door, connections, seconds, size)
    return _many_by_hand(door, connections, seconds, size)


@dataclass(frozen=True, slots=True)
class Streams:
    """What downloads that run at once had received after `took` seconds."""

    received: list[int]
    took: float

    @property
    def rate(self) -> float:
        """MB/s of all together."""
        return sum(self.received) / 1e6 / self.took


def streams(door: Door, count: int, seconds: float, stalled: int = 0) -> Streams:
    """Download `count` times at once, until the first is complete or the time is up.

    `stalled` more connections ask for the same and never read it; they are not counted.
    """
    buffer = memoryview(bytearray(_CHUNK))
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(stalled):
            stack.enter_context(door.connect()).sendall(door.get("/bulk"))
        connections = [stack.enter_context(door.connect()) for _ in range(count)]
        start = time.perf_counter()
        for number, connection in enumerate(connections):
            connection.sendall(door.get("/bulk"))
            selector.register(connection, selectors.EVENT_READ, number)
        received, sizes = [0] * count, [0] * count
        while (took := time.perf_counter() - start) < seconds:
            for key, _ in selector.select(seconds - took):
                number, connection = key.data, connections[key.data]
                if not sizes[number]:
                    head, body = _head(connection)
                    sizes[number], received[number] = _content_length(head), len(body)
                    continue
                got = connection.recv_into(buffer, _CHUNK, socket.MSG_TRUNC)
                received[number] += got
                if received[number] == sizes[number]:
                    return Streams(received, time.perf_counter() - start)
                if not got:
                    raise Broken(f"one of {count} downloads ended after {received[number]} of {sizes[number]} bytes")
        return Streams(received, took)


@dataclass(frozen=True, slots=True)
class InTurn:
    """What each of several had received within `took` seconds, and how long small requests took beside them."""

    received: list[int]
    took: float
    small: list[float]

    @property
    def rate(self) -> float:
        """MB/s of all together."""
        return sum(self.received) / 1e6 / self.took


def in_turn(door: Door, count: int, path: str, warm: float, seconds: float) -> InTurn:
    """`count` who each download `path` again and again, every time over a new connection, for `seconds` after `warm`
    ones that do not count; beside them /tiny is asked for, once after the other."""
    received, small, wrong = [0] * count, list[float](), list[Exception]()
    start = time.perf_counter() + warm
    until = start + seconds

    def download_on(number: int) -> None:
        buffer = bytearray(_CHUNK)
        while time.perf_counter() < until:
            with door.connect() as connection:
                connection.sendall(door.get(path))
                head, body = _head(connection)
                size = left = _content_length(head) - len(body)
                while left and (now := time.perf_counter()) < until:
                    got = connection.recv_into(buffer, _CHUNK, socket.MSG_TRUNC)
                    if not got:
                        raise Broken(f"{path} ended {left} bytes of {size} early")
                    left -= got
                    received[number] += got if now >= start else 0

    def ask_on() -> None:
        while time.perf_counter() < until:
            took = first_byte(door)
            if time.perf_counter() >= start:
                small.append(took)

    def noted(work: Callable[[], None]) -> None:
        try:
            work()
        except (Broken, OSError) as failure:
            wrong.append(failure)

    works = [*(functools.partial(download_on, number) for number in range(count)), ask_on]
    threads = [threading.Thread(target=noted, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise Broken(str(wrong[0]))
    return InTurn(received, seconds, small)


def together(door: Door, path: str, count: int, size: int) -> float:
    """Seconds until `count` visitors who asked for `path` at once have each had all `size` bytes."""
    buffer = memoryview(bytearray(_CHUNK))
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        connections = [stack.enter_context(door.connect()) for _ in range(count)]
        start = time.perf_counter()
        for number, connection in enumerate(connections):
            connection.sendall(door.get(path))
            selector.register(connection, selectors.EVENT_READ, number)
        received: dict[int, int] = {}
        while selector.get_map():
            ready = selector.select(_TIMEOUT)
            if not ready:
                raise Broken(f"{len(selector.get_map())} of {count} visitors wait for {path}")
            for key, _ in ready:
                number, connection = key.data, connections[key.data]
                if number not in received:
                    received[number] = len(_body_start(connection, size))
                elif got := connection.recv_into(buffer, _CHUNK, socket.MSG_TRUNC):
                    received[number] += got
                else:
                    raise Broken(f"one of {count} visitors had {received[number]} of {size} bytes")
                if received[number] >= size:
                    selector.unregister(connection)
        took = time.perf_counter() - start
    if set(received.values()) != {size}:
        raise Broken(f"{count} visitors had {sum(received.values())} bytes, expected {count * size}")
    return took


@contextlib.contextmanager
def idle_connections(door: Door, count: int) -> Iterator[None]:
    """Hold `count` connections open that each had one answer."""
    with contextlib.ExitStack() as stack:
        for number in range(count):
            connection = stack.enter_context(door.connect())
            connection.sendall(door.get("/tiny"))
            try:
                _finish_tiny(connection, connection.recv(65_536))
            except Broken as wrong:
                raise Broken(f"idle connection {number + 1} of {count}: {wrong}") from None
        yield


def jain(values: list[int]) -> float:
    """Jain's index of fairness: 1 when all are equal, 1/n when one has everything."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 0.0


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    """An answer's head, and what of the body came with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        if not piece:
            raise Broken(f"closed instead of an answer, after {data[:80]!r}")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise Broken(f"answered {head[:40]!r}: {body[:300]!r}")
    return head, body


def _content_length(head: bytes) -> int:
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if not found:
        raise Broken(f"no Content-Length in {head[:200]!r}")
    return int(found[1])


def _body_start(connection: socket.socket, size: int) -> bytes:
    head, body = _head(connection)
    if _content_length(head) != size:
        raise Broken(f"Content-Length is {_content_length(head)}, expected {size}")
    return body


def _finish_tiny(connection: socket.socket, data: bytes) -> int:
    """Read and check what remains of the tiny file's answer; its whole length."""
    while b"\r\n\r\n" not in data or len(data) < data.index(b"\r\n\r\n") + 4 + len(TINY):
        piece = connection.recv(65_536)
        if not piece:
            break
        data += piece
        if len(data) > 65_536:
            break
    if not data.startswith(b"HTTP/1.1 200 ") or data.partition(b"\r\n\r\n")[2] != TINY:
        raise Broken(f"wrong answer: {data[:300]!r}")
    return len(data)


def _upload(door: Door, path: str, bulk: Path) -> str:
    size = bulk.stat().st_size
    with bulk.open("rb") as file, door.connect() as connection:
        connection.sendall(door.post(path, size))
        sent = connection.sendfile(file)
        if sent != size:
            raise Broken(f"only {sent} of {size} bytes could be uploaded")
        head, body = _head(connection)
        while len(body) < _content_length(head):
            body += connection.recv(65_536)
    return body.decode(errors="replace")


_DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d %d %d\\n", summary.requests, summary.bytes, summary.duration,
    e.connect, e.read, e.write, e.status, e.timeout))
end
"""


def _wrk(door: Door, connections: int, seconds: int, size: int) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_DONE)
        script.flush()
        argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script.name, "-H", f"Host: {door.host}"]
        url = f"http://{door.address}:{door.port}/tiny"
        output = subprocess.run([*argv, url], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^RESULT (.+)$", output, re.MULTILINE)
    if not found:
        raise Broken(f"wrk said {output[-300:]!r}")
    requests, received, duration, *errors = map(int, found[1].split())
    if any(errors):
        raise Broken("wrk counted errors: connect {}, read {}, write {}, status {}, timeout {}".format(*errors))
    # At the end each connection may have one answer half-way.
    if not 0 <= received - requests * size <= connections * size:
        raise Broken(f"wrk got {received} bytes in {requests} answers of {size}")
    return requests / (duration / 1e6)


def _many_by_hand(door: Door, connections: int, seconds: int, size: int) -> float:
    request, buffer = door.get("/tiny"), bytearray(size)
    done = 0
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(connections):
            connection = stack.enter_context(door.connect())
            connection.sendall(request)
            selector.register(connection, selectors.EVENT_READ, connection)
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            for key, _ in selector.select(seconds):
                connection = key.data
                count = 0
                while count < size:
                    got = connection.recv_into(memoryview(buffer)[count:])
                    if not got:
                        raise Broken("a kept-alive connection was closed")
                    count += got
                if not buffer.startswith(b"HTTP/1.1 200 ") or not buffer.endswith(TINY):
                    raise Broken(f"wrong answer: {bytes(buffer[:40])!r}")
                connection.sendall(request)
                done += 1
        return done / (time.perf_counter() - start)


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
