"""A program for tests: holds a port open with Mappings, answers whoever connects to it, and tells what it knows.

python -m tests.upnp.holder --port 7008 --lease 5
◀── one JSON line now, one for every change, and one for every line that is written to its stdin
SIGTERM ──▶ gives everything back, and says how long that took
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from typing import Any

import uvloop

from hardline import log
from hardline.discovery.roaming import NetworkWatch
from hardline.upnp.mappings import Mappings
from tests.support.beats import beats

_BEAT = 0.02


class Beat:
    """How long the event loop was ever held up, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        while True:
            began = beats()
            await asyncio.sleep(_BEAT)
            self.longest = max(self.longest, beats() - began - _BEAT)


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


async def hold(port: int, lease: float, owner: str, bind: list[str]) -> None:
    loop, stop, changes, beat = asyncio.get_running_loop(), asyncio.Event(), 0, Beat()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"reached {port}".encode())
        writer.close()

    def tell() -> None:
        say(**mappings.describe(), changes=changes, held_up_s=beat.longest)

    def changed() -> None:
        nonlocal changes
        changes += 1
        tell()

    mappings = Mappings(lambda: port, owner=owner, lease=lease, changed=changed, bind=bind)
    watch = NetworkWatch(lambda others: None)
    await watch.look()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin.fileno(), lambda: tell() if sys.stdin.readline() else loop.remove_reader(0))
    server = await asyncio.start_server(answer, [None], port)
    running: list[asyncio.Task[None]] = []
    watch.follow(lambda addresses: mappings.follow() if running else None)
    running += [loop.create_task(work()) for work in (watch.run, mappings.run, beat.run)]
    stopping = loop.create_task(stop.wait())
    await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
    began = beats()
    for task in running:
        task.cancel()
    results = await asyncio.gather(*running, return_exceptions=True)
    await mappings.aclose()
    failures = [repr(result) for result in results if not isinstance(result, asyncio.CancelledError)]
    left = [repr(task) for task in asyncio.all_tasks() if task not in (asyncio.current_task(), stopping)]
    say(stopped_s=beats() - began, failures=failures, left=left, held_up_s=beat.longest)
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=7008)
    parser.add_argument("--lease", type=float, default=1800.0)
    parser.add_argument("--owner", default="the owner")
    parser.add_argument("--bind", nargs="*", default=[])
    options = parser.parse_args()
    log.set_up("debug")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the daemon does
        runner.run(hold(options.port, options.lease, options.owner, options.bind))


if __name__ == "__main__":
    main()
