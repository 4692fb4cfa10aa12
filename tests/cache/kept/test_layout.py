"""Names of what is kept: as the original documents them, never two alike, never outside."""

from __future__ import annotations

import posixpath
import string
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hardline.cache.kept import layout

pytestmark = pytest.mark.pure

# Whatever a request line can hold, and more often what is near to trouble.
TROUBLE = ["/", "//", ".", "..", "%", "%2e", "%2F", "%25", "%00", "\0", "?", "@", "@http", "@mako", "#", "\\", "~", "ü"]
KEYS = st.one_of(
    st.text(),
    st.lists(st.one_of(st.sampled_from(TROUBLE), st.text(max_size=3)), max_size=12).map("".join),
    st.text(string.ascii_lowercase + "/.%@", max_size=2000),
).map(lambda text: "/" + text)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("/", "@http"),
        ("/foo/bar", "foo/bar@http"),
        ("/foo/bar/", "foo/bar/@http"),
        ("/foo/bar?x=1&y=/z", "foo/bar%3Fx%3D1%26y%3D/z@http"),
        ("/a%20b", "a%2520b@http"),
        ("/a@b", "a%40b@http"),
        ("/.hidden/~ann/a-b_c.txt", ".hidden/~ann/a-b_c.txt@http"),
    ],
)
def test_names_are_those_that_the_original_documents(key, name):
    assert layout.names(key).base == name


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_names_are_the_originals_wherever_a_directory_can_hold_them(rest):
    original = quote(rest) + "@http"
    segments = original.split("/")
    if not any(segment in ("", ".", "..") for segment in segments) and max(map(len, segments)) < 250:
        assert layout.names("/" + rest).base == original


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("/../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd@http"),
        ("/./a", "%2E/a@http"),
        ("//a//b//", "%2F/a/%2F/b/%2F/@http"),
        ("/%2e%2e/a", "%252e%252e/a@http"),
        ("/..\\..\\a", "..%5C..%5Ca@http"),
        ("/\0", "%00@http"),
    ],
)
def test_what_is_no_name_is_spelled_in_a_way_of_its_own(key, name):
    assert layout.names(key).base == name


@given(KEYS)
@example("/" + "ü" * 400)
@example("/" + "a/" * 3000)
def test_every_name_is_one_that_a_file_system_takes_and_lies_inside(key):
    names = layout.names(key)
    kept = [names.base, names.spare]
    files = [layout.head(base) for base in kept] + [layout.content(base, number) for base in kept for number in (1, 32)]
    for name in (*files, *names.by_hand):
        assert posixpath.normpath(name) == name
        assert not name.startswith("/")
        assert "\0" not in name
        segments = name.split("/")
        assert not {"", ".", ".."} & set(segments)
        assert max(len(segment.encode()) for segment in segments) <= 255
        assert len(name.encode()) <= 1024 + len("@http.head")


def respelled(key: str) -> list[str]:
    """The same, as somebody might think."""
    return [quote(key), unquote(key), quote(key, safe=""), key.upper(), key + "/", key.replace("/", "//"), f"/{key}"]


@given(KEYS, st.integers(0, 6))
def test_no_other_spelling_has_the_same_name(key, spelling):
    test_no_two_targets_share_a_name.hypothesis.inner_test(key, respelled(key)[spelling])


@given(KEYS, KEYS)
@example("//a", "/%2F/a")
@example("/..", "/%2E%2E")
@example("/a%2fb", "/a%2Fb")
@example("/a/b", "/a%2Fb")
@example("/a b", "/a%20b")
@example("/ü", "/%C3%BC")
@example("/é", "/\udcc3\udca9")
@example("/a?b", "/a%3Fb")
@example("/a%2520b", "/a b")
@example("/" + "a" * 300, "/" + "a" * 301)
@example("/@http.long/a", "/%40http.long/a")
def test_no_two_targets_share_a_name(one, other):
    if one != other:
        first, second = layout.names(one), layout.names(other)
        assert first.base != second.base
        assert first.spare != second.spare
        assert not set(first.by_hand) & set(second.by_hand)


def test_a_target_without_a_slash_is_not_the_one_with_it():
    assert layout.names("a").base != layout.names("/a").base


@given(KEYS)
def test_a_name_made_by_hand_is_never_one_that_the_cache_uses(key):
    for name in layout.names(key).by_hand:
        assert not layout.reserved(name.rpartition("/")[2])
        assert layout.stored(name) is None


@pytest.mark.parametrize(
    ("key", "by_hand"),
    [
        ("/foo/bar.txt", ("foo/bar.txt",)),
        ("/foo/", ()),
        ("/", ()),
        ("/a%20b%C3%BC.txt", ("a%2520b%25C3%25BC.txt", "a bü.txt")),
        ("/a@b", ("a%40b", "a@b")),
        ("/a%40b", ("a%2540b",)),
        ("/a%2fb", ("a%252fb",)),
        ("/a?b=c", ("a%3Fb%3Dc",)),
        ("/x@mako", ("x%40mako",)),
        ("/x@data", ("x%40data",)),
        ("/x@http.head", ("x%40http.head",)),
        ("/%FF", ("%25FF",)),
    ],
)
def test_a_file_made_by_hand_has_the_originals_name_or_the_one_a_person_would_give_it(key, by_hand):
    assert layout.names(key).by_hand == by_hand


@pytest.mark.parametrize(
    "name",
    [
        "@http",
        "a@http",
        "a@http.head",
        "a@http.2",
        "a@http.temp",
        "a@mako",
        "@mako",
        "a@data",
        "@http.drafts",
        "@http.long",
        "47@http.draft",
    ],
)
def test_names_of_the_cache_are_reserved(name):
    assert layout.reserved(name)


@pytest.mark.parametrize("name", ["a", "http", "a@httpd", "a@http.txt", "a@http2", "mail@home", "a@mako.txt", "@"])
def test_other_names_are_not_reserved(name):
    assert not layout.reserved(name)


@given(KEYS)
@example("/" + "a/" * 100)
def test_no_name_of_ours_lies_deeper_than_a_few_directories(key):
    names = layout.names(key)
    assert max(names.base.count("/"), names.spare.count("/")) <= 16
    assert layout.is_current(names.base)
    assert layout.is_current(names.spare)


def test_a_target_longer_than_any_name_still_has_the_file_that_a_person_made():
    key = "/" + "%C3%BC/" * 180 + "x"
    assert layout.names(key).by_hand == ("ü/" * 180 + "x",)


@given(KEYS, st.integers(1, layout.MAX_VARIANTS))
def test_a_file_tells_what_it_belongs_to(key, number):
    base = layout.names(key).base.rpartition("/")[2]
    assert layout.stored(layout.content(base, number)) == (base, number)
    assert layout.stored(layout.head(base)) == (base, 0)
    assert layout.reserved(layout.content(base, number))
    assert layout.reserved(layout.head(base))
