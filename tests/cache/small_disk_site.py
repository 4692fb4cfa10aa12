"""A cached site on a disk of 20 MB of its own: `unshare -m python -m tests.cache.small_disk_site DIRECTORY STORY`.

Prints what it saw, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from tests.cache.proxied import Asked, answer, proxied
from tests.cache.small_disk import make_read_only

MB = 1 << 20
BODY = bytes(range(256)) * (30 * MB // 256)
FRESH = {"Cache_Control": "max-age=60"}


async def full(root: Path) -> dict[str, object]:
    """Bodies larger than the disk, with a length and without; then one that fits."""

    async def chunked(asked: Asked) -> None:
        await asked.send(answer(b"", Transfer_Encoding="chunked", **FRESH))
        for start in range(0, len(BODY), MB):
            await asked.send(b"100000\r\n" + BODY[start : start + MB] + b"\r\n")
        await asked.send(b"0\r\n\r\n")

    answers = {"/known": answer(BODY, **FRESH), "/chunked": chunked, "/small": answer(BODY[:MB], **FRESH)}
    async with proxied(root, answers) as site:
        wholes = []
        for target in ("/known", "/chunked", "/known"):
            replies = await asyncio.gather(*(site.get(target) for _ in range(3)))
            wholes += [reply.body == BODY and not reply.is_cut for reply in replies]
        await site.get("/small")
        hit = (await site.get("/small")).is_hit
        return {"wholes": wholes, "hit": hit, "stored": site.stored(), "drafts": site.drafts()}


async def read_only(root: Path) -> dict[str, object]:
    """The disk is made read-only after something was stored."""

    async def origin(asked: Asked) -> None:
        await asked.body()
        await asked.send(answer(b"old" if site.origin.count("/a") == 1 else b"new", **FRESH))

    async with proxied(root, {"/a": origin, "/b": answer(b"b", **FRESH)}) as site:
        seen: list[object] = [(await site.get("/a")).body.decode()]
        make_read_only(root)
        seen += [(await site.get("/a")).is_hit, (await site.get("/b")).status, (await site.get("/b")).is_hit]
        await site.ask("POST", "/a", b"x")
        seen.append((await site.get("/a")).body.decode())
        subprocess.run(["mount", "-o", "remount,rw", str(root)], check=True)
        return {"seen": seen}


async def main(root: Path, story: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "hardline-test", str(root)], check=True)
    print(json.dumps(await {"full": full, "read-only": read_only}[story](root)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
