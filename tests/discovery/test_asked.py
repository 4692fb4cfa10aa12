"""[Node] ip_service: a web service that says which address we have, and everything else that it may say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hardline.discovery import asked
from hardline.discovery.asked import AskedAddress
from hardline.routes import Endpoint
from hardline.tasks import TaskSet
from tests.support.waiting import wait_until


class Service:
    """Answers every GET with `status` and `body`."""

    def __init__(self) -> None:
        self.status, self.body, self.asked = 200, b"11.22.33.7\n", 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked += 1
                self.send_response(service.status)
                self.end_headers()
                self.wfile.write(service.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.server.shutdown()
    service.server.server_close()


def known(service: Service, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> tuple[tuple[Endpoint, ...], int]:
    """What is known after it was asked so many times, and how often a change was told."""
    monkeypatch.setattr(asked, "AGAIN", 0.01)
    monkeypatch.setattr(asked, "EVERY", 0.01)
    changes: list[bool] = []

    async def story() -> tuple[Endpoint, ...]:
        one = AskedAddress(service.url, lambda: 7008, lambda: changes.append(True))
        tasks = TaskSet("test")
        tasks.start(one.run(), "ip_service")
        await asyncio.to_thread(wait_until, lambda: service.asked > times, "it was asked")
        await tasks.aclose()
        return one.endpoints

    return asyncio.run(story()), len(changes)


@pytest.mark.parametrize("body", [b"11.22.33.7\n", b"  11.22.33.7 "])
def test_the_address_and_our_own_port_are_known_and_told_once(service, monkeypatch, body):
    service.body = body
    assert known(service, monkeypatch, times=3) == ((Endpoint("11.22.33.7", 7008),), 1)


@pytest.mark.parametrize(
    "body",
    [b"192.168.1.5", b"127.0.0.1", b"100.64.0.1", b"<html>11.22.33.7</html>", b"", b"x" * 10**6, b"\xff\xfe"],
)
def test_what_is_no_public_address_is_not_believed(service, monkeypatch, body, caplog):
    service.body = body
    assert known(service, monkeypatch) == ((), 0)
    assert any(record.getMessage() == "ip_service.failed" for record in caplog.records)


def test_an_answer_that_says_it_failed_is_none(service, monkeypatch):
    service.status = 500
    assert known(service, monkeypatch) == ((), 0)
