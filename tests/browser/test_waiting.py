"""What takes the door longest to say.  The last file of the suite: its tab has waited since the first test."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.chromium import portrait
from tests.browser.marks import BROWSER

pytestmark = BROWSER

MUTE_LIMIT = 30_000  # milliseconds; the door waits 25 s for a host that says nothing


def test_a_host_that_says_nothing_is_given_up(mute_page: Page) -> None:
    mute_page.get_by_role("heading", level=1).wait_for(timeout=MUTE_LIMIT)
    assert mute_page.title() == "The host is too slow"
    text = mute_page.locator("main").inner_text()
    assert "said nothing about its service within 25 seconds" in text
    assert "tries again by itself every 5 seconds" in text
    portrait(mute_page, "host-slow")
