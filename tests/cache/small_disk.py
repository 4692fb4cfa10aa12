"""A cache on a disk of 20 MB of its own: `unshare -m python -m tests.cache.small_disk DIRECTORY STORY`, as root.

Prints what it saw, as JSON.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from hardline.cache.kept.store import Store, StoredHead
from tests.support.waiting import wait_until

MB = 1 << 20
HEAD = StoredHead(200, "OK", (("ETag", '"1"'),), 0, 0)


async def put(store: Store, key: str, size: int) -> str:
    """Store something; the name of what went wrong, or "kept"."""
    try:
        writing = await store.begin(key, HEAD, size)
        try:
            for start in range(0, size, MB // 4):
                await writing.write(key.encode()[-1:] * min(MB // 4, size - start))
            await writing.commit()
        except OSError:
            await writing.abort()
            raise
    except OSError as failure:
        return errno.errorcode[failure.errno or 0]
    return "kept"


async def whole(store: Store, keys: list[str]) -> list[str]:
    """Which of `keys` are there; raises when one is not whole."""
    there = []
    for key in keys:
        for entry in await store.find(key):
            with open(entry.open(), "rb") as file:
                data = file.read()
            if data != key.encode()[-1:] * entry.size:
                raise ValueError(f"{key} is not what was stored")
            there.append(key)
    return there


async def others_fill_it(store: Store, root: Path) -> dict[str, object]:
    """Somebody else's file takes the disk; then it goes."""
    before = await put(store, "/a", MB)
    with open(root / "somebody's", "wb") as file:
        try:
            while True:
                os.write(file.fileno(), bytes(MB // 8))
        except OSError:
            pass
    during = [await put(store, f"/{name}", 4 * MB) for name in "bcd"]
    files = sorted(path.name for path in root.rglob("*") if path.is_file())
    (root / "somebody's").unlink()
    after = [await put(store, f"/{name}", 4 * MB) for name in "bcd"]
    there = await whole(store, ["/a", "/b", "/c", "/d"])
    return {"before": before, "during": during, "files": files, "after": after, "there": there}


async def cache_fills_it(store: Store, _root: Path) -> dict[str, object]:
    """The limit is larger than the disk: what is older gives way."""
    names = [f"/{number:02}" for number in range(60)]
    kept = [await put(store, name, MB) for name in names]
    too_much = await put(store, "/much", 30 * MB)
    after = await put(store, "/x", MB)
    there = await whole(store, [*names, "/x"])
    return {"kept": kept, "too_much": too_much, "after": after, "there": there}


def make_read_only(root: Path) -> None:
    """It is busy as long as a file is open for writing: the last one is closed in a thread."""
    command = ["mount", "-o", "remount,ro", str(root)]
    wait_until(lambda: subprocess.run(command, check=False).returncode == 0, "the disk is read-only")


async def read_only(store: Store, root: Path) -> dict[str, object]:
    """The disk is made read-only, and writable again."""
    before = await put(store, "/a", MB)
    make_read_only(root)
    during = await put(store, "/b", MB)
    failures = []
    (entry,) = await store.find("/a")
    for change in (store.refresh(entry, HEAD), store.remove("/a")):
        try:
            await change
        except OSError as failure:
            failures.append(errno.errorcode[failure.errno or 0])
    again = Store(root, max_size=100 * MB)
    await again.open()
    there = await whole(again, ["/a", "/b"])
    failures.append(await put(again, "/b", MB))
    await again.aclose()
    subprocess.run(["mount", "-o", "remount,rw", str(root)], check=True)
    after = await put(store, "/b", MB)
    there += await whole(store, ["/a", "/b"])
    return {"before": before, "during": during, "failures": failures, "after": after, "there": there}


STORIES: dict[str, Callable[[Store, Path], Awaitable[dict[str, object]]]] = {
    "others": others_fill_it,
    "cache": cache_fills_it,
    "read-only": read_only,
}


async def main(root: Path, story: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "hardline-test", str(root)], check=True)
    store = Store(root, max_size=100 * MB)
    await store.open()
    seen = await STORIES[story](store, root)
    await store.aclose()
    drafts = [path.name for path in root.rglob("*.draft")]
    print(json.dumps({**seen, "drafts": drafts, "taken": [store.ledger.taken, store.ledger.stored]}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
