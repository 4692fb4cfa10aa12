"""What clients say that they take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from hardline.http.negotiation import HTML, JSON, coding, listed, prefers

pytestmark = pytest.mark.pure

BOTH = ("br", "gzip")


@pytest.mark.parametrize(
    ("field", "there", "chosen"),
    [
        ("", BOTH, "identity"),
        ("gzip", BOTH, "gzip"),
        ("gzip", ("br",), "identity"),
        ("gzip, br", BOTH, "br"),
        ("gzip, br", (), "identity"),
        ("gzip;q=1.0, br;q=0.9", BOTH, "gzip"),
        ("gzip ; Q=0.5 , br ; q=0.4", BOTH, "gzip"),
        ("x-gzip", BOTH, "gzip"),
        ("*", BOTH, "br"),
        ("*;q=0.5, br;q=0", BOTH, "gzip"),
        ("gzip;q=0.000", BOTH, "identity"),
        ("gzip;q=0.001", BOTH, "gzip"),
        ("gzip;q=1.5", BOTH, "gzip"),
        ("gzip;q=2", BOTH, "identity"),
        ("gzip;q=-1", BOTH, "identity"),
        ("gzip;q=0.1234", BOTH, "identity"),
        ("gzip;q=", BOTH, "identity"),
        ("gzip;x=1;q=0", BOTH, "identity"),
        ("identity, gzip", BOTH, "gzip"),
        ("identity;q=0.6, gzip;q=0.5", BOTH, "identity"),
        ("identity;q=0", BOTH, "identity"),
    ],
)
def test_the_best_coding_that_is_there(field, there, chosen):
    assert coding(field, there) == chosen


@pytest.mark.parametrize(
    ("field", "html", "json"),
    [
        ("", False, False),
        ("*/*", False, False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True, False),
        ("application/json", False, True),
        ("application/json, */*", False, True),
        ("Application/JSON;charset=utf-8", False, True),
        ("text/html;q=0.5, application/json", False, True),
        ("text/html, application/json;q=0.9", True, False),
        ("text/html;q=0", False, False),
        ("application/json;q=0", False, False),
        ("text/*", False, False),
        ("application/xhtml+xml", True, False),
    ],
)
def test_a_form_is_sent_to_whoever_names_it(field, html, json):
    assert prefers(field, HTML, JSON) == html
    assert prefers(field, JSON, HTML) == json


@given(st.text())
def test_no_text_breaks_it(text):
    assert coding(text, BOTH) in ("identity", *BOTH)
    prefers(text, HTML, JSON)


def test_a_field_that_comes_twice_is_one_list():
    fields = CIMultiDict([("Accept-Encoding", "br;q=0.1"), ("X", "y"), ("accept-encoding", "gzip")])
    assert coding(listed(fields, "Accept-Encoding"), BOTH) == "gzip"
    assert listed(fields, "Accept") == ""


def test_a_very_long_field_is_read_at_its_beginning():
    assert coding("gzip," + "x," * 1_000_000, BOTH) == "gzip"
    assert len(listed(CIMultiDict(Accept="x" * 100_000), "Accept")) == 1000
