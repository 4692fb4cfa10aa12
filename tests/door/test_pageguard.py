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
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"G",
        head("Host: evil.example", "User-Agent: curl/8.0"),
        head("Host: db.example", first="GET / HTTP/1.0"),
        head("Host: 127.0.0.1:2222", "Sec-Fetch-Site: none", BROWSER),
        head("Host: [::1]:2222", "Sec-Fetch-Site: same-origin", "Origin: http://[::1]:2222", BROWSER),
        head("Host: localhost:2222", BROWSER),
        head("Host: 192.168.1.2:2222", BROWSER),
    ],
)
def test_programs_and_what_was_typed_pass_unchanged(data):
    out, guard = passed(data, b"more")
    assert (out, guard.over, guard.opaque, guard.partial) == (data + b"more", False, True, False)


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
    if not guard.over and not guard.partial:
        assert out == b"".join(pieces)
    else:
        assert out == b""
