"""A Chromium on a machine of the laboratory, and what is looked at in it.

    test ── Playwright's driver ── pipe ──▶ `ip netns exec MACHINE chromium` ── http://KEYHASH.localhost:7009/ ──▶ door

The system's Chromium, never one that Playwright downloads; everything it does not need of the internet is off.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright

from tests.support.programs import Place, placed
from tests.support.size import FULL

REBOUND = "rebound.example"  # a name of the internet that somebody pointed at this computer
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
_DESKTOP, _PHONE = (1000, 720), (390, 844)
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_VIEWS = tuple((scheme, size) for scheme in _SCHEMES for size in ((1280, 800), _PHONE))
_QUIET = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-domain-reliability", "--no-pings"),
    f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1",
)
# What a console says about any answer that is an error: the status itself, not a mistake of the page.
_STATUS_SAID = re.compile(r"Failed to load resource: the server responded with a status of [0-9]{3} ")


@contextlib.contextmanager
def running_chromium(machine: Place | None, directory: Path) -> Iterator[Browser]:
    """A Chromium in `machine`, None for this one; its profile is fresh and goes with it."""
    starter = directory / "chromium"
    starter.write_text(f'#!/bin/sh\nexec {shlex.join(placed(machine, ["chromium"]))} "$@"\n')
    starter.chmod(0o755)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=starter, args=_QUIET, chromium_sandbox=False, env={**os.environ, "HOME": str(directory)}
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Complaints:
    """What a page's console and its scripts complained about."""

    seen: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.seen.append(str(error)))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _STATUS_SAID.match(message.text):
            self.seen.append(message.text)


def goto(page: Page, url: str) -> Response:
    """Go there, and return what answered."""
    response = page.goto(url)
    assert response is not None
    return response


def axe_is_content(page: Page) -> None:
    """Nothing serious in the light on a desk, and in the dark on a phone; FULL: in both on both."""
    for scheme, (width, height) in _VIEWS if FULL else (_VIEWS[0], _VIEWS[-1]):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": height})
        found = Axe().run(page).response["violations"]
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], f"{page.url} at {width}, {scheme}"
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{page.url} is {wide} points wide at {width}"
    page.emulate_media(color_scheme="light")


def portrait(page: Page, name: str, *, dark: bool = False) -> None:
    """On a desk and on a phone nothing may stick out at the side; FULL: keep how it looks there, in the dark, too."""
    for kind, (width, height) in (("desktop", _DESKTOP), ("phone", _PHONE)):
        page.set_viewport_size({"width": width, "height": height})
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} points wide on a screen of {width}"
        _keep(page, f"{name}-{kind}")
    if dark:
        page.emulate_media(color_scheme="dark")
        _keep(page, f"{name}-dark")


def _keep(page: Page, name: str) -> None:
    if FULL:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
