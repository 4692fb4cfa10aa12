"""Browsers that this node's user opens its page in: `hardline open`, and the end of it.

    DATADIR/open-….html      for its owner only: leads to the page, with a secret for one login; gone after a minute

Every user of a computer sees what programs are started with.  So a browser is started with the name of that file,
which nobody else can read, and not with the secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from html import escape
from pathlib import Path

from hardline.files import write_new
from hardline.tasks import TaskSet
from hardline.web.tokens import ONCE_FOR, Tokens

_FILE = "open-{}.html"
_AT_ONCE = 8  # files


class Opened:
    """In `datadir`; `ended` is called when no browser may ask any more."""

    def __init__(self, datadir: Path, tokens: Tokens, ended: Callable[[], None]) -> None:
        self._datadir, self._tokens, self._ended = datadir, tokens, ended
        self._files: list[Path] = []
        self._tasks = TaskSet("page")

    async def open(self, url: str) -> tuple[str, str | None]:
        """The address for one login within a minute, and a file that leads there; None where it cannot be written."""
        whole = f"{url}#once={self._tokens.once()}"
        await self._forget_old()
        file = self._datadir / _FILE.format(secrets.token_hex(4))
        try:
            await asyncio.to_thread(write_new, file, _leading_to(whole).encode(), 0o600)
        except OSError:
            return whole, None  # the address itself is as good
        self._files.append(file)
        self._tasks.start(self._remove_later(file), "opened")
        return whole, str(file)

    async def revoke(self) -> int:
        """No browser may ask any more; returns how many could.  Raises ConfigError."""
        try:
            return await self._tokens.revoke()
        finally:
            self._ended()

    async def aclose(self) -> None:
        """Take the files away."""
        await self._tasks.aclose()
        while self._files:
            await self._remove(self._files.pop())

    async def _forget_old(self) -> None:
        """Those of a run that was killed, and what is too much."""
        there = await asyncio.to_thread(lambda: sorted(self._datadir.glob(_FILE.format("????????"))))
        for file in [one for one in there if one not in self._files] + self._files[: -_AT_ONCE + 1]:
            await self._remove(file)

    async def _remove_later(self, file: Path) -> None:
        await asyncio.sleep(ONCE_FOR)
        await self._remove(file)

    async def _remove(self, file: Path) -> None:
        if file in self._files:
            self._files.remove(file)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(file.unlink)


def _leading_to(url: str) -> str:
    return (
        "<!doctype html><meta charset=utf-8><title>hardline</title><meta name=referrer content=no-referrer>"
        f'<meta http-equiv=refresh content="0;url={escape(url, quote=True)}">'
        f'<p><a href="{escape(url, quote=True)}">hardline</a></p>\n'
    )
