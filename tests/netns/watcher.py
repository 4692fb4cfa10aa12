"""Browses for _hardline._tcp with zeroconf's own browser, and prints every change.  A program for one machine.

add TITLE | {'kh': …, 'v': …} | port | addresses        remove TITLE
"""

from __future__ import annotations

import asyncio

from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

SERVICE_TYPE = "_hardline._tcp.local."


async def look(zeroconf: Zeroconf, name: str) -> None:
    info = AsyncServiceInfo(SERVICE_TYPE, name)
    if await info.async_request(zeroconf, 3000):
        addresses = ",".join(sorted(info.parsed_addresses()))
        print(f"is {_title(name)} | {info.decoded_properties} | {info.port} | {addresses}", flush=True)


async def main() -> None:
    looks: set[asyncio.Task[None]] = set()

    def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        word = {ServiceStateChange.Added: "add", ServiceStateChange.Removed: "remove"}.get(state_change, "update")
        print(f"{word} {_title(name)}", flush=True)
        if word != "remove":
            task = asyncio.get_running_loop().create_task(look(zeroconf, name))
            looks.add(task)
            task.add_done_callback(looks.discard)

    async with AsyncZeroconf() as mdns:
        browser = AsyncServiceBrowser(mdns.zeroconf, SERVICE_TYPE, handlers=[changed])
        print("watching", flush=True)
        await asyncio.Event().wait()
        await browser.async_cancel()


def _title(name: str) -> str:
    return name.removesuffix(f".{SERVICE_TYPE}")


asyncio.run(main())
