"""A resolver that answers what the test says, and name look-ups that hang for as long as it says."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Mapping, Sequence

from hardline.transport.resolver import Resolver


class Names:
    """What the world's name servers say: addresses, or nothing for as long as `hanging` has the name.

    `asked` counts the look-ups of each name, `most` is how many were under way at once.
    """

    def __init__(self, known: Mapping[str, Sequence[str]], hanging: Sequence[str] = ()) -> None:
        self.known = dict(known)
        self.hanging = {name: threading.Event() for name in hanging}
        self.asked: Counter[str] = Counter()
        self.most = 0
        self._now, self._lock = 0, threading.Lock()

    def resolver(self, **limits: float) -> Resolver:
        """One that asks them."""
        return Resolver(self.look_up, **limits)  # type: ignore[arg-type]

    def look_up(self, name: str) -> Sequence[str]:
        """Blocks like getaddrinfo, at most a minute."""
        with self._lock:
            self.asked[name] += 1
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            if name in self.hanging:
                self.hanging[name].wait(100)
            if name not in self.known:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return self.known[name]
        finally:
            with self._lock:
                self._now -= 1

    def let_go(self) -> None:
        """All that hangs comes to its end."""
        for event in self.hanging.values():
            event.set()
