"""What a person reads when something fails, and this node's own page."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.door import pages
from hardline.door.hostname import Misdirected
from hardline.door.pages import Problem, Tried, problem_page
from hardline.errors import ConnectionLost, LimitReached, PeerError, ServiceFailed
from hardline.http.head import BadHead
from hardline.identity import KeyHash, Label
from hardline.routes import Attempt, Candidate, Endpoint, FoundBy, PathKind, Trust
from hardline.showable import is_plain
from hardline.web.assets import Assets
from hardline.web.home import home_page

pytestmark = pytest.mark.pure

LABEL = Label(KeyHash.parse("6d54994fa9c0edc0b30f2749118f5e963cad7ed2"), "sesame")
OTHER = "a946e7a560289417a2711f5b9686624852dd469b"
ON_LAN, OWN = FoundBy("LAN", Trust.HEARD), FoundBy("this node", Trust.HEARD)
BY_MEMORY = FoundBy("remembered", Trust.WORKED)
ATTEMPTS = (
    Attempt(Candidate(Endpoint("192.168.1.9", 7008), PathKind.LAN, ON_LAN), 0.0312, "wrong certificate"),
    Attempt(Candidate(Endpoint("fe80::1%eth0", 7008), PathKind.LAN, OWN), 3.1, "no answer"),
    Attempt(Candidate(Endpoint("203.0.113.9", 443), PathKind.DIRECT, BY_MEMORY), 0.4, "connection refused"),
)
TRIED = Tried(ATTEMPTS, ("LAN: nobody answered",))

PROBLEMS = {
    "bad head": (400, pages.bad_head(BadHead(400, "a request without a Host", "name it"))),
    "wrong password": (403, pages.wrong_password(LABEL)),
    "uninvited": (403, pages.uninvited()),
    "nothing tried": (404, pages.nothing_tried()),
    "not found": (404, pages.not_found("/x")),
    "head timeout": (408, pages.head_timeout(10.0)),
    "misdirected": (421, pages.misdirected(Misdirected("'evil.com' is not a name of this computer", "beware"))),
    "large head": (431, pages.bad_head(BadHead(431, "the request's head is larger than 32768 bytes"))),
    "unknown coding": (501, pages.bad_head(BadHead(501, "not a request: only chunked"))),
    "old http": (505, pages.bad_head(BadHead(505, "HTTP/2.0, expected 1.0 or 1.1"))),
    "service refused": (502, pages.service_failed(LABEL, ServiceFailed("refused", "nothing listens there"))),
    "service unavailable": (502, pages.service_failed(LABEL, ServiceFailed("unavailable", ""))),
    "original silent": (502, pages.original_silent(LABEL)),
    "host broke": (502, pages.host_failed(LABEL, ConnectionLost("the other node does not answer"))),
    "host lies": (502, pages.host_failed(LABEL, PeerError("yamux version 7, expected 0"))),
    "absent": (503, pages.absent(LABEL, 7009)),
    "too many guesses": (503, pages.service_failed(LABEL, ServiceFailed("wait", ""))),
    "host busy": (503, pages.service_failed(LABEL, ServiceFailed("limit", ""))),
    "node busy": (503, pages.limit_reached(LABEL, LimitReached("1000 sessions are in use", "raise max_sessions"))),
    "service slow": (504, pages.service_failed(LABEL, ServiceFailed("timeout", ""))),
    "host slow": (504, pages.too_slow(LABEL, 25.0)),
}

OUTSIDE = {
    "sentence": "should be reachable from outside at 11.22.33.7:7008 (the router)",
    "advice": "forward TCP port 7008 on the router",
}

SERVICES = [
    {
        "name": "wiki",
        "state": "serving",
        "problem": None,
        "hint": None,
        "title": "Our wiki",
        "label": str(LABEL),
        "url": f"http://{LABEL}.localhost:7009/",
        "target": "localhost:8080",
        "listed": True,
        "announced": "announced in the DHT 5 s ago, read back 5 s ago",
    },
    {
        "name": "cam",
        "state": "stale",
        "problem": "cam.ini:3: port is 'http'",
        "hint": "write  port = 80",
        "title": "",
        "label": OTHER,
        "url": f"http://{OTHER}.localhost:7009/",
        "target": "unix:/run/cam.sock",
        "listed": False,
        "announced": "not announced in the DHT (useDHT = no)",
    },
    {"name": "broken", "state": "broken", "problem": "broken.ini:1: this is not UTF-8", "hint": None},
]
OFFERS = [{"title": "Photos", "label": OTHER, "url": f"http://{OTHER}.localhost:7009/", "source": "192.168.1.23"}]

LOOK = Assets("", "")


def own_page(*rows: object, html: bool, head_only: bool = False) -> bytes:
    return home_page(*rows, assets=LOOK if html else None, head_only=head_only)


every_problem = pytest.mark.parametrize(("status", "problem"), PROBLEMS.values(), ids=PROBLEMS)


def parsed(response: bytes, method: str = "GET") -> tuple[int, dict[str, str], str]:
    """The response as an HTTP client understands it: status, headers, body; nothing follows it."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(response)
    client.receive_data(b"")
    head, body = client.next_event(), b""
    assert isinstance(head, h11.Response)
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert client.next_event() == h11.ConnectionClosed()
    headers = {name.decode(): value.decode() for name, value in head.headers}
    assert len(headers) == len(head.headers)
    return head.status_code, headers, body.decode()


