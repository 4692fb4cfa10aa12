"""What children of one process leave behind: `python -m tests.cache.children DIRECTORY STORY`.

Children, since they need no time to start, and since nobody else may read where Python lies.  Prints what was seen, as
JSON.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import json
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hardline.cache.kept import layout
from hardline.cache.kept.store import Entry, Store, StoredHead

# What Python tells before it asks the system for it (docs.python.org/3/library/audit_events.html).
STEPS = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.utime", "os.chmod", "fcntl.flock"}


def run(root: Path, story: Callable[[Store], Awaitable[Any]]) -> Any:
    """The result of a story with a store."""

    async def everything() -> Any:
        store = Store(root, max_size=1 << 20)
        await store.open()
        try:
            return await story(store)
        finally:
            await store.aclose()

    return asyncio.run(everything())


def in_child(work: Callable[[], object]) -> int:
    """Do `work` in a child; how it ended: a negative number is a signal's."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as failure:
            os.write(2, repr(failure).encode())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def put(store: Store, key: str, body: bytes, variant: str = "") -> Entry:
    """Store something whose head says what it is."""
    head = StoredHead(200, "OK", (("Holds", body.decode()),), 0, 0, (("variant", variant),))
    writing = await store.begin(key, head, len(body))
    try:
        await writing.write(body)
        return await writing.commit()
    finally:
        await writing.abort()


# ── killed before any step ───────────────────────────────────────────────────────────────────────────────────


async def old(store: Store) -> None:
    """What is there before."""
    await put(store, "/a/b", b"old")
    await put(store, "/a/b", b"old, too", "other")
    await put(store, "/removed", b"old")
    await put(store, "/refreshed", b"old")
    await put(store, "/hand", b"old")


async def new(store: Store) -> None:
    """What is done with it."""
    await put(store, "/a/b", b"new")
    await put(store, "/hand", b"new")
    await put(store, "/a/c/", b"new")
    await store.remove("/removed")
    (entry,) = await store.find("/refreshed")
    await store.refresh(entry, StoredHead(200, "OK", (("Holds", "old"), ("ETag", "new")), 0, 0))
    await put(store, "/" + "x" * 300, b"new")


async def look(store: Store) -> dict[str, list[str]]:
    """What is found; raises when it is not what its head says."""
    await (await store.begin("/counted", StoredHead(200, "", (), 0, 0), 0)).abort()
    found = {}
    for key in ("/a/b", "/removed", "/refreshed", "/hand", "/a/c/", "/" + "x" * 300):
        found[key] = []
        for entry in await store.find(key):
            with open(entry.open(), "rb") as file:
                body = file.read().decode()
            if not entry.hand_made and dict(entry.head.fields)["Holds"] != body:
                raise ValueError(f"{key}: {entry} holds {body}")
            if entry.hand_made and dict(entry.head.fields).get("Holds", body) != body:
                raise ValueError(f"{key}: {entry} holds {body}")
            found[key].append(body)
    return found


def killed(root: Path) -> dict[str, Any]:
    """`new` is done to `old`, killed before its first step, before its second one, and so on."""
    before, after = root / "before", root / "after"
    before.mkdir()
    (before / "hand").write_bytes(b"made by hand")
    run(before, old)
    seen, hand, step = set(), [], 0
    while True:
        shutil.copytree(before, after)
        if in_child(functools.partial(die_before, step, after)) == 0:
            return {"steps": step, "found": sorted(seen), "hand": list(dict.fromkeys(hand))}
        found = run(after, look)
        drafts = after / layout.DRAFTS
        if drafts.exists() or set(map(len, found.values())) - {0, 1, 2}:
            raise ValueError(f"killed before step {step}: {list(after.rglob('*'))}")
        for key, bodies in found.items():
            if key == "/hand":
                hand += bodies
            else:
                seen |= set(bodies) or {"none"}
        shutil.rmtree(after)
        step += 1


def die_before(step: int, root: Path) -> None:
    """Do `new`, but not from `step` on."""
    left = step

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in STEPS and (event != "open" or arguments[2] & os.O_CREAT):
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(heard)
    run(root, new)


# ── as somebody who may do nothing ───────────────────────────────────────────────────────────────────────────


async def as_nobody(store: Store) -> dict[str, Any]:
    """What a store may not touch."""
    head = StoredHead(200, "OK", (), 0, 0)
    (entry,) = await store.find("/locked/a")
    with open(entry.open(), "rb") as file:
        read = file.read().decode()
    return {
        "written": [await failure(store.begin(key, head, 1)) for key in ("/b", "/locked/c")],
        "read": read,
        "hidden": [repr(entry) for entry in await store.find("/hidden")],
        "removed": await failure(store.remove("/locked/a")),
    }


async def failure(work: Awaitable[object]) -> str:
    """How it fails."""
    try:
        return repr(await work)
    except OSError as wrong:
        return errno.errorcode[wrong.errno or 0]


def nobody(root: Path) -> dict[str, Any]:
    """Files of root, and a store of somebody else."""
    (root / "locked").mkdir()
    (root / "locked" / "a@http").write_bytes(b"left")
    (root / "hidden").write_bytes(b"for root")
    (root / "hidden").chmod(0o600)
    reader, writer = os.pipe()

    def work() -> None:
        os.setgid(65534)
        os.setuid(65534)
        os.write(writer, json.dumps(run(root, as_nobody)).encode())

    if in_child(work) != 0:
        raise ValueError("the child failed")
    seen = json.loads(os.read(reader, 65_536))
    return {**seen, "files": sorted(path.name for path in root.rglob("*"))}


if __name__ == "__main__":
    print(json.dumps({"killed": killed, "nobody": nobody}[sys.argv[2]](Path(sys.argv[1]))))
