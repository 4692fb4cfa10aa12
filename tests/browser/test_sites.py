"""Pages, forms and storage of a shared service, as a person uses them."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Page, Response

from tests.browser.chromium import Complaints, goto
from tests.browser.conftest import World
from tests.browser.marks import BROWSER
from tests.browser.site import IMAGES

pytestmark = BROWSER

CONNECTIONS = 6  # that a browser opens to one server


def test_a_page_comes_with_everything_on_it_over_few_connections_and_one_session(
    world: World, page: Page, complaints: Complaints
) -> None:
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))  # Playwright takes no builtin
    assert goto(page, world.url()).status == 200
    page.get_by_text("fetched on connection").wait_for()
    assert page.title() == "The site"
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(1, 2, 3)"
    assert page.evaluate("[...document.fonts].map(font => font.status)") == ["loaded"]
    sizes = page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert sizes == [16] * IMAGES
    assert len(answers) >= IMAGES + 5
    assert {answer.status for answer in answers} == {200}
    assert 1 <= len({answer.headers["x-connection"] for answer in answers}) <= CONNECTIONS
    world.check_path()
    assert complaints.seen == []


def test_requests_one_after_the_other_share_a_connection(world: World, page: Page) -> None:
    goto(page, world.url("other"))
    seen = page.evaluate(
        """async () => {
            const seen = [];
            for (let count = 0; count < 30; count++) seen.push(await (await fetch('/count')).json());
            return seen;
        }"""
    )
    assert len({answer["connection"] for answer in seen}) == 1
    assert [answer["before"] for answer in seen] == list(range(seen[0]["before"], seen[0]["before"] + 30))


def test_a_second_tab_uses_the_same_session(world: World, page: Page, profile: BrowserContext) -> None:
    goto(page, world.url())
    before = world.warm_sessions()
    second = profile.new_page()
    goto(second, world.url("other"))
    second.get_by_role("button").click()
    second.get_by_text("1", exact=True).wait_for()
    goto(page, world.url("other"))
    page.get_by_role("link", name="back").click()
    page.get_by_role("heading", name="Hello").wait_for()
    after = world.warm_sessions()
    assert len(before) == len(after) == 1
    assert after[0]["endpoint"] == before[0]["endpoint"]
    assert after[0]["since_s"] > before[0]["since_s"]


def test_a_posted_form_leads_on_and_leaves_its_cookie(world: World, page: Page) -> None:
    goto(page, world.url("form"))
    page.locator("input[name=who]").fill("ada")
    page.get_by_role("button", name="Sign").click()
    page.get_by_text("GET, cookies: who=ada").wait_for()
    assert page.url == world.url("signed")
    page.reload()
    page.get_by_text("GET, cookies: who=ada").wait_for()


def test_two_services_share_neither_cookies_nor_storage(world: World, page: Page) -> None:
    goto(page, world.url("other"))
    page.evaluate("fetch('/domain-cookie')")
    page.evaluate("document.cookie = 'mine=first'; localStorage.mine = 'first'")
    goto(page, world.visitor.url_of(world.second_label, "other"))
    assert page.evaluate("[document.cookie, localStorage.length]") == ["", 0]
    assert page.evaluate("fetch('/count').then(answer => answer.json())")["site"] == "the second"
    goto(page, world.home)
    assert page.evaluate("document.cookie") == ""
    goto(page, world.url("signed"))
    page.get_by_text("GET, cookies: mine=first").wait_for()
    assert page.evaluate("localStorage.mine") == "first"
    assert "everywhere" not in str(page.context.cookies())