class _Page(HTMLParser):
    """Every tag of a page with its attributes, and its text without the style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._in_style = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_style = tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._in_style else data

    @property
    def links(self) -> list[str | None]:
        return [attributes.get("href") for tag, attributes in self.tags if tag == "a"]


# ── every page ───────────────────────────────────────────────────────────────────────────────────────────────


@every_problem
@pytest.mark.parametrize("html", [True, False])
def test_every_problem_is_a_whole_response_with_its_status(status, problem, html):
    seen, headers, body = parsed(problem_page(problem, html=html))
    assert seen == status
    assert headers["content-type"] == f"text/{'html' if html else 'plain'}; charset=utf-8"
    assert headers["content-length"] == str(len(body.encode()))
    assert headers["connection"] == "close"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["server"] == "hardline"
    assert headers["referrer-policy"] == "same-origin"
    assert problem.title in body


@every_problem
def test_plain_text_says_the_same_as_the_page(status, problem):
    page = _Page(parsed(problem_page(problem, html=True))[2]).text
    text = parsed(problem_page(problem, html=False))[2]
    for said in (problem.title, problem.explanation, *problem.advice):
        assert said in page
        assert said in text


@pytest.mark.parametrize("html", [True, False])
def test_whoever_asks_for_the_head_gets_the_same_head_and_nothing_behind_it(html):
    problem = PROBLEMS["absent"][1]
    for make in (
        lambda head_only: problem_page(problem, html=html, head_only=head_only),
        lambda head_only: own_page(SERVICES, OFFERS, OUTSIDE, html=html, head_only=head_only),
    ):
        whole, head = make(False), make(True)
        assert whole.startswith(head)
        assert head.endswith(b"\r\n\r\n")
        assert parsed(head, "HEAD")[1] == parsed(whole)[1]


@every_problem
def test_no_page_runs_what_is_not_its_own_or_loads_anything(status, problem):
    _, headers, body = parsed(problem_page(problem, html=True))
    style = re.search("<style>(.*)</style>", body, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = [rule.strip() for rule in headers["content-security-policy"].split(";")]
    assert {
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "frame-ancestors 'none'",
        "treat-as-public-address",
    } <= set(policy)
    page = _Page(body)
    assert not {"img", "iframe", "object", "form", "base"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") or name in ("src", "style") for _, names in page.tags for name in names)
    assert "url(" not in style
    assert "@import" not in style


@every_problem
def test_a_page_tries_again_by_itself_where_that_can_help(status, problem):
    _, headers, body = parsed(problem_page(problem, html=True))
    page = _Page(body)
    again = [] if problem.retry_after is None else [str(problem.retry_after)]
    assert [names["data-every"] for _, names in page.tags if "data-every" in names] == again
    assert not [names for _, names in page.tags if "http-equiv" in names], "a page that moves by itself cannot be read"
    scripts = re.findall("<script>(.*?)</script>", body, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = re.findall("script-src 'sha256-([^']+)'", headers["content-security-policy"])
    assert len(scripts) == len(again)
    assert digests == allowed
    assert headers.get("retry-after") == (again[0] if again else None)
    # What the visitor must change first, and what cannot get better by itself, is not repeated.
    assert bool(again) == (status >= 502 and status != 505)


# ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("html", [True, False])
def test_the_page_of_an_absent_host_says_nothing_of_what_was_tried_and_where_to_read_it(html):
    body = parsed(problem_page(pages.absent(LABEL, 7010), html=html))[2]
    for secret in ("192.168.1.9", "fe80", "203.0.113.9", "wrong certificate", "no answer", "refused", "LAN"):
        assert secret not in body
    assert f"http://localhost:7010/tried/{LABEL}" in (_Page(body).links if html else body)
    assert "ago" not in body
    assert str(LABEL.key_hash) in body


@pytest.mark.parametrize("html", [True, False])
def test_what_was_tried_is_told_in_order_with_where_it_was_known_from_and_what_happened(html):
    status, _, body = parsed(problem_page(pages.what_was_tried(LABEL, TRIED, 7009), html=html))
    text = _Page(body).text if html else body
    assert status == 200
    for said in ("192.168.1.9:7008", "the local network", "0.03 s", "wrong certificate"):
        assert said in text
    for said in ("[fe80::1%eth0]:7008", "the local network (this node)", "3.10 s", "no answer"):
        assert said in text
    for said in ("203.0.113.9:443", "memory of an earlier visit", "0.40 s", "connection refused"):
        assert said in text
    assert "LAN: nobody answered" in text
    assert str(LABEL) in text


@pytest.mark.parametrize("html", [True, False])
def test_who_is_not_to_see_this_nodes_own_services_sees_none(html):
    body = parsed(own_page(None, OFFERS, OUTSIDE, html=html))[2]
    for secret in ("Our wiki", "sesame", str(LABEL.key_hash), "localhost:8080", "broken.ini", "11.22.33.7"):
        assert secret not in body
    assert "Photos" in body
    assert "hardline status" in body


def test_the_status_tells_a_refused_service_from_a_slow_and_an_absent_one():
    refused = problem_page(PROBLEMS["service refused"][1], html=False)
    assert b"502 The service is not running" in refused
    assert b"nothing listens there" in refused
    assert len({PROBLEMS[name][0] for name in ("service refused", "absent", "service slow")}) == 3


def test_a_wrong_password_is_told_with_the_word_that_was_tried():
    assert "has 'sesame'." in pages.wrong_password(LABEL).explanation
    assert "has none." in pages.wrong_password(Label(LABEL.key_hash)).explanation


def test_the_nodes_own_page_links_to_every_service_and_offer():
    status, _, body = parsed(own_page(SERVICES, OFFERS, OUTSIDE, html=True))
    page = _Page(body)
    assert status == 200
    assert page.links[:3] == [SERVICES[0]["url"], SERVICES[1]["url"], OFFERS[0]["url"]]
    for said in ("Our wiki", "localhost:8080", str(LABEL), "Photos", "192.168.1.23"):
        assert said in page.text


@pytest.mark.parametrize("html", [True, False])
def test_the_nodes_own_page_says_what_is_wrong_with_a_service(html):
    body = parsed(own_page(SERVICES, [], OUTSIDE, html=html))[2]
    text = _Page(body).text if html else body
    assert "Serving as before its file broke: cam.ini:3: port is 'http'" in text
    assert "broken.ini:1: this is not UTF-8" in text
    assert "unix:/run/cam.sock, not listed on the network" in text


@pytest.mark.parametrize("html", [True, False])
def test_the_nodes_own_page_says_whether_the_world_reaches_it(html):
    body = parsed(own_page(SERVICES, [], OUTSIDE, html=html))[2]
    text = _Page(body).text if html else body
    assert "Should be reachable from outside at 11.22.33.7:7008 (the router)." in text
    assert "Forward TCP port 7008 on the router." in text
    assert "nnounced in the DHT 5 s ago, read back 5 s ago" in text
    assert "ot announced in the DHT (useDHT = no)" in text


def test_a_page_leads_to_where_it_was_asked_for_and_one_that_is_not_there_to_the_list():
    assert _Page(parsed(problem_page(PROBLEMS["absent"][1], html=True))[2]).links[0] == ""
    assert _Page(parsed(problem_page(PROBLEMS["not found"][1], html=True))[2]).links == ["/"]


def test_a_host_that_breaks_the_protocol_is_told_from_one_that_fell_silent():
    assert "does not keep to the protocol: yamux version 7, expected 0." in PROBLEMS["host lies"][1].explanation
    assert PROBLEMS["host broke"][1].explanation == "The other node does not answer."


@pytest.mark.parametrize("html", [True, False])
def test_an_empty_page_says_what_to_do(html):
    body = parsed(own_page([], [], OUTSIDE, html=html))[2]
    assert "hardline share 8000" in body
    assert "Nobody offers anything here" in body


# ── hostile words ────────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</title></style><script>",
    "'&amp;\"",
    "\u202egnp.exe\u2066\u200f",
    "\x1b[31mred\r\nSet-Cookie: a=b\x00\x7f\x85",
    "\ud800\ufeff\u2028",
    "x" * 100_000,
]


def test_of_a_hostile_text_only_the_letters_are_shown():
    offer = OFFERS[0] | {"title": "\x1b[31mPho\u202e\u2066tos\r\n of\x00 2026"}
    for html in (True, False):
        assert "[31mPhotos of 2026" in parsed(own_page([], [offer], OUTSIDE, html=html))[2]


def test_an_offer_says_on_which_computer_it_is():
    named, nameless = ([OFFERS[0] | {"host": host}] for host in ("felix", ""))
    for html in (True, False):
        assert "on felix, at 192.168.1.23" in parsed(own_page([], named, OUTSIDE, html=html))[2]
        assert "on , at" not in parsed(own_page([], nameless, OUTSIDE, html=html))[2]


def check_harmless(text: str) -> None:
    label, failure = LABEL, ServiceFailed("refused", text)
    attempt = Attempt(Candidate(Endpoint(text, 1), PathKind.DIRECT, FoundBy(text, Trust.SIGNED)), 1.0, text)
    offer = OFFERS[0] | {"title": text, "source": text, "host": text}
    service = SERVICES[1] | {"title": text, "target": text, "problem": text, "hint": text}
    problems = [
        Problem(502, text, text, (text,), Tried((attempt,), (text,)), 3),
        pages.service_failed(label, failure),
        pages.host_failed(label, PeerError(text)),
        pages.not_found(text),
        pages.misdirected(Misdirected(text, text)),
    ]
    calm = [Problem(502, "a", "a", ("a",), Tried((ATTEMPTS[0],), ("a",)), 3)]
    makers = [(problem_page, problem) for problem in problems + calm]
    bodies = [parsed(make(problem, html=html))[2] for make, problem in makers for html in (True, False)]
    bodies += [parsed(own_page([service], [offer], OUTSIDE, html=html))[2] for html in (True, False)]
    for body in bodies:
        assert is_plain(body.replace("\n", ""))
        assert not any(control in body for control in "\u202e\u2066\u200f\x1b\r\x00")
        assert len(body) < 20_000
    tags = [[tag for tag, _ in _Page(parsed(problem_page(each, html=True))[2]).tags] for each in (problems[0], calm[0])]
    assert tags[0] == tags[1]
    page = _Page(parsed(own_page([service], [offer], OUTSIDE, html=True))[2])
    assert page.links == [service["url"], offer["url"], "/"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_words_are_words(text):
    check_harmless(text)


@given(st.text(st.characters(codec=None), min_size=1, max_size=60))
def test_any_words_are_words(text):
    check_harmless(text)


VISIT = {
    "title": "Wiki <b>of others</b>",
    "url": "http://ab.localhost:7009/",
    "label": "ab",
    "kind": "RELAYED",
    "endpoint": "203.0.113.9:7008",
    "round_trip_s": 0.1049,
    "draining": False,
    "passed_over": ["punching: nothing came through from 11.22.33.44"],
    "next_look_s": 40.2,
}


@pytest.mark.parametrize("html", [True, False])
def test_the_home_page_says_by_which_way_each_host_is_visited_and_why_by_no_better_one(html):
    body = parsed(own_page(SERVICES, OFFERS, OUTSIDE, [VISIT], html=html))[2]
    assert "By a relay, 203.0.113.9:7008, there and back in 105 ms." in body
    assert "Punching: nothing came through from 11.22.33.44." in body
    assert "Looks for a better way in 40 s." in body
    assert "<b>" not in body or not html
    punched = VISIT | {"kind": "PUNCHED", "passed_over": [], "next_look_s": 0.0, "draining": True}
    body = parsed(own_page(SERVICES, OFFERS, OUTSIDE, [punched], html=html))[2]
    assert "Straight, through the routers of both, 203.0.113.9:7008, there and back in 105 ms, ends with what" in body
    assert "Looks for a better way now." in body
    assert "Straight" not in parsed(own_page(SERVICES, OFFERS, OUTSIDE, html=html))[2]
