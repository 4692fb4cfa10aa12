"""The process that makes pages of Markdown: `python -m hardline.cache.files.markdown_worker MEGABYTES SECONDS`.

It gives way to everything else that the processor is needed for.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from hardline.cache.files import markdown
from hardline.cache.templates.process import run

_NICE = 10


def render(request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    """The text `body` of the file that `request` names, as a page."""
    return {"status": 200, "headers": []}, markdown.page(body, request["name"])


if __name__ == "__main__":
    os.nice(_NICE)
    run(render, int(sys.argv[1]), int(sys.argv[2]))
