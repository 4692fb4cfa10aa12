"""Where the two ends of a contestant run: both on this machine, or each on one of its own (lab.py)."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Protocol


class Site(Protocol):
    """Two machines.  What is started or connected inside `at_…()` happens there; the origin is on the host's."""

    visitor_address: str
    host_address: str

    def at_visitor(self) -> AbstractContextManager[None]:
        """On the visitor's machine."""
        ...

    def at_host(self) -> AbstractContextManager[None]:
        """On the host's machine."""
        ...


class Loopback:
    """Everything on 127.0.0.1."""

    visitor_address = "127.0.0.1"
    host_address = "127.0.0.1"

    def at_visitor(self) -> AbstractContextManager[None]:
        """Here."""
        return contextlib.nullcontext()

    def at_host(self) -> AbstractContextManager[None]:
        """Here."""
        return contextlib.nullcontext()
