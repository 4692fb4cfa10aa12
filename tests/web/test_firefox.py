"""The page's main path in a Firefox: opened as `hardline open` does, a port shared, visited, and removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.node import Node
from tests.support.programs import running_origin
from tests.support.waiting import wait_until
from tests.web.firefox import Firefox, running_firefox

pytestmark = [pytest.mark.browser, pytest.mark.full, needs.tools("firefox-esr")]

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
TITLE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    with running_firefox(tmp_path) as firefox:
        yield firefox


def shown(firefox: Firefox, text: str) -> None:
    wait_until(lambda: firefox.shows(text), f"{text} is shown")


def opened_file(node: Node) -> str:
    """What `hardline open` starts a browser with."""
    assert node.hardline("open", "--print").returncode == 0
    return max(node.data.glob("open-*.html"), key=lambda one: one.stat().st_mtime_ns).as_uri()


def test_a_port_is_shared_visited_and_removed_in_firefox(tmp_path: Path, firefox: Firefox) -> None:
    with running_origin() as origin, Node(tmp_path / "host") as host, Node(tmp_path / "visitor") as visitor:
        home = f"http://localhost:{visitor.localport}/"
        firefox.goto(home)
        shown(firefox, "To manage this node here")
        firefox.goto(opened_file(visitor))
        shown(firefox, "Share a port…")
        assert firefox.run("return location.href") == home, "the secret is in no history"
        host.share("hostile", origin.port, title=TITLE)
        shown(firefox, TITLE)
        firefox.click("Share a port…")
        firefox.type("input[name=target]", str(origin.port))
        firefox.type("input[name=title]", "By Firefox")
        firefox.click("Share")
        shown(firefox, "By Firefox is shared")
        shown(firefox, "● answers")
        firefox.picture(SCREENSHOTS / "firefox.png")
        firefox.click(TITLE, "#lan a")
        shown(firefox, "hello from the origin")
        assert firefox.run("return location.host") == f"{host.label('hostile')}.localhost:{visitor.localport}"
        firefox.goto(home)
        firefox.click("More", "#mine summary")
        firefox.click("Remove…")
        firefox.click("Remove", "dialog button")
        shown(firefox, "By Firefox is not shared any more")
        assert visitor.status()["services"] == []
        # In a page that is open already, an address that differs behind its # alone.
        assert visitor.hardline("open", "--revoke").returncode == 0
        shown(firefox, "To manage this node here")
        firefox.run("location.href = arguments[0]", visitor.hardline("open", "--print").stdout.strip())
        shown(firefox, "Share a port…")
