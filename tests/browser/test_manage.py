"""This node's own page as a person uses it: opened by `hardline open`, live, by mouse and by keyboard alone.

Pictures are in build/screenshots.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Request, expect

from tests.browser.chromium import Complaints, axe_is_content, goto, portrait
from tests.browser.conftest import ROOT, TITLE, World
from tests.browser.marks import BROWSER
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until

pytestmark = BROWSER

GUESTS = "[Service]\nservice = 127.0.0.1\nport = {port}\n[Info]\ntitle = {title}\n[Access]\nclients = invited\n"


@pytest.fixture(autouse=True)
def no_complaints(complaints: Complaints) -> Iterator[None]:
    """No page of ours makes the console complain."""
    yield
    assert complaints.seen == []


@pytest.fixture
def managed(world: World, page: Page) -> Iterator[Page]:
    """The visitor's page, opened by its user; nothing that it asks for is elsewhere."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_page(world.visitor, page)
    yield page
    assert [url for url in asked if not urlsplit(url).netloc.endswith("localhost:7009")] == []


def open_page(node: Node, page: Page) -> None:
    """As `hardline open` does."""
    page.goto("about:blank")
    goto(page, node.hardline("open", "--print").stdout.strip())
    expect(page.get_by_role("button", name="Share a port…")).to_be_visible()


def card(page: Page, title: str) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_role("link", name=title, exact=True))


def more(mine: Locator) -> None:
    mine.locator("summary").click()


def said(page: Page, text: str) -> None:
    expect(page.locator("#said")).to_have_text(text)


# ── the token ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_is_opened_once_and_keeps_its_token_to_itself(world: World, page: Page) -> None:
    url = world.visitor.hardline("open", "--print").stdout.strip()
    goto(page, url)
    expect(page.get_by_role("button", name="Share a port…")).to_be_visible()
    assert page.url == world.home, "the secret is in no history"
    assert page.context.cookies() == []
    page.reload()
    expect(page.get_by_role("button", name="Share a port…")).to_be_visible()
    with page.context.browser.new_context() as another:  # type: ignore[union-attr]
        second = another.new_page()
        goto(second, url)
        expect(second.locator("#said")).to_contain_text("used already")
        expect(second.get_by_text("hardline open", exact=True)).to_be_visible()
        expect(second.get_by_role("button", name="Share a port…")).to_be_hidden()
    assert world.visitor.hardline("open", "--revoke").returncode == 0
    expect(page.get_by_role("button", name="Share a port…")).to_be_hidden()
    expect(page.get_by_text("hardline open", exact=True)).to_be_visible()


ATTACK = """async ([door, token]) => {
    const tried = {};
    const to = async (name, make) => {
        try { tried[name] = (await make()).type } catch (failure) { tried[name] = 'refused' }
    };
    const json = {'Content-Type': 'application/json', Authorization: `Bearer ${token}`};
    await to('read', () => fetch(`${door}api/v1/status`, {headers: {Authorization: `Bearer ${token}`}}));
    await to('write', () => fetch(`${door}api/v1/services`, {method: 'POST', headers: json, body: '{"target": "1"}'}));
    await to('login', () => fetch(`${door}api/v1/login`, {method: 'POST', headers: json, body: '{}'}));
    await to('page', () => fetch(door));
    await to('unread', () => fetch(door, {mode: 'no-cors'}));
    const frame = document.createElement('iframe');
    frame.src = door;
    const seen = new Promise(done => { frame.onload = () => done(); setTimeout(done, 2000) });
    document.body.append(frame);
    await seen;
    try { tried.frame = frame.contentDocument ? 'blank' : 'closed' } catch { tried.frame = 'closed' }
    tried.kept = localStorage.getItem('hardline-token');
    return tried;
}"""


