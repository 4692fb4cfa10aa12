"""What `hardline` asks and how the daemon answers."""

from __future__ import annotations

import asyncio
import socket
import stat
import threading
from pathlib import Path

import pytest

from hardline.control import SOCKET_NAME, ControlServer, ask
from hardline.errors import ConfigError


async def _greet(request):
    return {"hello": request["name"]}


async def _fail(request):
    raise ConfigError("port is 'x'", hint="write  port = 80")


def serving(directory: Path, story):
    """Run `story` in a thread while a server answers in `directory`."""

    async def whole():
        server = ControlServer({"greet": _greet, "fail": _fail})
        await server.open(directory)
        try:
            return await asyncio.to_thread(story)
        finally:
            await server.aclose()

    return asyncio.run(whole())


def test_a_question_is_answered(tmp_path):
    assert serving(tmp_path, lambda: ask(tmp_path, "greet", name="ada")) == {"hello": "ada"}


def test_only_the_owner_may_ask(tmp_path):
    mode = serving(tmp_path, lambda: (tmp_path / SOCKET_NAME).stat().st_mode)
    assert stat.S_IMODE(mode) == 0o600


def test_an_error_comes_with_its_hint(tmp_path):
    def story():
        with pytest.raises(ConfigError) as caught:
            ask(tmp_path, "fail")
        assert (caught.value.message, caught.value.hint) == ("port is 'x'", "write  port = 80")

    serving(tmp_path, story)


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"[]\n", b'{"do":"nothing"}\n', b"[" * 60_000 + b"\n", b'{"do":[]}\n']
)
def test_nonsense_gets_an_answer_and_hurts_nobody(tmp_path, line):
    def story():
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(100)
            connection.connect(str(tmp_path / SOCKET_NAME))
            connection.sendall(line)
            assert b'"error"' in connection.recv(1000)
        assert ask(tmp_path, "greet", name="ada") == {"hello": "ada"}

    serving(tmp_path, story)


def test_without_a_daemon_the_error_says_how_to_start_one(tmp_path):
    with pytest.raises(ConfigError, match="no hardlined runs") as caught:
        ask(tmp_path, "status")
    assert "hardlined" in caught.value.hint


def test_a_socket_left_by_a_crash_is_replaced_and_one_in_use_is_not(tmp_path):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / SOCKET_NAME))
    left.close()

    async def story():
        first = ControlServer({})
        await first.open(tmp_path)
        with pytest.raises(ConfigError, match="another hardlined runs"):
            await ControlServer({}).open(tmp_path)
        await first.aclose()
        assert not (tmp_path / SOCKET_NAME).exists()

    asyncio.run(story())


def test_a_path_too_long_for_a_socket_is_said(tmp_path):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    with pytest.raises(ConfigError, match="too long"):
        asyncio.run(ControlServer({}).open(deep))


@pytest.mark.parametrize("line", [b"", b"7\n", b"[]\n", b"{}\n", b"[" * 100_000 + b"\n", b"\xff\n"])
def test_what_is_no_answer_is_said_to_be_none(tmp_path, line):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / SOCKET_NAME))
        listening.listen()

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.makefile("rb").readline()
                connection.sendall(line)

        foreign = threading.Thread(target=answer)
        foreign.start()
        with pytest.raises(ConfigError, match="gave no answer"):
            ask(tmp_path, "status")
        foreign.join()
