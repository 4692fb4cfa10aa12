"""Every page that the door makes when something fails, as a person sees it; pictures are in build/screenshots."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from tests.browser.chromium import REBOUND, Complaints, axe_is_content, goto, portrait
from tests.browser.conftest import TITLE, World
from tests.browser.marks import BROWSER
from tests.support.node import Node

pytestmark = BROWSER

BACK_LIMIT = 15_000  # milliseconds in which a page that tries again has found its service


@pytest.fixture(autouse=True)
def no_complaints(complaints: Complaints) -> Iterator[None]:
    """No page of ours makes the console complain: nothing is blocked by its own policy, nothing is missing."""
    yield
    assert complaints.seen == []


def check(page: Page, response: Response, status: int, title: str, *said: str, again: int | None = None) -> None:
    """The page in front of us is that problem's, as whole as a person needs it.  It is held: it tries no more."""
    text = page.locator("main").inner_text()
    if again is not None:
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("does not try again by itself any more")).to_be_visible()
    assert response.status == status
    assert page.title() == title
    assert page.get_by_role("heading", level=1).inner_text() == title
    for words in (str(status), *said):
        assert words in text
    assert (f"tries again by itself every {again} seconds" in text) == (again is not None)


# ── nobody there ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_host_that_nobody_knows(world: World, page: Page) -> None:
    stranger = secrets.token_hex(20)
    response = goto(page, world.visitor.url_of(stranger))
    check(page, response, 503, "The host cannot be reached", "Nobody who offers it was reached", stranger, again=3)
    portrait(page, "absent")


def test_a_host_that_is_away_is_shown_with_all_that_was_tried_and_comes_back_by_itself(
    world: World, page: Page
) -> None:
    goto(page, world.url("other"))
    left_alone = page.context.new_page()
    with world.without(world.host):
        goto(left_alone, world.url("other"))
        response = goto(page, world.url("other"))
        check(page, response, 503, "The host cannot be reached", f"Nobody who offers {TITLE} was reached", again=3)
        portrait(page, "away", dark=True)
        page.get_by_role("link", name="Find out why").click()
        page.get_by_role("heading", name="Where it was asked").wait_for()
        text = page.locator("main").inner_text()
        assert f"The computer {world.host_machine.ip4} is on, but hardline does not run there." in text
        assert "It was visited last" in text
        assert f"{world.host_machine.ip4}:7008" in text
        assert "refused" in text
        portrait(page, "tried")
    left_alone.get_by_role("link", name="back").wait_for(timeout=BACK_LIMIT)
    assert left_alone.url == world.url("other")


# ── the host is there, its service is not ────────────────────────────────────────────────────────────────────


def test_a_service_that_is_down_comes_back_by_itself(world: World, page: Page) -> None:
    left_alone = page.context.new_page()
    with world.without(world.site):
        goto(left_alone, world.url("other"))
        response = goto(page, world.url("other"))
        said = "nothing listens", "hardline runs there, but the program that it shares does not answer"
        check(page, response, 502, "The service is not running", *said, again=3)
        portrait(page, "service-refused")
    left_alone.get_by_role("link", name="back").wait_for(timeout=BACK_LIMIT)


def test_a_form_posted_to_a_service_that_is_down_is_not_sent_again_by_itself(world: World, page: Page) -> None:
    goto(page, world.url("form"))
    with world.without(world.site):
        page.locator("input[name=who]").fill("ada")
        with page.expect_navigation() as posted:
            page.get_by_role("button", name="Sign").click()
        assert posted.value is not None
        check(page, posted.value, 502, "The service is not running")


_PLAIN = """
import socket
with socket.create_server(("127.0.0.1", 18080)) as server:
    print("listening", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\\r\\n\\r\\n")
"""


def test_a_service_that_does_not_speak_what_the_host_expects(world: World, page: Page) -> None:
    plain = world.host_machine.start([sys.executable, "-c", _PLAIN], output=subprocess.PIPE)
    try:
        assert plain.stdout is not None
        assert plain.stdout.readline()
        world.host.write("odd", "[Service]\nservice = https://127.0.0.1:18080\nverify = no\n[Info]\nlisted = no\n")
        label = world.host.label("odd")
        response = goto(page, world.visitor.url_of(label))
        check(page, response, 502, "The service cannot be used", "does not speak TLS", again=3)
        portrait(page, "service-unavailable")
    finally:
        plain.kill()
        plain.communicate()


def test_a_service_that_is_too_slow_for_its_host(world: World, page: Page) -> None:
    response = goto(page, world.visitor.url_of(world.odd["slow"]))
    check(page, response, 504, "The service does not answer", "did not answer within 10 s", again=5)
    portrait(page, "service-slow")


def test_a_host_that_takes_no_more(world: World, page: Page) -> None:
    response = goto(page, world.visitor.url_of(world.odd["busy"]))
    check(page, response, 503, "The host is busy", "takes no more connections now", again=5)
    portrait(page, "host-busy")


