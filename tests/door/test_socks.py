"""SOCKS5 before bytes pass: RFC 1928, as clients say it and cut it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.door.socks import MAX_SIZE, Opening, Refused, Reply, label_named, may_connect, reply_to
from hardline.errors import ConnectionLost, PasswordRefused, ServiceFailed
from hardline.identity import KeyHash, Label
from hardline.routes import Endpoint

pytestmark = pytest.mark.pure

KEY_HASH = "0123456789abcdef0123456789abcdef01234567"
NAS = Label(KeyHash(bytes(20)))
GREETING, ACCEPTED = b"\x05\x02\x00\x02", b"\x05\x00"


def asked(name: bytes, command: int = 1, port: int = 22) -> bytes:
    return b"\x05" + bytes([command, 0, 3, len(name)]) + name + port.to_bytes(2, "big")


def said(*pieces: bytes) -> tuple[bytes, Opening | None]:
    """What is answered in all, and the opening, None where the client was refused."""
    opening, answers = Opening(), b""
    try:
        for piece in pieces:
            if opening.name is None:
                answers += opening.feed(piece)
    except Refused as refused:
        return answers + refused.answer, None
    return answers, opening


def test_a_name_is_asked_for_and_what_follows_is_the_service_s():
    answers, opening = said(GREETING, asked(b"nas.localhost") + b"early")
    assert answers == ACCEPTED
    assert opening is not None
    assert (opening.name, opening.early) == (b"nas.localhost", b"early")


def test_every_cut_is_read_alike():
    whole = GREETING + asked(b"n" * 255)
    for cut in range(len(whole) + 1):
        answers, opening = said(whole[:cut], whole[cut:])
        assert answers == ACCEPTED
        assert opening is not None
        assert opening.name == b"n" * 255


def test_before_all_was_said_there_is_no_name_and_nothing_early():
    answers, opening = said(GREETING + asked(b"nas.localhost")[:-1])
    assert answers == ACCEPTED
    assert opening is not None
    assert (opening.name, opening.early) == (None, b"")


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:1080\r\n\r\n", b""),  # a web page
        (b"\x16\x03\x01", b""),  # its TLS
        (b"\x04\x01\x00\x16\x7f\x00\x00\x01user\x00", b""),  # SOCKS4
        (b"\x05\x01\x02", b"\x05\xff"),  # a password, or nothing
        (b"\x05\x00", b"\x05\xff"),
        (GREETING + b"\x04", ACCEPTED),
        (GREETING + asked(b"nas.localhost", command=2), ACCEPTED + b"\x05\x07\x00\x01" + bytes(6)),  # BIND
        (GREETING + asked(b"nas.localhost", command=3), ACCEPTED + b"\x05\x07\x00\x01" + bytes(6)),  # UDP
        (GREETING + b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x16", ACCEPTED + b"\x05\x08\x00\x01" + bytes(6)),
        (GREETING + b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x00\x16", ACCEPTED + b"\x05\x08\x00\x01" + bytes(6)),
        (GREETING + b"\x05\x01\x00\x09\x00", ACCEPTED + b"\x05\x08\x00\x01" + bytes(6)),
    ],
)
def test_everything_else_is_refused_as_the_rfc_says(what, answer):
    assert said(what) == (answer, None)
    assert said(*(bytes([one]) for one in what)) == (answer, None)


@given(st.binary(max_size=600), st.integers(0, 600))
def test_never_anything_but_refused_and_every_cut_alike(data, cut):
    whole, pieces = said(data), said(data[:cut], data[cut:])
    assert whole[0] == pieces[0]
    assert (whole[1] is None) == (pieces[1] is None)
    if whole[1] is not None and pieces[1] is not None:
        assert whole[1].name == pieces[1].name
    if len(data) >= MAX_SIZE:
        assert whole[1] is None or whole[1].name is not None


@pytest.mark.parametrize(
    ("name", "label"),
    [
        (f"{KEY_HASH}.localhost", Label.parse(KEY_HASH)),
        (f"a.b.Secret-{KEY_HASH.upper()}.LocalHost.", Label.parse(f"secret-{KEY_HASH}")),
        ("nas.localhost", NAS),
        ("www.NAS.localhost", NAS),
    ],
)
def test_what_a_name_leads_to(name, label):
    assert label_named(name.encode(), {"nas": NAS}) == label


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        (b"example.org", Reply.NOT_ALLOWED),
        (b"localhost", Reply.NOT_ALLOWED),
        (b"127.0.0.1", Reply.NOT_ALLOWED),
        (b"nas", Reply.NOT_ALLOWED),
        (b"", Reply.NOT_ALLOWED),
        (b"nas.localhost.example.org", Reply.NOT_ALLOWED),
        (b"other.localhost", Reply.HOST_UNREACHABLE),
        (b".localhost", Reply.HOST_UNREACHABLE),
        (b"nas..localhost", Reply.HOST_UNREACHABLE),
        (KEY_HASH[1:].encode() + b".localhost", Reply.HOST_UNREACHABLE),
        ("n\u00e4s.localhost".encode(), Reply.HOST_UNREACHABLE),
        (b"\xff\x00.localhost", Reply.HOST_UNREACHABLE),
    ],
)
def test_a_name_that_leads_to_nothing_is_refused_without_being_repeated(name, reply):
    with pytest.raises(Refused) as refused:
        label_named(name, {"nas": NAS})
    assert refused.value.answer == reply.encode()
    if len(name) > 4:
        assert name.decode("utf-8", "replace").partition(".")[0] not in refused.value.message.split()


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.168.1.7", True),
        ("::ffff:192.168.1.7", True),
        ("2001:db8::1", True),
        ("192.168.2.7", False),
        ("2001:db8::2", False),
        ("11.22.33.44", False),
    ],
)
def test_who_may_connect(host, may):
    networks = ip_network("192.168.1.0/24"), ip_network("2001:db8::1")
    assert may_connect(Endpoint(host, 50_000), networks) is may


def test_why_a_service_was_not_reached_has_a_reply():
    assert reply_to(ServiceFailed("refused", "nobody listens")) is Reply.CONNECTION_REFUSED
    assert reply_to(TimeoutError()) is Reply.HOST_UNREACHABLE
    assert reply_to(PasswordRefused("wrong")) is Reply.NOT_ALLOWED
    assert reply_to(ConnectionLost("cut")) is Reply.FAILED
