"""A program of ten lines shares an application, and nothing of it listens: row 56, from outside.

curl ─▶ visitor's door ══ relay ══ the program, which only dials out
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.netns.lab import Lab, Machine
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import curl
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.netns, needs.linux(), needs.root(), needs.tools("ip", "ss", "sysctl", "curl")]

PROGRAM = """
import asyncio, sys, hardline
{app}
async def main():
    settings = hardline.parse_node(sys.argv[2])
    async with hardline.Node(settings, datadir=sys.argv[1], listen=False) as node:
        print(await node.share({name}, name="wiki"), flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
ASGI = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"bar"})
"""
WSGI = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"bar"]
"""
FLASK = """
import flask
app = flask.Flask("wiki")
app.get("/foo")(lambda: "bar")
"""
STREAM = """
async def app(stream):
    while data := await stream.receive():
        await stream.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nbar")
"""
QUIET = "[DHT]\nenabled = no\n[UPnP]\nenabled = no\n"


@dataclass(frozen=True, slots=True)
class Town:
    """Where the program runs, by which relay it is reached, and who visits."""

    home: Machine
    use: str
    away: Machine
    visitor: Node

    @contextlib.contextmanager
    def running(self, app: str, data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """(the program, what its URL begins with)."""
        command = [sys.executable, "-c", PROGRAM.format(app=app, name="app"), str(data), f"{QUIET}{self.use}"]
        with subprocess.Popen(self.home.wrap(command), stdout=subprocess.PIPE, text=True) as program:
            try:
                assert program.stdout is not None
                yield program, program.stdout.readline().removeprefix("http://").partition(".")[0]
            finally:
                program.kill()

    def get(self, label: str) -> str:
        return curl(self.visitor.url_of(label, "foo"), at=self.away).text


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    directory = tmp_path_factory.mktemp("town")
    with Lab() as lab:
        home, away, third = lab.machine("home", 2), lab.machine("away", 1), lab.machine("relay", 1)
        serving = f"{QUIET}[Relay]\nenabled = yes\nallow = *\n"
        with Node(directory / "relay", at=third, settings=serving) as relay:
            use = f"[Relay]\nuse = {third.public}:7008#{relay.status()['node']['key_hash']} named\n"
            with Node(directory / "visitor", at=away, settings=f"{QUIET}{use}") as visitor:
                yield Town(home, use, away, visitor)


def listeners(at: Machine, pid: int) -> list[str]:
    """What ss says of the process."""
    return [line for line in at.run(["ss", "-Hltnp"]).splitlines() if f"pid={pid}," in line]


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(ASGI, id="ASGI"),
        pytest.param(WSGI, id="WSGI", marks=pytest.mark.full),
        pytest.param(FLASK, id="Flask", marks=pytest.mark.full),
        pytest.param(STREAM, id="a stream", marks=pytest.mark.full),
    ],
)
def test_a_program_without_a_port_is_reached(app: str, town: Town, tmp_path: Path) -> None:
    with town.running(app, tmp_path / "data") as (program, label):
        wait_until(lambda: town.get(label) == "bar", "the program answers")
        assert town.visitor.last_visit(label)["kind"] in ("RELAYED", "PUNCHED")
        # A try to get past the relay has a port of its own, for four seconds.
        wait_until(lambda: listeners(town.home, program.pid) == [], "nothing of it listens")
        assert listeners(town.away, town.visitor.process.pid), "ss tells whose a socket is"
        assert town.get(label) == "bar"
        assert not (tmp_path / "data" / "control.sock").exists()