def test_what_a_host_says_is_shown_and_never_run(world: World, page: Page) -> None:
    response = goto(page, world.visitor.url_of(world.odd["hostile"]))
    check(page, response, 502, "The service is not running", "<script>document.title='owned'</script><img", again=3)
    assert page.evaluate("[document.scripts.length, document.images.length]") == [1, 0], "its own, by its hash"
    portrait(page, "hostile-words")


# ── the host is there, and odd ───────────────────────────────────────────────────────────────────────────────


def test_an_original_that_closes_without_a_word(world: World, page: Page) -> None:
    response = goto(page, world.visitor.url_of(world.odd["silent"]))
    check(page, response, 502, "The host closed without an answer", "the original hardline", again=5)
    assert world.visitor.last_visit(world.odd["silent"])["protocol"] == "hardline/1"
    portrait(page, "original-silent")


def test_a_host_that_talks_nonsense(world: World, page: Page) -> None:
    response = goto(page, world.visitor.url_of(world.odd["nonsense"]))
    check(
        page,
        response,
        502,
        "The connection to the host broke",
        "does not keep to the protocol: yamux version 7",
        again=2,
    )
    portrait(page, "host-broke")


def test_a_host_that_wants_another_word_before_its_key_hash(world: World, page: Page) -> None:
    world.host.share("secret", world.site.port, password="sesame", listed=False)
    right = world.host.label("secret")
    key_hash = right.removeprefix("sesame-")
    response = goto(page, world.visitor.url_of(f"wrong-{key_hash}"))
    check(page, response, 403, "The host refused this address", "this address has 'wrong'.")
    portrait(page, "wrong-password")
    check(page, goto(page, world.visitor.url_of(key_hash)), 403, "The host refused this address", "has none.")
    assert goto(page, world.visitor.url_of(right)).status == 200


def test_axe_has_nothing_serious_to_say_of_any_of_them(world: World, page: Page) -> None:
    stranger = secrets.token_hex(20)
    for url, status in (
        (world.visitor.url_of(stranger), 503),
        (f"{world.home}tried/{stranger}", 200),
        (world.visitor.url_of(world.odd["hostile"]), 502),
        (f"{world.home}nothing", 404),
        (f"http://nothing.localhost:{world.visitor.localport}/", 421),
        (world.visitor.url_of(stranger[:-1]), 421),
    ):
        assert goto(page, url).status == status
        if status in (502, 503):
            page.get_by_role("button", name="Stop").click()
        axe_is_content(page)


# ── this node ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_node_that_may_have_no_more_sessions(world: World, page: Page, chromium: Browser, tmp_path: Path) -> None:
    """A second, tight daemon on the visitor's machine: somebody's open page takes the one session it may have."""
    tight = Node(tmp_path / "tight", at=world.visitor_machine, settings="[Session]\nmax_sessions = 1\n")
    tight.localport, tight.p2pport = 7019, 7018
    with tight, chromium.new_context() as somebody:
        goto(somebody.new_page(), tight.url_of(world.label, "other"))
        response = goto(page, tight.url_of(world.second_label, "other"))
        check(page, response, 503, "This node is busy", "max_sessions", again=5)
        portrait(page, "node-busy")
        somebody.close()
        page.get_by_role("link", name="Try now").click()
        page.get_by_role("link", name="back").wait_for()


def test_a_name_of_the_internet_that_points_here_reaches_nothing(world: World, page: Page) -> None:
    response = goto(page, f"http://{REBOUND}:{world.visitor.localport}/")
    check(page, response, 421, "This address leads nowhere", REBOUND)
    portrait(page, "misdirected")


def test_an_address_with_a_mistake_in_it(world: World, page: Page) -> None:
    other = "0" if world.label[0] != "0" else "1"
    response = goto(page, world.visitor.url_of(other + world.label[1:-1]))
    check(page, response, 421, "This address leads nowhere", "this has 39")
    portrait(page, "mistyped")


def test_an_address_that_is_cut_off_asks_which_one_it_is(world: World, page: Page) -> None:
    response = goto(page, world.visitor.url_of(world.label[:-1], "page"))
    assert response.status == 300
    assert page.get_by_role("heading", name="Which one?").is_visible()
    portrait(page, "which-one")
    link = page.get_by_role("listitem").get_by_role("link").first
    assert link.get_attribute("href") == world.visitor.url_of(world.label, "page")


def test_a_page_that_the_node_does_not_have(world: World, page: Page) -> None:
    response = goto(page, f"{world.home}photos?x=<b>")
    check(page, response, 404, "There is no such page", "/photos?x=")
    portrait(page, "not-found")
    page.get_by_role("link", name="All services").click()
    page.wait_for_url(world.home)


def test_cookies_that_grew_too_large_are_told_in_plain_words(world: World, page: Page) -> None:
    crumbs = ({"name": f"c{number}", "value": 4000 * "x", "url": world.url()} for number in range(10))
    page.context.add_cookies(list(crumbs))
    response = goto(page, world.url("other"))
    assert response.status == 431
    text = page.locator("body").inner_text()
    assert "431 The request is too large" in text
    assert "Clear the cookies of this site" in text
    portrait(page, "head-too-large")
