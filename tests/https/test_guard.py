"""Head by head: what passes to a service behind a public name, and what never does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.http.head import BadHead
from hardline.http.rewriting import Rewriting
from hardline.http.virtualhost import VirtualHost
from hardline.https.guard import Guard, wants_a_password
from hardline.identity import KeyHash
from hardline.settings.service import HttpSection

pytestmark = pytest.mark.pure

NAS = "nas.example.org"
GOOD = "Basic YW5uYTp3b3Jk"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def request(*lines: str, method: str = "GET", target: str = "/", host: str = NAS, body: bytes = b"") -> bytes:
    length = (f"Content-Length: {len(body)}",) if body else ()
    head = "\r\n".join((f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, *length, "", ""))
    return head.encode("latin-1") + body


class Talked:
    """A connection whose service has not answered anything; `anna` is who may."""

    def __init__(self, *, users: bool = True, may_ask: int = 1000, host: VirtualHost | None = None) -> None:
        self.left = may_ask
        self.judged: list[list[str]] = []
        self.guard = Guard(NAS, users=users, may_ask=self._may_ask, host=host)
        self.talk = Rewriting(self.guard, "unknown")

    def _may_ask(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def says(self, data: bytes) -> bytes:
        passed = self.talk.asked(data)
        while self.talk.undecided:
            self.judged.append(list(self.guard.asks))
            self.guard.judged(None if self.guard.asks == [GOOD] else wants_a_password(NAS))
            passed += self.talk.asked(b"")
        return passed

    @property
    def status(self) -> int:
        return self.talk.failure.status if self.talk.failure is not None else 0


def test_a_name_and_a_password_never_reach_the_service() -> None:
    talked = Talked()
    passed = talked.says(request("X: 1", f"Authorization: {GOOD}", "Cookie: a=b"))
    assert passed == request("X: 1", "Cookie: a=b")
    assert talked.judged == [[GOOD]]


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("Authorization: Basic bm8=",),
        (f"Authorization: {GOOD}", f"Authorization: {GOOD}"),
        (f"Proxy-Authorization: {GOOD}",),
        (f"Authorization : {GOOD}",),
        (f"X: a\r\n Authorization: {GOOD}",),
        (f"Authorization_: {GOOD}",),
    ],
)
def test_who_does_not_say_it_rightly_sends_nothing_to_the_service(lines: tuple[str, ...]) -> None:
    talked = Talked()
    assert talked.says(request(*lines, body=b"secret")) == b""
    assert talked.status in (400, 401)
    assert talked.says(request(f"Authorization: {GOOD}")) == b"", "nor does what comes behind"


def test_every_head_of_a_connection_is_judged() -> None:
    talked = Talked()
    assert talked.says(request(f"Authorization: {GOOD}", target="/1")) == request(target="/1")
    talked.talk.heard(OK)
    assert talked.says(request(f"Authorization: {GOOD}", target="/2")) == request(target="/2")
    assert talked.says(request(target="/3")) == b""
    assert talked.status == 401
    assert not talked.talk.whole, "the one before has its answer first"


def test_what_hides_in_a_body_is_no_head() -> None:
    hidden = request(target="/hidden")
    talked = Talked()
    passed = talked.says(request(f"Authorization: {GOOD}", method="POST", body=hidden))
    assert passed == request(method="POST", body=hidden)
    assert talked.judged == [[GOOD]]


@pytest.mark.parametrize("host", ["other.example.org", "nas.example.org.evil.net", "127.0.0.1", f"x.{NAS}"])
def test_another_name_is_not_served_by_this_one(host: str) -> None:
    talked = Talked()
    assert talked.says(request(f"Authorization: {GOOD}", host=host)) == b""
    assert talked.status == 421
    assert not talked.judged


@pytest.mark.parametrize("users", [True, False])
def test_who_names_it_in_the_target_names_no_other_to_the_service(users: bool) -> None:
    talked = Talked(users=users)
    whole = f"http://{NAS}/a?b"
    for target, other in ((whole, "internal.lan"), (whole, NAS)):
        passed = talked.says(request(f"Authorization: {GOOD}", "X: 1", target=target, host=other))
        assert passed.startswith(f"GET /a?b HTTP/1.1\r\nHost: {NAS}\r\n".encode())
        assert passed.lower().count(b"host:") == 1
        assert b"X: 1\r\n" in passed
        talked.talk.heard(OK)
    assert talked.says(request(f"Authorization: {GOOD}", target="http://internal.lan/", host=NAS)) == b""
    assert talked.status == 421


@pytest.mark.parametrize("port", ["\xb2", "443443", "-1", "x"])
def test_what_is_no_port_makes_another_name(port: str) -> None:
    talked = Talked()
    assert talked.says(request(f"Authorization: {GOOD}", host=f"{NAS}:{port}")) == b""
    assert talked.status == 421


@pytest.mark.parametrize("host", [NAS, "NAS.example.org:8443", f"{NAS}.", f"{NAS}:"])
def test_a_name_may_be_written_in_more_ways(host: str) -> None:
    assert Talked().says(request(f"Authorization: {GOOD}", host=host)) == request(host=host)


def test_so_many_requests_and_no_more() -> None:
    talked = Talked(users=False, may_ask=2)
    assert talked.says(request() + request()) == request() + request()
    assert talked.says(request()) == b""
    assert talked.status == 429


def test_a_request_counts_once_though_it_is_looked_at_twice() -> None:
    talked = Talked(may_ask=1)
    assert talked.says(request(f"Authorization: {GOOD}")) == request()
    assert talked.left == 0


def test_a_proxy_is_not_what_it_is() -> None:
    talked = Talked()
    assert talked.says(b"CONNECT nas.example.org:443 HTTP/1.1\r\nHost: nas.example.org:443\r\n\r\n") == b""
    assert talked.status == 400


def test_nobody_gets_to_a_protocol_whose_requests_nobody_judges() -> None:
    asked = request(f"Authorization: {GOOD}", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "Connection: Upgrade")
    assert Talked().says(asked) == request("Connection: Upgrade")
    asked = request(f"Authorization: {GOOD}", "Upgrade: websocket", "Connection: Upgrade")
    assert Talked().says(asked) == request("Upgrade: websocket", "Connection: Upgrade")


def test_a_service_that_goes_by_a_name_of_its_own_does_so_here_too() -> None:
    naming = HttpSection(host="nas.lan", names=(f"https://{NAS}",), forwarded="append")
    talked = Talked(host=VirtualHost(KeyHash(bytes(20)), naming, "http"))
    passed = talked.says(request(f"Authorization: {GOOD}", f"Origin: https://{NAS}"))
    assert passed == (
        b"GET / HTTP/1.1\r\nHost: nas.lan\r\nOrigin: http://nas.lan\r\n"
        b'Forwarded: for=unknown;host="nas.example.org";proto=https\r\n\r\n'
    )
    answer = talked.talk.heard(b"HTTP/1.1 302 Found\r\nLocation: http://nas.lan/x\r\nContent-Length: 0\r\n\r\n")
    assert b"Location: https://nas.example.org/x\r\n" in answer


@given(st.lists(st.binary(max_size=40) | st.just(request(f"Authorization: {GOOD}")), max_size=6), st.data())
def test_however_it_is_cut_nothing_unjudged_passes(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(pieces)
    talked, passed, at = Talked(), b"", 0
    while at < len(whole):
        step = data.draw(st.integers(1, len(whole) - at))
        passed += talked.says(whole[at : at + step])
        at += step
    assert b"Authorization" not in passed or GOOD.encode() not in passed
    assert passed.count(b" HTTP/1.1\r\n") <= len(talked.judged)


def test_what_is_wrong_is_said_with_what_is_wanted() -> None:
    bad = wants_a_password(NAS)
    assert isinstance(bad, BadHead)
    assert bad.fields == (f'WWW-Authenticate: Basic realm="{NAS}", charset="UTF-8"',)
