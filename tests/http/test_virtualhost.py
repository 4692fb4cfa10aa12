"""A service that goes by a name of its own: what of heads is changed, and what is not, whoever asks."""

from __future__ import annotations

import re

import pytest

from hardline.errors import ConfigError
from hardline.http.head import BadHead, read_head
from hardline.http.rewriting import Rewriting
from hardline.http.virtualhost import VirtualHost, client_of
from hardline.identity import KeyHash
from hardline.settings.service import HttpSection, parse_service
from tests.support.costs import times_as_long

pytestmark = pytest.mark.pure

KEY = KeyHash.parse("0123456789abcdef0123456789abcdef01234567")
OWN = f"{KEY}.localhost:7009"
CLIENT = '"203.0.113.9:4711"'
NAS = HttpSection(host="nas.lan")


def host(settings: HttpSection = NAS, scheme: str = "http") -> VirtualHost:
    return VirtualHost(KEY, settings, scheme)


def asked(settings: HttpSection, *lines: str, first: str = "GET / HTTP/1.1", scheme: str = "http") -> list[str]:
    raw = "\r\n".join([first, *lines, "", ""]).encode("latin-1")
    changed, _ = host(settings, scheme).request(read_head(raw, 0, len(raw)), raw, CLIENT)
    read_head(changed, 0, len(changed))  # it is a request still
    return changed.decode("latin-1").split("\r\n")[:-2]


def talk(settings: HttpSection = NAS) -> Rewriting:
    return Rewriting(host(settings), CLIENT)


@pytest.mark.parametrize(
    "name",
    [OWN, OWN.upper(), f"{KEY}.localhost", f"a.b.word-{KEY}.localhost:80", "localhost:8080", "[::1]:8080", "10.0.0.5"],
)
def test_a_name_of_the_visitors_becomes_the_services(name):
    assert asked(NAS, f"Host: {name}", "X: 1") == ["GET / HTTP/1.1", "Host: nas.lan", "X: 1"]


@pytest.mark.parametrize(
    "name",
    ["evil.example", f"{KEY}.localhost.evil.example", f"{'1' * 40}.localhost:7009", f"{KEY}.example", "x@nas.lan", ""],
)
def test_a_name_that_somebody_else_can_have_stays(name):
    head = asked(HttpSection(host="nas.lan"), f"Host: {name}", f"Origin: http://{name}")
    assert head[1:] == [f"Host: {name}", f"Origin: http://{name}"]


def test_a_name_that_the_owner_gave_counts_with_its_scheme():
    settings = HttpSection(host="nas.lan", names=("https://nas.example.org",))
    assert asked(settings, "Host: nas.example.org", "Origin: https://nas.example.org")[1:] == [
        "Host: nas.lan",
        "Origin: http://nas.lan",
    ]
    assert asked(settings, "Host: nas.example.org", "Origin: http://nas.example.org")[1:] == [
        "Host: nas.lan",
        "Origin: http://nas.example.org",
    ]


def test_origin_and_referer_of_the_own_page_follow():
    head = asked(NAS, f"Host: {OWN}", f"Origin: http://{OWN}", f"Referer: http://{OWN}/a?b#c", scheme="https")
    assert head[1:] == ["Host: nas.lan", "Origin: https://nas.lan", "Referer: https://nas.lan/a?b#c"]


@pytest.mark.parametrize(
    "origin",
    ["null", "http://evil.example", f"http://{KEY}.localhost:8080", f"https://{OWN}", f"http://{OWN}.evil.example",
     f"http://{OWN}@evil.example", f"http://x.{OWN}", "http://nas.lan", f"http://{OWN}, http://evil.example"],
)  # fmt: skip
def test_a_foreign_origin_is_seen_for_what_it_is(origin):
    assert asked(NAS, f"Host: {OWN}", f"Origin: {origin}", f"Referer: {origin}/x")[2:] == [
        f"Origin: {origin}",
        f"Referer: {origin}/x",
    ]


def test_origin_keep_and_an_origin_alone():
    lines = (f"Host: {OWN}", f"Origin: http://{OWN}")
    assert asked(HttpSection(host="nas.lan", origin="keep"), *lines)[1:] == ["Host: nas.lan", lines[1]]
    assert asked(HttpSection(origin="https://nas.lan"), *lines)[1:] == [lines[0], "Origin: https://nas.lan"]


def test_a_whole_url_becomes_a_path_and_its_host_counts():
    head = asked(NAS, "Host: evil.example", first=f"GET http://{OWN}/x?y HTTP/1.1")
    assert head == ["GET /x?y HTTP/1.1", "Host: nas.lan"]


def test_forwarded_is_behind_an_existing_one_in_one_line():
    settings = HttpSection(forwarded="append")
    head = asked(settings, "Forwarded: for=a", f"Host: {OWN}", 'forwarded: for="b,;";proto=https', "X: 1")
    ours = f'for={CLIENT};host="{OWN}";proto=http'
    assert head[1:] == [f"Host: {OWN}", "X: 1", f'Forwarded: for=a, for="b,;";proto=https, {ours}']


