"""Programs of this system that are asked, each within its time, and no more of what they say than is read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE

WITHIN = 4.0  # seconds
MOST = 4 << 20  # bytes of output: the rules of a large firewall

# Where root's programs are, which a user's PATH may not name.
_PLACES = os.pathsep.join(filter(None, [os.environ.get("PATH"), "/usr/sbin", "/sbin"]))


def found(program: str) -> bool:
    """Whether it is installed."""
    return shutil.which(program, path=_PLACES) is not None


async def output(program: str, *arguments: str) -> str | None:
    """What it writes; None where it fails, is too slow or says too much.  Safe to cancel: it is ended."""
    path = shutil.which(program, path=_PLACES)
    if path is None:
        return None
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        process = await asyncio.create_subprocess_exec(
            path, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=environment
        )
    except OSError:
        return None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WITHIN):
            said = bytearray()
            while piece := await process.stdout.read(1 << 16):
                said += piece
                if len(said) > MOST:
                    return None
            return said.decode(errors="replace") if await process.wait() == 0 else None
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
