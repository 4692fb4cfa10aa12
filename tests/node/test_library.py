"""A node in a program of somebody else's: it leaves alone what belongs to the process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import hardline
from hardline import HardlineError, Node, Places, certificates, parse_node
from hardline.errors import ServiceFailed
from hardline.identity import Label
from hardline.session.stream import Stream
from hardline.settings.directory import Service
from hardline.settings.service import ServiceSettings
from hardline.transport.tcp import TcpStream
from tests.support import needs

DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "LIBRARY.md").read_text()
QUIET = "[Node]\nlocalport = 0\np2pport = 0\nbind = 127.0.0.1\n" + "".join(
    f"[{part}]\nenabled = no\n" for part in ("LAN", "DHT", "UPnP")
)


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 60))


def node(place: Path) -> Node:
    return Node(parse_node(QUIET, ""), Places(place / "services", place / "data"))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


async def visited(one: Node, label: str, *, keep: bool = False) -> bytes:
    """What a visit to a service of the node's own says first; with `keep` it goes on."""
    visit = await one._visiting.visitor.visit(Label.parse(label), b"hello")
    said = await visit.answered() or await visit.pipe.receive()
    if not keep:
        await visit.pipe.aclose()
    return said


def test_two_nodes_of_one_program_share_and_visit(tmp_path):
    async def story():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with node(tmp_path / "one") as one, node(tmp_path / "other") as other:
            port = server.sockets[0].getsockname()[1]
            for each in (one, other):
                shared = await each.actions.share(str(port), title="Echo")
                assert await visited(each, shared.url.partition("//")[2].partition(".")[0]) == b"hello"
            again = await one.actions.share(str(port))
            assert again.already
            snapshot = await one.actions.snapshot()
            assert [service.name for service in snapshot.services] == [again.name]
            assert {session.role for session in snapshot.sessions} == {"visiting", "hosting"}
            await one.actions.remove(again.name)
            assert not one.offering.current
        server.close()

    run(story)


def test_what_a_program_is_told_of_changes(tmp_path):
    async def story():
        async with node(tmp_path) as one:
            changes = one.changes.watch()
            await anext(changes)
            await one.actions.share("8000")
            async with asyncio.timeout(10):
                await anext(changes)
            await changes.aclose()

    run(story)


class Greeter:
    """A service that the program answers itself."""

    async def ready(self) -> None:
        pass

    async def serve(self, stream: Stream) -> None:
        await stream.send(b"at your service")
        await stream.send_eof()

    async def connect(self, source: str = "") -> TcpStream:
        raise ServiceFailed("unavailable", "no sockets here")


def test_a_service_without_a_file_or_port_is_served(tmp_path):
    async def story():
        identity = certificates.load_or_create(tmp_path / "greeter.cert")
        async with node(tmp_path) as one:
            one.offering.share(
                Service("greeter", ServiceSettings(target=None, title="Greeter"), identity, None), Greeter()
            )
            async with asyncio.timeout(10):
                while one._hosting.served != one.offering.current:
                    await asyncio.sleep(0.01)
            assert await visited(one, str(identity.key_hash)) == b"at your service"
            [state] = (await one.actions.snapshot()).services
            assert (state.name, state.file) == ("greeter", None)

    run(story)


def test_what_belongs_to_the_process_stays_as_it_is(tmp_path):
    async def story():
        os.umask(mask := os.umask(0o022))
        before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
        frozen = gc.get_freeze_count()
        async with node(tmp_path) as one:
            await one.actions.snapshot()
            assert os.umask(mask) == mask
            assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before
            assert gc.get_freeze_count() == frozen
            for made in (*(tmp_path / "data").iterdir(), tmp_path / "services"):
                assert not made.stat().st_mode & 0o077, made

    run(story)


def test_two_loops_of_one_process_have_a_node_each(tmp_path):
    said: list[bytes] = []

    def elsewhere() -> None:
        async def story() -> None:
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            async with node(tmp_path / "other") as one:
                shared = await one.actions.share(str(server.sockets[0].getsockname()[1]))
                said.append(await visited(one, shared.url.partition("//")[2].partition(".")[0]))
            server.close()

        run(story)

    async def story():
        async with node(tmp_path / "one") as one:
            await asyncio.to_thread(elsewhere)
            assert (await one.actions.snapshot()).pid == os.getpid()

    run(story)
    assert said == [b"hello"]


