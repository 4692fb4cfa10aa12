"""A shared directory as a person sees it: the listing, its links, a text as a page, what is not there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.chromium import Complaints, goto, portrait
from tests.browser.conftest import World
from tests.browser.marks import BROWSER

pytestmark = BROWSER

NAMES = [
    *(
        "a plain one.txt",
        "100% sure?#1.txt",
        "<b>bold<b> & 'co'.txt",
        "ünïcödé ☕.txt",
        ".hidden.txt",
        "a:b.txt",
        '"quoted".txt',
    ),
    *("javascript:alert(1).txt", "semi;colon.txt", "+plus &amp; more.txt"),
]


@pytest.fixture
def listing(world: World) -> Iterator[str]:
    """The URL of a directory of the host."""
    root = world.host.data / "cache" / "shared"
    (root / "deep & <deeper>").mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (root / name).write_text(f"this is {name}")
    (root / "deep & <deeper>" / "inside.txt").write_text("inside")
    (root / "notes.md").write_text("# Notes\n\n<script>document.title = 'owned'</script>\n\n- one\n- two\n")
    world.host.write("shared", "[Service]\nservice =\n[Cache]\ndirectory = shared\nallowListing = yes\nhidden = yes\n")
    yield world.visitor.url_of(world.host.label("shared"))
    (world.host.services / "shared.ini").unlink()


def test_every_name_is_shown_as_it_is_and_its_link_leads_to_it(
    listing: str, page: Page, complaints: Complaints
) -> None:
    for name in NAMES:
        assert goto(page, listing).status == 200
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_text(f"this is {name}", exact=True).wait_for()
        assert page.url.startswith(listing)
    assert complaints.seen == []


def test_a_directory_leads_down_and_up_again(listing: str, page: Page, complaints: Complaints) -> None:
    goto(page, listing)
    portrait(page, "files")
    page.get_by_role("link", name="deep & <deeper>").click()
    page.get_by_role("link", name="inside.txt").wait_for()
    page.get_by_role("link", name="..").or_(page.get_by_role("link", name="Up")).first.click()
    page.get_by_role("link", name="a plain one.txt").wait_for()
    assert page.url == listing
    assert complaints.seen == []


def test_a_text_is_a_page_in_which_nothing_runs(listing: str, page: Page, complaints: Complaints) -> None:
    assert goto(page, f"{listing}notes.md?as_markdown=1").status == 200
    assert page.get_by_role("heading", name="Notes").is_visible()
    assert page.get_by_role("listitem").count() == 2
    assert page.title() != "owned"
    portrait(page, "markdown")
    assert complaints.seen == []


def test_what_is_not_there_is_a_page_for_people(listing: str, page: Page, complaints: Complaints) -> None:
    assert goto(page, f"{listing}nowhere").status == 404
    assert page.get_by_role("heading", name="There is nothing here").is_visible()
    portrait(page, "files-404")
