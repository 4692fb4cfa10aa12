"""Whether something answers where a service of this node is said to listen: what whoever shares it wants to know.

    probe ──▶ answers, "HTTP 200"   ·   answers, ""   ·   does not, "nothing listens at the local service's address"

A web server is asked for its first page, and nothing of that but its status is read.
"""

from __future__ import annotations

import asyncio
import re

from hardline.errors import ConnectionLost, ServiceFailed
from hardline.node.snapshot import Probed
from hardline.routes import Endpoint
from hardline.settings.local import LocalService
from hardline.settings.service import ServiceSettings
from hardline.streams import ByteStream
from hardline.tunnel.local import open_local

_WITHIN = 2.0  # seconds: somebody sits there and waits
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?=[ \r\n])")
_LONGEST_STATUS = 13  # bytes of it
# Printers put on paper whatever they are sent, a question for a page as well.
_PRINTERS = frozenset((515, *range(9100, 9110)))


async def probe(settings: ServiceSettings) -> Probed | None:
    """What is there now; None where this node answers itself.  Never raises."""
    if (target := settings.target) is None:
        return None
    try:
        async with asyncio.timeout(_WITHIN):
            stream = await open_local(target)
    except ServiceFailed as failure:
        return Probed(answers=False, said=failure.detail)
    except TimeoutError:
        return Probed(answers=False, said=f"no answer within {_WITHIN:g} s")
    try:
        if target.port in _PRINTERS or settings.proxy_protocol:
            return Probed(answers=True, said="")
        async with asyncio.timeout(_WITHIN):
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