@pytest.mark.parametrize("whose", ["another service", "another port of localhost"])
def test_other_origins_get_nothing_even_with_the_token(
    world: World, managed: Page, complaints: Complaints, tmp_path: Path, whose: str
) -> None:
    token = managed.evaluate("localStorage.getItem('hardline-token')")
    assert token
    seen = tmp_path / "seen"
    command = [sys.executable, "-m", "tests.browser.recorder", seen]
    recorder = subprocess.Popen(world.visitor_machine.wrap(command), stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert recorder.stdout is not None
        port = int(recorder.stdout.readline())
        stranger = managed.context.new_page()
        goto(stranger, world.url() if whose == "another service" else f"http://localhost:{port}/")
        tried = stranger.evaluate(ATTACK, [world.home, token])
        assert tried == {
            **dict.fromkeys(("read", "write", "login", "page", "unread"), "refused"),
            "frame": "closed",
            "kept": None,
        }
        for line in seen.read_text().splitlines() if seen.exists() else ():
            heads = json.loads(line)["headers"]
            assert not {"cookie", "authorization"} & heads.keys()
            assert token not in line
    finally:
        recorder.kill()
        recorder.communicate()
    assert all(row["name"] != "1" for row in world.visitor.status()["services"])


# ── what can be done ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_port_where_nothing_answers_is_shared_and_shown_to_answer_when_it_does(world: World, managed: Page) -> None:
    with running_origin(world.visitor_machine) as origin:
        port = origin.port
        origin.kill()
        managed.get_by_role("button", name="Share a port…").click()
        managed.get_by_label("Which port, or address").fill(str(port))
        managed.get_by_label("Title (may be empty)").fill("Started later")
        managed.get_by_role("button", name="Share", exact=True).click()
        said(managed, "Started later is shared")
        mine = card(managed, "Started later")
        expect(mine.get_by_text("nothing answers there")).to_be_visible()
        origin.start()
        expect(mine.get_by_text("answers", exact=False)).to_have_text("● answers")
    more(mine)
    mine.get_by_role("button", name="Pause").click()
    said(managed, "Started later is paused")
    expect(mine.get_by_role("button", name="Resume")).to_be_focused()
    mine.get_by_role("button", name="Resume").click()
    expect(mine.get_by_role("button", name="Pause")).to_be_visible()
    mine.get_by_role("button", name="Change…").click()
    managed.get_by_label("Title", exact=True).fill("Another name")
    managed.get_by_role("button", name="Change", exact=True).click()
    changed = card(managed, "Another name")
    changed.get_by_role("button", name="Copy address").click()
    changed.get_by_role("button", name="Remove…").click()
    managed.get_by_role("button", name="Remove", exact=True).click()
    said(managed, "Another name is not shared any more")
    expect(managed.get_by_role("link", name="Another name")).to_have_count(0)
    expect(managed.locator("#log")).to_contain_text("Another name is not shared any more")


def test_a_mistake_is_told_in_the_dialog_and_can_be_mended_there(world: World, managed: Page, tmp_path: Path) -> None:
    managed.get_by_role("button", name="Share a directory…").click()
    managed.get_by_label("Which directory or file").fill("/no/such/place")
    managed.get_by_role("button", name="Share", exact=True).click()
    expect(managed.get_by_role("alert")).to_contain_text("there is no file or directory")
    portrait(managed, "share-directory", dark=True)
    managed.emulate_media(color_scheme="light")
    axe_is_content(managed)
    managed.get_by_label("Which directory or file").fill(str(tmp_path))
    managed.get_by_label("Title (may be empty)").fill("A directory")
    managed.get_by_role("button", name="Share", exact=True).click()
    said(managed, "A directory is shared")
    link = card(managed, "A directory").get_by_role("link").get_attribute("href")
    assert curl(str(link), at=world.visitor_machine).status == 200
    assert world.visitor.hardline("remove", "A directory").returncode == 0
    expect(managed.locator("#mine").get_by_role("link", name="A directory")).to_have_count(0)


@pytest.mark.full
def test_a_phone_scans_a_code_and_is_let_in_until_that_is_stopped(world: World, managed: Page) -> None:
    with running_origin(world.visitor_machine) as origin:
        world.visitor.share("radio", origin.port, title="Radio")
        mine = card(managed, "Radio")
        mine.get_by_role("button", name="On a phone…").click()
        expect(managed.get_by_role("img", name="A code to scan")).to_be_visible()
        url = managed.get_by_role("dialog").get_by_role("listitem").first.inner_text()
        expect(managed.get_by_role("dialog")).to_contain_text("Away from this network no phone finds it")
        portrait(managed, "phone", dark=True)
        managed.emulate_media(color_scheme="light")
        assert curl(url, "-L", "-c", "/dev/null", at=world.host_machine).text == "hello from the origin\n"
        managed.get_by_role("button", name="Stop now").click()
        said(managed, "No phone is led there any more")
        assert curl(url, at=world.host_machine).status == 0
        (world.visitor.services / "radio.ini").unlink()


def test_requests_are_watched_as_they_pass_and_made_once_more(world: World, managed: Page) -> None:
    with running_origin(world.visitor_machine) as origin:
        world.visitor.share("looked", origin.port, title="Looked at")
        mine = card(managed, "Looked at")
        more(mine)
        mine.get_by_role("button", name="Requests…").click()
        expect(managed.get_by_text("Waiting for a visitor")).to_be_visible()
        url = world.host.url_of(world.visitor.label("looked"), "echo?<b>")
        seen = managed.get_by_role("dialog").get_by_role("listitem")

        def is_seen() -> bool:
            return curl(url, at=world.host_machine).status == 200 and seen.count() > 0

        wait_until(is_seen, "it is looked at, and seen")
        expect(seen.last).to_contain_text("GET /echo?<b> 200")
        portrait(managed, "requests", dark=True)
        managed.emulate_media(color_scheme="light")
        seen.last.get_by_role("button").click()
        details = managed.get_by_role("dialog").last
        expect(details).to_contain_text("GET /echo?<b> HTTP/1.1")
        axe_is_content(managed)
        details.get_by_role("button", name="Ask the same again").click()
        expect(seen.first).to_contain_text("once more")
        managed.get_by_role("button", name="Close").click()
        (world.visitor.services / "looked.ini").unlink()


def test_one_friend_is_invited_comes_in_and_is_thrown_out(world: World, managed: Page) -> None:
    with running_origin(world.visitor_machine) as origin:
        world.visitor.write("photos", GUESTS.format(port=origin.port, title="Photos"))
        world.visitor.serves("photos")
        mine = card(managed, "Photos")
        mine.get_by_role("button", name="Invite…").click()
        managed.get_by_label("Who is it for").fill("Anna")
        managed.get_by_role("button", name="Invite", exact=True).click()
        lines = managed.get_by_label("What to send").inner_text().splitlines()
        assert len(lines) == 3
        link = lines[2].rpartition(" ")[2]
        portrait(managed, "invitation")
        managed.get_by_role("button", name="Done").click()
        expect(mine.get_by_text("invited until")).to_be_visible()
        assert world.host.hardline("accept", link).returncode == 0
        url = world.host.url_of(world.visitor.label("photos"))
        assert curl(url, at=world.host_machine).status == 200
        expect(mine.get_by_text("here now", exact=False).first).to_be_visible()
        expect(managed.locator("#log")).to_contain_text("Anna came to Photos from this network")
        portrait(managed, "page", dark=True)
        managed.emulate_media(color_scheme="light")
        axe_is_content(managed)
        mine.get_by_role("button", name="Revoke Anna").click()
        managed.get_by_role("button", name="Revoke", exact=True).click()
        said(managed, "Anna may not visit Photos any more")
        assert curl(url, at=world.host_machine).status == 403
        (world.visitor.services / "photos.ini").unlink()


def test_the_keyboard_alone_shares_invites_and_revokes(world: World, managed: Page) -> None:
    keys = managed.keyboard

    def go_to(name: str) -> None:
        for _ in range(120):
            keys.press("Tab")
            focused = managed.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.innerText"
            )
            if focused == name and managed.evaluate("document.activeElement.matches(':focus-visible')"):
                return
        raise AssertionError(f"{name} cannot be reached by the keyboard")

    with running_origin(world.visitor_machine) as origin:
        go_to("Share a port…")
        keys.press("Enter")
        keys.type(str(origin.port))
        keys.press("Tab")
        keys.type("By keyboard")
        keys.press("Tab")
        keys.press("Tab")
        keys.press("Space")
        keys.press("Enter")
        said(managed, "By keyboard is shared")
        mine = card(managed, "By keyboard")
        expect(mine.get_by_text("invited people only")).to_be_visible()
        name = next(row["name"] for row in world.visitor.status()["services"] if row.get("title") == "By keyboard")
        expect(managed.get_by_role("button", name="Share a port…")).to_be_focused()
        mine.get_by_role("link").focus()
        go_to("Invite…")
        keys.press("Enter")
        keys.type("Ben")
        keys.press("Enter")
        link = managed.get_by_label("What to send").inner_text().splitlines()[2].rpartition(" ")[2]
        keys.press("Escape")
        expect(mine.get_by_role("button", name="Invite…")).to_be_focused()
        assert world.host.hardline("accept", link).returncode == 0
        expect(mine.get_by_role("button", name="Revoke Ben")).to_be_visible()
        mine.get_by_role("link").focus()
        go_to("Revoke Ben")
        keys.press("Enter")
        expect(managed.get_by_role("dialog")).to_be_visible()
        go_to("Revoke")
        keys.press("Enter")
        said(managed, "Ben may not visit By keyboard any more")
    assert world.visitor.hardline("remove", name).returncode == 0


