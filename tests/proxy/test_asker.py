"""Which requests are parts of other sites' pages."""

from __future__ import annotations

import itertools

import pytest

from hardline.proxy.asker import is_part_of_elsewhere

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


def test_names_and_values_are_read_as_http_has_them():
    assert is_part_of_elsewhere(b"GET / HTTP/1.1\r\nHost: a\r\nsec-FETCH-site:\tCross-Site \r\n\r\n")
    assert not is_part_of_elsewhere(b"GET / HTTP/1.1\r\nHost: Sec-Fetch-Site: cross-site\r\nX: cross-site\r\n\r\n")
