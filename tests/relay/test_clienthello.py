"""For whom a TLS connection is, read off its first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.relay.clienthello import MAX_SIZE, ClientHello, read_client_hello
from tests.relay import hellos
from tests.relay.hellos import NAME, message, protocols, records, server_name

pytestmark = pytest.mark.pure

PLAIN = records(message(server_name(NAME.encode()) + protocols(b"hardline/2", b"h2")))


@pytest.mark.parametrize("name", [NAME, f"{NAME}.relay.example", "nas.example.org"])
def test_what_real_libraries_say_is_read(name):
    assert read_client_hello(hellos.of_openssl(name, ["hardline/2", "http/1.1"])) == ClientHello(
        name, ("hardline/2", "http/1.1"), len(hellos.of_openssl(name, ["hardline/2", "http/1.1"]))
    )
    large = hellos.of_pyopenssl(name, [b"hardline-relay/1"])
    assert len(large) > 1500, "a key of ML-KEM is in it"
    found = read_client_hello(large)
    assert found == ClientHello(name, ("hardline-relay/1",), len(large))


def test_who_names_nobody_is_read_too():
    found = read_client_hello(hellos.of_pyopenssl(None))
    assert found is not None
    assert (found.server_name, found.protocols) == ("", ())
    assert read_client_hello(records(message(None))) == ClientHello("", (), len(records(message(None))))


@pytest.mark.parametrize(
    "said", [PLAIN, records(message(server_name(b"a"), bytes(32)), 1, 2, 3, 40), hellos.of_pyopenssl(NAME)]
)
def test_it_is_not_known_before_its_last_byte_and_nothing_behind_it_counts(said):
    for end in range(len(said)):
        assert read_client_hello(said[:end]) is None
    found = read_client_hello(said)
    assert found is not None
    assert found.size == len(said)
    assert read_client_hello(said + b"\x17\3\3\0\5early") == found


@given(st.lists(st.integers(1, 40), max_size=20))
def test_however_it_is_cut_into_records_it_says_the_same(sizes):
    hello = message(server_name(NAME.encode()) + protocols(b"hardline/2"))
    said = records(hello, *sizes)
    assert read_client_hello(said) == ClientHello(NAME, ("hardline/2",), len(said))


@pytest.mark.parametrize("name", [b"A.Example.ORG", b"a.example.org", b"a.example.org."])
def test_names_are_one_however_they_are_written(name):
    found = read_client_hello(records(message(server_name(name))))
    assert found is not None
    assert found.server_name == "a.example.org"


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b".",
        b"a..b",
        b"a b",
        b"a\0b",
        b"caf\xc3\xa9",
        b"a/b",
        b"[::1]",
        b"x" * 64,
        b".".join([b"x" * 60] * 5),
        b"a\n",
    ],
)
def test_a_server_name_that_is_none_is_refused(name):
    with pytest.raises(PeerError, match="server name"):
        read_client_hello(records(message(server_name(name))))


@pytest.mark.parametrize(
    "extensions",
    [
        server_name(b"a") + server_name(b"b"),
        protocols(b"x") * 2,
        hellos.extension(0, hellos.vector(2, b"\0" + hellos.vector(2, b"a") + b"\0" + hellos.vector(2, b"b"))),
        hellos.extension(0, hellos.vector(2, b"\0" + hellos.vector(2, b"a")) + b"x"),
        server_name(b"a", kind=1),
        hellos.extension(0, b""),
        protocols(),
        protocols(b""),
        hellos.extension(16, b"\0\3\2x"),
        b"\0",
        b"\0\0\0\7abc",
    ],
)
def test_what_could_be_read_in_two_ways_is_none(extensions):
    with pytest.raises(PeerError):
        read_client_hello(records(message(extensions)))


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n",
        b"HARDLINE-JOIN ",
        b"SSH-2.0-x",
        b"\x16\2",
        b"\x80\x2e\1",  # SSL 2
        b"\x15\3\1\0\2\2\50",
        b"\x16\3\1\0\0",
        b"\x16\3\1\x40\1",
        b"\x16\3\1\0\1\2",
        b"\x16\3\1\0\4\1\xff\0\0",
        records(message(server_name(b"a")) + b"\2"),
    ],
)
def test_what_is_none_is_known_at_once(said):
    with pytest.raises(PeerError):
        read_client_hello(said)


def test_one_that_is_too_large_is_refused_before_it_is_whole():
    hello = message(server_name(b"a") + hellos.extension(21, bytes(MAX_SIZE)))
    with pytest.raises(PeerError, match="more than"):
        read_client_hello(records(hello, 16_000)[:12])
    many = message(server_name(b"a") + hellos.extension(21, bytes(MAX_SIZE - 2000)))
    said = records(many, *[1] * 900)
    with pytest.raises(PeerError, match="more than"):
        read_client_hello(said)


@given(
    st.binary(max_size=300)
    | st.builds(
        lambda at, new: PLAIN[:at] + new + PLAIN[at + len(new) :], st.integers(0, len(PLAIN)), st.binary(max_size=8)
    )
)
def test_whatever_comes_is_a_hello_or_a_peers_mistake(data):
    try:
        found = read_client_hello(data)
    except PeerError:
        return
    if found is not None:
        assert 0 < found.size <= len(data)
        assert len(found.server_name) <= 253
