"""node.share and node.open: the examples of the document, and what a program may do wrong with them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import hardline
from hardline import HardlineError, Node, NoRoute, parse_node
from hardline.errors import AccessRefused, ConfigError, ConnectionLost, PasswordRefused, ServiceFailed, WrongArgument
from hardline.node import inprocess
from hardline.tasks import TaskSet
from tests.support.check_byte_stream import read_all
from tests.support.library import HERE, Loop

DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "LIBRARY.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
ALONE = HERE.replace("[LAN]\n", "[LAN]\nenabled = no\n")
TASKS = TaskSet("test")


def run(story) -> None:
    asyncio.run(asyncio.wait_for(story(), 100))


def node(place: Path, settings: str = ALONE, **options) -> Node:
    return Node(parse_node(settings), datadir=place, **options)


async def bar(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": b"bar"})


async def echo(stream):
    while data := await stream.receive():
        await stream.send(data)


async def got(one: Node, address: object, request: bytes = b"GET /foo HTTP/1.1\r\nHost: a\r\n\r\n") -> bytes:
    """What the service says to a request."""
    async with await one.open(str(address)) as stream:
        await stream.send(request)
        await stream.send_eof()
        return await read_all(stream)


# The document.


@contextlib.contextmanager
def example(number: int, place: Path, *replaced: tuple[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The example with that number, as a program of its own, quiet on this computer."""
    program = EXAMPLES[number]
    for what, by in (*replaced, ("Node(datadir=", f"Node(hardline.parse_node({HERE!r}), datadir=")):
        program = program.replace(what, by)
    running = subprocess.Popen(
        [sys.executable, "-c", program], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with running:
        try:
            yield running
        finally:
            running.kill()


def said(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    line = running.stdout.readline()
    assert line or running.stderr is None, running.stderr.read() if running.stderr else ""
    return line.strip()


def test_the_first_example_is_visited(tmp_path):
    with example(0, tmp_path) as running:
        url = said(running)
        assert re.fullmatch(r"http://[0-9a-f]{40}\.localhost:7009/", url)

        async def story():
            async with node(tmp_path / "visitor", HERE) as visitor:
                assert b"\r\nbar\r\n" in await got(visitor, url)

        run(story)
    with example(0, tmp_path) as running:
        assert said(running) == url


def test_the_second_example_registers_at_its_relay(tmp_path):
    async def story():
        async with node(tmp_path / "relay", f"{ALONE}[Relay]\nenabled = yes\nallow = *\n") as relay:
            use = f"127.0.0.1:{relay._hosting.p2p_port}#{relay._identity.key_hash}"
            there = "relay.example:7008#0123456789012345678901234567890123456789"
            quiet = f"{use}\\n{ALONE}".replace("\n", "\\n")
            with example(1, tmp_path, (f"{there}\\n", quiet)) as running:
                assert re.fullmatch(r"http://[0-9a-f]{40}\.localhost:7009/", await asyncio.to_thread(said, running))
                async with asyncio.timeout(60):
                    async for _ in relay.changes.watch(0.05):
                        served = (await relay.actions.snapshot()).relays.served
                        relay.changes.tell()
                        if served and served.names:
                            break

    run(story)


def test_the_example_of_another_protocol_says_hello(tmp_path):
    with example(2, tmp_path) as running:
        assert said(running) == "b'hello'"
        assert running.wait(60) == 0


def test_every_example_is_run():
    assert len(EXAMPLES) == 4, "the last one by test_library.py"


# What is shared.


def test_what_is_shared_is_there_until_it_is_removed_and_has_its_url_again(tmp_path):
    async def story():
        async with node(tmp_path) as one:
            shared = await one.share(bar, name="wiki", title="Our\nwiki", password="sesame")
            assert str(shared) == shared.url == f"http://{shared.label}.localhost:7009/"
            assert str(shared.label).startswith("sesame-")
            assert shared.title == "Our wiki"
            assert str(shared.label) not in repr(shared)
            assert (await got(one, shared)).endswith(b"\r\n\r\nbar")
            with pytest.raises(PasswordRefused):
                await got(one, shared.label.key_hash)
            [state] = (await one.actions.snapshot()).services
            assert (state.name, state.state, state.file) == ("wiki", "serving", None)
            with pytest.raises(ConfigError, match="already"):
                await one.share(bar, name="wiki")
            await shared.remove()
            await shared.remove()
            assert not one.offering.current
            with pytest.raises((NoRoute, ServiceFailed, ConnectionLost)):
                await got(one, shared)
            again = await one.share(echo, name="wiki", password="sesame")
            assert str(again) == str(shared)
        for made in (tmp_path / "apps").iterdir():
            assert not made.stat().st_mode & 0o077, made

    run(story)


def test_a_wsgi_application_and_one_whose_kind_is_said(tmp_path):
    def wsgi(*both):
        both[1]("200 OK", [])
        return [b"bar"]

    async def story():
        async with node(tmp_path) as one:
            with pytest.raises(WrongArgument, match="what kind"):
                await one.share(wsgi)
            assert (await got(one, await one.share(wsgi, interface="wsgi"))).endswith(b"\r\n\r\nbar")

    run(story)


def test_a_service_for_invited_visitors(tmp_path):
    async def story():
        async with node(tmp_path / "host", HERE) as host, node(tmp_path / "visitor", HERE) as visitor:
            before = await host.share(bar, name="private", clients=[])
            with pytest.raises(AccessRefused):
                await got(visitor, before)
            key = await visitor.actions.key_for(str(before))
            await before.remove()
            shared = await host.share(bar, name="private", clients=[key])
            assert (await got(visitor, shared)).endswith(b"\r\n\r\nbar")

    run(story)


@pytest.mark.parametrize("name", ["", "a/b", "..", "ü", "x" * 65, "a\n"])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    async def story():
        async with node(tmp_path) as one:
            with pytest.raises(WrongArgument, match="no name for a service"):
                await one.share(bar, name=name)
            with pytest.raises(WrongArgument, match="threads is 0"):
                await one.share(bar, threads=0)
            with pytest.raises(WrongArgument, match="password"):
                await one.share(bar, password="a-b")
        assert not (tmp_path / "apps").exists()

    run(story)


def test_an_application_that_does_not_start_is_not_shared_and_leaves_nothing(tmp_path):
    async def fails(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def hangs(scope, receive, send):
        await receive()
        await asyncio.Event().wait()

    async def story():
        async with node(tmp_path) as one:
            before = asyncio.all_tasks()
            with pytest.raises(HardlineError, match="no database"):
                await one.share(fails)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await one.share(hangs)
            assert not one.offering.known
            assert asyncio.all_tasks() == before
            assert (await got(one, await one.share(bar))).endswith(b"bar")

    run(story)


def test_what_is_not_installed_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(inprocess, "find_spec", lambda name: None if name == "uvicorn" else name)

    async def story():
        async with node(tmp_path) as one:
            with pytest.raises(HardlineError, match="uvicorn must be installed") as refused:
                await one.share(bar)
            assert refused.value.hint == "pip install 'hardline-tunnel[app]'"
            assert await got(one, await one.share(echo), b"x") == b"x"

    run(story)


def test_a_uvicorn_that_is_made_otherwise_inside_is_refused(tmp_path, monkeypatch):
    monkeypatch.delattr("uvicorn.protocols.http.httptools_impl.HttpToolsProtocol._start_asgi_task")

    async def story():
        async with node(tmp_path) as one:
            with pytest.raises(HardlineError, match="version of uvicorn"):
                await one.share(bar)

    run(story)


def test_the_end_of_a_node_answers_what_is_under_way_and_shuts_applications_down(tmp_path):
    said = []
    began = asyncio.Event()

    async def slow(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            said.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
            return
        began.set()
        await asyncio.sleep(0.3)
        said.append("answered")
        await bar(scope, receive, send)

    async def story():
        async with node(tmp_path / "visitor", HERE) as visitor:
            async with node(tmp_path / "host", HERE) as host:
                shared = await host.share(slow)
                asking = TASKS.start(got(visitor, shared), "ask")
                await began.wait()
            assert (await asking).endswith(b"bar")

    run(story)
    assert said == ["answered", "lifespan.shutdown"]


# Who may use it, and where.


def test_a_node_is_used_in_its_own_loop_and_says_so_elsewhere(tmp_path):
    loop = Loop()
    one = node(tmp_path)
    loop.run(one.start())
    shared = loop.run(one.share(bar))

    async def elsewhere():
        for call in (
            one.stop,
            lambda: one.share(bar, name="other"),
            lambda: one.open(shared.url),
            one.actions.snapshot,
            lambda: one.actions.browse(0),
        ):
            with pytest.raises(HardlineError, match="another event loop") as refused:
                await call()
            assert "run_coroutine_threadsafe" in refused.value.hint
        with pytest.raises(HardlineError, match="started already"):
            await one.start()
        with pytest.raises(HardlineError, match="another event loop"):
            await shared.remove()

    run(elsewhere)
    assert loop.run(got(one, shared)).endswith(b"bar")
    loop.run(one.stop())
    loop.close()

    async def afterwards():
        async with one:
            assert (await got(one, await one.share(bar))).endswith(b"bar")

    run(afterwards)


def test_nodes_in_two_threads_and_two_in_one_loop_do_not_mix_bytes(tmp_path):
    def story(number: int) -> None:
        async def inner():
            async with (
                node(tmp_path / f"{number}" / "one", HERE) as host,
                node(tmp_path / f"{number}" / "two", HERE) as visitor,
            ):
                shared = await host.share(echo)

                async def visit(which: int) -> None:
                    data = bytes([number, which]) * 300_000
                    async with await visitor.open(shared.url) as stream:
                        sending = TASKS.start(stream.send(data), "send")
                        came = b""
                        while len(came) < len(data):
                            came += await stream.receive()
                        await sending
                        assert came == data

                await asyncio.gather(*map(visit, range(8)))

        try:
            run(inner)
        except BaseException as failure:
            failures.append(failure)

    failures: list[BaseException] = []
    threads = [threading.Thread(target=story, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_before_its_start_and_after_its_end_nothing_is_shared_or_opened(tmp_path):
    async def story():
        one = node(tmp_path)
        for call in (lambda: one.share(bar), lambda: one.open("0" * 40)):
            with pytest.raises(HardlineError, match="does not run"):
                await call()
        async with one:
            with pytest.raises(WrongArgument):
                await one.open("no label")
            with pytest.raises(NoRoute):
                await one.open("0" * 40)
        with pytest.raises(HardlineError, match="does not run"):
            await one.share(bar)

    run(story)
    with pytest.raises(ConfigError, match="place for its keys"):
        Node()


def test_a_stream_is_whole_also_when_its_service_speaks_first(tmp_path):
    async def greets(stream):
        await stream.send(b"at your service\n")
        await stream.send((await stream.receive()).upper())

    async def cuts(stream):
        await stream.send(b"half")
        raise RuntimeError("broken")

    async def story():
        async with node(tmp_path) as one:
            async with await one.open((await one.share(greets)).label) as stream:
                assert await stream.receive(7) == b"at your"
                await stream.send(b"hello")
                assert await read_all(stream) == b" service\nHELLO"
            stream = await one.open((await one.share(cuts, name="cuts")).label)
            with pytest.raises(ConnectionLost):
                await read_all(stream)
            await stream.aclose()
            statuses = [visit.status for visit in (await one.actions.snapshot()).visits]
            assert statuses == ["ok", "cut"]

    run(story)


def test_a_process_stays_as_it_is_also_with_an_application_in_it(tmp_path):
    async def story():
        os.umask(mask := os.umask(0o022))
        before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        frozen = gc.get_freeze_count()
        loggers = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "")]
        how = [(one.handlers[:], one.level, one.propagate) for one in loggers]
        policy = asyncio.get_event_loop_policy()
        async with node(tmp_path) as one:
            assert (await got(one, await one.share(bar))).endswith(b"bar")
            assert os.umask(mask) == mask
            assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
            assert gc.get_freeze_count() == frozen
            assert [(one.handlers[:], one.level, one.propagate) for one in loggers] == how
            assert asyncio.get_event_loop_policy() is policy

    run(story)


# A node that listens nowhere.


def test_what_needs_a_port_is_refused_without_one(tmp_path):
    for wrong, key in (
        ("[Relay]\nenabled = yes\n", "Relay"),
        ("[Gateway]\nlisten = 127.0.0.1:8080\n", "Gateway"),
        ("[SOCKS]\nlisten = 127.0.0.1:1080\n", "SOCKS"),
        (f"[Forward:x]\nlabel = {'0' * 40}\nlisten = 127.0.0.1:2222\n", "Forward"),
    ):
        with pytest.raises(ConfigError, match=f"{key}.* needs a port"):
            node(tmp_path, ALONE + wrong, listen=False)


def test_a_node_that_listens_nowhere_visits_and_says_that_it_is_not_reached(tmp_path):
    settings = HERE.replace("bind = 127.0.0.1\n", "bind = 127.0.0.1\npublic = 192.0.2.7:7008\n")

    async def story():
        async with node(tmp_path / "host", HERE) as host, node(tmp_path / "quiet", settings, listen=False) as quiet:
            shared = await host.share(bar)
            assert (await got(quiet, shared)).endswith(b"bar")
            await quiet.share(bar)
            snapshot = await quiet.actions.snapshot()
            assert (snapshot.node.p2p, snapshot.node.door) == ((), ())
            assert snapshot.outside.sentence == "not reachable: it listens nowhere, and no relay lets visitors in"
            assert (snapshot.outside.endpoints, snapshot.outside.advice, snapshot.outside.only_here) == (
                (),
                None,
                False,
            )
            assert not (tmp_path / "quiet" / "control.sock").exists()

    run(story)


def test_an_idle_node_loads_nothing_of_applications(tmp_path):
    program = (
        "import asyncio, sys, hardline\n"
        "async def main():\n"
        f"    async with hardline.Node(hardline.parse_node({ALONE!r}), datadir={str(tmp_path)!r}):\n"
        "        await asyncio.sleep(0.1)\n"
        "asyncio.run(main())\n"
        "parts = ('hardline.apps', 'uvicorn', 'httptools', 'websockets')\n"
        "loaded = [name for name in sys.modules if name.startswith(parts)]\n"
        "loaded += [name for name in ('hardline.node.inprocess', 'hardline.node.opened') if name in sys.modules]\n"
        "print(loaded)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
    assert hardline.Node is Node
