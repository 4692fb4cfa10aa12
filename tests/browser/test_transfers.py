"""Much data through a browser, whole: up, down, and beside other work.  HARDLINE_TEST_FULL=1: 200 MB instead of 50."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from playwright.sync_api import Download, Page

from tests.browser.chromium import goto
from tests.browser.conftest import World
from tests.browser.marks import BROWSER
from tests.browser.site import STALLED
from tests.support.origin import digest_of_bytes
from tests.support.size import FULL
from tests.support.waiting import wait_until

pytestmark = BROWSER

SIZE = 200_000_000 if FULL else 50_000_000
LIMIT = 60_000  # milliseconds for one transfer

_HEX = "digest => [...new Uint8Array(digest)].map(byte => byte.toString(16).padStart(2, '0')).join('')"


def clicked(page: Page, path: str) -> Download:
    """Follow a link that leads to a file; returns the download once it has begun."""
    with page.expect_download(timeout=LIMIT) as begun:
        page.evaluate("path => { location = path }", path)
    return begun.value


def sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def received(world: World) -> int:
    """Bytes that the visitor's session has brought."""
    return sum(int(str(session["received"])) for session in world.warm_sessions())


def test_a_large_fetch_is_whole(world: World, page: Page) -> None:
    goto(page, world.url("other"))
    page.set_default_timeout(LIMIT)
    told = page.evaluate(
        f"""async path => {{
            const answer = await fetch(path), pieces = [];
            for await (const piece of answer.body) pieces.push(piece);
            const all = await new Blob(pieces).arrayBuffer(), hex = {_HEX};
            return [all.byteLength, pieces.length > 1, hex(await crypto.subtle.digest('SHA-256', all))];
        }}""",
        f"/bytes/{SIZE}",
    )
    assert told == [SIZE, True, digest_of_bytes(SIZE)]
    world.check_path()


def test_a_large_download_is_whole(world: World, page: Page) -> None:
    goto(page, world.url("other"))
    download = clicked(page, f"/bytes/{SIZE}")
    assert download.failure() is None
    assert download.suggested_filename == "bytes.bin"
    assert sha256(download.path()) == digest_of_bytes(SIZE)


def test_a_large_upload_is_whole(world: World, page: Page) -> None:
    goto(page, world.url("other"))
    page.set_default_timeout(LIMIT)
    sent, taken = page.evaluate(
        f"""async size => {{
            const data = new Uint8Array(size), hex = {_HEX};
            for (let at = 0; at < size; at += 65536) crypto.getRandomValues(data.subarray(at, at + 65536));
            const answer = await fetch('/sum', {{method: 'POST', body: new Blob([data])}});
            return [hex(await crypto.subtle.digest('SHA-256', data)), await answer.json()];
        }}""",
        SIZE,
    )
    assert taken == {"length": SIZE, "sha256": sent}


def test_a_file_sent_by_a_form_is_whole(world: World, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "photo.raw"
    file.write_bytes(random.Random(3).randbytes(20_000_000))
    goto(page, world.url("form"))
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Send").click(timeout=LIMIT)
    page.wait_for_url(world.url("sum"))
    told = page.evaluate("JSON.parse(document.body.innerText)")
    assert told == {"name": "photo.raw", "length": 20_000_000, "sha256": sha256(file)}


def test_a_page_is_used_while_a_download_goes_on(world: World, page: Page) -> None:
    goto(page, world.url("other"))
    download = clicked(page, "/endless")
    begun = received(world)
    button = page.get_by_role("button")
    for count in range(1, 11):
        button.click()
        page.get_by_text(str(count), exact=True).wait_for()
    page.get_by_role("link", name="back").click()
    page.get_by_text("fetched on connection").wait_for()
    assert received(world) > begun
    told = page.evaluate("fetch('/enough').then(answer => answer.json())")
    assert download.failure() is None
    assert sha256(download.path()) == told["sha256"]
    assert download.path().stat().st_size == told["length"]
    world.check_path()


@pytest.mark.parametrize(
    ("victim", "kinds"),
    [
        ("host", ("length", "chunked", "until-end")),
        # How a program dies cannot be told from how it ends: the kernel closes its connections in order.
        ("site", ("length", "chunked")),
    ],
)
def test_a_download_whose_source_dies_is_shown_as_failed(
    world: World, page: Page, victim: str, kinds: tuple[str, ...]
) -> None:
    """However its length is told: a file that ends with its connection must not look complete either."""
    goto(page, world.url("other"))
    before = received(world)
    downloads = [clicked(page, f"/stall/{kind}") for kind in kinds]
    wait_until(lambda: received(world) > before + len(kinds) * STALLED, "all that was sent arrived")
    with world.without(getattr(world, victim)):
        failures = {kind: download.failure() for kind, download in zip(kinds, downloads, strict=True)}
    assert None not in failures.values(), failures
