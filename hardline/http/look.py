"""How every page looks, and how what others said gets onto it; without I/O.

    document(title, body)      one skeleton, one style sheet inside it, no script, nothing from elsewhere
    content_policy(style)      what tells a browser so
    FILES_POLICY, PILE_POLICY  the same for files, which may run what they like: but where?

Titles, names of files and other people's words are hostile: `escaped` is the only way into a page.
Whoever shares a page is a stranger to its visitors' computers, and comes to them from their own loopback address.
Browsers let pages from there reach what strangers may not, unless the page itself says that it is no such neighbour.
Source: Content Security Policy 3; Local Network Access, "treat-as-public-address"; Referrer Policy.
"""

from __future__ import annotations

import base64
import hashlib

from hardline.showable import one_line

# A page adds what is its own.
STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--dim:#667085;--paper:#fbfbf9;--card:#fff;--line:#e4e2dc;
--accent:#0b6bcb;--alarm:#c2570c}
@media(prefers-color-scheme:dark){:root{--ink:#e8e8e4;--dim:#9aa3af;--paper:#14171c;--card:#1c2027;--line:#2d333d;
--accent:#6db3ff;--alarm:#f0a35e}}
*{box-sizing:border-box}
body{margin:0;padding:6vh 1.2rem 3rem;background:var(--paper);color:var(--ink);font:1rem/1.55 system-ui,sans-serif;
overflow-wrap:anywhere}
main{max-width:46rem;margin:0 auto}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .6rem}
h2{font-size:1rem;margin:2rem 0 .6rem;color:var(--dim);font-weight:600}
p{margin:.5rem 0}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
code,.mono{font:.85rem/1.5 ui-monospace,monospace}
.dim{color:var(--dim)}.code{color:var(--dim);font-size:.9rem;margin-bottom:.8rem}
ul{padding-left:1.2rem;margin:.4rem 0}li{margin:.25rem 0}
footer{margin-top:2.5rem;color:var(--dim)}
footer a{display:inline-block;padding:.4rem 1rem;border:1px solid var(--line);border-radius:.5rem;
background:var(--card)}
"""

# The origin of a page is its key hash, and the right to visit it: nobody else is told where a visitor came from.
REFERRER_POLICY = "same-origin"

FILES_POLICY = "treat-as-public-address"
# What runs in a file of a pile runs for itself: without an origin it reads no other file, no listing and no storage.
PILE_POLICY = (
    f"{FILES_POLICY}; sandbox allow-scripts allow-forms allow-modals allow-downloads allow-popups "
    "allow-popups-to-escape-sandbox"
)

# As html.escape has them: that comes with every name there is in HTML, which are half a megabyte.
_SPECIAL = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_LONGEST = 500  # characters of anything that others said


def document(title: str, body: str, *, style: str = STYLE, head: str = "") -> str:
    """A whole page.  `title` is text, `body` and `head` are HTML."""
    return opening(title, style=style, head=head) + body + CLOSING


def opening(title: str, *, style: str = STYLE, head: str = "") -> str:
    """What goes before the body of a page that is sent in pieces; CLOSING goes behind it."""
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escaped(title)}</title>{head}"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<style>{style}</style></head><body><main>"
    )


CLOSING = "</main></body></html>\n"


def content_policy(style: str = STYLE, *, script: str = "", forms: bool = False, more: str = "") -> str:
    """The value of Content-Security-Policy of a page with this style and script, both inside it.

    With a script it may ask its own origin, with `forms` send them there; `more` are further directives.
    """
    scripts = f"script-src {hash_of(script)}; connect-src 'self'; " if script else ""
    return (
        f"default-src 'none'; style-src {hash_of(style)}; {scripts}base-uri 'none'; "
        f"form-action '{'self' if forms else 'none'}'; "
        f"frame-ancestors 'none'; {FILES_POLICY}{f'; {more}' if more else ''}"
    )


def hash_of(text: str) -> str:
    """How a policy names a style or a script that is in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def shown(text: str) -> str:
    """One line, without what steers a terminal or turns the order of letters."""
    return one_line(text, _LONGEST)


def escaped(text: str) -> str:
    """`shown`, as HTML: inside an element or a quoted attribute."""
    return shown(text).translate(_SPECIAL)
