"""A question for a router, asked by a process of its own that ends in time.

    ask ── stdin: one request, JSON ──▶ program ── whatever it speaks ──▶ router
        ◀── stdout: one line of JSON, or RouterFailed ──

A router that never ends, sends gigabytes or breaks a parser costs that process and never the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from hardline.upnp.grants import Broken, RouterFailed, Silent

_MAX_ANSWER = 16_384


async def ask(program: Path, request: dict[str, Any], limit: float) -> dict[str, Any]:
    """What `program` answers within `limit` seconds; it is gone when this returns or is cancelled."""
    line = await _run(program, json.dumps(request | {"limit": limit}), limit)
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Broken("it broke the process that talks with it")
    return answer


async def _run(program: Path, request: str, limit: float) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(program)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
            limit=_MAX_ANSWER,
        )
    except OSError as failure:
        raise RouterFailed(f"a process could not be started: {failure.strerror}") from None
    assert process.stdin
    assert process.stdout
    try:
        async with asyncio.timeout(limit):
            with contextlib.suppress(ConnectionError):
                process.stdin.write(request.encode() + b"\n")
                await process.stdin.drain()
            return await process.stdout.readline()
    except TimeoutError:
        raise Silent(f"no whole answer within {limit:.0f} s") from None
    except ValueError:
        raise Broken("its answer is too long") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
