"""What a shared page can learn and reach beyond itself: other files, this computer; and what it tells others.

visitor machine: Chromium, daemon, a recorder on 127.0.0.1 and on an address of the internet
host machine: a site of somebody's own, a pile of files, templates; a recorder (a device of the LAN)
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import goto
from tests.browser.conftest import ROOT, World
from tests.browser.marks import BROWSER
from tests.netns.lab import Machine
from tests.support.node import SCRIPTS
from tests.support.programs import placed
from tests.support.waiting import wait_until

pytestmark = BROWSER

INTERNET = "11.22.33.44"  # an address that browsers take for one of the internet

WORKER = """
addEventListener('install', () => skipWaiting());
addEventListener('activate', event => event.waitUntil(
    registration.navigationPreload.enable().then(() => clients.claim())));
addEventListener('fetch', event => {
    if (event.request.mode !== 'navigate' || !event.request.url.endsWith('/away')) return;
    event.respondWith((async () => {
        const seen = await (await event.preloadResponse).text() + await (await fetch(event.request.url)).text();
        return new Response(seen, {headers: {'Content-Type': 'text/plain'}});
    })());
});
"""
ACTIVE = {
    "page.html": "<!doctype html><title>a page</title><p>here</p>",
    "page.xhtml": '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>a page</title></head><body/></html>',
    "picture.svg": '<svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>',
    "data.xml": '<?xml version="1.0"?><h:html xmlns:h="http://www.w3.org/1999/xhtml"><h:body/></h:html>',
    "deep/below.html": "<!doctype html><title>below</title>",
}


@dataclass(frozen=True, slots=True)
class Recorder:
    """A server of somebody else, and what it got."""

    port: int
    file: Path

    def heard(self, path: str) -> list[dict[str, str]]:
        """The headers of every request for `path`."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [told["headers"] for told in map(json.loads, lines) if told["path"] == path]


@contextlib.contextmanager
def recording(machine: Machine, file: Path) -> Iterator[Recorder]:
    command = machine.wrap([sys.executable, "-m", "tests.browser.recorder", file])
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        yield Recorder(int(process.stdout.readline()), file)
        process.kill()


