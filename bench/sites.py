"""Where the two ends of a contestant run: both on this machine, or each in a network namespace of the laboratory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class Loopback:
    """Everything on 127.0.0.1."""

    visitor_address = "127.0.0.1"
    host_address = "127.0.0.1"

    @contextlib.contextmanager
    def at_visitor(self) -> Iterator[None]:
        """What is started or connected inside happens on the visitor's machine."""
        yield

    @contextlib.contextmanager
    def at_host(self) -> Iterator[None]:
        """What is started or connected inside happens on the host's machine."""
        yield
