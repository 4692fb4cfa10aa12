"""Applications of the usual frameworks, shared in this process and visited by curl through another daemon's door."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import os
import queue
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from hardline import Node as LibraryNode
from tests.support import needs
from tests.support.library import Loop, running_node
from tests.support.node import Node
from tests.support.programs import CUT, curl
from tests.support.size import FULL
from tests.support.waiting import wait_until

pytestmark = [
    needs.tools("curl"),
    # Django leaves the file that it puts a body into to the interpreter.
    pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.SpooledTemporaryFile:ResourceWarning"),
]

UPLOAD = 200_000_000 if FULL else 20_000_000


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
    from starlette.routing import Route, WebSocketRoute

    async def bar(request: Request) -> Any:
        return PlainTextResponse(f"bar {request.app.state.started}")

    async def total(request: Request) -> Any:
        digest, length = hashlib.sha256(), 0
        try:
            async for piece in request.stream():
                digest.update(piece)
                length += len(piece)
                begun.set()
        except ClientDisconnect:
            torn.put(length)
            raise
        return JSONResponse({"length": length, "sha256": digest.hexdigest()})

    async def events(request: Request) -> Any:
        async def source():
            yield "data: first\n\n"
            await asyncio.Event().wait()

        return StreamingResponse(source(), media_type="text/event-stream")

    async def breaks(request: Request) -> Any:
        async def source():
            yield b"x" * 1000
            raise RuntimeError("broken in its midst")

        return StreamingResponse(
            source(), headers={"content-length": "2000"} if "length" in request.query_params else None
        )

    async def echo(talk: Any) -> None:
        await talk.accept()
        async for text in talk.iter_text():
            await talk.send_text(text)

    async def started(app: Any):
        app.state.started = "started"
        yield
        stopped.set()

    import contextlib

    return Starlette(
        routes=[
            Route("/foo", bar),
            Route("/sum", total, methods=["POST"]),
            Route("/events", events),
            Route("/breaks", breaks),
            WebSocketRoute("/ws", echo),
        ],
        lifespan=contextlib.asynccontextmanager(started),
    )


stopped, begun = threading.Event(), threading.Event()
torn: queue.Queue[int] = queue.Queue()  # how much came of an upload that broke off


def fastapi() -> Any:
    from fastapi import FastAPI, Request

    app = FastAPI()

    @app.get("/foo")
    def bar(name: str = "bar") -> str:  # FastAPI calls it in a thread
        return name

    async def total(request: Any) -> dict[str, Any]:
        data = await request.body()
        return {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    total.__annotations__["request"] = Request  # FastAPI looks for names among those of the module
    app.post("/sum")(total)
    return app


def flask() -> Any:
    from flask import Flask, Response, request

    app = Flask("test")

    @app.get("/foo")
    def bar() -> str:
        return "bar"

    @app.post("/sum")
    def total() -> dict[str, Any]:
        digest, length = hashlib.sha256(), 0
        try:
            while piece := request.stream.read(65_536):
                digest.update(piece)
                length += len(piece)
                begun.set()
        except OSError:
            torn.put(length)
            raise
        return {"length": length, "sha256": digest.hexdigest()}

    @app.get("/events")
    def events() -> Response:
        def source():
            yield "data: first\n\n"
            threading.Event().wait(300)

        return Response(source(), mimetype="text/event-stream")

    @app.get("/breaks")
    def breaks() -> Response:
        def source():
            yield b"x" * 1000
            raise RuntimeError("broken in its midst")

        return Response(source(), headers={"content-length": "2000"} if "length" in request.args else None)

    return app


def _django() -> None:
    from django.conf import settings
    from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
    from django.urls import path

    if settings.configured:
        return

    def bar(request: Any) -> Any:
        return HttpResponse("bar")

    def total(request: Any) -> Any:
        digest, length = hashlib.sha256(), 0
        while piece := request.read(65_536):
            digest.update(piece)
            length += len(piece)
        return JsonResponse({"length": length, "sha256": digest.hexdigest()})

    def breaks(request: Any) -> Any:
        def source():
            yield b"x" * 1000
            raise RuntimeError("broken in its midst")

        length = {"Content-Length": "2000"} if "length" in request.GET else None
        return StreamingHttpResponse(source(), headers=length)

    import types

    urls = types.ModuleType("urls_of_the_test")
    urls.urlpatterns = [path("foo", bar), path("sum", total), path("breaks", breaks)]  # type: ignore[attr-defined]
    settings.configure(
        ALLOWED_HOSTS=[".localhost"], ROOT_URLCONF=urls, SECRET_KEY="of the test", DEBUG=False, LOGGING_CONFIG=None
    )
    import django

    django.setup()


def django_wsgi() -> Any:
    _django()
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def django_asgi() -> Any:
    _django()
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


APPS = {
    "starlette": starlette,
    "fastapi": fastapi,
    "flask": flask,
    "django-wsgi": django_wsgi,
    "django-asgi": django_asgi,
}


@dataclass
class Town:
    """The applications, and the daemon by which they are visited."""

    host: LibraryNode
    loop: Loop
    visitor: Node
    labels: dict[str, str]

    def url(self, name: str, path: str) -> str:
        return self.visitor.url_of(self.labels[name], path)

    def events(self, name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["curl", "-qsSN", "--noproxy", "*", self.url(name, "events")], stdout=subprocess.PIPE)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    directory = tmp_path_factory.mktemp("apps")
    with running_node(directory / "host") as (host, loop), Node(directory / "visitor") as visitor:
        shared = {name: loop.run(host.share(app(), name=name)) for name, app in APPS.items()}
        yield Town(host, loop, visitor, {name: str(one.label) for name, one in shared.items()})
    gc.collect()
    assert stopped.is_set(), "the end of a node is the end of its applications"


@pytest.mark.parametrize("name", APPS)
def test_an_application_answers(town: Town, name: str) -> None:
    answer = curl(town.url(name, "foo"))
    assert (answer.status, answer.text.strip('"')) == (200, "bar started" if name == "starlette" else "bar")
    visit = town.visitor.last_visit(town.labels[name])
    assert (visit["status"], visit["protocol"], visit["kind"]) == ("ok", "hardline/2", "LAN")
    assert curl(town.url(name, "foo"), "-I").status == (405 if name == "fastapi" else 200)
    assert curl(town.url(name, "nowhere")).status == 404


@pytest.mark.parametrize(
    ("name", "how"),
    [
        (name, how)
        for name in APPS
        for how in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"])
        if name != "django-wsgi" or "chunked" not in "".join(how)  # it reads as much as Content-Length says
    ],
)
def test_a_large_upload_arrives_whole(town: Town, name: str, how: list[str], tmp_path: Path) -> None:
    data = os.urandom(1_000_000) * (UPLOAD // 1_000_000)
    (tmp_path / "up").write_bytes(data)
    answer = curl(town.url(name, "sum"), "-T", tmp_path / "up", "-X", "POST", *how)
    assert json.loads(answer.text) == {"length": UPLOAD, "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize("how", [[], ["-H", "Transfer-Encoding: chunked"]])
@pytest.mark.parametrize("name", ["starlette", "flask"])
def test_an_upload_that_is_broken_off_does_not_look_whole(
    town: Town, name: str, how: list[str], tmp_path: Path
) -> None:
    (tmp_path / "up").write_bytes(bytes(UPLOAD))
    begun.clear()
    fixed = ["curl", "-qsS", "--noproxy", "*", "-X", "POST", "--limit-rate", "3M", "-T", tmp_path / "up"]
    with subprocess.Popen([*fixed, *how, town.url(name, "sum")], stderr=subprocess.DEVNULL) as uploading:
        assert begun.wait(60)
        uploading.kill()
    assert 0 < torn.get(timeout=60) < UPLOAD
    assert torn.empty()


@pytest.mark.parametrize("coding", ["", "?length"])
@pytest.mark.parametrize("name", ["starlette", "flask", "django-wsgi", "django-asgi"])
def test_an_answer_that_breaks_off_is_a_cut(town: Town, name: str, coding: str) -> None:
    answer = curl(town.url(name, f"breaks{coding}"))
    assert answer.code in CUT
    assert len(answer.body) <= 1000


@pytest.mark.parametrize("name", ["starlette", "flask"])
def test_an_event_comes_at_once(town: Town, name: str) -> None:
    with town.events(name) as listening:
        assert listening.stdout is not None
        assert listening.stdout.readline() == b"data: first\n"
        listening.kill()


def test_a_websocket_speaks(town: Town) -> None:
    there = town.url("starlette", "ws").replace("http:", "ws:")
    door = socket.create_connection(("127.0.0.1", town.visitor.localport))
    with connect(there, sock=door, proxy=None) as talk:
        for text in ("one", "zwei " * 50_000):
            talk.send(text)
            assert talk.recv(timeout=60) == text


def test_an_application_that_is_removed_under_load_answers_what_it_took(town: Town) -> None:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def slow(request: Any) -> Any:
        began.append(1)
        await asyncio.sleep(0.1)
        return PlainTextResponse("whole")

    began: list[int] = []
    shared = town.loop.run(town.host.share(Starlette(routes=[Route("/", slow)]), name="passing"))
    url = town.visitor.url_of(str(shared.label))
    assert curl(url).text == "whole"
    many = ["curl", "-qsS", "--noproxy", "*", "-Z", "--parallel-max", "10", "-w", "%{http_code} %{exitcode}\\n"]
    load = subprocess.Popen(
        [*many, "-o", "/dev/null", f"{url}?[1-500]"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    wait_until(lambda: len(began) > 50, "the load is there")
    town.loop.run(shared.remove())
    said, _ = load.communicate(timeout=100)
    results = said.split("\n")[:-1]
    assert len(results) == 500
    assert results.count("200 0") >= 50
    assert set(results) <= {"200 0", "503 0", "502 0"}, "nothing that was begun was cut"
    assert curl(url).status in (502, 503)
    again = town.loop.run(town.host.share(Starlette(routes=[Route("/", slow)]), name="passing"))
    assert str(again) == str(shared), "its name keeps its URL"
    wait_until(lambda: curl(url).text == "whole", "it is back")
    town.loop.run(again.remove())