@pytest.mark.full  # kills a host, and waits for it to be back
def test_what_the_network_offers_is_kept_by_a_name_and_forgotten(world: World, managed: Page) -> None:
    offer = card(managed, "The second").first
    offer.get_by_role("button", name="Keep The second as…").click()
    managed.get_by_label("A name of yours").fill("two")
    managed.get_by_role("button", name="Keep", exact=True).click()
    said(managed, "It is two now")
    expect(managed.locator("#lan").get_by_text("= two")).to_be_visible()
    known = card(managed, "two")
    why = known.get_by_role("button", name="Does it answer?")
    if why.count():
        why.click()
        expect(managed.locator("#said")).to_contain_text("two answers, in")
    expect(known.get_by_text("in this network", exact=False)).to_be_visible()
    with world.without(world.host):
        expect(offer.get_by_text("does not answer now")).to_be_visible(timeout=40_000)
        expect(known.get_by_role("button", name="Does it answer?")).to_be_visible()
        curl(world.visitor.url_of(world.second_label), at=world.visitor_machine)
        expect(known.get_by_text("but hardline does not run there", exact=False)).to_be_visible()
        known.get_by_role("button", name="Why not?").click()
        expect(managed.get_by_role("dialog")).to_contain_text("Start hardlined there.")
        portrait(managed, "why-not")
        axe_is_content(managed)
        managed.get_by_role("button", name="Close").click()
    with world.without(world.second):
        assert curl(world.visitor.url_of(world.second_label), at=world.visitor_machine).status == 502
        expect(known.get_by_text("Hardline runs there, but nothing answers at its port")).to_be_visible()
    known.get_by_role("button", name="Forget…").click()
    managed.get_by_role("button", name="Forget", exact=True).click()
    said(managed, "Nothing is called two any more")


