"""A Markdown text as a page.

    README.md?as_markdown=1 ──▶ markdown-it ──▶ a page in the style of all others

HTML in the text is shown, not passed on; links to scripts are none; what slips through all the same meets a policy that
runs no scripts.  Images from elsewhere are not loaded: they would tell their server who reads what, and when.
"""

from __future__ import annotations

from markdown_it import MarkdownIt

from hardline.http.look import STYLE, content_policy, document
from hardline.http.paths import shown

MAX_SIZE = 1 << 19  # bytes: some seconds of work for the worst text

_STYLE = (
    STYLE
    + """\
h2{font-size:1.3rem;color:inherit}h3{font-size:1.1rem}
pre{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.7rem .9rem;overflow-x:auto;
overflow-wrap:normal}
blockquote{margin:1rem 0;padding-left:1rem;border-left:.2rem solid var(--line);color:var(--dim)}
img{max-width:100%}hr{border:0;border-top:1px solid var(--line)}
table{border-collapse:collapse;display:block;overflow-x:auto}
td,th{border:1px solid var(--line);padding:.3rem .7rem;text-align:left}
"""
)
POLICY = content_policy(_STYLE, more="img-src 'self' data:")
_TITLE_IN = 8192  # characters


def page(source: bytes, name: str) -> bytes:
    """The whole page.  Takes its time, and the interpreter: call it in a process of its own (texts.py)."""
    text = source.decode("utf-8", "replace")
    title = next(filter(None, map(_heading, text[:_TITLE_IN].splitlines()[:50])), shown(name))
    # One parser per page: it keeps state while it works.
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    return document(title, parser.render(text), style=_STYLE).encode("utf-8", "replace")


def _heading(line: str) -> str:
    """What a line says as a heading; empty where it is none."""
    text = line.lstrip()
    words = text.lstrip("#")
    depth = len(text) - len(words)
    if len(line) - len(text) > 3 or not 1 <= depth <= 6 or words[:1].strip():
        return ""
    return words.strip().rstrip("#").rstrip()
