"""An address of this computer that is as silent as a machine that is switched off."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def dead(address: str, port: int) -> Iterator[None]:
    """An address that swallows whatever is sent to its port: its queue of connections is full, for ever."""
    with contextlib.ExitStack() as held:
        listening = held.enter_context(socket.socket())
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(0)
        for _ in range(4):
            one = held.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((address, port))
        yield
