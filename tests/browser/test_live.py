"""Connections that stay open: WebSockets and server-sent events."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.chromium import Complaints, goto
from tests.browser.conftest import World
from tests.browser.marks import BROWSER

pytestmark = BROWSER


# One WebSocket: sends all, closes with a code or waits for the other's, resolves with what it saw.
TALK = """({messages, size, code}) => new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${location.host}/ws`), heard = [], big = new Uint8Array(size);
    for (let start = 0; start < size; start += 65536) crypto.getRandomValues(big.subarray(start, start + 65536));
    let same = null;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => { for (const text of messages) socket.send(text); if (size) socket.send(big); };
    socket.onmessage = event => {
        if (typeof event.data === 'string') heard.push(event.data);
        else {
            const back = new Uint8Array(event.data);
            same = back.length === size && back.every((byte, at) => byte === big[at]);
        }
        if (code && heard.length === messages.length && (same !== null || !size)) socket.close(code, 'enough');
    };
    socket.onclose = event => resolve({heard, same, code: event.code, reason: event.reason, clean: event.wasClean});
})"""

# An EventSource that keeps what it hears; resolves with the first event.
LISTEN = """() => new Promise(resolve => {
    window.heard = [];
    window.source = new EventSource('/events');
    source.onmessage = event => { heard.push(event.data); resolve(); };
})"""


def test_a_websocket_brings_every_message_back(world: World, page: Page, complaints: Complaints) -> None:
    goto(page, world.url("other"))
    messages = [f"message {number} ✓" for number in range(50)]
    told = page.evaluate(TALK, {"messages": messages, "size": 0, "code": 4321})
    assert told == {"heard": messages, "same": None, "code": 4321, "reason": "enough", "clean": True}
    assert complaints.seen == []


def test_a_binary_message_of_1_mb_comes_back_whole(world: World, page: Page) -> None:
    goto(page, world.url("other"))
    told = page.evaluate(TALK, {"messages": [], "size": 1_000_000, "code": 1000})
    assert (told["same"], told["code"], told["clean"]) == (True, 1000, True)


def test_a_service_closes_a_websocket_with_its_own_code(world: World, page: Page) -> None:
    goto(page, world.url("other"))
    told = page.evaluate(TALK, {"messages": ["hello", "close 4007"], "size": 0, "code": 0})
    assert told == {"heard": ["hello"], "same": None, "code": 4007, "reason": "as asked", "clean": True}


def test_a_websocket_whose_service_dies_is_closed_as_broken(world: World, page: Page) -> None:
    goto(page, world.url("other"))
    page.evaluate(
        """() => new Promise(resolve => {
            window.socket = new WebSocket(`ws://${location.host}/ws`);
            window.ended = new Promise(tell => { socket.onclose = event => tell([event.code, event.wasClean]); });
            socket.onopen = resolve;
        })"""
    )
    with world.without(world.site):
        assert page.evaluate("ended") == [1006, False]


def test_the_first_event_comes_at_once_and_the_others_in_order(world: World, page: Page) -> None:
    goto(page, world.url("other"))
    told = page.evaluate(
        """count => new Promise((resolve, reject) => {
            const opened = performance.now(), source = new EventSource('/events'), heard = [];
            let first = null;
            source.onerror = () => reject(new Error('the stream broke'));
            source.onmessage = event => {
                first ??= performance.now() - opened;
                heard.push(event.data);
                if (heard.length < count) fetch('/tell');
                else { source.close(); resolve({first: first / 1000, heard}); }
            };
        })""",
        10,
    )
    assert told["heard"] == [f"event {number}" for number in range(10)]
    print(f"the first event came after {told['first']:.3f} s")


def test_events_go_on_where_they_stopped_after_the_service_was_restarted(world: World, page: Page) -> None:
    goto(page, world.url("other"))
    page.evaluate(LISTEN)
    page.evaluate("fetch('/tell')")
    page.wait_for_function("heard.length === 2")
    world.site.kill()
    world.site.start()
    page.wait_for_function("heard.length === 3")
    assert page.evaluate("heard") == ["event 0", "event 1", "event 2"]


def test_events_go_on_where_they_stopped_after_the_host_was_restarted(world: World, page: Page) -> None:
    goto(page, world.url("other"))
    page.evaluate(LISTEN)
    world.host.kill()
    world.host.start()
    page.wait_for_function("heard.length === 2")
    assert page.evaluate("heard") == ["event 0", "event 1"]


@pytest.mark.parametrize("victim", ["site", "host"])
def test_events_are_asked_for_again_while_nobody_is_there(world: World, page: Page, victim: str) -> None:
    """As without us: a browser gives an EventSource up for good after an answer with an error, not after a cut."""
    goto(page, world.url("other"))
    page.evaluate(LISTEN)
    with world.without(getattr(world, victim)):
        with page.expect_request("**/events") as again:
            pass
        assert again.value.response() is None
    page.wait_for_function("heard.length === 2")
    assert page.evaluate("heard") == ["event 0", "event 1"]
