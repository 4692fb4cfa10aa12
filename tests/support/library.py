"""A node in this process, in an event loop of a thread of its own: the tests are outside, as visitors are."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from hardline import Node, NodeSettings, parse_node

T = TypeVar("T")

# Found by the packets of the LAN on this computer alone.
HERE = (
    "[Node]\nlocalport = 0\np2pport = 0\nbind = 127.0.0.1\n"
    "[LAN]\nmdns = no\n[DHT]\nenabled = no\n[UPnP]\nenabled = no\n"
)


def _new_loop() -> asyncio.AbstractEventLoop:
    if find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


class Loop:
    """An event loop in a thread: uvloop's where it is, since the tests' own is asyncio's."""

    def __init__(self) -> None:
        self.loop = _new_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout: float = 100) -> T:
        """What it returns."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(60)
        self.loop.close()


@contextlib.contextmanager
def running_node(directory: Path, settings: str | NodeSettings = HERE) -> Iterator[tuple[Node, Loop]]:
    """(a node, its loop)."""
    loop = Loop()
    try:
        node = Node(parse_node(settings) if isinstance(settings, str) else settings, datadir=directory)
        loop.run(node.start())
        try:
            yield node, loop
        finally:
            loop.run(node.stop())
    finally:
        loop.close()
