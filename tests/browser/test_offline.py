"""What browsers only do for addresses that they trust: LABEL.localhost is one of them, although it is http."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.chromium import goto
from tests.browser.conftest import World
from tests.browser.marks import BROWSER

pytestmark = BROWSER


def test_a_shared_service_is_a_secure_context(world: World, page: Page) -> None:
    goto(page, world.url("other"))
    assert page.evaluate("[isSecureContext, typeof crypto.subtle, typeof navigator.serviceWorker]") == [
        True,
        "object",
        "object",
    ]


def test_a_service_worker_answers_while_the_host_is_away(world: World, page: Page) -> None:
    goto(page, world.url("works"))
    page.evaluate(
        "navigator.serviceWorker.ready.then(() => navigator.serviceWorker.controller || new Promise("
        "tell => navigator.serviceWorker.addEventListener('controllerchange', () => tell(true))))"
        ".then(() => true)"
    )
    with world.without(world.host):
        answer = page.reload()
        assert answer is not None
        assert answer.from_service_worker
        page.get_by_text("from the service").wait_for()
        assert page.evaluate("fetch('/kept').then(answer => answer.text())") == "kept for bad times"
        assert page.evaluate("fetch('/unknown').then(() => 'came', () => 'failed')") == "failed"
    assert goto(page, world.url("other")).status == 200
