"""The scenes that the documents show, played anew: two computers, atlas and felix, and who uses atlas.

    make pictures        writes docs/images/        HARDLINE_PICTURES=1
    make test-all        holds the words on each page against those that were written

Names, ports and keys are the same each time; whatever of this computer would be on a picture fails it.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.sync_api import Page, expect

from hardline.selfsigned import self_signed
from tests.browser.chromium import goto, running_chromium
from tests.browser.marks import BROWSER
from tests.netns.lab import Lab, Machine
from tests.pictures.words import IMAGES, RECORD, ROOT, program, recorded, said_by
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [*BROWSER, pytest.mark.full]

WRITES = os.environ.get("HARDLINE_PICTURES") == "1"
_SINCE = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_DESK, _PHONE = (1280, 760), (390, 800)
_QUALITY = 85
_GUESTS = "[Access]\nclients = invited\n"


@dataclass
class Album:
    """The pictures of a run."""

    directory: Path
    words: dict[str, list[str]] = field(default_factory=dict)

    def take(
        self, page: Page, name: str, size: tuple[int, int], scheme: Literal["light", "dark"], *, whole: bool = False
    ) -> None:
        """What `page` shows now on such a screen; `whole`: also what is below it."""
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.mouse.move(0, 0)
        front = page.locator("dialog[open]").last
        seen = (front if front.count() else page.locator("body")).inner_text()
        for private in (str(ROOT), str(self.directory), socket.gethostname()):
            assert private not in seen, f"{name} shows {private}"
        self.words[f"{name}.webp"] = said_by(program(), seen.splitlines())
        if WRITES:
            IMAGES.mkdir(exist_ok=True)
            (IMAGES / f"{name}.webp").write_bytes(_picture(page, *size, whole=whole))


def _picture(page: Page, width: int, height: int, *, whole: bool) -> bytes:
    """A third of what it is as PNG, and letters are as sharp."""
    if whole:
        height = page.evaluate(
            "Math.ceil(document.querySelector('main').getBoundingClientRect().bottom + scrollY) + 32"
        )
    x, y = page.evaluate("[scrollX, scrollY]")
    clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
    how = {"format": "webp", "quality": _QUALITY, "captureBeyondViewport": whole, "clip": clip}
    taken = page.context.new_cdp_session(page).send("Page.captureScreenshot", how)
    return base64.b64decode(taken["data"])


@dataclass(frozen=True)
class Scene:
    """Atlas, whose page is open, and felix beside it."""

    atlas: Node
    felix: Node
    felix_machine: Machine
    page: Page
    album: Album


def share(node: Node, name: str, port: int, title: str, more: str = "") -> None:
    """As Node.share, with a key that is the same each time."""
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    file = node.services / f"{name}.ini.cert"
    secret = file.with_name(f"{file.name}.private")
    secret.touch(mode=0o600)
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    file.write_bytes(self_signed(key, _SINCE).public_bytes(serialization.Encoding.PEM))
    node.write(name, f"[Service]\nservice = localhost\nport = {port}\n[Info]\ntitle = {title}\n{more}")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("pictures")
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(Lab())
        atlas_machine, felix_machine = lab.machine("atlas"), lab.machine("felix")
        for machine in (atlas_machine, felix_machine):  # at home: the world does not reach them
            machine.run(["ip", "address", "del", f"{machine.public}/32", "dev", "lo"])
        for machine, ports in ((atlas_machine, (8123, 2342)), (felix_machine, (8080, 6310))):
            for port in ports:
                stack.enter_context(running_origin(machine, port=port))
        atlas, felix = (
            Node(directory / name, at=machine, settings=f"[LAN]\ncomputer = {name}\n")
            for name, machine in (("atlas", atlas_machine), ("felix", felix_machine))
        )
        share(atlas, "home-assistant", 8123, "Home Assistant")
        share(atlas, "photos", 2342, "Photos", _GUESTS)
        share(felix, "files", 8080, "Files")
        share(felix, "printer", 6310, "Printer")
        stack.enter_context(atlas)
        stack.enter_context(felix)
        files = atlas.url_of(felix.label("files"))
        assert atlas.hardline("name", files, "nas").returncode == 0
        assert curl(files, at=atlas_machine).status == 200
        link = atlas.hardline("invite", "photos", "--to", "Anna").stdout.strip()
        assert felix.hardline("accept", link).returncode == 0
        assert curl(felix.url_of(atlas.label("photos")), at=felix_machine).status == 200
        browser = stack.enter_context(running_chromium(atlas_machine, tmp_path_factory.mktemp("chromium")))
        context = stack.enter_context(browser.new_context(locale="en-GB"))
        context.set_default_timeout(20_000)
        page = context.new_page()
        goto(page, atlas.hardline("open", "--print").stdout.strip())
        yield Scene(atlas, felix, felix_machine, page, Album(directory))


def card(page: Page, title: str):  # type: ignore[no-untyped-def]
    return page.get_by_role("listitem").filter(has=page.get_by_role("link", name=title, exact=True)).first


def test_the_pictures_of_the_documents_show_what_is_there(scene: Scene) -> None:
    page, album = scene.page, scene.album
    expect(card(page, "Home Assistant").get_by_text("● answers")).to_be_visible()
    expect(card(page, "Photos").get_by_text("here now", exact=False).first).to_be_visible()
    expect(card(page, "Printer").get_by_text("on felix")).to_be_visible()
    expect(card(page, "nas").get_by_text("in this network", exact=False)).to_be_visible()
    album.take(page, "page", _DESK, "light", whole=True)
    album.take(page, "page-phone", _PHONE, "dark")

    page.get_by_role("button", name="Share a port…").click()
    page.get_by_label("Which port, or address").fill("3000")
    page.get_by_label("Title (may be empty)").fill("Recipes")
    album.take(page, "share", _DESK, "light")
    page.get_by_role("button", name="Cancel").click()

    card(page, "Photos").get_by_role("button", name="Invite…").click()
    page.get_by_label("Who is it for").fill("Ben")
    page.get_by_role("button", name="Invite", exact=True).click()
    expect(page.get_by_label("What to send")).to_be_visible()
    album.take(page, "invite", _PHONE, "light")
    page.get_by_role("button", name="Done").click()

    card(page, "Home Assistant").get_by_role("button", name="On a phone…").click()
    expect(page.get_by_role("img", name="A code to scan")).to_be_visible()
    album.take(page, "phone", _PHONE, "dark")
    page.get_by_role("button", name="Stop now").click()
    expect(page.locator("#said")).not_to_be_empty()
    expect(page.locator("#said")).to_be_empty(timeout=20_000)  # or it stands in the next picture

    home = card(page, "Home Assistant")
    home.locator("summary").click()
    home.get_by_role("button", name="Requests…").click()
    seen = page.get_by_role("dialog").get_by_role("listitem")
    label = scene.atlas.label("home-assistant")

    def passed(path: str) -> bool:
        return curl(scene.felix.url_of(label, path), at=scene.felix_machine).status == 200 and seen.count() > 0

    wait_until(lambda: passed(""), "it is looked at, and seen", every=1.0)
    for path in ("echo?day=monday", "echo?day=tuesday", "bytes/20000"):
        assert curl(scene.felix.url_of(label, path), at=scene.felix_machine).status == 200
        expect(seen.first).to_contain_text(f"GET /{path} ")
    album.take(page, "inspect", _DESK, "dark")
    page.get_by_role("button", name="Close").click()

    files = scene.atlas.url_of(scene.felix.label("files"))
    scene.felix.stop()
    away = page.context.new_page()
    goto(away, files)
    expect(away.get_by_role("button", name="Stop")).to_be_visible()
    album.take(away, "error", _DESK, "dark", whole=True)
    away.close()

    page.set_viewport_size({"width": _DESK[0], "height": _DESK[1]})
    card(page, "nas").get_by_role("button", name="Why not?").click()
    page.get_by_role("button", name="Step by step").click()
    expect(page.get_by_text("That is all.")).to_be_visible(timeout=60_000)
    album.take(page, "doctor", _DESK, "light")

    if WRITES:
        RECORD.write_text(json.dumps(album.words, indent=2, ensure_ascii=False) + "\n")
    assert album.words == recorded(), "a page says something else than on its picture: make pictures"
