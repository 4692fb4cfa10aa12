"""This node's own page where things are odd: an address for a page that is open, a dialog over another, a narrow
screen, colours of the system's, who opened it, and what another program has left in the browser."""

from __future__ import annotations

import subprocess
import sys

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.chromium import goto
from tests.browser.conftest import ROOT, World
from tests.browser.marks import BROWSER
from tests.support.waiting import wait_until

pytestmark = BROWSER

LONG = "W" * 120


def test_an_address_given_to_a_page_that_is_open_counts(world: World, page: Page) -> None:
    """What differs behind the # alone loads nothing by itself."""
    goto(page, world.home)
    expect(page.get_by_text("hardline open", exact=True)).to_be_visible()
    page.evaluate("url => { location.href = url }", world.visitor.hardline("open", "--print").stdout.strip())
    expect(page.get_by_role("button", name="Share a port…")).to_be_visible()
    assert page.url == world.home, "the secret is in no history"
    for digit in "ab":
        page.evaluate("url => { location.href = url }", f"{world.home}accept#{digit * 40}.x")
        expect(page.locator("#invited-to")).to_have_text(f"{digit * 4}…{digit * 4}")


def test_a_dialog_over_another_has_a_name_of_its_own_and_says_what_happens(world: World, page: Page) -> None:
    goto(page, world.home)
    page.evaluate("() => { for (const title of ['First', 'Second']) dialog(title, [], {no: title + ' closes'}) }")
    above = page.get_by_role("dialog", name="Second")
    page.evaluate("say('The invitation is copied')")
    expect(above.get_by_role("status")).to_have_text("The invitation is copied")
    expect(page.locator("#said")).to_be_hidden()
    page.get_by_role("button", name="Second closes").click()
    expect(page.get_by_role("dialog", name="First")).to_be_visible()
    page.get_by_role("button", name="First closes").click()
    page.evaluate("say('All is well')")
    expect(page.locator("#said")).to_have_text("All is well")


def test_on_a_narrow_screen_and_in_colours_of_the_system_everything_can_be_read(world: World, page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 480})
    goto(page, world.home)
    page.evaluate(
        """title => {
            const url = `http://${'a'.repeat(40)}.localhost:7009/`;
            show({services: [{name: title, title, url, label: 'a'.repeat(40), target: title, state: 'serving',
                answers: true, listed: true, for_invited: true, visitors: 3,
                let_in: [{who: title, key_hash: 'b'.repeat(40), here: true, read: 1e9}],
                invited: [{who: title, number: 'c', state: 'open', until: 2e9}]}],
                offers: [{title, label: 'd'.repeat(40), url, host: title, heard_s: 99, unlike: title}],
                log: [{number: 1, when: 1e9, kind: 'page', count: 7, sentence: title}]});
            say(title);
        }""",
        LONG,
    )
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= 320
    box = page.locator("#said").bounding_box()
    assert box is not None
    assert (box["x"], box["x"] + box["width"]) == pytest.approx((16, 304), abs=2), "all of the width is used"
    page.emulate_media(forced_colors="active")
    assert page.evaluate("getComputedStyle(document.getElementById('said')).borderTopStyle") == "solid"
    page.evaluate("title => { change({title, target: title}) }", LONG)
    dialog = page.get_by_role("dialog")
    assert dialog.evaluate("one => one.scrollWidth <= one.clientWidth")
    assert page.evaluate(wide) <= 320


def test_who_opened_the_page_in_a_window_has_no_hold_of_it(world: World, page: Page) -> None:
    goto(page, world.url())
    with page.context.expect_page() as opened:
        page.evaluate("url => { window.other = window.open(url) }", f"{world.home}accept#{'a' * 40}.x")
    expect(opened.value.get_by_role("heading", name="You are invited")).to_be_visible()
    assert page.evaluate("other.closed"), "it could put another page there in the moment of a click"
    assert opened.value.evaluate("opener === null")


def test_a_card_stays_as_long_as_it_says_the_same_and_is_forgotten_with_what_it_was_for(
    world: World, page: Page
) -> None:
    goto(page, world.home)
    kept = page.evaluate(
        """() => {
            const cards = () => [...document.querySelectorAll('#lan > li')];
            const hear = (heard_s, digits) => show({offers: digits.map(digit => {
                const label = digit.repeat(40);
                return {title: 'One', label, url: `http://${label}.localhost:7009/`, host: 'atlas', heard_s};
            })});
            hear(0.1, ['a', 'b']);
            const [first] = cards();
            hear(3.2, ['a', 'b']);
            const stays = cards()[0] === first;
            hear(60, ['a', 'b']);
            const says = cards()[0].innerText.includes('does not answer now');
            for (const digit of '0123456789') hear(0.1, [digit]);
            return [stays, says, [...drawn.keys()].filter(key => key.startsWith('lan/')).length];
        }"""
    )
    assert kept == [True, True, 1]


@pytest.mark.full  # stops a node
def test_a_worker_that_another_program_has_left_goes_by_itself(world: World, profile: BrowserContext) -> None:
    page = profile.new_page()
    world.visitor.stop()
    command = [sys.executable, "-m", "tests.browser.usurper", str(world.visitor.localport)]
    usurper = subprocess.Popen(world.visitor_machine.wrap(command), stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert usurper.stdout is not None
        assert usurper.stdout.readline() == b"listening\n"
        goto(page, world.home)
        wait_until(lambda: page.title() == "usurped", "it has left a worker")
    finally:
        usurper.kill()
        usurper.communicate()
        world.visitor.start()
    goto(page, world.home)
    assert page.title() == "usurped", "the worker answers, not the node"

    def is_ours() -> bool:
        goto(page, world.home)
        return page.title() == "hardline"

    wait_until(is_ours, "the page is the node's own again", every=0.5)
    goto(page, world.home)
    assert page.title() == "hardline"
    assert page.evaluate("navigator.serviceWorker.getRegistrations().then(found => found.length)") == 0
