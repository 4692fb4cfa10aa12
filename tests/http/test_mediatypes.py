"""Types of files by their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.http.mediatypes import UNKNOWN, is_compressible, is_markdown, is_text, media_type

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("index.html", "text/html"),
        ("INDEX.HTM", "text/html"),
        ("app.js", "text/javascript"),
        ("app.mjs", "text/javascript"),
        ("style.css", "text/css"),
        ("data.json", "application/json"),
        ("app.js.map", "application/json"),
        ("site.webmanifest", "application/manifest+json"),
        ("module.wasm", "application/wasm"),
        ("photo.jpg", "image/jpeg"),
        ("photo.avif", "image/avif"),
        ("photo.webp", "image/webp"),
        ("font.woff2", "font/woff2"),
        ("film.mp4", "video/mp4"),
        ("song.opus", "audio/opus"),
        ("subtitles.vtt", "text/vtt"),
        ("paper.pdf", "application/pdf"),
        ("site.tar.gz", "application/gzip"),
        ("notes.md", "text/markdown"),
        ("main.ts", "text/plain"),  # TypeScript is more often shared than MPEG streams
        ("script.sh", "text/plain"),
        ("README", "text/plain"),
        ("Makefile", "text/plain"),
        (".gitignore", "text/plain"),
        ("noending", UNKNOWN),
        ("strange.ending", UNKNOWN),
        ("ending.", UNKNOWN),
        (".", UNKNOWN),
        ("x.\udcff", UNKNOWN),
    ],
)
def test_a_name_tells_the_type(name, expected):
    assert media_type(name) == expected


def test_texts_need_a_charset_and_are_worth_compressing():
    assert is_text("text/html")
    assert not is_text("application/json")
    assert is_compressible("text/css")
    assert is_compressible("application/json")
    assert is_compressible("image/svg+xml")
    assert not is_compressible("image/png")
    assert not is_compressible("application/gzip")
    assert is_markdown("x.md")
    assert not is_markdown("md")


@given(st.text())
def test_every_name_has_a_type_that_can_be_sent(name):
    kind = media_type(name)
    assert kind.isascii()
    assert kind.count("/") == 1
    assert "x-www" not in kind