@pytest.mark.parametrize("hiding", ['for="', "for=a, x", 'for="a\\"', ";", "for=a;;b=c", 'for="a"b'])
def test_what_is_malformed_cannot_hide_what_is_behind_it(hiding):
    head = asked(HttpSection(forwarded="append"), f"Host: {OWN}", f"Forwarded: {hiding}")
    assert head[2:] == [f'Forwarded: for={CLIENT};host="{OWN}";proto=http']


def test_strip_leaves_no_word_of_whence_it_comes():
    claims = (
        "Forwarded: for=a",
        "X-Forwarded-For: a",
        "x-forwarded-PROTO: https",
        "X_Forwarded_Host: a",
        "X-Real-IP: a",
    )
    assert asked(HttpSection(forwarded="strip"), f"Host: {OWN}", *claims, "X: 1")[1:] == [f"Host: {OWN}", "X: 1"]


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("203.0.113.9", '"203.0.113.9:5"'),
        ("2001:db8::9", '"[2001:db8::9]:5"'),
        ("fe80::9%eth0", '"[fe80::9]:5"'),
        ("unix", "unknown"),
    ],
)
def test_clients_are_written_as_rfc_7239_has_them(address, written):
    assert client_of(address, 5) == written


REQUESTS = (
    f"GET /a HTTP/1.1\r\nHost: {OWN}\r\n\r\n"
    f"\r\nPOST /b HTTP/1.1\r\nHost: {OWN}\r\nContent-Length: 25\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n"
    f"POST /c HTTP/1.1\r\nHost: {OWN}\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nHost:\r\n0\r\nDigest: x\r\n\r\n"
    f"HEAD /d HTTP/1.1\r\nHost: word-{KEY}.localhost\r\n\r\n"
).encode()
CHANGED = re.sub(rb"Host: [a-z0-9-]+\.localhost(:7009)?", b"Host: nas.lan", REQUESTS).replace(
    b"\r\n\r\n\r\nPOST", b"\r\n\r\nPOST"
)
ANSWERS = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 302 Found\r\nLocation: http://NAS.lan:80/x\r\nContent-Length: 5\r\n\r\nLocat"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b; Domain=.Lan; Secure\r\n\r\n"
    b"3\r\nabc\r\n0\r\n\r\n"
    b"HTTP/1.1 201 Created\r\nlocation: //nas.lan/y\r\nContent-Length: 0\r\n\r\n"
    b"HTTP/1.1 301 Moved\r\nLocation: http://nas.lan\r\nContent-Length: 5\r\n\r\n"
)
BACK = (
    ANSWERS.replace(b"http://NAS.lan:80/x", f"http://{OWN}/x".encode())
    .replace(b"; Domain=.Lan", b"")
    .replace(b"//nas.lan/y", f"http://{OWN}/y".encode())
    .replace(b"Location: http://nas.lan\r", f"Location: http://word-{KEY}.localhost\r".encode())
)


@pytest.mark.parametrize("cut", range(0, len(REQUESTS) + 1, 1))
def test_requests_are_changed_however_they_are_cut(cut):
    one = talk()
    assert one.asked(REQUESTS[:cut]) + one.asked(REQUESTS[cut:]) == CHANGED
    assert one.failure is None


@pytest.mark.parametrize("cut", range(len(ANSWERS) + 1))
def test_answers_go_back_to_the_name_that_was_asked(cut):
    one = talk()
    one.asked(REQUESTS)
    assert one.heard(ANSWERS[:cut]) + one.heard(ANSWERS[cut:]) == BACK
    assert one.whole


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: https://nas.lan/x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://nas.lan.evil.example/x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /x\r\nSet-Cookie: a=b; Domain=other.lan\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_leads_elsewhere_goes_there(answer):
    one = talk()
    one.asked(REQUESTS)
    assert one.heard(answer) == answer


def test_an_answer_that_ends_with_its_connection_is_changed_and_followed_no_more():
    one = talk()
    one.asked(REQUESTS)
    answer = (
        b"HTTP/1.0 302 Found\r\nLocation: http://nas.lan/x\r\n\r\nHTTP/1.1 200 OK\r\nLocation: http://nas.lan/\r\n\r\n"
    )
    assert one.heard(answer) == answer.replace(b"nas.lan", OWN.encode(), 1)
    assert not one.whole


def test_a_cookie_with_many_spaces_takes_time_by_its_length_alone():
    raw = b"GET / HTTP/1.1\r\nHost: " + OWN.encode() + b"\r\n\r\n"
    _, asks = host().request(read_head(raw, 0, len(raw)), raw, CLIENT)

    def change(spaces: int) -> None:
        cookie = b"Set-Cookie: a=b; Domain=x" + b" " * spaces + b"y"
        assert cookie in host().answer(b"HTTP/1.1 200 OK\r\n" + cookie + b"\r\n\r\n", asks)

    assert times_as_long(change, 1_000, 8_000) < 30


def test_a_lenient_answer_is_not_kept_back():
    one = talk()
    one.asked(REQUESTS)
    assert one.heard(b"HTTP/1.1 200 OK\nX: y\n\nbody") == b"HTTP/1.1 200 OK\nX: y\n\nbody"


