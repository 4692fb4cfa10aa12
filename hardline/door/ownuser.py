"""What was shared with this node's user alone is led to for his programs alone: others of this computer are refused.

A host that knows its visitors knows this node by a key, and whoever comes by the door would use it.  The system says
whose a socket is, root's being everybody's that matters; where it does not (transport/owner.py), nobody is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakSet

from hardline.errors import AccessRefused
from hardline.identity import KeyHash, Label
from hardline.transport.owner import is_same_user, is_told
from hardline.transport.tcp import TcpStream


class AnotherUser(AccessRefused):
    """It is a program of another user of this computer."""


class OwnUser:
    """Of one node; `guarded` says which hosts know it by a key."""

    def __init__(self, guarded: Callable[[KeyHash], bool]) -> None:
        self._guarded = guarded if is_told() else _none
        self._known = WeakSet[TcpStream]()

    def admits_at_once(self, client: TcpStream, label: Label) -> bool:
        """Whether there is nothing to find out."""
        return not self._guarded(label.key_hash) or client in self._known

    async def check(self, client: TcpStream, label: Label) -> None:
        """Raise AnotherUser where `client` is not to be led to `label`."""
        if self.admits_at_once(client, label):
            return
        if not await asyncio.to_thread(is_same_user, client.local, client.peer):
            raise AnotherUser("it was shared with another user of this computer")
        self._known.add(client)


def _none(_: KeyHash) -> bool:
    return False
