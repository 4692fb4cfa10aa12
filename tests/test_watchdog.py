"""What systemd's watchdog hears of a process that works, and of one that hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hardline.watchdog import feed_watchdog, watchdog_interval
from tests.support import needs
from tests.support.node import Node
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "1"}, 0.01),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_how_often_is_what_systemd_says_to_this_process(environment, interval):
    assert watchdog_interval(environment, 7) == interval


def test_nothing_is_told_while_the_worker_threads_hang(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearing:
        hearing.bind(str(tmp_path / "notify"))
        hearing.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        def heard() -> int:
            count = 0
            while True:
                try:
                    assert hearing.recv(100) == b"WATCHDOG=1"
                except BlockingIOError:
                    return count
                count += 1

        async def told() -> None:
            while not heard():
                await asyncio.sleep(0.01)

        async def story() -> None:
            go_on = threading.Event()
            loop = asyncio.get_running_loop()
            loop.set_default_executor(ThreadPoolExecutor(1))
            feeding = loop.create_task(feed_watchdog(0.01))
            await told()
            loop.run_in_executor(None, go_on.wait)
            await asyncio.sleep(0.1)
            heard()  # what was on its way
            await asyncio.sleep(0.3)
            assert heard() == 0
            go_on.set()
            await told()
            feeding.cancel()

        asyncio.run(story())


@needs.linux()
def test_a_daemon_that_stands_still_feeds_no_watchdog_and_one_that_goes_on_does(tmp_path: Path) -> None:
    with Node(tmp_path, env={"WATCHDOG_USEC": "300000"}) as node:
        node.is_told("WATCHDOG=1")
        os.kill(node.process.pid, signal.SIGSTOP)
        wait_until(lambda: _state(node.process.pid) == "T", "it stands still")
        node._listen()
        node.told.clear()
        with pytest.raises(AssertionError):
            wait_until(lambda: (node._listen(), "WATCHDOG=1" in node.told)[1], "", timeout=0.4)
        os.kill(node.process.pid, signal.SIGCONT)
        node.is_told("WATCHDOG=1")


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