def test_a_start_that_fails_leaves_nothing_behind(tmp_path):
    async def story():
        before = asyncio.all_tasks()
        async with node(tmp_path) as one:
            with pytest.raises(HardlineError, match="another hardlined"):
                async with node(tmp_path):
                    pass
            assert (await one.actions.snapshot()).pid == os.getpid()
        assert asyncio.all_tasks() == before

    run(story)


def test_without_control_nobody_can_ask_and_the_directory_has_one_node_all_the_same(tmp_path):
    async def story():
        settings, places = parse_node(QUIET, ""), Places(tmp_path / "services", tmp_path / "data")
        async with Node(settings, places, control=False):
            assert not (tmp_path / "data" / "control.sock").exists()
            with pytest.raises(HardlineError, match="another hardlined"):
                async with Node(settings, places, control=False):
                    pass

    run(story)


def test_the_documents_example_runs(tmp_path):
    *_, program = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)  # the others: test_sharing.py
    quiet = program.replace("[LAN]\\nmdns = no", "bind = 127.0.0.1\\n[LAN]\\nenabled = no")
    assert quiet != program
    done = subprocess.run(
        [sys.executable, "-c", quiet], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"http://[0-9a-f]{40}\.localhost:7009/\nreachable on this machine only", done.stdout)


def test_the_package_exports_what_the_document_names_and_loads_nothing_before():
    for name in hardline.__all__:
        assert getattr(hardline, name) is not None
    with pytest.raises(AttributeError):
        hardline.nothing  # noqa: B018
    program = "import sys, hardline; print('asyncio' in sys.modules, 'hardline.node' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "False"]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@needs.linux()
def test_a_start_that_is_cancelled_anywhere_leaves_nothing_open_and_can_be_made_again(tmp_path):
    async def story():
        async with node(tmp_path):
            pass
        before = descriptors()
        for milliseconds in range(0, 60, 2):
            try:
                async with asyncio.timeout(milliseconds / 1000), node(tmp_path):
                    await asyncio.sleep(1)
            except TimeoutError:
                pass
            async with asyncio.timeout(10):  # a thread may still be at what nobody waits for any more
                while descriptors() > before:
                    await asyncio.sleep(0.01)
        async with node(tmp_path) as one:
            assert (await one.actions.snapshot()).pid == os.getpid()
        assert len(asyncio.all_tasks()) <= 2  # this one, and who waits for it

    run(story)


def test_a_stop_that_is_cancelled_waits_for_no_download_and_ends_everything(tmp_path):
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()
                await asyncio.sleep(0.01)

    async def story():
        server = await asyncio.start_server(endless, "127.0.0.1", 0)
        one = node(tmp_path)
        await one.start()
        shared = await one.actions.share(str(server.sockets[0].getsockname()[1]))
        assert await visited(one, shared.url.partition("//")[2].partition(".")[0], keep=True)
        stopping = asyncio.get_running_loop().create_task(one.stop())
        async with asyncio.timeout(60):
            while not all(guest.session and guest.session.draining for guest in one._hosting.host.guests):
                await asyncio.sleep(0.01)
        assert not stopping.done(), "a download moves"
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        async with node(tmp_path) as again:
            assert (await again.actions.snapshot()).pid == os.getpid()
        server.close()

    run(story)


def test_a_node_is_started_once_and_asked_while_it_runs(tmp_path):
    async def story():
        one = node(tmp_path)
        for asked in (one.actions.snapshot, lambda: one.actions.share("8000"), lambda: one.actions.browse(0)):
            with pytest.raises(HardlineError, match="does not run"):
                await asked()
        await one.start()
        with pytest.raises(HardlineError, match="started already"):
            await one.start()
        await one.stop()
        with pytest.raises(HardlineError, match="does not run"):
            await one.actions.snapshot()
        async with one:
            assert (await one.actions.snapshot()).pid == os.getpid()

    run(story)
    asyncio.run(asyncio.sleep(0))
    run(story)  # in a loop of its own: the first one kept no place


def test_directories_above_its_own_are_its_owners_alone_too(tmp_path):
    async def story():
        os.umask(mask := os.umask(0))
        os.umask(0)
        try:
            places = Places(tmp_path / "a" / "services", tmp_path / "x" / "y" / "data")
            async with Node(parse_node(QUIET, ""), places):
                for made in ("a", "a/services", "x", "x/y", "x/y/data"):
                    assert not (tmp_path / made).stat().st_mode & 0o077, made
        finally:
            os.umask(mask)

    run(story)
