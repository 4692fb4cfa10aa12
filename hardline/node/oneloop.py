"""All nodes of a process are in one event loop.

Sessions lend each other buffers that belong to the process: in two loops they would mix their bytes.
"""

from __future__ import annotations

import asyncio
import weakref

from hardline.errors import HardlineError

_nodes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, int] = weakref.WeakKeyDictionary()


class OneLoop:
    """The place of one node."""

    def __init__(self) -> None:
        self._inside = False

    def enter(self) -> None:
        """Be in the running loop.  Raises HardlineError when another one has a node, or this one is in already."""
        if self._inside:
            raise HardlineError("this node was started already", hint="stop it first")
        loop = asyncio.get_running_loop()
        if any(nodes for other, nodes in _nodes.items() if other is not loop):
            raise HardlineError(
                "another event loop of this process has a node already", hint="start all nodes of a process in one loop"
            )
        _nodes[loop] = _nodes.get(loop, 0) + 1
        self._inside = True

    def leave(self) -> None:
        """Be there no more.  Idempotent."""
        if self._inside:
            self._inside = False
            _nodes[asyncio.get_running_loop()] -= 1
