"""For `--people`: when a browser first paints this node's own page (Chromium; Paint Timing, first contentful paint)."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from daemons import Broken, free_port
from load import median
from measures import Row
from people_nodes import TITLES, sharing, typed
from relay_nodes import Quiet

_TIMES = 7
_PAINTED = """() => new Promise(done => {
  const look = () => {
    const [painted] = performance.getEntriesByName('first-contentful-paint')
    painted ? done(painted.startTime) : requestAnimationFrame(look)
  }
  look()
})"""

ROWS = (
    Row("paint", "this node's page, in a new browser: first paint", "ms", "less", "figure", 200),
    Row("paint_managed", "  for who may manage the node", "ms", "less", "figure", 200),
)


class Paint:
    """A host, a visitor and a Chromium; they end with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        from tests.browser.chromium import running_chromium

        place.mkdir()
        sharing(place / "host", stack)
        self._visitor = stack.enter_context(Quiet(place / "visitor"))
        self._visitor.share("own", free_port(), title="Own")
        self._home = f"http://localhost:{self._visitor.localport}/"
        self._browser = stack.enter_context(running_chromium(None, place))
        typed(self._visitor, "ls")  # it has heard of the host by then

    @staticmethod
    def impossible() -> str:
        """Why it cannot be measured here; "" where it can."""
        return "" if shutil.which("chromium") else "needs chromium"

    def measure(self, number: int) -> dict[str, dict[str, float]]:
        """One round."""
        seen = [self._first_visit() for _ in range(_TIMES)]
        with contextlib.closing(self._browser.new_context()) as context:
            url = typed(self._visitor, "open", "--print").text
            page = context.new_page()
            page.goto(url.strip())
            page.get_by_role("button", name="Share a port…").wait_for()
            again = []
            for _ in range(_TIMES):
                page = context.new_page()
                page.goto(self._home)
                again.append(float(page.evaluate(_PAINTED)))
                page.get_by_role("button", name="Share a port…").wait_for()
                page.close()
        return {"hardline": {"paint": median(seen), "paint_managed": median(again)}}

    def _first_visit(self) -> float:
        with contextlib.closing(self._browser.new_context()) as context:
            page = context.new_page()
            page.goto(self._home)
            took = float(page.evaluate(_PAINTED))
            text = page.inner_text("body")
            if missing := [title for title in TITLES if title not in text]:
                raise Broken(f"the page lacks {', '.join(missing)}: {text[:300]}")
            return took
