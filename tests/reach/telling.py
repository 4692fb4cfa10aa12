"""A visitor that says where it reached a host: python -m tests.reach.telling ENDPOINT KEYHASH < JSON list of texts.

One connection for each text; prints what the host answered to each, a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from hardline.identity import KeyHash, utc_day
from hardline.routes import Endpoint
from hardline.session.hello import VisitorHello
from hardline.transport import tcp
from hardline.transport.contexts import visitor_context
from hardline.transport.tls import TlsStream


async def tell(host: Endpoint, name: KeyHash, reached: str) -> str:
    stream = await tcp.connect(host)
    tls = await TlsStream.over(stream, visitor_context(), name.rolling(utc_day(time.time())), target=name)
    try:
        await tls.send(VisitorHello(reached=reached).encode())
        return (await tls.receive()).partition(b"\n")[0].decode()
    finally:
        await tls.aclose()


async def main(host: str, name: str) -> None:
    for reached in json.load(sys.stdin):
        print(await tell(Endpoint.parse(host), KeyHash.parse(name), reached), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
