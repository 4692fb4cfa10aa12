"""Processes that are killed, disks that are full or cannot be written: what is found is whole, and it goes on after."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from hardline.cache.kept import layout
from hardline.cache.kept.store import Store, StoredHead
from tests.cache.writer import KEYS
from tests.support import needs
from tests.support.size import FULL

KILLS = 25 if FULL else 10


def check_all(root: Path) -> int:
    """Find all that is there; how many answers.  Fails when one is not what its head says."""

    async def look() -> int:
        store = Store(root, max_size=300_000)
        await store.open()
        count = 0
        await (await store.begin("/counted", StoredHead(200, "", (), 0, 0), 0)).abort()
        for key in KEYS:
            for entry in await store.find(key):
                with open(entry.open(), "rb") as file:
                    body = file.read()
                if "Digest" in dict(entry.head.fields):
                    assert hashlib.sha256(body).hexdigest() == dict(entry.head.fields)["Digest"]
                else:  # the owner's, before it was replaced, or a head that has gone
                    assert entry.hand_made
                count += 1
        drafts = root / layout.DRAFTS
        assert not drafts.exists() or not list(drafts.iterdir())
        await store.aclose()
        return count

    return asyncio.run(look())


def test_whenever_it_is_killed_every_answer_that_is_found_is_whole(tmp_path):
    (tmp_path / "hand").write_bytes(b"made by hand")
    chance, found = random.Random(1), 0
    for number in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.cache.writer", str(tmp_path), str(number)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begun\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            writer.wait(chance.uniform(0, 0.15))  # it never ends by itself
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        writer.stdout.close()
        found += check_all(tmp_path)
    assert found > KILLS
    assert (tmp_path / "hand").stat().st_size in (0, 10, 12, 5_000, 70_000)


def on_a_small_disk(root: Path, story: str) -> dict[str, Any]:
    run = subprocess.run(
        ["unshare", "-m", sys.executable, "-m", "tests.cache.small_disk", str(root), story],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert seen["drafts"] == []
    assert seen["taken"][0] == seen["taken"][1]
    return seen


@needs.root()
@needs.tools("unshare", "mount")
def test_on_a_disk_that_others_fill_nothing_broken_is_left_and_it_goes_on_when_there_is_room(tmp_path):
    seen = on_a_small_disk(tmp_path, "others")
    assert seen["before"] == "kept"
    assert seen["during"] == ["ENOSPC"] * 3
    assert seen["files"] == ["somebody's"]
    assert seen["after"] == ["kept"] * 3
    assert seen["there"] == ["/b", "/c", "/d"]


@needs.root()
@needs.tools("unshare", "mount")
def test_on_a_disk_that_is_smaller_than_the_limit_what_is_older_gives_way(tmp_path):
    seen = on_a_small_disk(tmp_path, "cache")
    assert seen["kept"] == ["kept"] * 60
    assert seen["too_much"] == "ENOSPC"
    assert seen["after"] == "kept"
    assert "/x" in seen["there"]


@needs.root()
@needs.tools("unshare", "mount")
def test_a_directory_that_becomes_read_only_is_read_and_written_again_later(tmp_path):
    seen = on_a_small_disk(tmp_path, "read-only")
    assert (seen["before"], seen["during"], seen["after"]) == ("kept", "EROFS", "kept")
    assert seen["failures"] == ["EROFS"] * 3
    assert seen["there"] == ["/a", "/a", "/b"]


def in_children(root: Path, story: str) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-m", "tests.cache.children", str(root), story], capture_output=True, text=True, timeout=100
    )
    assert (run.returncode, run.stderr) == (0, "")
    return json.loads(run.stdout)


def test_killed_before_any_of_its_steps_on_the_disk_it_leaves_the_old_answer_the_new_one_or_none(tmp_path):
    seen = in_children(tmp_path, "killed")
    assert seen["steps"] > 40
    assert {"old", "new", "none"} <= set(seen["found"])
    assert seen["hand"] == ["old", "new"]


@needs.root()
def test_files_that_the_system_lets_nobody_touch_are_an_error_and_no_harm():
    """Root may do anything: so somebody else tries."""
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        seen = in_children(Path(root), "nobody")
    assert seen == {
        "written": ["EACCES", "EACCES"],
        "read": "left",
        "hidden": [],
        "removed": "EACCES",
        "files": ["a@http", "hidden", "locked"],
    }


@pytest.mark.parametrize("limit", [0, 3000])
def test_a_write_that_fails_in_the_middle_leaves_the_old_answer(tmp_path, limit):
    program = (
        "import asyncio, resource, signal, sys; from pathlib import Path\n"
        "from hardline.cache.kept.store import *\n"
        "async def main():\n"
        "    store = Store(Path(sys.argv[1]), max_size=1 << 20); await store.open()\n"
        "    head = StoredHead(200, 'OK', (), 0, 0)\n"
        "    writing = await store.begin('/a', head, 3); await writing.write(b'old'); await writing.commit()\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        writing = await store.begin('/a', head, None)\n"
        "        await writing.write(bytes(4000)); await writing.commit()\n"
        "    except OSError as failure: print(failure.strerror); await writing.abort()\n"
        "    await store.aclose()\n"
        "asyncio.run(main())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(limit)], capture_output=True, text=True, timeout=30
    )
    assert (run.stdout, run.stderr) == ("File too large\n", "")
    assert sorted(os.listdir(tmp_path)) == ["a@http", "a@http.head"]
    assert (tmp_path / "a@http").read_bytes() == b"old"
