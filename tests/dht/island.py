"""A network that is nowhere but on the loopback device of a namespace, and a DHT in it.

Island ── lo only ──┬─ Nodes: processes with a few OpenDHT nodes each, which can be killed
                    ├─ Dhtnode: Debian's program, with its REST proxy
                    └─ run(story): a coroutine of the test, in a thread that has moved in
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pytest

from hardline.routes import Endpoint
from tests.support import needs
from tests.support.waiting import wait_until

_CLONE_NEWNET = 0x40000000
_ROOT = Path(__file__).parents[2]
_islands = itertools.count()

T = TypeVar("T")


class Island:
    """The namespace.  A context manager: at its end everything in it is gone."""

    def __init__(self) -> None:
        self.namespace = f"hd{os.getpid():x}-{next(_islands)}"
        self._programs: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Self:
        if importlib.util.find_spec("opendht") is None:
            needs.cannot("OpenDHT")
        _ip("netns", "add", self.namespace)
        _ip("-n", self.namespace, "link", "set", "lo", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in subprocess.run(
            ["ip", "netns", "pids", self.namespace], capture_output=True, text=True, check=False
        ).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for program in self._programs:
            program.communicate()
        _ip("netns", "del", self.namespace)

    def wrap(self, *command: str) -> list[str]:
        """A command as it runs here."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def start(self, *command: str, **options: Any) -> subprocess.Popen[Any]:
        """Start a program here, which ends with the island."""
        program = subprocess.Popen(self.wrap(*command), stdin=subprocess.PIPE, **options)
        self._programs.append(program)
        return program

    def run(self, story: Callable[[], Coroutine[Any, Any, T]], timeout: float = 100.0) -> T:
        """Run a coroutine here.  What it leaves running fails the test."""
        results: list[T] = []
        failures: list[BaseException] = []

        async def bounded() -> T:
            async with asyncio.timeout(timeout):
                result = await story()
            left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert not left, f"still running: {left}"
            return result

        def inside() -> None:
            try:
                with open(f"/run/netns/{self.namespace}", "rb") as namespace:
                    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                results.append(asyncio.run(bounded()))
            except BaseException as failure:
                failures.append(failure)

        thread = threading.Thread(target=inside, name="island")
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return results[0]

    def sent(self) -> int:
        """Bytes that were sent here so far."""
        text = subprocess.run(
            self.wrap("cat", "/sys/class/net/lo/statistics/tx_bytes"), capture_output=True, text=True, check=True
        ).stdout
        return int(text)


class Nodes:
    """One process with `count` OpenDHT nodes, joined to `bootstrap`."""

    def __init__(self, island: Island, count: int, bootstrap: Endpoint | None = None) -> None:
        arguments = ["--count", str(count)] + (["--bootstrap", str(bootstrap)] if bootstrap else [])
        self._process = island.start(
            *(sys.executable, "-m", "tests.dht.nodes", *arguments), stdout=subprocess.PIPE, text=True, cwd=_ROOT
        )
        assert self._process.stdout is not None
        self.endpoints = [Endpoint.parse(text) for text in json.loads(self._process.stdout.readline())]

    def ask(self, do: str, **fields: object) -> Any:
        """Have something done by the nodes; see tests/dht/nodes.py."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        """As a crash does it."""
        self._process.kill()
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)


class Dhtnode:
    """Debian's dhtnode, and its REST proxy at `url`."""

    def __init__(self, island: Island, bootstrap: Endpoint | None = None, port: int = 5180) -> None:
        self.endpoint = Endpoint("127.0.0.1", port)
        self.url = f"http://127.0.0.1:{port + 1}"
        joined = ["-b", str(bootstrap)] if bootstrap else []
        self._process = island.start(
            *("dhtnode", "-s", "-p", str(port), "--proxyserver", str(port + 1), *joined),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._island = island
        wait_until(lambda: self.info() is not None, "dhtnode answers")

    def info(self) -> dict[str, Any] | None:
        """What the proxy says about its node."""
        done = subprocess.run(
            self._island.wrap("curl", "-s", "-m", "2", f"{self.url}/node/info"), capture_output=True, check=False
        )
        # One that is still busy may answer with something else.
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout.startswith(b"{") else None

    def has_good_nodes(self) -> bool:
        info = self.info()
        return bool(info and info["ipv4"]["good"])

    def kill(self) -> None:
        """As a crash does it."""
        self._process.kill()
        self._process.wait()


def settled(island: Island, processes: int, each: int) -> list[Nodes]:
    """A DHT of so many nodes that know each other."""
    first = Nodes(island, each)
    rest = [Nodes(island, each, first.endpoints[0]) for _ in range(processes - 1)]
    network = [first, *rest]
    for nodes in network:
        nodes.ask("settle", least=min(5, processes * each - 1))
    return network


@contextlib.contextmanager
def dht(processes: int = 3, each: int = 4) -> Iterator[tuple[Island, list[Nodes]]]:
    """An island with a DHT."""
    with Island() as island:
        yield island, settled(island, processes, each)


def marks(*programs: str) -> list[pytest.MarkDecorator]:
    """What a test on an island needs."""
    return [pytest.mark.netns, needs.root(), needs.tools("ip", *programs), needs.linux()]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