@pytest.mark.full  # the list page's test is the quick one
def test_titles_are_text_on_the_live_page_and_a_known_title_of_another_key_says_so(world: World, managed: Page) -> None:
    expect(managed.get_by_role("link", name=TITLE, exact=True).first).to_be_visible()
    assert managed.title() == "hardline"
    world.host.share("copycat", world.site.port, title="Known title")
    world.visitor.hardline("name", world.visitor.url_of(world.host.label("copycat")), "known-one")
    assert curl(world.visitor.url_of(world.host.label("copycat")), at=world.visitor_machine).status == 200
    try:
        world.host.share("other", world.site.port, title="Known title")
        expect(managed.get_by_text("not the known-one you know")).to_be_visible(timeout=30_000)
    finally:
        world.visitor.hardline("forget", "known-one")
        for name in ("copycat", "other"):
            (world.host.services / f"{name}.ini").unlink()


@pytest.mark.full
def test_a_node_that_stops_is_said_to_and_the_page_comes_back_by_itself(
    world: World, managed: Page, complaints: Complaints
) -> None:
    world.visitor.stop()
    expect(managed.get_by_text("hardlined does not answer")).to_be_visible()
    world.visitor.start()
    expect(managed.get_by_text("hardlined does not answer")).to_be_hidden(timeout=60_000)
    complaints.seen.clear()  # of connections that were refused meanwhile


