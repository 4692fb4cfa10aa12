"""Reading what routers answer about pinholes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.upnp.pinhole import Failed, HttpPlace, elements

pytestmark = pytest.mark.pure


def test_elements_come_without_namespaces_and_with_the_texts_inside():
    xml = b'<a xmlns="urn:x" xmlns:b="urn:y"><b:c> 1 </b:c><c>2</c><d><e/></d></a>'
    assert elements(xml) == [
        *[("c", {}), ("c", {}), ("e", {})],
        ("d", {"e": ""}),
        ("a", {"c": "1", "d": ""}),
    ]


@pytest.mark.parametrize(
    "xml",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "http://192.0.2.1/x.dtd"><a/>',
        b"<!DOCTYPE a><a/>",
        b"<a>&b;</a>",
        b"<a>",
        b"",
        b"\xff\xfe\x00",
        b"<a/><a/>",
    ],
)
def test_entities_and_what_is_no_xml_are_refused(xml: bytes):
    with pytest.raises(Failed) as caught:
        elements(xml)
    assert caught.value.kind == "broken"


@given(st.one_of(st.binary(max_size=300), st.text(alphabet="<>/!&;a[] \"'DOCTYPE", max_size=80).map(str.encode)))
def test_any_bytes_are_elements_or_failed(xml: bytes):
    with contextlib.suppress(Failed):
        for name, inside in elements(xml):
            assert isinstance(name, str)
            assert all(isinstance(text, str) for text in inside.values())


@given(st.text(max_size=60))
def test_any_url_leads_to_the_same_host_or_nowhere(url: str):
    with contextlib.suppress(Failed):
        at = HttpPlace("fe80::1%eth0", 5000, "/d.xml", "2a0e::9").at(url)
        assert (at.host, at.own) == ("fe80::1%eth0", "2a0e::9")
        assert at.path.startswith("/")
        assert at.path.isprintable()
        assert 0 < at.port < 65_536


@pytest.mark.parametrize(
    ("url", "port", "path"),
    [
        ("/ctl", 5000, "/ctl"),
        ("ctl?x=1", 5000, "/igd/ctl?x=1"),
        ("http://192.0.2.1:49152/ctl", 49152, "/ctl"),
        ("http://192.0.2.1/ctl", 80, "/ctl"),
    ],
)
def test_a_control_url_is_read_as_of_the_description(url: str, port: int, path: str):
    at = HttpPlace("192.168.1.1", 5000, "/igd/d.xml", "").at(url)
    assert (at.host, at.port, at.path) == ("192.168.1.1", port, path)
