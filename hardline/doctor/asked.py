"""Whom the doctor asks for what he does not see himself: the node, in the same process, over its socket, or, where none
runs, its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Node(Protocol):
    """Where the facts are that only the node itself knows.  Both raise HardlineError; NoDaemon where none runs."""

    async def status(self) -> Mapping[str, Any]:
        """As docs/STATUS.md has it."""
        ...

    async def facts(self, about: str) -> Any:
        """One of facts.Facts by its name, as JSON (facts.written)."""
        ...
