"""Which Host header leads where, and which is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.door.hostname import Misdirected, check_own_port, route_host
from hardline.identity import KeyHash, Label
from tests.support.rebinding import DIGITS, FOREIGN_NAMES, NO_HOSTS

pytestmark = pytest.mark.pure

LABEL = Label(KeyHash.parse(DIGITS))
SESAME = Label(KeyHash.parse(DIGITS), "sesame")


@pytest.mark.parametrize("port", ["", ":7009", ":80", ":"])
@pytest.mark.parametrize(
    ("host", "label"),
    [
        (f"{DIGITS}.localhost", LABEL),
        (f"{DIGITS.upper()}.LocalHost", LABEL),
        (f"{DIGITS}.localhost.", LABEL),
        (f"a.b.{DIGITS}.localhost", LABEL),
        (f"sesame-{DIGITS}.localhost", SESAME),
        (f"www.SESAME-{DIGITS.upper()}.localhost.", SESAME),
        (f"-{DIGITS}.localhost", LABEL),
    ],
)
def test_a_label_before_localhost_names_a_service(host, port, label):
    assert route_host(host + port) == label


@pytest.mark.parametrize("port", ["", ":7009"])
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "[::1]"])
def test_this_computer_itself_has_the_nodes_own_page(host, port):
    assert route_host(host + port) is None


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "[::1]"])
@pytest.mark.parametrize(
    ("port", "door", "ours"),
    [(":7009", 7009, True), ("", 80, True), (":", 80, True), (":80", 80, True), (":07009", 7009, True)]
    + [(port, 7009, False) for port in ("", ":", ":80", ":8080", ":7008", ":70090", ":0")],
)
def test_the_nodes_own_page_is_at_the_doors_own_port_only(name, port, door, ours):
    if ours:
        check_own_port(name + port, door)
    else:
        with pytest.raises(Misdirected) as caught:
            check_own_port(name + port, door)
        assert str(door) in caught.value.hint


@pytest.mark.parametrize(
    "host",
    [
        *FOREIGN_NAMES,
        "127.0.0.2",
        "0.0.0.0",
        "192.168.1.9:7009",
        "[::]",
        "[::1%lo]",
        "[::ffff:127.0.0.1]",
        "::1",
    ],
)
def test_a_name_that_is_not_of_this_computer_is_refused(host):
    with pytest.raises(Misdirected) as caught:
        route_host(host)
    assert caught.value.hint


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host_is_refused(host):
    with pytest.raises(Misdirected):
        route_host(host)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (DIGITS[:-1], "this has 39"),
        (DIGITS + "0", "this has 41"),
        (DIGITS[:-1] + "g", "hex digits only"),
        ("foo", "hex digits only"),
        (f"{'x' * 24}-{DIGITS}", "1 to 23 letters"),
        (f"two-words-{DIGITS}", "no dash"),
        (f"a%20b-{DIGITS}", "letters and digits"),
    ],
)
def test_a_mistyped_label_is_refused_with_what_is_wrong_with_it(label, reason):
    with pytest.raises(Misdirected, match=reason) as caught:
        route_host(f"{label}.localhost:7009")
    assert "40 hex digits" in caught.value.hint


@given(st.text(max_size=80) | st.text(max_size=40).map(lambda text: f"{text}{DIGITS}.localhost"))
def test_any_text_is_routed_or_misdirected(host):
    with suppress(Misdirected):
        routed = route_host(host)
        assert routed is None or str(routed.key_hash) in host.lower()


@given(st.text(min_size=1, max_size=300))
def test_the_message_repeats_a_hostile_host_short_and_printable(host):
    with suppress(Misdirected):
        route_host(host)
        return
    with pytest.raises(Misdirected) as caught:
        route_host(host)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 1200