# ── invitations ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def link(world: World) -> Iterator[str]:
    """An invitation by the host."""
    world.host.write("guests", GUESTS.format(port=world.site.port, title="For guests"))
    world.host.serves("guests")
    yield world.host.hardline("invite", "guests", "--to", "Anna").stdout.strip()
    (world.host.services / "guests.ini").unlink()


def test_an_invitation_is_accepted_by_a_click_and_by_nothing_else(world: World, managed: Page, link: str) -> None:
    sent: list[Request] = []
    managed.on("request", lambda request: sent.append(request))
    managed.goto("about:blank")
    goto(managed, link)
    button = managed.get_by_role("button", name="Accept")
    expect(button).to_be_enabled()
    portrait(managed, "accept", dark=True)
    managed.emulate_media(color_scheme="light")
    axe_is_content(managed)
    secret = link.rpartition(".")[2]
    assert not [one for one in sent if "/api/" in one.url], "nothing happens before the click"
    button.click()
    expect(managed.get_by_role("heading", name="You are let in")).to_be_focused()
    assert "#" not in managed.url
    assert [one.url for one in sent if secret in one.url.partition("#")[0]] == []
    posted = [one for one in sent if secret in (one.post_data or "")]
    assert [(one.method, urlsplit(one.url).path) for one in posted] == [("POST", "/api/v1/accept")]
    portrait(managed, "accepted")
    axe_is_content(managed)
    managed.get_by_label("Call it").fill("party")
    managed.get_by_role("button", name="Keep this name").click()
    said(managed, "It is party now")
    managed.get_by_role("link", name="Open").click()
    managed.wait_for_url(world.visitor.url_of(world.host.label("guests")))
    world.visitor.hardline("forget", "party")
    managed.goto(world.home)


@pytest.mark.full
def test_without_a_token_the_invitation_says_how_and_waits_for_it(
    world: World, page: Page, profile: BrowserContext, link: str
) -> None:
    goto(page, link)
    expect(page.get_by_role("button", name="Accept")).to_be_hidden()
    expect(page.get_by_text("hardline accept", exact=True)).to_be_visible()
    axe_is_content(page)
    goto(profile.new_page(), world.visitor.hardline("open", "--print").stdout.strip())
    expect(page.get_by_role("button", name="Accept")).to_be_enabled()
    assert page.url == link


@pytest.mark.full
def test_a_link_that_was_withdrawn_or_is_not_whole_says_so(world: World, managed: Page, link: str) -> None:
    assert world.host.hardline("revoke", "guests", "Anna").returncode == 0
    for one, why in ((link, "the invitation was withdrawn"), (link[:-20], "this is no invitation")):
        managed.goto("about:blank")
        goto(managed, one)
        managed.get_by_role("button", name="Accept").click()
        expect(managed.locator("#said")).to_contain_text(why)


# ── without a script ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_of_the_network_is_read_without_a_script(world: World, page: Page) -> None:
    context = page.context.browser.new_context(java_script_enabled=False)  # type: ignore[union-attr]
    quiet = context.new_page()

    def is_listed() -> bool:
        goto(quiet, world.home)
        return quiet.get_by_role("link", name="The second").count() > 0

    try:
        wait_until(is_listed, "the page names it", every=0.3)
        expect(quiet.get_by_text("hardline open", exact=True)).to_be_visible()
        expect(quiet.get_by_role("button")).to_have_count(0)
        portrait(quiet, "list-without-script")
    finally:
        context.close()


def test_the_page_has_nothing_serious_for_axe_before_it_is_opened(world: World, page: Page) -> None:
    goto(page, world.home)
    expect(page.get_by_text("hardline open", exact=True)).to_be_visible()
    axe_is_content(page)
