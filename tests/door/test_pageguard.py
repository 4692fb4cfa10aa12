"""Pages of other sites at a port that is for other programs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.door.pageguard import MAX_HEAD, PageGuard

pytestmark = pytest.mark.pure

BROWSER = "User-Agent: Mozilla/5.0"


def head(*fields: str, first: str = "POST /x HTTP/1.1") -> bytes:
    return "".join(f"{line}\r\n" for line in (first, *fields, "")).encode()


def passed(*pieces: bytes) -> tuple[bytes, PageGuard]:
    guard, out = PageGuard(10.0), b""
    for piece in pieces:
        out += piece if guard.opaque else bytes(guard.asked(piece))
    return out, guard


@pytest.mark.parametrize(
    "fields",
    [
        ("Host: 127.0.0.1:2222", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"),
        ("Host: 127.0.0.1:2222", "sec-fetch-site:cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"),
        ("Host: localhost:2222", "Sec-Fetch-Site: same-site"),
        ("Host: 127.0.0.1:2222", "Origin: https://evil.example"),
        ("Host: 127.0.0.1:2222", "Origin: null"),
        ("Host: evil.example:2222", BROWSER),  # DNS rebinding
        ("Host: evil.example:2222", "Origin: http://evil.example:2222", BROWSER),
        (BROWSER,),
        ("Host: evil.example:2222", "User-Agent: curl/8.0", "Accept-Language: en"),  # the page may say who it is
        ("Host: evil.example:2222", "User-Agent: curl/8.0", "Sec-Fetch-Mode: cors"),
    ],
)
def test_a_page_of_another_site_is_known_however_its_head_is_cut(fields):
    whole = head(*fields) + b"QUIT\r\n"
    for cut in range(5, len(whole)):  # no page can have its first word cut
        out, guard = passed(whole[:cut], whole[cut:])
        assert (out, guard.over, guard.stopped, guard.opaque) == (b"", True, True, False)
    out, guard = passed(whole, b"more")
    assert out == b""


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"EHLO a\r\n",
        b"GET key\r\n",
        b"POST\r\n",
        b"a /b c HTTP/1.1\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        head("Host: evil.example", "User-Agent: curl/8.0"),
        head("Host: db.example", first="GET / HTTP/1.0"),
    ],
)
def test_programs_pass_unchanged(data):
    out, guard = passed(data, b"more")
    assert (out, guard.over, guard.opaque, guard.partial) == (data + b"more", False, True, False)


@pytest.mark.parametrize("data", [b"G", b"HELLO", b"a /b", b"a" * 100_000, b"a /" + b"b" * 100_000, b"a / HTTP/1.1"])
def test_nothing_is_kept_back_of_what_only_could_become_a_request_of_a_page(data):
    for cut in (1, 3, len(data)):
        out, guard = passed(data[:cut], data[cut:])
        assert (out, guard.over, guard.partial) == (data, False, False)


@pytest.mark.parametrize(
    "first", ["QUERY /x HTTP/1.1", "hack / HTTP/1.1", "!#$ /a HTTP/1.0", "GE / HTTP/1.1", "M" * 99_999 + " / HTTP/1.1"]
)
def test_a_page_whose_name_was_pointed_here_may_choose_its_method(first):
    whole = head("Host: evil.example:2222", BROWSER, first=first) + b"QUIT\r\n"
    for cut in (0, 1, 2, 5, len(first) - 3, len(first) + 1, len(first) + 9, len(whole) - 1):
        out, guard = passed(whole[:cut], whole[cut:])
        assert (guard.over, guard.opaque) == (True, False)
        assert out == (whole[:cut] if cut <= len(first) + 1 else b"")


OWN = (
    ("Host: 127.0.0.1:2222", "Sec-Fetch-Site: none", BROWSER),
    ("Host: [::1]:2222", "Sec-Fetch-Site: same-origin", "Origin: http://[::1]:2222", BROWSER),
    ("Host: localhost:2222", BROWSER),
    ("Host: 192.168.1.2:2222", BROWSER),
)
THEIRS = head("Host: 127.0.0.1:2222", "Sec-Fetch-Site: cross-site", "Origin: https://evil.example", BROWSER)
BODY = head("Sec-Fetch-Site: cross-site")


def with_body(own: tuple[str, ...], body: bytes, field: str) -> bytes:
    return head(*own, field) + body


@pytest.mark.parametrize("own", OWN)
def test_a_page_of_another_site_is_known_behind_what_was_typed_on_the_same_connection(own):
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    fine = b"".join(
        (
            head(*own),
            with_body(own, BODY, f"Content-Length: {len(BODY)}"),
            with_body(own, chunks, "Transfer-Encoding: chunked"),
            head(*own, first="GET /a HTTP/1.1"),
        )
    )
    for cut in range(1, len(fine + THEIRS)):
        out, guard = passed((fine + THEIRS)[:cut], (fine + THEIRS)[cut:] + b"QUIT")
        assert (out, guard.over) == (fine, True)


def test_what_is_no_http_any_more_passes():
    upgraded = head(*OWN[0], "Connection: Upgrade", "Upgrade: websocket")
    out, guard = passed(upgraded, THEIRS)
    assert (out, guard.opaque) == (upgraded + THEIRS, True)


def test_a_head_without_an_end_does_not_pass():
    out, guard = passed(b"GET /" + b"x" * MAX_HEAD)
    assert (out, guard.over) == (b"", True)
    out, guard = passed(b"GET / HTTP/1.1\r\nHost: a\r\n")
    assert (out, guard.partial, guard.over) == (b"", True, False)
    guard.late()
    assert (guard.partial, guard.over, bytes(guard.asked(b"\r\n"))) == (False, True, b"")


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_what_passes_is_what_came(pieces):
    out, guard = passed(*pieces)
    assert b"".join(pieces).startswith(out)
    assert guard.over or guard.partial or out == b"".join(pieces)
