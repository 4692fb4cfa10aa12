"""A browser that takes the door for its HTTP proxy, as systems need it that do not resolve *.localhost.

Nothing listens on port 80 of the visitor's machine: what is seen at http://LABEL.localhost/ came through the proxy.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import Complaints, goto
from tests.browser.conftest import World
from tests.browser.marks import BROWSER
from tests.browser.site import IMAGES
from tests.browser.test_live import TALK

pytestmark = BROWSER


@pytest.fixture
def proxied(world: World, chromium: Browser, complaints: Complaints) -> Iterator[Page]:
    door = f"http://127.0.0.1:{world.visitor.localport}"
    # Browsers leave out addresses of this computer, unless they are told not to.
    with chromium.new_context(proxy={"server": door, "bypass": "<-loopback>"}) as context:
        page = context.new_page()
        complaints.watch(page)
        yield page


def test_a_page_comes_through_the_proxy_with_everything_on_it(
    world: World, proxied: Page, complaints: Complaints
) -> None:
    assert goto(proxied, f"http://{world.label}.localhost/").status == 200
    proxied.get_by_text("fetched on connection").wait_for()
    assert proxied.evaluate("[...document.images].map(image => image.naturalWidth)") == [16] * IMAGES
    world.check_path()
    assert complaints.seen == []


def test_a_posted_form_leads_on_through_the_proxy(world: World, proxied: Page) -> None:
    goto(proxied, f"http://{world.label}.localhost/form")
    proxied.locator("input[name=who]").fill("ada")
    proxied.get_by_role("button", name="Sign").click()
    proxied.get_by_text("GET, cookies: who=ada").wait_for()


def test_a_websocket_goes_through_the_proxy(world: World, proxied: Page) -> None:
    goto(proxied, f"http://{world.label}.localhost/other")
    told = proxied.evaluate(TALK, {"messages": ["hello"], "size": 1_000_000, "code": 1000})
    assert (told["heard"], told["same"], told["code"]) == (["hello"], True, 1000)


def test_the_proxy_leads_to_no_other_place(world: World, proxied: Page) -> None:
    response = goto(proxied, "http://elsewhere.example/")
    assert response.status == 421
    assert proxied.title() == "This address leads nowhere"
