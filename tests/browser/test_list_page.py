"""This node's own page, http://localhost:7009/: what this computer shares, and what the network offers."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.chromium import Complaints, goto, portrait
from tests.browser.conftest import TITLE, World
from tests.browser.marks import BROWSER
from tests.support.node import Node
from tests.support.waiting import wait_until

pytestmark = BROWSER

OVERRIDE = "\u202e"  # turns the order of the letters behind it: gpj.exe is shown as exe.jpg


def test_the_page_leads_to_what_the_network_offers(world: World, page: Page, complaints: Complaints) -> None:
    assert goto(page, world.home).status == 200
    offer = page.get_by_role("listitem").filter(has_text=world.second_label)
    source = offer.get_by_text("at ").inner_text().rpartition("at ")[2]
    assert source in (world.host_machine.ip4, world.host_machine.ip6) or source.startswith("fe80:")
    offer.get_by_role("link", name="The second").click()
    page.get_by_role("heading", name="Hello").wait_for()
    assert page.url == world.visitor.url_of(world.second_label)
    assert page.evaluate("fetch('/count').then(answer => answer.json())")["site"] == "the second"
    assert complaints.seen == []


def test_the_page_shows_own_services_and_what_is_wrong_with_them(
    world: World, page: Page, complaints: Complaints
) -> None:
    world.visitor.share(
        "notes", 8001, title="Notes of the house, all of them, since the very beginning" + 40 * " and on"
    )
    world.visitor.share("cam", 8002, title="Camera", listed=False)
    world.visitor.write("cam", "[Service]\nservice = 127.0.0.1\nport = http\n")
    world.visitor.write("broken", "this is no INI file\n")
    try:
        wait_until(lambda: world.visitor.service("cam", state="stale"), "the mistake was seen")
        wait_until(lambda: world.visitor.service("broken", state="broken"), "the mistake was seen")
        goto(page, world.home)
        text = page.locator("main").inner_text()
        assert "Serving as before its file broke" in text
        assert "port is 'http'" in text
        assert page.get_by_role("link", name="Notes of the house").get_attribute("href") == world.visitor.url("notes")
        portrait(page, "list", dark=True)
    finally:
        for name in ("notes", "cam", "broken"):
            (world.visitor.services / f"{name}.ini").unlink()
    assert complaints.seen == []


def test_titles_are_text_whatever_they_say(world: World, page: Page, complaints: Complaints) -> None:
    world.host.share("turned", world.site.port, title=f"holiday{OVERRIDE}gpj.exe")
    turned = page.get_by_role("link", name="holidaygpj.exe", exact=True)

    def is_offered() -> bool:
        goto(page, world.home)
        return turned.count() == 1

    wait_until(is_offered, "the page names it", every=0.3)
    assert page.title() == "hardline"
    links = page.get_by_role("link", name=TITLE, exact=True)  # offered here, and perhaps visited from here
    assert {links.nth(index).get_attribute("href") for index in range(links.count())} == {world.url()}
    assert turned.is_visible()
    assert page.evaluate("document.scripts.length") == 1, "its own, by its hash"
    assert complaints.seen == []


def test_a_node_with_nothing_to_show_says_what_to_do(
    world: World, page: Page, complaints: Complaints, tmp_path: Path
) -> None:
    alone = Node(tmp_path / "alone", at=world.visitor_machine, settings="[LAN]\nenabled = no\n")
    alone.localport, alone.p2pport = 7029, 7028
    with alone:
        goto(page, f"http://localhost:{alone.localport}/")
        assert "hardline share 8000" in page.locator("main").inner_text()
        assert "Nobody offers anything here" in page.locator("main").inner_text()
        portrait(page, "list-empty")
    assert complaints.seen == []


@pytest.mark.parametrize("name", ["127.0.0.1", "[::1]"])
def test_the_page_is_at_every_name_of_this_computer(world: World, page: Page, name: str) -> None:
    assert goto(page, world.home.replace("localhost", name)).status == 200
    assert page.get_by_role("heading", level=1).inner_text() == "hardline"


def test_another_user_of_the_machine_sees_what_the_network_offers_and_no_more(
    world: World, page: Page, complaints: Complaints
) -> None:
    world.visitor.share("private", 8003, title="Nobody's business", listed=False)
    command = ["setpriv", "--reuid", "12345", "--clear-groups", "curl", "-sS", "-H", "Accept: text/html", world.home]
    text = world.visitor_machine.run(command)
    (world.visitor.services / "private.ini").unlink()
    page.set_content(text)
    assert page.get_by_text("shown to the user that runs hardlined").is_visible()
    assert page.get_by_role("link", name="The second").is_visible()
    assert "business" not in text
    portrait(page, "list-others")
    assert complaints.seen == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(world: World, page: Page, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of at least 4.5 for every text."""
    page.emulate_media(color_scheme=scheme)
    goto(page, world.home)
    poor = page.evaluate(
        """() => {
            const parts = colour => colour.match(/[0-9.]+/g).map(Number);
            const light = colour => parts(colour).slice(0, 3).map(part => part / 255)
                .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
                .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
            const behind = element => {
                const colour = getComputedStyle(element).backgroundColor;
                return parts(colour)[3] === 0 ? behind(element.parentElement) : colour;
            };
            return [...document.querySelectorAll('main *')].filter(element => element.innerText).map(element => {
                const pair = [light(getComputedStyle(element).color), light(behind(element))];
                return [element.innerText, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
            }).filter(([text, contrast]) => contrast < 4.5);
        }"""
    )
    assert poor == []
