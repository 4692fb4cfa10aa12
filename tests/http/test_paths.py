"""Request targets as names of files."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.http.paths import Target, parse_target, quoted, shown

pytestmark = pytest.mark.pure

names = st.binary(min_size=1, max_size=30).filter(lambda name: not {0, 0x2F} & set(name) and name not in (b".", b".."))


@pytest.mark.parametrize(
    ("target", "expected", "directory", "query"),
    [
        ("/", (), True, ""),
        ("/a", ("a",), False, ""),
        ("/a/", ("a",), True, ""),
        ("/a/b%20c.txt?x=1&y=%2F", ("a", "b c.txt"), False, "x=1&y=%2F"),
        ("/a?b?c", ("a",), False, "b?c"),
        ("/a#b?c", ("a",), False, ""),
        ("//a///b//", ("a", "b"), True, ""),
        ("/caf%C3%A9", ("café",), False, ""),
        ("/café", ("café",), False, ""),
        ("/100%", ("100%",), False, ""),
        ("/%zz%2", ("%zz%2",), False, ""),
        ("/a+b", ("a+b",), False, ""),
        ("/%FF", ("\udcff",), False, ""),
        ("/a%5Cb", ("a\\b",), False, ""),
        ("/...", ("...",), False, ""),
        ("/.git", (".git",), False, ""),
        ("http://x.localhost:7009/a/b?c", ("a", "b"), False, "c"),
        ("http://x.localhost", (), True, ""),
        ("/./Packages", ("Packages",), False, ""),  # what apt asks a flat repository for
        ("/sub/./f.txt", ("sub", "f.txt"), False, ""),
        ("/%2e/Packages", ("Packages",), False, ""),
        ("/sub/../Packages", ("Packages",), False, ""),
        ("/sub/%2E%2e/Packages?x", ("Packages",), False, "x"),
        ("/a/b/..", ("a",), True, ""),
        ("/a/.", ("a",), True, ""),
        ("/.", (), True, ""),
        ("/a/%2e%2e/", (), True, ""),
        ("http://x/a/../b", ("b",), False, ""),
    ],
)
def test_a_target_is_names(target, expected, directory, query):
    assert parse_target(target) == Target(expected, directory, query)


@pytest.mark.parametrize(
    "target",
    [
        "/..",
        "/../../etc/passwd",
        "/%2e%2e/a",
        "/a/../../b",
        "/a/./%2e./../b",
        "/./..",
        "/a/.%2e//../b",
        "/%2E./a",
        "/.%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/a%2Fb",
        "/%2Fetc%2Fpasswd",
        "/a%00.txt",
        "/%00",
        "*",
        "",
        "a/b",
        "localhost:80",
        "//..",
        "http://x/../a",
    ],
)
def test_what_can_be_no_files_name_is_nothing(target):
    assert parse_target(target) is None


@pytest.mark.parametrize("target", ["/%252e%252e/a", "/%252e", "/..%255c", "/%25%32%65%25%32%65"])
def test_a_name_is_decoded_once(target):
    parsed = parse_target(target)
    assert parsed is not None
    assert "%" in parsed.names[0]


def test_an_overlong_spelling_of_a_dot_is_no_dot():
    assert parse_target("/%c0%ae%c0%ae/a") == Target(("\udcc0\udcae\udcc0\udcae", "a"), False, "")


@pytest.mark.parametrize(
    "path", ["/a" * 1025, "/" + "a" * 8200, "/%61" * 3000, "/\udcffaaaaaaa" * 1000, "/" + "%61" * 8200]
)
def test_what_is_longer_than_any_path_of_a_file_is_nothing(path):
    assert parse_target(path) is None
    assert parse_target(f"/a?{path}") is not None


@given(st.lists(names), st.booleans())
def test_every_name_comes_back(parts, directory):
    text = [part.decode("utf-8", "surrogateescape") for part in parts]
    target = "/" + "/".join(map(quoted, text)) + ("/" if directory else "")
    assert parse_target(target) == Target(tuple(text), directory or not text, "")


@given(st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x21) | st.sampled_from("%./\\")))
def test_no_target_leads_out(text):
    parsed = parse_target(f"/{text}")
    if parsed is not None:
        assert not {"", ".", ".."} & set(parsed.names)
        assert not any("/" in name or "\0" in name for name in parsed.names)


# ── links and redirects ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("target", ["//evil.example", "/\\evil.example", "/%5cevil.example", "/http:%5C%5Cx", "/a:b"])
def test_what_redirects_to_the_slash_stays_on_the_host(target):
    parsed = parse_target(target)
    assert parsed is not None
    for prefix in ("", "/gateway/service"):
        base = f"http://here.localhost:7009{prefix}{target}"
        led = urlsplit(urljoin(base, parsed.beside))
        assert led.netloc == "here.localhost:7009"
        again = parse_target(led.path.removeprefix(prefix))
        assert again == Target(parsed.names, True, "")


@given(names, st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#")))
def test_a_redirect_keeps_the_name_and_the_query_and_is_one_segment(name, query):
    parsed = parse_target(f"/x/{quoted(name.decode('utf-8', 'surrogateescape'))}?{query}")
    assert parsed is not None
    path, _, kept = parsed.beside.partition("?")
    assert kept == query
    assert path.endswith("/")
    assert unquote_to_bytes(path[:-1]) == name
    assert not set(path[:-1]) & set("/\\:?#%") - {"%"}
    assert parsed.beside.isascii()


def test_a_query_that_is_no_ascii_can_be_sent_in_a_field():
    parsed = parse_target("/a?é\udcff")
    assert parsed is not None
    assert parsed.beside == "a/?%C3%A9%FF"


def test_names_are_shown_as_one_line_in_their_order():
    assert shown("a\nb\x1b[1m\u202ec\udcff") == "a\ufffdb\ufffd[1m\ufffdc\ufffd"
    assert shown("café  ☕ <b>") == "café  ☕ <b>"