@pytest.fixture(scope="module")
def here(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    """On the visitor's machine: on 127.0.0.1, and on an address of the internet."""
    world.visitor_machine.run(["ip", "address", "add", f"{INTERNET}/32", "dev", "lo"])
    with recording(world.visitor_machine, tmp_path_factory.mktemp("here") / "heard") as recorder:
        yield recorder


@pytest.fixture(scope="module")
def device(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    """On another machine of the LAN."""
    with recording(world.host_machine, tmp_path_factory.mktemp("device") / "heard") as recorder:
        yield recorder


@pytest.fixture(scope="module")
def shares(world: World) -> Iterator[dict[str, str]]:
    """URLs of what the host shares: a `site` with an index, a `pile` that may be listed, `made` pages."""
    cache = world.host.data / "cache"
    for name, settings in (
        ("site", "allowListing = yes"),
        ("pile", "allowListing = yes"),
        ("made", "dynamicContent = yes"),
    ):
        (cache / f"my{name}" / "deep").mkdir(parents=True, exist_ok=True)
        for file, text in ACTIVE.items():
            (cache / f"my{name}" / file).write_text(text)
        (cache / f"my{name}" / "secret.txt").write_text("nobody else's business")
        (cache / f"my{name}" / "worker.js").write_text(WORKER)
        (cache / f"my{name}" / "notes.md").write_text("# Notes\n")
        world.host.write(
            f"my{name}", f"[Service]\nservice =\n[Cache]\ndirectory = my{name}\n{settings}\n[Info]\nlisted = no\n"
        )
    (cache / "mysite" / "index.html").write_text("<!doctype html><title>The site of files</title>")
    (cache / "mymade" / "page@mako").write_text("<!doctype html><title>made</title>")
    yield {name: world.visitor.url_of(world.host.label(f"my{name}")) for name in ("site", "pile", "made")}
    for name in ("site", "pile", "made"):
        (world.host.services / f"my{name}.ini").unlink()


def ran(page: Page, script: str) -> Any:
    """What a script of the page comes to; what is refused is a text that begins with "refused"."""
    return page.evaluate(f"Promise.resolve().then(() => {script}).catch(error => 'refused: ' + error)")


# ── what was tried to reach a host ───────────────────────────────────────────────────────────────────────────


def test_no_script_of_a_service_that_is_away_reads_what_was_tried_to_reach_it(
    world: World, shares: dict[str, str], page: Page
) -> None:
    """By a fetch, a frame, a window, a journey there and back, and a worker between a person and the door."""
    url = shares["site"]
    goto(page, url)
    page.evaluate(
        "navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready).then(() => "
        "navigator.serviceWorker.controller || "
        "new Promise(tell => { navigator.serviceWorker.oncontrollerchange = tell }))"
        ".then(() => true)"
    )
    addresses = (world.host_machine.ip4, world.host_machine.ip6.partition("%")[0], ":7008", "refused", "timed out")
    addresses += ("my-own-word",)  # nor what the user calls it
    assert world.visitor.hardline("name", url, "my-own-word").returncode == 0
    with world.without(world.host):
        seen = [ran(page, "fetch('/x', {headers: {Accept: 'text/html'}}).then(answer => answer.text())")]
        seen.append(ran(page, "fetch('/x').then(answer => answer.text())"))
        seen.append(
            ran(
                page,
                """new Promise(done => {
                    const frame = document.createElement('iframe');
                    frame.src = '/x';
                    frame.onload = () => {
                        try { done('' + (frame.contentDocument && frame.contentDocument.body.innerText)) }
                        catch (error) { done('' + error) }
                    };
                    document.body.append(frame);
                })""",
            )
        )
        with page.expect_popup() as opened:
            page.evaluate("() => { window.other = window.open('/x') }")
        opened.value.get_by_role("heading", name="The host cannot be reached").wait_for()
        seen.append(ran(page, "window.other.document.body.innerText"))
        opened.value.reload()
        seen.append(ran(page, "window.other.document.body.innerText"))
        opened.value.close()
        page.evaluate("() => { window.other = window.open('/away') }")
        page.wait_for_function("window.other.document.body && window.other.document.body.innerText")
        seen.append(ran(page, "window.other.document.body.innerText"))
        typed = page.context.new_page()
        goto(typed, f"{url}away")  # as a person types it: through the worker, which reads the answer first
        seen.append(typed.locator("body").inner_text())
        goto(typed, f"{url}x")
        typed.go_back()
        seen.append(typed.locator("body").inner_text())
        assert sum("cannot be reached" in text for text in seen) >= 6, seen
        for text in seen:
            assert not any(address in text for address in addresses), text
        # Who runs the node reads it on the node's own page, which no script of a service can read.
        goto(typed, world.url("other"))
        typed.get_by_role("link", name="Find out why").click()
        typed.get_by_role("heading", name="Where it was asked").wait_for()
        assert world.host_machine.ip4 in typed.locator("main").inner_text()
        world.visitor.hardline("forget", "my-own-word")
        tried = typed.url
        assert "refused" in ran(page, f"fetch('{tried}').then(answer => answer.text())")
        with page.expect_popup() as opened:
            page.evaluate("url => { window.other = window.open(url) }", tried)
        opened.value.get_by_role("heading", name="Where it was asked").wait_for()
        assert ran(page, "window.other.document.body.innerText").startswith("refused")


# ── what a page tells others ─────────────────────────────────────────────────────────────────────────────────


def test_no_page_of_ours_tells_others_its_address(
    world: World, shares: dict[str, str], here: Recorder, page: Page
) -> None:
    """By pictures, where it may have some, and by where it leads; a page of another program tells as it likes."""
    world.host.share("wrong", world.site.port, password="sesame", listed=False)
    key_hash = world.host.label("wrong").rpartition("-")[2]
    kinds = {
        "file": shares["site"],
        "listing": shares["pile"],
        "markdown": f"{shares['pile']}notes.md?as_markdown=1",
        "template": f"{shares['made']}page",
        "not-there": f"{shares['pile']}nowhere",
        "error": world.visitor.url_of(f"word-{key_hash}"),
        "home": world.home,
        "not-found": f"{world.home}{key_hash}",
    }
    for kind, url in kinds.items():
        goto(page, url)
        elsewhere = f"http://{INTERNET}:{here.port}/{kind}"
        page.evaluate(
            "url => new Promise(done => { const picture = new Image(); picture.onerror = picture.onload = done;"
            " picture.src = url })",
            f"{elsewhere}.png",
        )
        page.evaluate("url => { location = url }", elsewhere)
        page.wait_for_url(elsewhere)
    for kind in kinds:
        [led] = here.heard(f"/{kind}")
        for headers in (led, *here.heard(f"/{kind}.png")):
            assert "referer" not in headers, kind
            assert key_hash not in str(headers)
    assert here.heard("/file.png")
    assert here.heard("/template.png")
    assert not here.heard("/markdown.png")  # who reads a text is nobody's business
    goto(page, world.url("other"))
    page.evaluate("url => { location = url }", f"http://{INTERNET}:{here.port}/passed")
    wait_until(lambda: here.heard("/passed"), "it arrived")
    assert world.label in here.heard("/passed")[0]["referer"]


def test_cookies_of_a_service_go_to_every_port_of_its_name(world: World, here: Recorder, page: Page) -> None:
    """As with every name (RFC 6265, 8.5), and so to programs of other users of the machine: docs/SECURITY.md."""
    goto(page, world.url("other"))
    page.evaluate("document.cookie = 'kept=1'")
    goto(page, f"http://{world.label}.localhost:{here.port}/cookies")
    assert here.heard("/cookies")[0]["cookie"] == "kept=1"


# ── what a page can reach ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["file", "pile", "template"])
def test_a_shared_page_reaches_no_program_of_this_computer_and_no_device_of_the_network(
    world: World, shares: dict[str, str], here: Recorder, device: Recorder, page: Page, kind: str
) -> None:
    goto(
        page, {"file": shares["site"], "pile": f"{shares['pile']}page.html", "template": f"{shares['made']}page"}[kind]
    )
    near = f"http://127.0.0.1:{here.port}/near-{kind}", f"http://{world.host_machine.ip4}:{device.port}/near-{kind}"
    for url in near:
        assert ran(page, f"fetch('{url}', {{mode: 'no-cors'}}).then(() => 'came')").startswith("refused")
        ran(page, f"new Promise(done => {{ const i = new Image(); i.onload = i.onerror = done; i.src = '{url}' }})")
    assert here.heard(f"/near-{kind}") == device.heard(f"/near-{kind}") == []
    assert ran(page, f"fetch('http://{INTERNET}:{here.port}/far-{kind}').then(answer => answer.text())") == "kept"
    if kind == "file":
        assert ran(page, "fetch('/secret.txt').then(answer => answer.text())") == "nobody else's business"


def test_a_page_of_somebodys_own_program_reaches_what_a_program_of_this_computer_reaches(
    world: World, here: Recorder, page: Page
) -> None:
    """Bytes are passed as they are, so the browser takes such a page for this computer's own: docs/SECURITY.md."""
    goto(page, world.url("other"))
    assert ran(page, f"fetch('http://127.0.0.1:{here.port}/passed-on').then(answer => answer.text())") == "kept"


def test_in_a_profile_that_knows_only_the_door_no_page_reaches_anything_but_services(
    world: World, chromium: Browser, here: Recorder, device: Recorder
) -> None:
    """What docs/SECURITY.md tells whoever visits strangers."""
    door = f"http://127.0.0.1:{world.visitor.localport}"
    with chromium.new_context(proxy={"server": door, "bypass": "<-loopback>"}) as context:
        page = context.new_page()
        goto(page, f"http://{world.label}.localhost/other")
        places = (
            *(f"127.0.0.1:{here.port}", f"localhost:{here.port}", f"{INTERNET}:{here.port}"),
            f"{world.host_machine.ip4}:{device.port}",
        )
        for place in places:
            # 421, of which other sites have nothing.
            assert "refused" in ran(page, f"fetch('http://{place}/walled', {{mode: 'no-cors'}}).then(() => 'came')")
            assert ran(page, f"fetch('http://{place}/walled').then(answer => answer.text())").startswith("refused")
        assert ran(page, "fetch('/count').then(answer => answer.status)") == 200
    assert here.heard("/walled") == device.heard("/walled") == []


# ── a pile of files ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ACTIVE)
def test_what_runs_in_a_file_of_a_pile_reads_no_other_file(shares: dict[str, str], page: Page, name: str) -> None:
    goto(page, f"{shares['pile']}{name}")
    assert page.evaluate("self.origin") == "null"
    for path in ("/secret.txt", "/api/v1/dir/", "/"):
        assert ran(page, f"fetch('{path}').then(answer => answer.text())").startswith("refused")
        assert ran(page, f"window.open('{path}').document.body.innerText").startswith("refused")
    assert ran(page, "localStorage.length").startswith("refused")
    assert ran(page, "navigator.serviceWorker.register('/worker.js').then(() => 'registered')").startswith("refused")


@pytest.mark.parametrize("name", ["", "page.html", "deep/below.html"])
def test_a_directory_with_an_index_is_a_site_whose_pages_are_at_home(
    shares: dict[str, str], page: Page, name: str
) -> None:
    goto(page, f"{shares['site']}{name}")
    assert ran(page, "fetch('/secret.txt').then(answer => answer.text())") == "nobody else's business"
    assert ran(page, "localStorage.length") == 0


def test_a_page_gets_nothing_through_a_forward_and_what_was_typed_does(
    world: World, device: Recorder, page: Page
) -> None:
    world.host.share("recorded", device.port, listed=False)
    label = world.host.label("recorded")
    words = [SCRIPTS / "hardline", "--datadir", world.visitor.data, "forward", label, "0"]
    with subprocess.Popen(placed(world.visitor_machine, words), stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        at = command.stdout.readline().strip()
        goto(page, world.url())
        send = "url => fetch(url, {mode: 'no-cors'}).then(() => 'sent', String)"
        assert "TypeError" in page.evaluate(send, f"http://{at}/sent")
        assert "another site" in world.visitor.status()["forwards"][0]["problem"]
        goto(page, f"http://{at}/typed")
        command.send_signal(signal.SIGINT)
    assert [device.heard("/sent"), len(device.heard("/typed"))] == [[], 1]
    visit = world.visitor.last_visit(label)
    assert (visit["via"], visit["protocol"]) == ("LAN", "hardline/2")
