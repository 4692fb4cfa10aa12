"""A phone without hardline: the list, a directory behind it, and what is there when a service is not, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.chromium import Complaints, goto, portrait, running_chromium
from tests.gateway.town import Town
from tests.support import needs

pytestmark = [pytest.mark.browser, needs.linux(), needs.tools("curl", "chromium")]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with running_chromium(None, tmp_path) as browser:
        yield browser.new_page()


def test_the_list_leads_to_a_directory_and_an_error_says_what_may_help(town: Town, page: Page) -> None:
    complaints = Complaints()
    complaints.watch(page)
    town.get("pile")
    here = f"http://127.0.0.1:{town.port}"
    assert goto(page, here).status == 200
    card = page.get_by_role("link").filter(has_text="pile")
    assert card.inner_text().split() == ["pile", "online"]
    assert card.evaluate("one => getComputedStyle(one).display") == "flex", "its own policy lets its style in"
    portrait(page, "gateway-list", dark=True)
    box = page.get_by_role("link").first.bounding_box()
    assert box is not None
    assert box["height"] >= 44, "a finger hits it"
    assert complaints.seen == []
    card.click()
    page.get_by_role("link", name="notes.md").click()
    assert page.url == f"{here}/servers/pile/notes.md"
    assert page.inner_text("body").startswith("# A heading")

    complaints.seen.clear()  # the file runs without an origin, and its icon with it
    assert goto(page, f"{here}/servers/away/").status == 503
    assert page.get_by_role("heading").inner_text() == "away is offline."
    portrait(page, "gateway-offline", dark=True)
    with page.expect_navigation() as again:
        page.get_by_role("link", name="Try again").click()
    assert again.value.status == 503
    assert complaints.seen == []
