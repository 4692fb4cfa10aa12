"""Asking a web service which public address we have: only ever done where the owner named one ([Node] ip_service)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hardline import log
from hardline.addresses import Kind, kind_of, parse
from hardline.routes import Endpoint

EVERY = 1800.0  # seconds
AGAIN = 60.0  # after a failure
_LIMIT = 10.0
_MOST = 200  # bytes of an answer


class AskedAddress:
    """The address that `url` answers with, and our `port`.  `changed` is called when it is another than before."""

    def __init__(self, url: str, port: Callable[[], int], changed: Callable[[], None]) -> None:
        self._url, self._port, self._changed = url, port, changed
        self._address = ""
        self._again = asyncio.Event()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """None while it is not known."""
        return (Endpoint(self._address, self._port()),) if self._address else ()

    def refresh(self) -> None:
        """Ask now: the network is another."""
        self._again.set()

    async def run(self) -> None:
        """Ask again and again until cancelled."""
        while True:
            self._again.clear()
            before, wait = self._address, EVERY
            try:
                self._address = await asyncio.to_thread(_ask, self._url)
            except (OSError, ValueError) as failure:
                log.warning("ip_service.failed", url=self._url, reason=str(failure)[:200])
                wait = AGAIN
            if self._address != before:
                self._changed()
            try:
                async with asyncio.timeout(wait):
                    await self._again.wait()
            except TimeoutError:
                pass


def _ask(url: str) -> str:
    """Raises OSError (of which requests' failures are) or ValueError."""
    import requests  # only here: it takes memory, and hardly anybody sets this

    with requests.get(url, timeout=_LIMIT, stream=True, headers={"Accept": "text/plain"}) as response:
        response.raise_for_status()
        text = response.raw.read(_MOST, decode_content=True).decode("ascii", "replace").strip()
    address = parse(text)
    if address is None:
        raise ValueError(f"expected an IP address, not {text[:60]!r}")
    if kind_of(address) is not Kind.PUBLIC:
        raise ValueError(f"{address} is no public address")
    return str(address)
