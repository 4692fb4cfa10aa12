"""The rows of the API: which request is which action, as docs/API.md has them."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.web import rows
from hardline.web.judging import Refused, bearer, fields_of, judge
from hardline.web.rows import PREFIX, ROWS, Asked, BadQuery, NoRow, find

pytestmark = pytest.mark.pure

DOCUMENTED = re.findall(
    r"^\| (GET|POST|PATCH|DELETE) \| `([^`]+)` \|",
    (Path(__file__).parents[2] / "docs" / "API.md").read_text(),
    re.MULTILINE,
)


def test_every_row_is_documented_and_none_that_is_not_there():
    assert [(row.method, row.path) for row in sorted(ROWS, key=str)] == sorted(DOCUMENTED, key=key_of)


def key_of(documented):
    return str(next(row for row in ROWS if (row.method, row.path) == documented))


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("GET", "status", Asked("status", {})),
        ("GET", "log?after=7", Asked("log", {"after": 7})),
        ("PATCH", "services/photos", Asked("change_typed", {"name": "photos"})),
        ("POST", "services/photos/pause", Asked("change", {"name": "photos", "paused": True}, alone=True)),
        (
            "POST",
            "services/photos/resume?paused=1&title=x",
            Asked("change", {"name": "photos", "paused": False}, alone=True),
        ),
        ("DELETE", "who/photos/Anna%20Lee", Asked("revoke", {"name": "photos", "who": "Anna Lee"})),
        ("DELETE", "services/%2E%2E%2Fx", Asked("remove", {"name": "../x"})),
        ("HEAD", "known", Asked("known", {})),
        ("GET", "ping/nas?what=other", Asked("ping", {"what": "nas"})),
    ],
)
def test_a_request_is_one_action_with_its_arguments(method, path, asked):
    assert find(method, PREFIX + path) == asked


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "services", ("GET", "POST")),
        ("GET", "services/photos/pause", ("POST",)),
        ("GET", "nothing", ()),
        ("GET", "", ()),
        ("GET", "services/", ()),
        ("GET", "who/a/b/c", ()),
    ],
)
def test_there_is_no_other(method, path, allowed):
    assert find(method, PREFIX + path) == NoRow(allowed)


@given(st.text(max_size=60))
def test_no_path_does_harm(path):
    with contextlib.suppress(BadQuery):
        assert isinstance(find("GET", PREFIX + path), Asked | NoRow)


@pytest.mark.parametrize("path", ["who/%ff", f"who/{'x' * 5000}", "log?" + "&".join(f"a{n}=1" for n in range(17))])
def test_what_cannot_be_read_is_said_so(path):
    with pytest.raises(BadQuery):
        find("GET", PREFIX + path)


HOST = "localhost:7009"
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("method", "fields", "status"),
    [
        ("GET", {}, None),
        ("GET", {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}, None),
        ("GET", {"sec-fetch-site": "none"}, None),
        ("POST", JSON, None),
        ("DELETE", {"content-type": "application/json; charset=utf-8"}, None),
        ("GET", {"origin": "http://localhost:7999"}, 403),
        ("GET", {"origin": "https://localhost:7009"}, 403),
        ("GET", {"origin": "null"}, 403),
        ("GET", {"origin": "http://6d54994fa9c0edc0b30f2749118f5e963cad7ed2.localhost:7009"}, 403),
        ("GET", {"sec-fetch-site": "same-site"}, 403),
        ("GET", {"sec-fetch-site": "cross-site"}, 403),
        ("POST", {}, 415),
        ("DELETE", {"content-type": "text/plain"}, 415),
        ("PATCH", {"content-type": "application/x-www-form-urlencoded"}, 415),
        ("POST", {"content-type": "application/jsonp"}, 415),
    ],
)
def test_only_this_page_may_ask_and_only_in_json(method, fields, status):
    refused = judge(method, HOST, fields)
    assert (refused.status if refused else None) == status


@pytest.mark.parametrize("name", ["Authorization", "Origin", "Content-Type", "Sec-Fetch-Site"])
def test_what_counts_comes_once(name):
    assert fields_of(f"GET / HTTP/1.1\r\n{name}:  a \r\nX: y\r\n\r\n".encode()) == {name.lower(): "a"}
    assert isinstance(fields_of(f"GET / HTTP/1.1\r\n{name}: a\r\n{name}: a\r\n\r\n".encode()), Refused)


@pytest.mark.parametrize(
    ("shown", "token"),
    [("Bearer abc-_", "abc-_"), ("bearer  abc", "abc"), ("Basic abc", None), ("Bearer", None), ("Bearer a b", None)],
)
def test_a_token_is_shown_as_bearer(shown, token):
    assert bearer({"authorization": shown}) == token


def test_the_one_row_without_a_token_is_that_which_gives_one():
    assert [row.path for row in ROWS if row.do == rows.LOGIN] == [rows.LOGIN]
