"""Whether something answers where the services of this node are: looked at only while somebody wants to know.

    Probing.answers ──▶ of each service, whether somebody accepts connections; nothing is said on them
    probe ──▶ answers, "HTTP 200"   ·   answers, ""   ·   does not, "nothing listens at the local service's address"

Whoever shares a web server reads the status of its first page, and nothing else of that is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable

from hardline.errors import ConnectionLost, ServiceFailed
from hardline.node.snapshot import Probed
from hardline.routes import Endpoint
from hardline.settings.directory import Service
from hardline.settings.local import LocalService
from hardline.settings.service import ServiceSettings
from hardline.streams import ByteStream
from hardline.transport.own import OwnListeners
from hardline.tunnel.local import open_local

WITHIN = 1.0  # seconds; who is slower than that is asked again
_OWNER_WAITS = 2.0  # seconds: somebody sits there and waits
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?=[ \r\n])")
_LONGEST_STATUS = 13  # bytes of it
# Printers put on paper whatever they are sent, a question for a page as well.
_PRINTERS = frozenset((515, *range(9100, 9110)))
_AT_ONCE = 16


class Probing:
    """`own` knows which service would be this process itself, and that one is left alone."""

    def __init__(self, own: OwnListeners) -> None:
        self._own = own
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def answers(self, services: Iterable[Service]) -> dict[str, bool]:
        """By the name of each service that has an address: whether somebody accepts connections there."""
        targets = {one.name: target for one in services if (target := one.settings.target) is not None}
        found = await asyncio.gather(*map(self._answers, targets.values()))
        return dict(zip(targets, found, strict=True))

    async def _answers(self, target: LocalService) -> bool:
        async with self._turns:
            if await self._own.leads_home(target):
                return False
            try:
                async with asyncio.timeout(WITHIN):
                    stream = await open_local(target)
            except (ServiceFailed, ConnectionLost, TimeoutError, OSError):
                return False
            with contextlib.suppress(ConnectionLost):
                await stream.aclose()
            return True


async def probe(settings: ServiceSettings) -> Probed | None:
    """What is there now; None where this node answers itself.  Never raises."""
    if (target := settings.target) is None:
        return None
    try:
        async with asyncio.timeout(_OWNER_WAITS):
            stream = await open_local(target)
    except ServiceFailed as failure:
        return Probed(answers=False, said=failure.detail)
    except TimeoutError:
        return Probed(answers=False, said=f"no answer within {_OWNER_WAITS:g} s")
    try:
        if target.port in _PRINTERS or settings.proxy_protocol:
            return Probed(answers=True, said="")
        async with asyncio.timeout(_OWNER_WAITS):
            await stream.send(_question(settings.http.host or _host(target)))
            return Probed(answers=True, said=await _answer(stream))
    except (ConnectionLost, TimeoutError):
        return Probed(answers=True, said="")
    finally:
        await stream.aclose()


def _question(host: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode("latin-1", "replace")


def _host(target: LocalService) -> str:
    return "localhost" if target.kind == "unix" else str(Endpoint(target.host, target.port))


async def _answer(stream: ByteStream) -> str:
    """What a web server says of its page, "" for what is none."""
    head = b""
    while len(head) < _LONGEST_STATUS and (data := await stream.receive(_LONGEST_STATUS)):
        head += data
    found = _STATUS.match(head)
    return f"HTTP {found[1].decode()}" if found else ""
