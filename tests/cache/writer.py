"""A process that stores answers until it is killed: `python -m tests.cache.writer DIRECTORY SEED`.

Each answer's head tells the digest of its body.  Prints a line when it has begun.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
from pathlib import Path

from hardline.cache.kept.store import Store, StoredHead, StoreFull

KEYS = [f"/{directory}/{name}" for directory in "ab" for name in "xyz"] + ["/", "/hand"]


async def write(root: Path, seed: int) -> None:
    """Store, replace, refresh and remove, at random."""
    chance = random.Random(seed)
    store = Store(root, max_size=300_000)
    await store.open()
    print("begun", flush=True)
    while True:
        key = chance.choice(KEYS)
        body = chance.randbytes(chance.choice([0, 10, 5_000, 70_000]))
        digest = hashlib.sha256(body).hexdigest()
        head = StoredHead(200, "OK", (("Digest", digest),), 0, chance.randrange(3), (("variant", chance.choice("12")),))
        try:
            writing = await store.begin(key, head, chance.choice([None, len(body)]))
            try:
                for start in range(0, len(body), 30_000):
                    await writing.write(body[start : start + 30_000])
                entry = await writing.commit()
            except StoreFull:
                await writing.abort()
                continue
            if chance.random() < 0.3:
                await store.refresh(entry, head)
            if chance.random() < 0.2:
                await store.remove(chance.choice(KEYS))
        except (FileNotFoundError, StoreFull):
            continue


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
