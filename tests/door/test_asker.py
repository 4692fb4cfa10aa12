"""Which requests are parts of other sites' pages."""

from __future__ import annotations

import itertools

import pytest

from hardline.door.asker import is_part_of_elsewhere

pytestmark = pytest.mark.pure

SITES = ("cross-site", "same-site", "same-origin", "none", None)
MODES = ("navigate", "no-cors", "cors", "same-origin", "websocket", None)
DESTS = (
    *("document", "iframe", "frame", "embed", "object", "fencedframe", "image", "script", "style", "font", "empty"),
    *("audio", "video", "worker", "serviceworker", "manifest", "report", "xslt", None),
)


def head(site: str | None, mode: str | None, dest: str | None, *more: str) -> bytes:
    fields = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join(["GET /x HTTP/1.1", "Host: a.localhost", *lines, *more, "", ""]).encode()


@pytest.mark.parametrize(("site", "mode", "dest"), list(itertools.product(SITES, MODES, DESTS)))
def test_of_another_site_only_what_a_person_opens_is_no_part(site, mode, dest):
    opened = (mode, dest) == ("navigate", "document")
    assert is_part_of_elsewhere(head(site, mode, dest)) == (site == "cross-site" and not opened)


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender", "prefetch;anonymous-client-ip"])
def test_a_page_that_another_site_guesses_to_be_opened_is_a_part(purpose):
    assert is_part_of_elsewhere(head("cross-site", "navigate", "document", f"Sec-Purpose: {purpose}"))
    assert not is_part_of_elsewhere(head("none", "navigate", "document", f"Sec-Purpose: {purpose}"))


@pytest.mark.parametrize(
    ("lines", "is_part"),
    [
        (["Origin: http://evil.example", "Upgrade: websocket"], True),
        (["Origin: http://a.localhost:7010", "Upgrade: websocket"], True),
        (["Origin: null", "Upgrade: websocket"], True),
        (["Origin: http://A.localhost:7009", "Upgrade: websocket"], False),
        (["Origin: http://evil.example", "Via: 1.1 shop"], False),
        (["Origin: https://nas.example", "X-Forwarded-For: 192.0.2.1", "Upgrade: websocket"], False),
        (["Upgrade: websocket"], False),
    ],
)
def test_what_says_no_more_than_its_origin_is_a_part_where_that_is_another(lines, is_part):
    text = "\r\n".join(["GET /x HTTP/1.1", "Host: a.localhost:7009", *lines, "", ""])
    assert is_part_of_elsewhere(text.encode()) is is_part


@pytest.mark.parametrize(("agent", "is_part"), [("Mozilla/5.0 (X11)", True), ("curl/8.5.0", False), (None, False)])
def test_a_browser_connects_for_parts_of_pages_only(agent, is_part):
    lines = [] if agent is None else [f"User-Agent: {agent}"]
    text = "\r\n".join(["CONNECT a.localhost:443 HTTP/1.1", "Host: a.localhost:443", *lines, "", ""])
    assert is_part_of_elsewhere(text.encode()) is is_part


def test_names_and_values_are_read_as_http_has_them():
    assert is_part_of_elsewhere(b"GET / HTTP/1.1\r\nHost: a\r\nsec-FETCH-site:\tCross-Site \r\n\r\n")
    assert not is_part_of_elsewhere(b"GET / HTTP/1.1\r\nHost: Sec-Fetch-Site: cross-site\r\nX: cross-site\r\n\r\n")
