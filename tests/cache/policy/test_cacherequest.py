"""Requests as a cache sees them, and those it refuses."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.cache.policy.cacherequest import Refused, read
from hardline.http.fields import end_to_end, from_raw, items, names_in

pytestmark = pytest.mark.pure

HOST = (b"Host", b"a.localhost:7009")


def test_a_request_is_read_with_its_end_to_end_fields() -> None:
    raw = [HOST, (b"Connection", b"Upgrade, X-Hop"), (b"X-Hop", b"1"), (b"Upgrade", b"websocket"), (b"TE", b"trailers"),
           (b"Expect", b"100-Continue"), (b"X-Odd", b"\xff"), (b"Cache-Control", b"no-cache")]  # fmt: skip
    seen = read("GET", "/a?b", raw)
    assert (seen.method, seen.target, seen.host) == ("GET", "/a?b", "a.localhost:7009")
    assert seen.fields == (("Host", "a.localhost:7009"), ("X-Odd", "\xff"), ("Cache-Control", "no-cache"))
    assert (seen.upgrade, seen.expects_continue, "no-cache" in seen.directives) == ("websocket", True, True)


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        ("http://b.localhost/x?y", "/x?y", "b.localhost"),
        ("http://b.localhost", "/", "b.localhost"),
        ("http://b.localhost?y", "/?y", "b.localhost"),
        ("https://b.localhost:1/x", "/x", "b.localhost:1"),
        ("//b/x", "//b/x", "a.localhost:7009"),
    ],
)
def test_a_whole_url_says_which_host_is_meant(target: str, path: str, host: str) -> None:
    seen = read("GET", target, [HOST])
    assert (seen.target, seen.host) == (path, host)
    assert [value for name, value in seen.fields if name == "Host"] == [host]


@pytest.mark.parametrize(
    ("method", "target", "raw"),
    [
        ("GET", "/", [HOST, HOST]),
        ("GET", "/", [(b"Host", b"a/b")]),
        ("GET", "/", [(b"Host", b"a b")]),
        ("GET", "/", [(b"Host", b"a\xff")]),
        ("GET", "/\udc80", [HOST]),
        ("GET", "/a b", [HOST]),
        ("GET", "/\x7f", [HOST]),
        ("GET", "*", [HOST]),
        ("GET", "ftp://a/", [HOST]),
        ("GET", "http://user@a/", [HOST]),
        ("GET", "http://[/", [HOST]),
        ("CONNECT", "a:80", [HOST]),
        ("POST", "/", [HOST, (b"Transfer-Encoding", b"gzip, chunked")]),
        ("POST", "/", [HOST, (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")]),
        ("POST", "/", [HOST, (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"5")]),
        ("POST", "/", [HOST, (b"Content-Length", b"6"), (b"Content-Length", b"5")]),
    ],
)
def test_what_is_not_clear_is_refused(method: str, target: str, raw: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Refused):
        read(method, target, raw)


def test_a_connection_cannot_name_what_the_next_hop_needs() -> None:
    fields = (("Connection", "Host, Cookie, Cache-Control, X-A"), ("Host", "a"), ("Cookie", "b"), ("X-A", "c"))
    assert end_to_end(fields) == (("Host", "a"), ("Cookie", "b"))


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("a, b", ["a", "b"]),
        (" ,a,, b ,", ["a", "b"]),
        ('a="x, y", b', ['a="x, y"', "b"]),
        ('a="x\\", y", b', ['a="x\\", y"', "b"]),
        ("", []),
    ],
)
def test_lists_are_split_at_commas_outside_of_quotes(text: str, members: list[str]) -> None:
    assert list(items(text)) == members


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=60)), max_size=8), st.text(max_size=30))
def test_whatever_is_sent_is_read_or_refused(raw: list[tuple[bytes, bytes]], target: str) -> None:
    names_in(from_raw(raw), "connection")
    with contextlib.suppress(Refused):
        assert read("GET", target, raw).target.startswith("/")