UPGRADE = f"GET / HTTP/1.1\r\nHost: {OWN}\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".encode()
LATER = f"GET /2 HTTP/1.1\r\nHost: {OWN}\r\n\r\n".encode()


def test_behind_101_bytes_are_nobodys_business():
    one = talk()
    assert one.asked(UPGRADE + LATER) == UPGRADE.replace(OWN.encode(), b"nas.lan")
    assert one.waits
    assert (
        one.heard(b"HTTP/1.1 101 X\r\n\r\n\x00Location: http://nas.lan/")
        == b"HTTP/1.1 101 X\r\n\r\n\x00Location: http://nas.lan/"
    )
    assert not one.waits
    assert one.asked(b"") == LATER
    assert one.asked(LATER) == LATER
    assert one.heard(ANSWERS) == ANSWERS


def test_an_upgrade_that_is_refused_is_a_request():
    one = talk()
    one.asked(UPGRADE + LATER)
    one.heard(b"HTTP/1.1 426 X\r\nContent-Length: 0\r\n\r\n")
    assert one.asked(b"") == LATER.replace(OWN.encode(), b"nas.lan")


SMUGGLED = [
    "GET / HTTP/1.1\r\nHost: {0}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {0}\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {0}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {0}\r\nX: a\r\n b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {0}\nX: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {0}\r\nHost: nas.lan\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : {0}\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "CONNECT nas.lan:22 HTTP/1.1\r\nHost: {0}\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@pytest.mark.parametrize("smuggled", SMUGGLED)
def test_what_parsers_read_in_two_ways_never_passes(smuggled):
    one = talk()
    assert one.asked(LATER + smuggled.format(OWN).encode("latin-1")) == LATER.replace(OWN.encode(), b"nas.lan")
    assert isinstance(one.failure, BadHead)
    assert one.asked(LATER) == b""


def test_chunks_that_are_none_end_it():
    one = talk()
    head = f"POST / HTTP/1.1\r\nHost: {OWN}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert b"GET" not in one.asked(head + b"3\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    assert one.failure is not None
    assert one.untold


def test_a_head_without_an_end_is_not_kept_for_ever():
    one = talk()
    one.asked(b"GET / HTTP/1.1\r\n")
    for _ in range(5):
        one.asked(b"X: " + b"x" * 65_536 + b"\r\n")
    assert one.failure is not None
    assert one.failure.status == 431


def test_requests_beyond_64_wait():
    one = talk()
    assert one.asked(LATER * 100).count(b"GET") == 64
    one.heard(b"HTTP/1.1 204 No\r\n\r\n" * 10)
    assert one.asked(b"").count(b"GET") == 10


def test_settings_are_checked_and_named():
    text = "[Service]\nservice=localhost\nproxy_protocol=2\n[HTTP]\nhost=nas.lan:81\n"
    text += "origin=https://nas.lan\nforwarded=strip\nnames=a.b, https://c.d"
    settings = parse_service(text, "a.ini")
    assert settings.proxy_protocol == 2
    assert settings.http == HttpSection("nas.lan:81", "https://nas.lan", "strip", ("a.b", "https://c.d"))


@pytest.mark.parametrize(
    "line",
    ["host=http://nas.lan", "host=a b", "host=a,b", "host=a:0", "origin=nas.lan", "origin=https://a/", "names=*"],
)
def test_a_setting_that_cannot_be_meant_is_an_error_with_its_line(line):
    with pytest.raises(ConfigError) as wrong:
        parse_service(f"[Service]\nservice=localhost\n[HTTP]\n{line}", "a.ini")
    assert wrong.value.line == 4


@pytest.mark.parametrize("connection", ["Forwarded", "close,\tforwarded", "keep-alive, HOST", "origin"])
def test_nobody_has_a_proxy_behind_drop_what_is_said_here(connection):
    with pytest.raises(BadHead):
        asked(HttpSection(host="nas.lan", forwarded="append"), f"Host: {OWN}", f"Connection: {connection}")
    assert asked(NAS, f"Host: {OWN}", "Connection: close, x-mine")


REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://nas.lan/there\r\nContent-Length: 0\r\n\r\n"


def test_an_answer_of_many_small_chunks_is_followed_to_its_end():
    one = talk()
    one.asked(LATER + LATER)
    chunks = b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n"
    passed = one.heard(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + REDIRECT)
    assert passed.endswith(REDIRECT.replace(b"nas.lan", OWN.encode()))
    assert one.whole


def test_a_head_request_that_would_upgrade_has_an_answer_without_a_body():
    one = talk()
    one.asked(UPGRADE.replace(b"GET", b"HEAD"))
    one.heard(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
    assert one.asked(LATER)
    assert one.heard(REDIRECT) == REDIRECT.replace(b"nas.lan", OWN.encode())


def test_behind_an_answer_whose_end_nobody_knows_nothing_more_is_asked():
    one = talk()
    one.asked(LATER)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"
    assert one.heard(answer) == answer
    assert one.asked(LATER) == b""
    assert one.failure is not None, "the connection ends: who asks makes another one"
    assert not one.whole, "and no answer is put where the end of another may be"
