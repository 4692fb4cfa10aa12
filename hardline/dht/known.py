"""Nodes of the DHT that were good, remembered for the next start: a JSON list in the data directory.

A start from them needs no bootstrap node and no name to be resolved.  Losing the file costs a second; what it says
is looked at like a stranger's words.  Everything here blocks: call it from a worker thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from hardline import log
from hardline.dht.lines import read_endpoints
from hardline.files import read_small
from hardline.routes import Endpoint

MAX_FILE = 16_384


class KnownNodes:
    """The file; `path` None remembers nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._warned = False

    def load(self) -> list[Endpoint]:
        """What the last run wrote; nothing where the file is missing, broken or too big."""
        if self._path is None:
            return []
        try:
            return read_endpoints(json.loads(read_small(self._path, MAX_FILE).data))
        except (OSError, ValueError, RecursionError):
            return []

    def save(self, nodes: Sequence[Endpoint]) -> None:
        """Replace the file, whole or not at all.  A disk that takes nothing is worth one warning."""
        if self._path is None or not nodes:
            return
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                json.dump([str(node) for node in nodes], file)
            draft.replace(self._path)
        except OSError as failure:
            with contextlib.suppress(OSError):
                draft.unlink()
            if not self._warned:
                self._warned = True
                log.warning("dht.nodes_not_kept", file=self._path, reason=(failure.strerror or str(failure)).lower())
