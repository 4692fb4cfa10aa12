"""The first head of a browser's connection."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.http.head import BadHead, Form, Head, HeadReader

pytestmark = pytest.mark.pure

MAX_HEAD = 4096
GET = b"GET /a?b=c HTTP/1.1\r\nHost: x.localhost:7009\r\nAccept: text/html,*/*;q=0.8\r\n\r\n"


def read(data: bytes) -> Head | None:
    return HeadReader(MAX_HEAD).feed(data)


def read_in_steps(data: bytes, step: int) -> None:
    reader = HeadReader(MAX_HEAD)
    for start in range(0, len(data), step):
        assert reader.feed(data[start : start + step]) is None


def request(*headers: str, line: str = "GET / HTTP/1.1") -> bytes:
    return "".join(f"{text}\r\n" for text in (line, *headers, "")).encode("latin-1")


def refusal(data: bytes) -> BadHead:
    with pytest.raises(BadHead) as caught:
        read(data)
    return caught.value


# ── what is understood ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cut", range(len(GET) + 1))
def test_a_head_is_read_however_tcp_cuts_it_and_every_byte_is_kept(cut):
    reader, pieces, found = HeadReader(MAX_HEAD), [GET[:cut], GET[cut:] + b"body"], None
    for piece in filter(None, pieces):
        if found is None:
            found = reader.feed(piece)
        if found is not None:
            break
    assert found == Head("GET", "/a?b=c", "1.1", "x.localhost:7009", accepts_html=True)
    assert reader.raw == (GET if cut == len(GET) else GET + b"body")


def test_what_came_behind_the_head_is_kept_with_it():
    reader = HeadReader(MAX_HEAD)
    data = request("Host: h", "Content-Length: 5000", line="POST /up HTTP/1.1") + bytes(3000)
    assert reader.feed(data) == Head("POST", "/up", "1.1", "h", accepts_html=False, content_length=5000)
    assert reader.raw == data


def test_only_the_first_head_is_read():
    reader = HeadReader(MAX_HEAD)
    assert reader.feed(GET + b"\x00\x01 nonsense that is no second request\r\n\r\n").host == "x.localhost:7009"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_both_versions_of_http_1_are_understood(version):
    assert read(request("Host: h", line=f"GET / HTTP/{version}")).version == version


@pytest.mark.parametrize("header", ["Host: h", "host: h", "HOST:h", "hOsT: \t h \t"])
def test_the_host_is_found_in_any_writing(header):
    assert read(request("A: 1", header, "B: 2")).host == "h"


@pytest.mark.parametrize("line", ["OPTIONS * HTTP/1.1", "PROPFIND /dav HTTP/1.1", "M-SEARCH / HTTP/1.1"])
def test_any_method_is_passed_on(line):
    assert read(request("Host: h", line=line)).method == line.split()[0]


def test_an_upgrade_is_a_request_like_any_other():
    assert read(request("Host: h", "Connection: keep-alive, Upgrade", "Upgrade: websocket")).target == "/"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ((), False),
        (("*/*",), False),
        (("application/json, text/plain",), False),
        (("text/html",), True),
        (("TEXT/HTML; level=1;q=0.5",), True),
        (("application/xhtml+xml",), True),
        (("text/html;q=0",), False),
        (("text/html; q = 0.000",), False),
        (("text/htmlx",), False),
        (("image/*", "text/html"), True),
    ],
)
def test_html_is_for_those_who_ask_for_it(accept, html):
    assert read(request("Host: h", *(f"Accept: {value}" for value in accept))).accepts_html is html


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("HTTP://a.LOCALHOST/x?y", "a.LOCALHOST", "/x?y"),
        ("http://a", "a", "/"),
        ("http://a?x", "a", "/?x"),
        ("http://a:80/x#part", "a:80", "/x"),
        ("http://[::1]:7009/", "[::1]:7009", "/"),
    ],
)
def test_the_host_of_a_whole_url_beats_the_header(url, host, target):
    head = read(request("Host: other", line=f"GET {url} HTTP/1.1"))
    assert (head.form, head.host, head.target) == (Form.ABSOLUTE, host, target)


def test_options_of_a_whole_server_stay_so():
    assert read(request("Host: x", line="OPTIONS http://a HTTP/1.1")).target == "*"
    assert read(request("Host: x", line="OPTIONS http://a/ HTTP/1.1")).target == "/"


def test_a_tunnel_is_asked_for_by_host_and_port():
    head = read(request("Host: other", line="CONNECT a.localhost:7009 HTTP/1.1"))
    assert (head.form, head.host) == (Form.AUTHORITY, "a.localhost:7009")


@pytest.mark.parametrize("line", ["GET http://a/ HTTP/1.0", "CONNECT a:1 HTTP/1.0"])
def test_a_proxy_request_of_http_1_0_needs_no_host_header(line):
    assert read(request(line=line)).host in ("a", "a:1")


@pytest.mark.parametrize(
    ("headers", "length", "chunked"),
    [
        ((), None, False),
        (("Content-Length: 0",), 0, False),
        (("Content-Length: 12", "content-length:12"), 12, False),
        (("Transfer-Encoding: Chunked",), None, True),
    ],
)
def test_the_length_of_the_body_is_read(headers, length, chunked):
    head = read(request("Host: h", *headers, line="POST / HTTP/1.1"))
    assert (head.content_length, head.chunked) == (length, chunked)


def test_an_event_source_is_known_by_what_it_accepts():
    assert read(request("Host: h", "Accept: Text/Event-Stream")).wants_events
    assert not read(request("Host: h", "Accept: text/html, */*")).wants_events


def test_raw_bytes_in_a_path_are_passed_on():
    assert read(b"GET /\xc3\xbc HTTP/1.1\r\nHost: h\r\n\r\n").target == "/\xc3\xbc"


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"\x00",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        request("Host: h", line="GET /"),
        request("Host: h", line="GET /a b HTTP/1.1"),
        request("Host: h", line="GET / HTTP/11"),
        request("Host: h", line="G\x00T / HTTP/1.1"),
        request("Host h"),
        request("Host : h"),
        request(": h", "Host: h"),
        request("Host: h\x00"),
        request("Host: h", "A: b\rc"),
        request(),
        request(line="GET / HTTP/1.0"),
        request("Host: a", "Host: a"),
        request("Host: a", "host: b", line="GET / HTTP/1.0"),
        request("Host: h", "Content-Length: 5", "Transfer-Encoding: chunked"),
        request("Host: h", "Content-Length: 5", "Content-Length: 6"),
        request("Host: h", "Content-Length: +5"),
        request("Host: h", "A: b", " folded: yes"),
        request("Host: a", "\tHost: b"),
        request(" Host: a"),
        request("Host: h", "Content-Length: 5, 5"),
        request("Host: h", f"Content-Length: {'9' * 19}"),
        request("Host: h", "Transfer-Encoding: chunked", line="GET / HTTP/1.0"),
        request("Host: h", line="GET  / HTTP/1.1"),
        request("Host: h", line="GET x HTTP/1.1"),
        request("Host: h", line="GET * HTTP/1.1"),
        request("Host: localhost", line="GET http://localhost@evil.com/ HTTP/1.1"),
        request("Host: localhost", line="GET http:/// HTTP/1.1"),
        request("Host: h", line="GET https://h/ HTTP/1.1"),
        request("Host: h", line="GET h:80 HTTP/1.1"),
        request(line="GET http://h/ HTTP/1.1"),
        request("Host: h", line="CONNECT / HTTP/1.1"),
        request("Host: h", line="CONNECT h HTTP/1.1"),
        request("Host: h", line="CONNECT http://h:80/ HTTP/1.1"),
        request("Host: h", line="CONNECT h:80/x HTTP/1.1"),
        request("Host: a", "Host: b", line="CONNECT h:80 HTTP/1.1"),
        b"GET / HTTP/1.1\nHost: h\n\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nA: b\nHost: x\r\n\r\n",
        b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_malformed_and_ambiguous_requests_are_refused(data):
    wrong = refusal(data)
    assert wrong.status == 400
    assert wrong.message.isprintable()


def test_a_coding_other_than_chunked_is_not_implemented():
    assert refusal(request("Host: h", "Transfer-Encoding: gzip, chunked")).status == 501


@pytest.mark.parametrize("line", ["GET / HTTP/2.0", "GET / HTTP/0.9", "PRI * HTTP/2.0"])
def test_another_version_of_http_is_told_so(line):
    assert refusal(request("Host: h", line=line)).status == 505
    assert refusal(request(line=line)).status == 505


def test_a_tls_client_is_told_that_this_port_speaks_http():
    wrong = refusal(bytes.fromhex("1603010200010001fc0303"))
    assert (wrong.status, wrong.message) == (400, "this port speaks http, not https")
    assert "http://" in wrong.hint


@pytest.mark.parametrize("step", [1000, 100_000])
def test_a_head_that_is_too_large_is_refused_whole_or_not(step):
    for data in (request("Host: h", f"Cookie: {'x' * MAX_HEAD}"), b"GET /" + b"x" * 2 * MAX_HEAD):
        with pytest.raises(BadHead) as caught:
            read_in_steps(data, step)
        assert caught.value.status == 431
        assert caught.value.hint


def test_a_head_of_exactly_the_limit_is_read():
    padding = MAX_HEAD - len(request("Host: h", "Cookie: "))
    assert read(request("Host: h", f"Cookie: {'x' * padding}")) is not None
    assert refusal(request("Host: h", f"Cookie: {'x' * padding}x")).status == 431


pieces = st.lists(
    st.binary(min_size=1, max_size=30)
    | st.sampled_from(
        [
            b"GET / HTTP/1.1\r\n",
            b"Host: h\r\n",
            b"\r\n",
            b"\n",
            b"Content-Length: 3\r\n",
            b" ",
            b":",
            b"Accept: text/html",
        ]
    ),
    max_size=12,
)


@given(pieces)
def test_any_bytes_are_a_head_or_refused(pieces):
    reader, fed = HeadReader(100), b""
    for piece in pieces:
        fed += piece
        try:
            head = reader.feed(piece)
        except BadHead as wrong:
            head = wrong
        assert reader.raw == fed
        if isinstance(head, BadHead):
            assert head.status in (400, 431, 501, 505)
        if head is not None:
            return


@pytest.mark.parametrize(
    "beginning", [b"GE\x00", b"GET  ", b"<html>\n", b"GET / XTTP", b"EHLO mail.example.com\r\n\r\n"]
)
def test_what_cannot_become_a_request_is_refused_before_it_is_whole(beginning):
    assert refusal(beginning).status == 400


@given(st.data())
def test_what_is_understood_is_understood_alike_by_h11(data):
    words = st.sampled_from(
        [
            b"GET",
            b" ",
            b"/",
            b"HTTP/1.1",
            b"\r\n",
            b"\n",
            b"Host",
            b":",
            b"h",
            b"Content-Length",
            b"5",
            b"\t",
            b"\x00",
            b"Transfer-Encoding",
            b"chunked",
            b",",
            b"\xff",
        ]
    )
    at = data.draw(st.integers(0, len(GET)))
    damaged = GET[:at] + b"".join(data.draw(st.lists(words, max_size=4))) + GET[at + data.draw(st.integers(0, 9)) :]
    reader = HeadReader(MAX_HEAD)
    try:
        head = reader.feed(damaged)
    except BadHead:
        return
    if head is None or not head.target.isascii():
        return
    other = h11.Connection(h11.SERVER)
    other.receive_data(damaged)
    event = other.next_event()
    assert isinstance(event, h11.Request)
    assert dict(event.headers)[b"host"] == head.host.encode("latin-1")
    assert other.trailing_data[0] == reader.raw[reader.size :]


@given(st.data())
def test_a_damaged_head_is_a_head_or_refused(data):
    at = data.draw(st.integers(0, len(GET) - 1))
    damaged = GET[:at] + data.draw(st.binary(max_size=3)) + GET[at + 1 :]
    try:
        head = read(damaged)
    except BadHead:
        return
    assert head is None or head.method
