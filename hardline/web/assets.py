"""What this node's page is made of besides its text: its own style and script, inside it and nothing from elsewhere.

A browser runs and fetches what the policy names: the script by its hash, and requests to this very origin.  Text never
becomes HTML in it (Trusted Types), no page has it in a frame, and whoever opened it in a window has no hold of that.
Source: Content Security Policy 3; Trusted Types; HTML, "Cross-origin opener policies".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from hardline.door.responses import page_kind, response
from hardline.http.look import STYLE, document, hash_of

_HERE = Path(__file__).parent
_ALONE = "Cross-Origin-Opener-Policy: same-origin\r\n"


@dataclass(frozen=True, slots=True)
class Assets:
    """A style and a script."""

    style: str
    script: str

    @property
    def policy(self) -> str:
        """The value of Content-Security-Policy."""
        return (
            f"default-src 'none'; style-src {hash_of(self.style)}; script-src {hash_of(self.script)}; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )

    def response(self, title: str, body: str, *, head_only: bool) -> bytes:
        """A whole page.  `title` is text, `body` is HTML."""
        text = document(title, f"{body}<script>{self.script}</script>", style=self.style)
        return response(200, text, kind=page_kind(True), head_only=head_only, extra=_ALONE, policy=self.policy)


@functools.cache
def assets() -> Assets:
    """Those of the page; read once."""
    style, script = (_HERE.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return Assets(STYLE + style, script)
