"""Markdown texts as pages."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardline.cache.files import markdown
from tests.cache.files.test_listing import Page
from tests.cache.serving import Serving, serving
from tests.support import needs

pure = pytest.mark.pure

HOSTILE = """
<script>alert(1)</script><img src=x onerror=alert(1)>

[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](&#106;avascript:alert(1)) [d](vbscript:x) [e](data:text/html,x)

![f](javascript:alert(1)) <javascript:alert(1)> [g]: javascript:alert(1)

<a href="javascript:alert(1)">h</a> </main></body>

[i](x "a\\" onmouseover=alert(1)") `<script>` <!-- <b> -->

[j](<x\" onclick=alert(1)>)
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Serving]:
    (tmp_path / "README.md").write_bytes("# Our *archive*\n\nwords, café\n\n|a|b|\n|-|-|\n|1|2|\n".encode())
    with serving(tmp_path) as running:
        yield running
        running.has_closed_everything()


@pure
def test_markdown_is_what_it_means():
    text = (
        "# One #\n\nsome *words* and `code`\n\n- a\n- b\n\n```\nx < y\n```\n\n|a|b|\n|-|-|\n|1|2|\n\n"
        "~~old~~ [here](a/b.md)\n"
    )
    seen = Page(markdown.page(text.encode(), "x.md").decode())
    assert {"h1", "em", "code", "ul", "li", "pre", "table", "td", "s"} <= set(seen.tags)
    assert ("a/b.md", "here") in seen.links
    assert "x < y" in seen.text


@pure
def test_the_first_heading_is_the_title():
    assert "<title>One &lt;two&gt;</title>" in markdown.page(b"text\n\n## One <two> ##\n# Three", "x.md").decode()
    assert "<title>note.md</title>" in markdown.page(b"text", "note.md").decode()


@pure
def test_nothing_in_a_text_is_more_than_text():
    seen = Page(markdown.page(HOSTILE.encode(), "x.md").decode())
    assert not {"script", "iframe", "b"} & set(seen.tags)
    assert not any(name.startswith("on") for name in seen.attributes)
    for href, _ in seen.links:
        assert not re.match(r"\s*(javascript|vbscript|data):", href, re.IGNORECASE)
    assert seen.tags.count("main") == seen.tags.count("body") == 1


@pure
def test_the_policy_runs_no_scripts():
    whole = markdown.page(b"# x", "x.md").decode()
    style = re.search("<style>(.*)</style>", whole, re.DOTALL)[1]
    assert f"style-src 'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in markdown.POLICY
    assert "default-src 'none'" in markdown.POLICY
    assert "script-src" not in markdown.POLICY
    assert "form-action 'none'" in markdown.POLICY


@pure
@pytest.mark.parametrize("text", ["# a{}b", "{}# a", "# {} a", "#{}", "# a #{} b", "# a{} b"])
@pytest.mark.parametrize("bit", ["#", " ", "# ", "\t", "a"])
def test_a_heading_is_found_in_time_in_proportion(text, bit, processor_time):
    def title(size: int) -> None:
        markdown.page(text.format(bit * size).encode(), "x.md")

    assert processor_time(title, 1000, 32_000) < 4 * 32


@pure
def test_a_title_is_short():
    whole = markdown.page(b"# a" + b"#" * 30_000 + b"b", "x.md").decode()
    assert len(whole.partition("</title>")[0]) < 1000


@pure
@pytest.mark.parametrize(
    "text", ["[", "*a ", "`a``", "> ", "- ", "![", "<a ", "**a *", "[a](", "|", "\0", "&#x110000;"]
)
def test_no_text_takes_for_ever(text):
    """Twice as much takes about twice as long, not four times."""

    def spent(size: int) -> float:
        began = time.process_time()
        markdown.page((text * (size // len(text))).encode(), "x.md")
        return time.process_time() - began

    assert spent(40_000) < 8 * spent(10_000) + 1


# ── over HTTP ────────────────────────────────────────────────────────────────────────────────────────────────

needs_linux = needs.linux()


@needs_linux
def test_a_text_is_shown_as_a_page_where_that_is_asked_for(site):
    reply = site.get("/README.md?as_markdown=1")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>Our <em>archive</em></h1>" in reply.text
    assert "café" in reply.text
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    for raw in ("/README.md", "/README.md?as_markdown=0", "/README.md?xas_markdown=1"):
        reply = site.get(raw)
        assert reply.headers["content-type"] == "text/markdown; charset=utf-8"
        assert reply.body.startswith(b"# Our *archive*")


@needs_linux
def test_what_is_no_markdown_stays_what_it_is(site):
    (site.root / "a.html").write_bytes(b"<p>")
    assert site.get("/a.html?as_markdown=1").body == b"<p>"
    assert site.get("/nothing.md?as_markdown=1").status == 404
    assert site.get("/?as_markdown=1").status == 200


@needs_linux
def test_a_page_that_is_known_is_not_made_again(site):
    tag = site.get("/README.md?as_markdown=1").headers["etag"]
    assert tag != site.get("/README.md").headers["etag"]
    assert site.get("/README.md?as_markdown=1", If_None_Match=tag).status == 304
    assert site.get("/README.md?as_markdown=1", If_Match='"x"').status == 412
    (site.root / "README.md").write_bytes(b"# New")
    assert "<h1>New</h1>" in site.get("/README.md?as_markdown=1", If_None_Match=tag).text


@needs_linux
def test_a_page_is_made_of_the_text_and_not_of_its_sibling(site):
    (site.root / "README.md.gz").write_bytes(b"packed")
    os.utime(site.root / "README.md", (1, 1))
    reply = site.get("/README.md?as_markdown=1", Accept_Encoding="gzip")
    assert "<em>archive</em>" in reply.text
    assert "content-encoding" not in reply.headers


@needs_linux
def test_a_very_long_text_is_not_made_into_a_page(site):
    (site.root / "long.md").write_bytes(b"# x\n" + b"y" * markdown.MAX_SIZE)
    reply = site.get("/long.md?as_markdown=1")
    assert reply.status == 403
    assert "512KB" in reply.text
    assert site.get("/long.md").status == 200


@needs_linux
@pytest.mark.parametrize(
    "hard",
    [
        b"# a" + b"#" * 100_000 + b"b\n",
        pytest.param(b"|a" * 300 + b"\n" + b"|-" * 300 + b"\n" + b"|a\n" * 2000, marks=pytest.mark.full),
        pytest.param(b"![" * 20_000 + b"\n", marks=pytest.mark.full),
        b"Some *text* with [links](http://x.example/) and `code`, **bold** too.\n\n" * 7000,
    ],
)
def test_making_a_page_takes_none_of_the_time_of_the_daemon(site, hard):
    """Of its processor, whose interpreter everybody else's answers need; it is another process that works."""
    (site.root / "hard.md").write_bytes(hard)
    assert site.get("/README.md?as_markdown=1").status == 200
    before = time.process_time()
    assert site.get("/hard.md?as_markdown=1").status == 200
    spent = time.process_time() - before
    began = time.process_time()
    markdown.page(hard, "hard.md")
    here = time.process_time() - began
    assert spent < max(here / 4, 0.05)


@needs_linux
def test_a_page_that_takes_too_long_is_given_up_and_not_tried_again(tmp_path):
    (tmp_path / "hard.md").write_bytes(b"![" * 200_000)
    (tmp_path / "a.md").write_bytes(b"# a")
    with serving(tmp_path, seconds=2) as site:
        for _ in range(2):
            reply = site.get("/hard.md?as_markdown=1")
            assert reply.status == 403
            assert "too hard" in reply.text
        assert site.get("/hard.md").body == b"![" * 200_000
        assert "<h1>a</h1>" in site.get("/a.md?as_markdown=1").text


@needs_linux
def test_others_are_served_while_a_page_is_being_made(site):
    (site.root / "hard.md").write_bytes(b"![" * 20_000 + b"\n")
    with site.connection(b"GET /hard.md?as_markdown=1 HTTP/1.1\r\nHost: x\r\n\r\n") as sock:
        served = 0
        sock.setblocking(False)
        while True:
            try:
                assert sock.recv(10)
                break
            except BlockingIOError:
                assert site.get("/README.md").status == 200
                served += 1
    assert served > 5
