"""What `hardline` asks and how the daemon answers."""

from __future__ import annotations

import asyncio
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from hardline.asking import SOCKET_NAME, ask, follow
from hardline.control import ControlServer, Held
from hardline.errors import ConfigError, NoDaemon, WrongArgument
from tests.support import needs


async def _greet(request):
    return {"hello": request["name"]}


async def _fail(request):
    raise ConfigError("port is 'x'", hint="write  port = 80")


async def _refuse(request):
    raise WrongArgument("no such thing", hint="another")


class _Room:
    """What is held as long as whoever asked stays."""

    def __init__(self):
        self.left = threading.Event()

    async def enter(self, request):
        return Held({"entered": request["name"]}, self._news(request["news"]), self._leave)

    async def _news(self, news):
        for one in news:
            yield one
        if news[-1] != "over":
            await asyncio.Event().wait()

    async def _leave(self):
        self.left.set()


_ROOM = _Room()


async def _break(request):
    raise OSError(36, "File name too long")


def serving(directory: Path, story):
    """Run `story` in a thread while a server answers in `directory`."""

    async def whole():
        known = {"greet": _greet, "fail": _fail, "refuse": _refuse, "break": _break, "enter": _ROOM.enter}
        server = ControlServer(known)
        await server.open(directory)
        try:
            return await asyncio.to_thread(story)
        finally:
            await server.aclose()

    return asyncio.run(whole())


def test_a_question_is_answered(tmp_path):
    assert serving(tmp_path, lambda: ask(tmp_path, "greet", name="ada")) == {"hello": "ada"}


def test_what_is_held_is_let_go_when_whoever_asked_has_gone(tmp_path):
    def story():
        _ROOM.left.clear()
        told = follow(tmp_path, "enter", name="ada", news=["one", "two"])
        assert [next(told) for _ in range(3)] == [{"entered": "ada"}, "one", "two"]
        assert not _ROOM.left.is_set()
        assert ask(tmp_path, "greet", name="ada") == {"hello": "ada"}
        told.close()
        assert _ROOM.left.wait(100)

    serving(tmp_path, story)


def test_news_end_with_what_is_told_and_with_the_daemon(tmp_path):
    def story():
        _ROOM.left.clear()
        assert list(follow(tmp_path, "enter", name="ada", news=["one", "over"])) == [{"entered": "ada"}, "one", "over"]
        assert _ROOM.left.wait(100)
        return follow(tmp_path, "enter", name="ada", news=["one"])

    told = serving(tmp_path, lambda: (news := story(), next(news), next(news))[0])
    assert list(told) == []
    assert _ROOM.left.wait(100)


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
    with pytest.raises(NoDaemon, match="no hardlined runs") as caught:
        ask(tmp_path, "status")
    assert "hardlined" in caught.value.hint


def test_what_was_typed_wrong_is_told_from_what_failed(tmp_path):
    def story():
        with pytest.raises(WrongArgument, match="no such thing") as caught:
            ask(tmp_path, "refuse")
        assert (caught.value.code, caught.value.hint) == (2, "another")

    serving(tmp_path, story)


def test_whatever_goes_wrong_in_the_daemon_is_an_answer(tmp_path):
    def story():
        with pytest.raises(ConfigError, match="File name too long") as caught:
            ask(tmp_path, "break")
        assert caught.value.hint == "look at its log"
        assert ask(tmp_path, "greet", name="ada") == {"hello": "ada"}

    serving(tmp_path, story)


def test_more_than_a_daemon_reads_is_not_sent(tmp_path):
    def story():
        with pytest.raises(WrongArgument, match="expected at most 65536"):
            ask(tmp_path, "greet", name="a" * 65_536)

    serving(tmp_path, story)


@needs.root()
@needs.linux()
@needs.tools("curl")
def test_another_user_is_not_answered_whatever_the_mode_of_the_socket():
    """Else a daemon of root could be told to open files for him."""
    directory = Path(tempfile.mkdtemp(dir="/tmp"))

    def story():
        directory.chmod(0o755)
        (directory / SOCKET_NAME).chmod(0o666)
        command = ["curl", "-s", "-m", "10", "--http0.9", "--unix-socket", directory / SOCKET_NAME, "http://x/"]
        return [
            subprocess.run(command, user=who, capture_output=True, text=True, cwd="/").stdout for who in (0, 12_345)
        ]

    try:
        root, another = serving(directory, story)
    finally:
        shutil.rmtree(directory)
    assert "a request that this daemon does not know" in root
    assert "this hardlined belongs to another user" in another


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
